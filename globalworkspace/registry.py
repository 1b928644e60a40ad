"""Which plugins are installed, what they bring, and why one of them does not work.

Plugins are found through entry points and called one at a time, so that a broken one becomes a
*record* with its reason and never stops the rest. Nothing a plugin names is imported before it is
asked for.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterable
from contextlib import redirect_stdout
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

import attrs
import pluggy

from globalworkspace import builtin, hookspecs
from globalworkspace.errors import PluginError, did_you_mean
from globalworkspace.targets import WrongTarget, load_target

GROUP = "globalworkspace"
CATEGORIES = {
    "domain": "register_domains",
    "dataset": "register_datasets",
    "objective": "register_objectives",
    "fusion": "register_fusions",
    "initializer": "register_initializers",
    "network": "register_networks",
    "augmentation": "register_augmentations",
    "recipe": "register_recipes",
    "callback": "register_callbacks",
    "evaluation": "register_evaluations",
    "report-section": "register_report_sections",
    "command": "register_commands",
}
"""What can be registered -> the hook that registers it."""

CORE = "core"
"""Owner of what the core itself brings."""

_SWITCHED_OFF = "switched off by GLOBALWORKSPACE_PLUGINS"
_KIND = re.compile(r"[a-z][a-z0-9_-]*\Z")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*\Z")


@attrs.frozen(kw_only=True)
class PluginRecord:
    """One entry point, working or not."""

    name: str
    """Entry-point name; the owner in `owner:kind`."""
    distribution: str
    version: str
    module: str
    error: str | None = None
    """Why it is out of use; None when it works."""
    remedy: str = ""
    """What to do about the error."""
    details: str = attrs.field(default="", repr=False)
    """Traceback, for `--json`."""

    def __str__(self) -> str:
        who = f'"{self.name}" ({self.distribution} {self.version})'
        return who if self.error is None else f"{who}: {self.error}. {self.remedy}"


@attrs.frozen(kw_only=True)
class Registration:
    """One kind that a plugin brings."""

    category: str
    kind: str
    owner: str
    target: str
    summary: str
    distribution: str
    version: str

    def load(self) -> Any:
        """Import the target.

        Raises:
            PluginError: If importing it fails or it is not what its category needs, naming the
                plugin, its distribution and the reason.
        """
        who = (
            f'The {self.category} kind "{self.kind}" of plugin "{self.owner}" '
            f"({self.distribution} {self.version})"
        )
        try:
            return load_target(self.category, self.target)
        except WrongTarget as error:
            raise PluginError(
                f"{who} cannot be used: {self.target} {error}. Update it, or tell its author: "
                f"pip install --upgrade {self.distribution}"
            ) from None
        except (Exception, SystemExit) as error:  # it may fail with anything; the reason is told
            raise PluginError(
                f"{who} cannot be imported from {self.target}: {type(error).__name__}: {error}. "
                f"Reinstall it and what it needs: pip install --force-reinstall {self.distribution}"
            ) from error


@attrs.define
class Registry:
    """All plugins and the kinds they bring. Use `get_registry()` for the installed ones."""

    plugins: list[PluginRecord] = attrs.field(factory=list)
    registrations: list[Registration] = attrs.field(factory=list)

    def kinds(self, category: str) -> dict[str, Registration]:
        """What to write (see `name_of`) -> registration."""
        entries = [r for r in self.registrations if r.category == category]
        ordered = sorted(entries, key=lambda r: (r.kind, r.owner))
        return {self.name_of(r): r for r in ordered}

    def name_of(self, entry: Registration) -> str:
        """What to write for it: the kind alone where that is enough, else `owner:kind`."""
        return f"{entry.owner}:{entry.kind}" if self.clash(entry) else entry.kind

    def clash(self, entry: Registration) -> str | None:
        """Why `entry` goes by `owner:kind` only; None where its kind alone names it.

        What the core brings keeps its name, so that no plugin can take `train` away from those
        who have it installed.
        """
        others = {
            r.owner: r.distribution
            for r in self.registrations
            if (r.category, r.kind) == (entry.category, entry.kind) and r.owner != entry.owner
        }
        if not others or entry.owner == CORE:
            return None
        if CORE in others:
            return f'the {entry.category} "{entry.kind}" is the core\'s own'
        owners = ", ".join(f'"{owner}" ({name})' for owner, name in sorted(others.items()))
        return f'the {entry.category} "{entry.kind}" is brought by {owners}, too'

    def find(self, category: str, kind: str) -> Registration:
        """The registration of `kind` (or `owner:kind`); a bare name is the core's where it has it.

        Raises:
            PluginError: If nothing or more than one plugin brings it, or its plugin is broken.
        """
        owner, _, bare = kind.rpartition(":")
        matches = [
            r
            for r in self.registrations
            if r.category == category and r.kind == bare and owner in ("", r.owner)
        ]
        matches = [r for r in matches if r.owner == CORE] or matches
        if len(matches) == 1:
            return matches[0]
        if matches:
            choices = " or ".join(f'"{r.owner}:{r.kind}" ({r.distribution})' for r in matches)
            raise PluginError(
                f'Two plugins bring {_a(category)} kind "{bare}". Say which one: {choices}.'
            )
        message = self.missing(category, kind)
        if all(p.error is None for p in self.plugins):
            message += " Install the add-on that brings it: pip install globalworkspace-<name>."
        raise PluginError(message)

    def missing(self, category: str, kind: str) -> str:
        """That nobody brings `kind`, what is known, and which plugins are out of use."""
        known = sorted(self.kinds(category))
        message = (
            f'No installed plugin brings {_a(category)} kind "{kind}". '
            f"Known: {', '.join(known) or 'none'}."
        )
        message += did_you_mean(kind, known)
        broken = [p for p in self.plugins if p.error is not None]
        if broken:
            reasons = "; ".join(map(str, broken))
            message += f" These plugins are out of use and may bring it: {reasons}."
        return message

    def load(self, category: str, kind: str) -> Any:
        """Import and return what `kind` names."""
        return self.find(category, kind).load()

    def add(self, module: ModuleType, record: PluginRecord) -> None:
        """Take a plugin module in, or record why not; never raises for a plugin's fault."""
        fault: dict[str, str] = {}
        entries: list[Registration] = []
        try:
            entries = _registrations(module, record)
        except (Exception, SystemExit) as problem:  # whatever a plugin raises becomes its record
            fault = {
                "error": _reason(problem),
                "remedy": "Update both, so that they fit each other: "
                f"pip install --upgrade {record.distribution} globalworkspace",
                "details": traceback.format_exc(),
            }
        self.plugins.append(attrs.evolve(record, **fault))
        self.registrations.extend(entries)


