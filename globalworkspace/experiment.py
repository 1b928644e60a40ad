"""One run from a config: data -> latents -> training -> evaluation, all in one folder.

[data]               kind = a registered data set, and its settings
[data.match]         optional: hide matches (count or fraction, between, seed, unmatched)
[validation]         share of the matched rows that is held out (0.2)
[test]               optional: another data set to report on; else the validation rows are reported
[domains.NAME]       kind = a registered kind, or pretrained = a saved domain; column(s)
[workspace]          settings of GlobalWorkspace
recipe               on top of the file: "default" (without one, too), "supervised", "paper", ...
[[objectives]]       instead of a recipe: kind, weight, ...
[initializer]        optional: kind and settings
[augmentations.NAME] optional: kind and settings; an objective with view = "NAME" sees its rows so
[encoding]           optional: settings of EncodingConfig: precision, shard_rows, unreadable, ...
[training]           settings of TrainerConfig
[[callbacks]]        optional: kind and settings of listeners to training
[[evaluations]]      optional: kind and settings, beside translation and retrieval
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from globalworkspace.components import (
    build_augmentations,
    build_callbacks,
    build_domains,
    build_evaluations,
    build_initializer,
    build_recipe,
    check_domains,
    domain_columns,
    load_table,
    match_rows,
)
from globalworkspace.data.encoding import EncodingConfig, encode_table
from globalworkspace.data.latent_store import LatentStore
from globalworkspace.data.table import Table
from globalworkspace.data.unreadable import without_unreadable
from globalworkspace.domain import DomainModule
from globalworkspace.errors import CheckpointError, DataError
from globalworkspace.evaluation.base import HeldOut
from globalworkspace.files import write_json, writing
from globalworkspace.folders import load_json
from globalworkspace.processes import current_processes, restarted
from globalworkspace.recipes import usual_decay
from globalworkspace.run_folder import CONFIG, clear_run, load_run, refuse_another, save_run
from globalworkspace.settings import check_keys, construct, section, with_changes
from globalworkspace.training.config import TrainerConfig
from globalworkspace.training.device import pick_device
from globalworkspace.training.trainer import Trainer
from globalworkspace.workspace import GlobalWorkspace

SECTIONS = (
    "data",
    "validation",
    "test",
    "domains",
    "workspace",
    "objectives",
    "recipe",
    "initializer",
    "augmentations",
    "encoding",
    "training",
    "callbacks",
    "evaluations",
)


FINISHED = "evaluation.json"
"""Written last: a run folder that has it holds a whole run."""


@attrs.frozen(eq=False, kw_only=True)
class Experiment:
    """What a run made: the trained workspace and its figures on held-out rows."""

    workspace: GlobalWorkspace
    evaluation: dict[str, Any]
    """Also in evaluation.json: what was judged, and each evaluation's figures under its kind."""
    held_out: HeldOut
    """The rows that were judged."""
    folder: Path
    training: Table | None = None
    """The rows that were trained on; None: unknown."""
    command: Sequence[str] = ()
    """The words that make the same run again; empty: unknown."""


@attrs.frozen(eq=False, kw_only=True)
class Plan:
    """All that a config names, read, built and checked, before anything is encoded or written."""

    raw: Table
    training: Table
    held_out: Table
    test: Table | None
    workspace: GlobalWorkspace
    trainer: Trainer
    initializer: Callable[[GlobalWorkspace, Table], None] | None
    encoding: EncodingConfig
    evaluations: Mapping[str, Callable[..., Any]]


