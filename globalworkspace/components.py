"""The parts of a run, built from the sections of a config.

Every error names the section, the setting, what was given and what is known.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from globalworkspace.augmentation import Augmentation
from globalworkspace.data.cells import take_cells
from globalworkspace.data.table import Table
from globalworkspace.domain import CompletesConfig, DomainModule
from globalworkspace.errors import ConfigError, WorkspaceError
from globalworkspace.evaluation.base import Evaluation
from globalworkspace.objectives.base import Objective
from globalworkspace.pretrained import load_domain
from globalworkspace.recipes import Recipe, recipe
from globalworkspace.registry import get_registry
from globalworkspace.settings import check_keys, construct, located, setting_names
from globalworkspace.training.callbacks import Callback
from globalworkspace.workspace import GlobalWorkspace

Initializer = Callable[[GlobalWorkspace, Table], None]


def load_table(
    settings: Mapping[str, Any], columns: Mapping[str, str | Sequence[str]], where: str
) -> Table:
    """The table of a registered data set, its columns named as the domains are.

    Args:
        settings: `kind` and the data set's own settings.
        columns: Domain -> column(s).
        where: The section, for messages.
    """
    options = dict(settings)
    if "kind" not in options:
        known = ", ".join(get_registry().kinds("dataset"))
        raise ConfigError(f"{where} needs the setting kind; known: {known}.")
    with located(where):
        reader = get_registry().load("dataset", str(options.pop("kind")))
    if "columns" in inspect.signature(reader).parameters:
        table: Table = construct(reader, options, where, fixed={"columns": dict(columns)})
        return table
    table = construct(reader, options, where)
    renamed = {}
    for domain, column in columns.items():
        if not isinstance(column, str) or column not in table.columns:
            raise ConfigError(
                f"[domains.{domain}]: the data set has no column {column!r}; "
                f"it has {', '.join(table)}."
            )
        renamed[domain] = table[column]
    picked = Table(renamed, table.origin)
    picked.check()
    return picked


def match_rows(table: Table, settings: Any) -> Table:
    """Apply `[data.match]`, or several `[[data.match]]` with one set of domains each."""
    entries = settings if isinstance(settings, list) else [settings]
    for entry in entries:
        if not isinstance(entry, Mapping):
            raise ConfigError(f"[data.match] must be a section with settings; got {entry!r}.")
        check_keys(entry, setting_names(table.match) or (), "[data.match]")
    if len(entries) == 1:
        return construct(table.match, entries[0], "[data.match]")
    shared = {key: entry[key] for entry in entries for key in ("seed", "unmatched") if key in entry}
    if any("between" not in entry or "count" not in entry for entry in entries):
        raise ConfigError("Several [[data.match]] need `between` and `count` each.")
    return table.match({tuple(entry["between"]): entry["count"] for entry in entries}, **shared)


def check_domains(sections: Mapping[str, Any]) -> None:
    """Check the settings of every `[domains.NAME]` as far as they can be checked without data.

    Raises:
        WorkspaceError: Naming the section, on an unknown kind or setting.
    """
    if not sections:
        raise ConfigError("[domains] names no domain. Add a section [domains.NAME] for each.")
    for name, entry in sections.items():
        where = f"[domains.{name}]"
        if not isinstance(entry, Mapping):
            raise ConfigError(f"{where} must be a section with settings; got {entry!r}.")
        column = entry.get("column", name)
        several = isinstance(column, list) and column and all(isinstance(c, str) for c in column)
        if not isinstance(column, str) and not several:
            raise ConfigError(
                f"{where}: column is {column!r}; write the name of a column, or a list of names."
            )
        if "pretrained" in entry:
            check_keys(entry, ("pretrained", "column"), where)
        elif "kind" not in entry:
            known = ", ".join(get_registry().kinds("domain")) or "none installed"
            raise ConfigError(f"{where} needs the setting kind (known: {known}) or pretrained.")
        else:
            with located(where):
                names = setting_names(get_registry().load("domain", str(entry["kind"])))
            if names is not None:
                check_keys(entry, ("kind", "column", *names), where)


def domain_columns(sections: Mapping[str, Any]) -> dict[str, str | Sequence[str]]:
    """Domain -> the column(s) that its cells are in."""
    return {
        name: entry.get("column", name) if isinstance(entry, Mapping) else name
        for name, entry in sections.items()
    }


def build_domains(sections: Mapping[str, Any], table: Table) -> dict[str, DomainModule]:
    """The domain modules of `[domains.NAME]`, completed with what the training cells tell."""
    check_domains(sections)
    domains = {}
    for name, entry in sections.items():
        where = f"[domains.{name}]"
        options = {key: value for key, value in entry.items() if key not in ("kind", "column")}
        with located(where):
            if "pretrained" in options:
                domains[name] = load_domain(options["pretrained"])
                continue
            kind = get_registry().load("domain", entry["kind"])
            if isinstance(kind, type) and issubclass(kind, CompletesConfig):
                column = table[name]
                cells = take_cells(column.cells, column.first[column.present])
                options = kind.complete_config(options, cells)
        try:
            domains[name] = construct(kind, options, where)
        except ConfigError:
            raise
        except WorkspaceError as error:
            raise type(error)(f"{where}: {error}") from error
    return domains


def build_objectives(entries: Any) -> list[Objective]:
    """The objectives of `[[objectives]]`; `view` names the augmentation they see their rows by."""
    built = []
    for where, kind, options in _entries(entries, "objective", "[[objectives]]"):
        view = options.pop("view", None)
        if view is not None and not isinstance(view, str):
            raise ConfigError(f"{where}: view is {view!r}; write the name of an augmentation.")
        objective: Objective = construct(_load("objective", kind, where), options, where)
        built.append(objective.seen_through(view))
    return built


def build_recipe(config: Mapping[str, Any]) -> Recipe:
    """What `recipe` names, by itself or as a section with strengths; or `[[objectives]]`.

    With neither, the recipe `default`.
    """
    given = config.get("recipe", "default")
    if "objectives" in config and "recipe" not in config:
        objectives = build_objectives(config["objectives"])
        return Recipe(name="own", summary="", build=lambda pairs, steps: objectives)
    if "objectives" in config:
        raise ConfigError(
            "The config has a recipe and [[objectives]]. A recipe is a set of objectives: take one "
            "of the two out."
        )
    options = dict(given) if isinstance(given, Mapping) else {"name": given}
    if "name" not in options:
        raise ConfigError('[recipe] needs the setting name, as name = "paper".')
    chosen = recipe(options.pop("name"))
    return chosen.with_strengths(chosen.name, options) if options else chosen


def build_augmentations(sections: Mapping[str, Any]) -> dict[str, Augmentation]:
    """The augmentations of `[augmentations.NAME]`."""
    built = {}
    for name, entry in sections.items():
        where = f"[augmentations.{name}]"
        kind, options = _entry(entry, "augmentation", where)
        built[name] = construct(_load("augmentation", kind, where), options, where)
    return built


def build_callbacks(entries: Any) -> list[Callback]:
    """The callbacks of `[[callbacks]]`."""
    return [
        construct(_load("callback", kind, where), options, where)
        for where, kind, options in _entries(entries or [], "callback", "[[callbacks]]")
    ]


def build_evaluations(entries: Any) -> dict[str, Evaluation]:
    """The evaluations of `[[evaluations]]` beside `translation` and `retrieval`, by kind.

    An entry of one of these two kinds sets its settings. Two of one kind are told apart by a
    number.
    """
    built: dict[str, Evaluation] = {}
    found = _entries(entries or [], "evaluation", "[[evaluations]]")
    given = {kind for _, kind, _ in found}
    standard: list[tuple[str, str, dict[str, Any]]] = [
        ("", kind, {}) for kind in ("translation", "retrieval") if kind not in given
    ]
    for where, kind, options in [*standard, *found]:
        function = _load("evaluation", kind, where)
        check_keys(options, list(inspect.signature(function).parameters)[2:], where)
        taken = sum(name == kind or name.startswith(f"{kind}_#") for name in built)
        built[f"{kind}_#{taken + 1}" if taken else kind] = _with_options(function, options)
    return built


def build_initializer(options: Mapping[str, Any]) -> Initializer | None:
    """The initializer of `[initializer]`; None if there is no such section."""
    if not options:
        return None
    kind, settings = _entry(options, "initializer", "[initializer]")
    function = _load("initializer", kind, "[initializer]")
    check_keys(settings, list(inspect.signature(function).parameters)[2:], "[initializer]")
    return _with_options(function, settings)


def _with_options(function: Callable[..., Any], options: Mapping[str, Any]) -> Callable[..., Any]:
    return lambda workspace, data: function(workspace, data, **options)


def _load(category: str, kind: str, where: str) -> Any:
    if not where:
        return get_registry().load(category, kind)
    with located(where):
        return get_registry().load(category, kind)


def _entries(entries: Any, category: str, where: str) -> list[tuple[str, str, dict[str, Any]]]:
    """A list of sections -> (where, kind, other settings) each."""
    if not isinstance(entries, list):
        raise ConfigError(f"Write {where} with double brackets, one section each.")
    found = []
    for number, entry in enumerate(entries, start=1):
        place = f"{where} number {number}"
        found.append((place, *_entry(entry, category, place)))
    return found


def _entry(entry: Any, category: str, where: str) -> tuple[str, dict[str, Any]]:
    if not isinstance(entry, Mapping) or "kind" not in entry:
        known = ", ".join(get_registry().kinds(category)) or "none installed"
        raise ConfigError(f"{where} needs the setting kind; known: {known}.")
    return str(entry["kind"]), {key: value for key, value in entry.items() if key != "kind"}