@lru_cache(maxsize=1)
def get_registry() -> Registry:
    """The registry of this process, discovered once."""
    return discover(entry_points(group=GROUP))


def discover(points: Iterable[EntryPoint]) -> Registry:
    """Build a registry from the core's own plugin and the given entry points.

    `GLOBALWORKSPACE_PLUGINS=a,b` limits third-party plugins to those entry-point names.
    `GLOBALWORKSPACE_STRICT=1` makes a plugin that does not work an error, for CI.

    Raises:
        PluginError: In strict mode, naming every plugin that is out of use and why.
    """
    registry = Registry()
    registry.add(
        builtin,
        PluginRecord(
            name=CORE, distribution="globalworkspace", version=_version(), module=builtin.__name__
        ),
    )
    limit = os.environ.get("GLOBALWORKSPACE_PLUGINS")
    allowed = None if limit is None else {name.strip() for name in limit.split(",") if name.strip()}
    with redirect_stdout(sys.stderr):  # what an import prints is no part of a command's answer
        for point in sorted(set(points), key=lambda p: (p.name, p.value)):
            _take_in(registry, point, allowed)
    if os.environ.get("GLOBALWORKSPACE_STRICT", "") not in ("", "0"):
        _raise_broken(registry)
    return registry


def _take_in(registry: Registry, point: EntryPoint, allowed: set[str] | None) -> None:
    """Add what an entry point brings, or the record of why it is out of use."""
    record = PluginRecord(
        name=point.name,
        distribution=point.dist.name if point.dist else "unknown distribution",
        version=point.dist.version if point.dist else "?",
        module=point.value,
    )
    if allowed is not None and point.name not in allowed:
        remedy = "To use it, add its name to GLOBALWORKSPACE_PLUGINS, or unset that"
        registry.plugins.append(attrs.evolve(record, error=_SWITCHED_OFF, remedy=remedy))
        return
    taken = next((p for p in registry.plugins if p.name == point.name and p.error is None), None)
    if taken is not None:
        reason = f'the plugin name "{point.name}" is taken by {taken.distribution} {taken.version}'
        remedy = f"Uninstall one of the two; this one by: pip uninstall {record.distribution}"
        registry.plugins.append(attrs.evolve(record, error=reason, remedy=remedy))
        return
    try:
        module = point.load()
    except (Exception, SystemExit) as problem:  # a broken plugin must not stop the host
        remedy = (
            f"Reinstall it and what it needs: pip install --force-reinstall {record.distribution}"
        )
        fault = {"error": _reason(problem), "details": traceback.format_exc()}
        registry.plugins.append(attrs.evolve(record, remedy=remedy, **fault))
        return
    registry.add(module, record)


