"""Saving and loading: config.json, safetensors and a model card in one folder.

A saved workspace names registry kinds with their distributions and versions, never import paths,
and keeps each latent spec. A domain whose plugin is missing, or whose class was defined in a
script, costs raw encoding and decoding of that domain, not the workspace.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from globalworkspace import __version__
from globalworkspace.domain import DomainModule, HasAssets, freeze
from globalworkspace.errors import CheckpointError, DomainError, PluginError, WorkspaceError
from globalworkspace.folders import (
    is_there,
    load_tensors,
    save_tensors,
    verify_folder,
    write_folder,
    write_text,
)
from globalworkspace.latents import LatentSpec
from globalworkspace.references import resolve
from globalworkspace.registry import Registration, get_registry
from globalworkspace.saved_config import (
    built_unless_endless,
    read_domain_config,
    read_spec,
    read_standardizer,
    read_workspace_config,
    refuse_far_larger,
    refuse_numbers,
)
from globalworkspace.saved_kinds import describe_kind, find_saved
from globalworkspace.settings import located
from globalworkspace.workspace import GlobalWorkspace

CONFIG, WEIGHTS, CARD, ASSETS = "config.json", "model.safetensors", "README.md", "assets"
_PER_DOMAIN = ("encoders", "decoders", "standardizers")


class MissingDomain(DomainModule):
    """Stands for a domain whose module is not at hand: its latents work, its raw data does not.

    Args:
        name: The domain.
        latent: What its latents are made of.
        reason: Why the module is missing and how to get it.
    """

    def __init__(
        self, name: str, latent: LatentSpec, reason: str, entry: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.name, self.latent, self.reason, self.entry = name, latent, reason, dict(entry)

    def encode(self, raw: Any) -> Tensor:
        """Refuse with the reason."""
        raise DomainError(f'Domain "{self.name}" cannot read raw data: {self.reason}')

    def decode(self, latents: Tensor) -> Any:
        """Refuse with the reason."""
        raise DomainError(f'Domain "{self.name}" cannot write raw data: {self.reason}')

    def config(self) -> dict[str, Any]:
        """Refuse: it would be saved as something it is not."""
        raise DomainError(f'Domain "{self.name}" cannot be saved again: {self.reason}')


# ---- one domain


def save_domain(module: DomainModule, folder: str | Path) -> None:
    """Save one domain module: its kind, config, and weights and files where it stores them."""
    write_folder(Path(folder), lambda scratch: _write_domain(module, scratch))


def load_domain(folder: str | Path) -> DomainModule:
    """Load what `save_domain` wrote, at a path or in a package (`package:NAME/folder`).

    Raises:
        CheckpointError: If the folder is damaged or does not hold a domain.
        PluginError: If no installed plugin brings its kind.
    """
    path = resolve(folder)
    if not is_there(path):
        raise CheckpointError(f'"{path}" is no folder that save_domain() wrote.')
    verify_folder(path)
    return _read_domain(path)


def build_domain(kind: str, config: Mapping[str, Any]) -> DomainModule:
    """A new module of a registered kind.

    Raises:
        PluginError: If the kind is unknown.
        DomainError: If its settings do not fit, naming the kind.
    """
    return _built(get_registry().find("domain", kind), config)


def _built(registration: Registration, config: Mapping[str, Any]) -> DomainModule:
    loaded: type[DomainModule] = registration.load()
    try:
        return loaded.from_config(config)
    except TypeError as error:
        raise DomainError(
            f'The settings of the domain kind "{registration.kind}" do not fit: {error}.'
        ) from error


def kind_of(module: DomainModule) -> Registration | None:
    """The registration of a module's class; None for classes that no plugin registers."""
    target = f"{type(module).__module__}:{type(module).__qualname__}"
    domains = [r for r in get_registry().registrations if r.category == "domain"]
    exact = next((r for r in domains if r.target == target), None)
    return exact or next((r for r in domains if _names(r, type(module))), None)


def _names(registration: Registration, cls: type) -> bool:
    """Whether the target is the class under another path, as a package that re-exports it gives."""
    module_name, _, attribute = registration.target.partition(":")
    return getattr(sys.modules.get(module_name), attribute, None) is cls