def plan_experiment(
    config: Mapping[str, Any],
    *,
    progress: bool = True,
    table: Table | None = None,
    modules: Mapping[str, DomainModule] | None = None,
) -> Plan:
    """Read and build what a config names.

    Args:
        config: Nested settings, see the top of this module.
        progress: Whether training shall show a bar.
        table: Rows, a column per domain, in place of [data].
        modules: Domain -> module, for those that are not in [domains].

    Raises:
        WorkspaceError: On any setting or cell that cannot be used.
    """
    check_keys(config, SECTIONS, "The config")
    given = dict(modules or {})
    domain_sections = section(config, "domains", required=not given)
    if domain_sections or not given:
        check_domains(domain_sections)
    columns = {**domain_columns(domain_sections), **{name: name for name in given}}
    chosen = build_recipe(config)
    own_settings = {"progress": progress, **section(config, "training")}
    pick_device(construct(TrainerConfig, own_settings, "[training]").device)
    encoding = construct(EncodingConfig, section(config, "encoding"), "[encoding]")
    augmentations = build_augmentations(
        {**chosen.augmentations, **section(config, "augmentations")}
    )
    callbacks = build_callbacks(config.get("callbacks"))
    evaluations = build_evaluations(config.get("evaluations"))
    initializer = build_initializer(section(config, "initializer"))
    data_section = section(config, "data", required=table is None)
    matching = data_section.pop("match", None)
    raw = load_table(data_section, columns, "[data]") if table is None else table
    if matching is not None:
        raw = match_rows(raw, matching)
    if not len(raw.matched_rows()):
        raise DataError(
            f"No row is matched ({raw.describe()}). A workspace needs some rows that have two "
            "domains or more: fill in more cells, or check [data.match]."
        )
    training, held_out = construct(raw.hold_out, section(config, "validation"), "[validation]")
    if max(len(rows) for rows in held_out.groups().values()) < 2:
        raise DataError(
            f"Of {len(raw.matched_rows())} matched rows {len(held_out)} is held out for "
            "validation, and at least 2 are needed to judge by. Give more matched rows, or raise "
            "share in [validation]."
        )
    pairs = len(raw.matched_rows())
    chosen = chosen.for_pairs(pairs)
    of_recipe = (
        {"weight_decay": usual_decay(pairs), **chosen.training}
        if "objectives" not in config
        else {}
    )
    training_config = construct(TrainerConfig, {**of_recipe, **own_settings}, "[training]")
    objectives = chosen.objectives(pairs, training_config.steps)
    built = build_domains(domain_sections, raw) if domain_sections else {}
    domains = {name: built[name] if name in built else given[name] for name in columns}
    workspace = construct(
        GlobalWorkspace,
        {**chosen.workspace, **section(config, "workspace")},
        "[workspace]",
        fixed={"domains": domains},
    )
    for objective in objectives:
        objective.check_domains(tuple(domains))
    test = load_table(section(config, "test"), columns, "[test]") if "test" in config else None
    return Plan(
        raw=raw,
        training=training,
        held_out=held_out,
        test=test,
        workspace=workspace,
        trainer=Trainer(
            training_config, objectives, augmentations=augmentations, callbacks=callbacks
        ),
        initializer=initializer,
        encoding=encoding,
        evaluations=evaluations,
    )


def run_experiment(
    config: Mapping[str, Any],
    folder: str | Path,
    *,
    resume: bool = True,
    progress: bool = True,
    command: Sequence[str] = (),
    table: Table | None = None,
    modules: Mapping[str, DomainModule] | None = None,
) -> Experiment:
    """Train and judge a workspace as `config` says.

    Args:
        config: Nested settings, see the top of this module.
        folder: The run folder.
        resume: Go on from its newest checkpoint, if there is one; of a finished run, only the
            evaluation is made again. False: begin anew, whatever the folder holds (processes that
            `torchrun` has started again after a failure go on all the same).
        progress: Show bars.
        command: What the report gives as the words that make the same run again.
        table: See `plan_experiment`.
        modules: See `plan_experiment`.

    Raises:
        WorkspaceError: On any setting or cell that cannot be used, or if the folder holds a run of
            another config; nothing in the folder is lost.
    """
    processes = current_processes()
    resume, progress = resume or restarted(), progress and processes.first
    home = Path(folder)
    if resume:
        refuse_another(home, config)
    plan = plan_experiment(config, progress=progress, table=table, modules=modules)
    workspace = plan.workspace
    processes.wait()  # everyone has looked at the folder
    if processes.first:
        if not resume:
            clear_run(home, FINISHED)
        with writing(home):
            home.mkdir(parents=True, exist_ok=True)
        write_json(home / CONFIG, config)

    def encoded(table: Table) -> tuple[Table, Table]:
        return _encoded(plan, workspace, table, home, progress)

    raw, training = encoded(plan.training)
    held_raw, held_out = encoded(plan.held_out)
    result = plan.trainer.fit(
        workspace,
        training,
        held_out,
        latents=True,
        run_dir=home,
        resume=resume,
        initializer=plan.initializer,
    )
    judged, judged_on = HeldOut(raw=held_raw, latents=held_out), "validation"
    if plan.test is not None:
        test_raw, test = encoded(plan.test)
        judged, judged_on = HeldOut(raw=test_raw, latents=test), "test"
    if processes.first:
        save_run(home, workspace, raw, training)
    evaluation = {
        "rows": judged_on,
        "data": plan.raw.describe(),
        "best_step": result.best_step,
        "seconds": result.seconds,
        "stopped": result.stopped,
        "command": list(command),
        "split": split_digest(plan.training, plan.held_out),
        **{name: function(workspace, judged) for name, function in plan.evaluations.items()},
    }
    made = Experiment(
        workspace=workspace,
        evaluation=evaluation,
        held_out=judged,
        folder=home,
        training=raw,
        command=command,
    )
    if processes.first:
        write_outcome(made)
    processes.wait()
    return made