def _raise_broken(registry: Registry) -> None:
    broken = [p for p in registry.plugins if p.error not in (None, _SWITCHED_OFF)]
    if broken:
        reasons = "; ".join(map(str, broken))
        raise PluginError(
            f"GLOBALWORKSPACE_STRICT is set and these plugins are out of use: {reasons}. Or unset "
            "GLOBALWORKSPACE_STRICT to go on without them."
        )


def _registrations(module: ModuleType, record: PluginRecord) -> list[Registration]:
    api = getattr(module, "globalworkspace_api", None)
    if api != hookspecs.API_VERSION:
        raise PluginError(
            f"it was written for plugin API {api!r}, this is API {hookspecs.API_VERSION} "
            f"(its author sets globalworkspace_api in {record.module})"
        )
    manager = pluggy.PluginManager(
        hookspecs.PROJECT
    )  # one manager a plugin: its faults stay its own
    manager.add_hookspecs(hookspecs)
    manager.register(module, name=record.name)
    manager.check_pending()
    entries: list[Registration] = []
    for category, hook in CATEGORIES.items():

        def register(
            kind: str, target: str, *, summary: str = "", category: str = category
        ) -> None:
            if not (isinstance(kind, str) and _KIND.match(kind)):
                raise PluginError(
                    f"{category} kind {kind!r} is not a lower-case name like 'my-kind'"
                )
            if not (isinstance(target, str) and _TARGET.match(target)):
                raise PluginError(
                    f"target {target!r} of {category} kind {kind!r} is not 'package.module:Name'"
                )
            if any(e.category == category and e.kind == kind for e in entries):
                raise PluginError(f"it registers the {category} kind {kind!r} twice")
            entries.append(
                Registration(
                    category=category,
                    kind=kind,
                    owner=record.name,
                    target=target,
                    summary=summary,
                    distribution=record.distribution,
                    version=record.version,
                )
            )

        getattr(manager.hook, hook)(register=register)
    return entries


def _a(category: str) -> str:
    return f"{'an' if category[0] in 'aeiou' else 'a'} {category}"


def _reason(problem: BaseException) -> str:
    text = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {text[0] if text else ''}".rstrip(": ")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("globalworkspace")
    except PackageNotFoundError:
        return "0+unknown"