def _write_domain(module: DomainModule, folder: Path) -> None:
    entry: dict[str, Any] = {
        **describe_kind(kind_of(module)),
        "class": type(module).__name__,
        "config": module.config(),
        "latent": module.latent.to_json(),
        "stores_weights": bool(module.stores_weights and module.state_dict()),
    }
    try:
        text = json.dumps(entry, indent=2)
    except TypeError as error:
        raise DomainError(f"{type(module).__name__}.config() must be JSON-able: {error}.") from None
    write_text(folder / CONFIG, text)
    if entry["stores_weights"]:
        save_tensors(folder / WEIGHTS, module.state_dict())
    if module.stores_weights and isinstance(module, HasAssets):
        (folder / ASSETS).mkdir()
        module.save_assets(folder / ASSETS)


def _read_domain(folder: Path) -> DomainModule:
    entry = read_domain_config(folder / CONFIG)
    if entry["kind"] is None:
        raise PluginError(
            f"Its class {entry.get('class')} was not registered by a plugin; pass the module: "
            f"from_pretrained(path, domains={{...}})."
        )
    found = find_saved("domain", entry)
    if entry["stores_weights"]:
        refuse_far_larger(folder / WEIGHTS, lambda: _built(found, entry["config"]))
    module = built_unless_endless(folder / WEIGHTS, lambda: _built(found, entry["config"]))
    if module.stores_weights and module.state_dict() and not entry["stores_weights"]:
        raise CheckpointError(
            f'"{folder / CONFIG}" says that no weights are stored, and {type(module).__name__} has '
            "some. Use another copy."
        )
    _fill_domain(module, entry, folder)
    return freeze(module)


def _fill_domain(module: DomainModule, entry: Mapping[str, Any], folder: Path) -> None:
    if entry["stores_weights"]:
        try:
            module.load_state_dict(load_tensors(folder / WEIGHTS))
        except RuntimeError as error:
            raise CheckpointError(
                f'The weights in "{folder}" do not fit {type(module).__name__}: {error}'
            ) from None
    if isinstance(module, HasAssets) and (folder / ASSETS).is_dir():
        module.load_assets(folder / ASSETS)


# ---- a workspace


def save_pretrained(
    workspace: GlobalWorkspace, folder: str | Path, *, repository: str | None = None
) -> None:
    """Write config.json, model.safetensors, domains/<name>/ and README.md under one manifest.

    Args:
        workspace: What is saved.
        folder: Where to.
        repository: Its name on a hub, for the model card, which may be edited there: it is then not
            held to a digest.
    """

    def fill(scratch: Path) -> None:
        names, registry = list(workspace.domains), get_registry()
        settings = workspace.config()
        networks = {
            name: describe_kind(registry.find("network", choice["kind"]))
            for name, choice in settings["networks"].items()
        }
        config = {
            "globalworkspace": __version__,
            "workspace": settings,
            "fusion": describe_kind(registry.find("fusion", settings["fusion"])),
            "domains": {
                name: {
                    "latent": workspace.domains[name].latent.to_json(),
                    "standardized": name in workspace.standardized,
                    "network": networks.get(name),
                }
                for name in names
            },
        }
        write_text(scratch / CONFIG, json.dumps(config, indent=2))
        save_tensors(scratch / WEIGHTS, workspace.state_dict())
        for name in names:
            (scratch / "domains" / name).mkdir(parents=True)
            _write_domain(workspace.domains[name], scratch / "domains" / name)
        write_text(scratch / CARD, _model_card(workspace, repository))

    write_folder(Path(folder), fill, editable=() if repository is None else (CARD,))


