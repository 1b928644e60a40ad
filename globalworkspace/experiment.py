"""One run from a config: data -> latents -> training -> evaluation, all in one folder.

[data]               kind = a registered data set, and its settings
[data.match]         optional: hide matches (count or fraction, between, seed, unmatched)
[validation]         share of the matched rows that is held out (0.2)
[test]               optional: another data set to report on; else the validation rows are reported
[domains.NAME]       kind = a registered kind, or pretrained = a saved domain; column(s)
[workspace]          settings of GlobalWorkspace
[[objectives]]       kind, weight, ...; default: default_objectives()
[initializer]        optional: kind and settings
[training]           settings of TrainerConfig
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from globalworkspace.data.cells import take_cells
from globalworkspace.data.latent_store import LatentStore, encode_table
from globalworkspace.data.table import Table
from globalworkspace.domain import CompletesConfig, DomainModule
from globalworkspace.errors import ConfigError, DataError, WorkspaceError
from globalworkspace.evaluation.retrieval import retrieval
from globalworkspace.evaluation.translation import translation_error
from globalworkspace.objectives.base import Objective
from globalworkspace.objectives.presets import default_objectives
from globalworkspace.pretrained import load_domain
from globalworkspace.registry import get_registry
from globalworkspace.run_folder import clear_run, refuse_unfinished, save_run
from globalworkspace.settings import check_keys, construct, located, section, setting_names
from globalworkspace.standard_table import standardize_table
from globalworkspace.training.config import TrainerConfig
from globalworkspace.training.trainer import Trainer, pick_device
from globalworkspace.workspace import GlobalWorkspace

SECTIONS = (
    "data",
    "validation",
    "test",
    "domains",
    "workspace",
    "objectives",
    "initializer",
    "training",
)


FINISHED = "evaluation.json"
"""Written last: a run folder that has it holds a whole run."""


@attrs.frozen(eq=False, kw_only=True)
class Experiment:
    """What a run made: the trained workspace and its figures on held-out rows."""

    workspace: GlobalWorkspace
    evaluation: dict[str, Any]
    folder: Path


def run_experiment(
    config: Mapping[str, Any], folder: str | Path, *, resume: bool = False, progress: bool = True
) -> Experiment:
    """Train and judge a workspace as `config` says.

    Args:
        config: Nested settings, see the top of this module.
        folder: The run folder.
        resume: Go on from its newest checkpoint.
        progress: Show bars.

    Raises:
        WorkspaceError: On any setting or cell that cannot be used; nothing in the folder is lost.
    """
    check_keys(config, SECTIONS, "The config")
    home = Path(folder)
    domain_sections = section(config, "domains", required=True)
    check_domains(domain_sections)
    columns = {
        name: entry.get("column", name) if isinstance(entry, Mapping) else name
        for name, entry in domain_sections.items()
    }
    training_config = construct(
        TrainerConfig, {"progress": progress, **section(config, "training")}, "[training]"
    )
    if not resume:
        refuse_unfinished(home, FINISHED)
    pick_device(training_config.device)
    objectives = build_objectives(config.get("objectives"))
    initializer = _initializer(section(config, "initializer"))
    data_section = section(config, "data", required=True)
    matching = data_section.pop("match", None)
    raw = load_table(data_section, columns, "[data]")
    if matching is not None:
        raw = match_rows(raw, matching)
    if not len(raw.matched_rows()):
        raise DataError(
            f"No row is matched ({raw.describe()}). A workspace needs some rows that have two "
            "domains or more: fill in more cells, or check [data.match]."
        )
    raw_training, raw_held_out = construct(
        raw.hold_out, section(config, "validation"), "[validation]"
    )
    if max(len(rows) for rows in raw_held_out.groups().values()) < 2:
        raise DataError(
            f"Of {len(raw.matched_rows())} matched rows {len(raw_held_out)} is held out for "
            "validation, and at least 2 are needed to judge by. Give more matched rows, or raise "
            "share in [validation]."
        )
    domains = build_domains(domain_sections, raw)
    workspace = construct(
        GlobalWorkspace, section(config, "workspace"), "[workspace]", fixed={"domains": domains}
    )
    for objective in objectives:
        objective.check_domains(tuple(domains))
    raw_test = None
    if "test" in config:
        raw_test = load_table(section(config, "test"), columns, "[test]")
    if not resume:
        clear_run(home, FINISHED)
    home.mkdir(parents=True, exist_ok=True)
    _write_json(home / "config.json", config)
    store = LatentStore(home / "latents")
    training = encode_table(domains, raw_training, store=store, progress=progress)
    held_out = encode_table(domains, raw_held_out, store=store, progress=progress)
    result = Trainer(training_config, objectives).fit(
        workspace,
        training,
        held_out,
        latents=True,
        run_dir=home,
        resume=resume,
        initializer=initializer,
    )
    judged, judged_on = held_out, "validation"
    if raw_test is not None:
        judged, judged_on = encode_table(domains, raw_test, store=store, progress=progress), "test"
    evaluation = {
        "rows": judged_on,
        "data": raw.describe(),
        "best_step": result.best_step,
        "seconds": result.seconds,
        **evaluate(workspace, judged),
    }
    save_run(home, workspace, raw_training, training)
    _write_json(home / FINISHED, evaluation)
    return Experiment(workspace=workspace, evaluation=evaluation, folder=home)


def evaluate(workspace: GlobalWorkspace, latents: Table) -> dict[str, Any]:
    """Translation errors and retrieval of a latent table, every direction."""
    standard = standardize_table(workspace, latents)
    return {
        "translation": translation_error(workspace, standard),
        "retrieval": retrieval(workspace, standard),
    }


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
    """The objectives of `[[objectives]]`."""
    if entries is None:
        return default_objectives()
    if not isinstance(entries, list):
        raise ConfigError("Write objectives as [[objectives]], one section each.")
    built = []
    for number, entry in enumerate(entries, start=1):
        where = f"[[objectives]] number {number}"
        if not isinstance(entry, Mapping) or "kind" not in entry:
            known = ", ".join(get_registry().kinds("objective"))
            raise ConfigError(f"{where} needs the setting kind; known: {known}.")
        options = {key: value for key, value in entry.items() if key != "kind"}
        with located(where):
            family = get_registry().load("objective", str(entry["kind"]))
        built.append(construct(family, options, where))
    return built


def _initializer(options: dict[str, Any]) -> Any:
    if not options:
        return None
    if "kind" not in options:
        known = ", ".join(get_registry().kinds("initializer"))
        raise ConfigError(f"[initializer] needs the setting kind; known: {known}.")
    with located("[initializer]"):
        function = get_registry().load("initializer", str(options.pop("kind")))
    check_keys(options, list(inspect.signature(function).parameters)[2:], "[initializer]")
    return lambda workspace, data: function(workspace, data, **options)


def _write_json(file: Path, value: Any) -> None:
    scratch = file.with_name(f".{file.name}.writing")
    scratch.write_text(json.dumps(value, indent=2, ensure_ascii=False, default=str))
    os.replace(scratch, file)