def conclude(
    folder: str | Path,
    workspace: GlobalWorkspace,
    held_out: HeldOut,
    *,
    training: Table | None = None,
    evaluation: Mapping[str, Any] | None = None,
    command: Sequence[str] = (),
) -> Experiment:
    """Judge what a script trained, and write evaluation.json and report.html into its folder.

    Args:
        folder: The run folder, as `Trainer.fit` or `save_run` wrote it.
        workspace: The trained workspace.
        held_out: Rows to judge by.
        training: The rows that were trained on.
        evaluation: Further figures, and any of those that are made here: then they are taken.
        command: The words that make the same run again.
    """
    found: dict[str, Any] = {
        "rows": "test",
        "data": held_out.raw.describe() if training is None else training.describe(),
        "command": list(command),
        **(evaluation or {}),
    }
    for name, judge_by in build_evaluations(None).items():
        if name not in found:
            found[name] = judge_by(workspace, held_out)
    made = Experiment(
        workspace=workspace,
        evaluation=found,
        held_out=held_out,
        folder=Path(folder),
        training=training,
        command=command,
    )
    write_outcome(made)
    return made


def write_outcome(made: Experiment) -> None:
    """Write report.html and evaluation.json into the run folder."""
    from globalworkspace.report import write_report

    write_report(made)
    write_json(made.folder / FINISHED, made.evaluation)


def reopen_experiment(
    folder: str | Path,
    *,
    changes: Iterable[str] = (),
    judge: bool = True,
    progress: bool = True,
) -> Experiment:
    """A finished run, opened again to be looked at or judged anew; nothing is written but latents.

    Args:
        folder: The run folder.
        changes: See `globalworkspace.settings.with_changes`: other rows to judge by, say.
        judge: Make all evaluations again; False: take those that evaluation.json holds.
        progress: Show bars.

    Raises:
        CheckpointError: If the folder holds no finished run, or one that no config describes.
        WorkspaceError: If the data that the config names can no longer be read.
    """
    home = Path(folder).expanduser()
    workspace = load_run(home)
    for name in (CONFIG, FINISHED):
        if not (home / name).is_file():
            raise CheckpointError(
                f'"{home}" holds no {name}. Only a finished run of "globalworkspace train" can be '
                "opened again; run the command that made this one."
            )
    before, config = load_json(home / FINISHED), load_json(home / CONFIG)
    if "data" not in config or set(config.get("domains", {})) != set(workspace.domains):
        raise CheckpointError(
            f'Rows or domains of "{home}" were given in Python and are in no file; its report and '
            "its evaluation are what there is. Run the script again to make them anew."
        )
    plan = plan_experiment(with_changes(config, changes), progress=progress)
    now = split_digest(plan.training, plan.held_out)
    if plan.test is None and before.get("split", now) != now:
        raise DataError(
            f'The data of "{home}" are not those it was trained on: rows that it has seen would be '
            "judged now. Judge it by rows of their own: --set test.kind=... --set test.path=..."
        )
    judged_on = "validation" if plan.test is None else "test"
    raw, latents = _encoded(plan, workspace, plan.test or plan.held_out, home, progress)
    judged = HeldOut(raw=raw, latents=latents)
    evaluation = dict(before)
    if judge:
        evaluation |= {"rows": judged_on, "data": plan.raw.describe()}
        evaluation |= {
            name: judge_by(workspace, judged) for name, judge_by in plan.evaluations.items()
        }
    return Experiment(
        workspace=workspace,
        evaluation=evaluation,
        held_out=judged,
        folder=home,
        training=plan.training,
        command=before.get("command", ()),
    )


def split_digest(training: Table, held_out: Table) -> str:
    """Which rows of the source were trained on, which held out, and what each of them holds."""
    digest = hashlib.sha256()
    for table in (training, held_out):
        digest.update(table.origin.numpy().tobytes())
        for name in table:
            digest.update(name.encode())
            digest.update(table[name].count.numpy().tobytes())
    return digest.hexdigest()[:16]


def _encoded(
    plan: Plan, workspace: GlobalWorkspace, table: Table, home: Path, progress: bool
) -> tuple[Table, Table]:
    """A table without the cells that cannot be read, raw and as latents."""
    latents = encode_table(
        workspace.domains,
        table,
        store=LatentStore(home / "latents"),
        progress=progress,
        processes=current_processes(),
        **attrs.asdict(plan.encoding),
    )
    return without_unreadable(table, latents)