def load_workspace(
    folder: str | Path, domains: Mapping[str, DomainModule] | None = None
) -> GlobalWorkspace:
    """Load what `save_pretrained` wrote.

    A domain whose plugin is missing works on latents only; one whose networks are of a kind that is
    missing is left out. Both come with a warning that names what to install.

    Args:
        folder: The folder.
        domains: Modules to use instead of building the saved ones, by name.

    Raises:
        CheckpointError: If the folder is missing, damaged, or does not fit.
        PluginError: If no installed plugin brings the fusion, or the network of any domain.
    """
    path = Path(folder).expanduser()
    if not is_there(path):
        raise CheckpointError(f'"{path}" is no folder that save_pretrained() wrote.')
    verify_folder(path)
    config = read_workspace_config(path / CONFIG)
    given = dict(domains or {})
    unknown = [name for name in given if name not in config["domains"]]
    if unknown:
        raise DomainError(
            f'"{path}" has no domain "{unknown[0]}"; it has {", ".join(config["domains"])}.'
        )
    with located(f'"{path}"'):
        settings, left_out = _known_kinds(config)
    modules: dict[str, DomainModule] = {}
    for name, entry in config["domains"].items():
        if name in left_out:
            warnings.warn(f'Domain "{name}" is left out: {left_out[name]}', stacklevel=3)
            continue
        spec = read_spec(entry["latent"], path / CONFIG)
        home = path / "domains" / name
        if name in given:
            if given[name].latent.dim != spec.dim:
                raise DomainError(
                    f'The module given for domain "{name}" has {given[name].latent.dim} latent '
                    f"dimensions, the saved one {spec.dim}."
                )
            _fill_domain(given[name], read_domain_config(home / CONFIG), home)
            modules[name] = given[name]
            continue
        try:
            modules[name] = _read_domain(home)
        except CheckpointError:
            raise
        except WorkspaceError as error:
            warnings.warn(f'Domain "{name}" works on latents only: {error}', stacklevel=3)
            modules[name] = MissingDomain(name, spec, str(error), read_domain_config(home / CONFIG))
    workspace = _built_workspace(modules, settings, path)
    weights = {
        key: value
        for key, value in load_tensors(path / WEIGHTS).items()
        if not key.startswith(
            tuple(f"{part}.domain_{name}." for part in _PER_DOMAIN for name in left_out)
        )
    }
    for name, module in modules.items():
        stem = f"standardizers.domain_{name}."
        restored = read_standardizer(module.latent, weights, stem, path / WEIGHTS)
        if config["domains"][name]["standardized"]:
            workspace.restore_standardizer(name, restored)
    try:
        workspace.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f'The weights in "{path}" do not fit its config: {error}') from None
    return workspace.eval()


def _built_workspace(
    modules: Mapping[str, DomainModule], settings: Mapping[str, Any], path: Path
) -> GlobalWorkspace:
    """A new workspace of saved settings, which must not be far larger than its weights."""

    def empty() -> GlobalWorkspace:
        places = {n: MissingDomain(n, module.latent, "", {}) for n, module in modules.items()}
        return GlobalWorkspace(places, **settings)

    refuse_numbers(path / WEIGHTS, sum(module.latent.dim for module in modules.values()))
    refuse_far_larger(path / WEIGHTS, empty)
    try:
        return GlobalWorkspace(modules, **settings)
    except TypeError as error:
        raise CheckpointError(
            f'The settings in "{path / CONFIG}" do not fit this globalworkspace: {error}. Use the '
            "one that saved them."
        ) from error


def _known_kinds(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The workspace's settings with the kinds as they are known here, and domain -> why not.

    A network that is missing costs its domain. A fusion that is missing costs the workspace, whose
    states are what the fusion makes.
    """
    registry, settings = get_registry(), dict(config["workspace"])
    fusion = config.get("fusion") or {"kind": settings["fusion"]}
    settings["fusion"] = registry.name_of(find_saved("fusion", fusion))
    networks, left_out = {}, {}
    for name, choice in settings.get("networks", {}).items():
        try:
            found = find_saved("network", config["domains"][name].get("network") or choice)
            found.load()  # a plugin whose network cannot be imported is as good as missing
        except PluginError as error:
            left_out[name] = str(error)
        else:
            networks[name] = {**choice, "kind": registry.name_of(found)}
    if len(left_out) == len(config["domains"]):
        raise PluginError(f"No domain is left: {next(iter(left_out.values()))}")
    return settings | {"networks": networks}, left_out


def _model_card(workspace: GlobalWorkspace, repository: str | None = None) -> str:
    rows = []
    for name, module in workspace.domains.items():
        registration = kind_of(module)
        kind = (
            f"`{registration.kind}` ({registration.distribution} {registration.version})"
            if registration
            else type(module).__name__
        )
        parts = ", ".join(f"{p.name} ({p.kind}, {p.size})" for p in module.latent.parts)
        rows.append(f"| {name} | {kind} | {parts} |")
    size = sum(p.numel() for p in workspace.parameters())
    return "\n".join(
        [
            "---",
            "library_name: globalworkspace",
            "tags: [multimodal, global-workspace]",
            "---",
            "",
            "# Global workspace",
            "",
            f"{len(rows)} domains around a shared space of {workspace.dim} dimensions; {size:,} "
            "trained parameters.",
            "",
            "| domain | kind | latent |",
            "|---|---|---|",
            *rows,
            "",
            "```python",
            "from globalworkspace import GlobalWorkspace",
            "",
            f'workspace = GlobalWorkspace.from_pretrained("{repository or "path/to/this/folder"}")',
            "```",
            "",
            "Method: Devillers, Maytié, VanRullen, *Semi-supervised Multimodal Representation "
            "Learning through a Global Workspace*, "
            "arXiv 2306.15711.",
            "",
        ]
    )
