"""`globalworkspace demo`: pictures, sentences and attributes joined from few matched rows.

There are 1,000 matched rows and many unmatched ones. The same workspace is trained twice for the
same time: on everything with the recipe `default`, and on the matched rows alone with `supervised`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import torch

from globalworkspace import (
    DomainModule,
    GlobalWorkspace,
    LatentSpec,
    LatentStore,
    Table,
    Trainer,
    TrainerConfig,
    encode_table,
)
from globalworkspace.data.table import Column
from globalworkspace.evaluation.base import HeldOut
from globalworkspace.evaluation.translation import direction
from globalworkspace.experiment import Experiment, conclude
from globalworkspace.given_latents import GivenLatents
from globalworkspace.pretrained import build_domain, load_domain
from globalworkspace.recipes import recipe
from globalworkspace.report import FILE as REPORT
from globalworkspace.report import Section
from globalworkspace.run_folder import save_run
from globalworkspace_shapes.dataset import attribute_columns, load
from globalworkspace_shapes.judge import Arm, Judge, table_text
from globalworkspace_shapes.scoring import FACTORS
from globalworkspace_shapes.sheet import Item, draw_sheet

PICTURE_WEIGHTS = "package:globalworkspace_shapes/weights/picture"
CAPTION_WEIGHTS = "package:globalworkspace_shapes/weights/caption"
WEIGHT_DECAY = {"default": 1.0, "supervised": 3.0}
"""By recipe, the better of 1 and 3 for each on the validation rows of seed 100, which is not
reported; see docs/results/demo.md."""


@attrs.frozen(kw_only=True)
class DemoConfig:
    """What the demo trains on and how."""

    pairs: int = 1_000
    """Matched rows, those held out for validation counted."""
    items: int = 60_000
    """Shapes in all; each that is not matched is seen in one domain only."""
    sentences: int = 4_000
    """Shapes of which only a caption is known, at most: reading sentences takes the longest."""
    test_items: int = 1_000
    steps: int = 2_500
    """Of the recipe `default`; `supervised` takes as many more as its steps are shorter."""
    seed: int = 0
    progress: bool = True


def demo_domains() -> dict[str, DomainModule]:
    """The demo's frozen specialists.

    Raises:
        WorkspaceError: If an add-on or the sentence encoder's weights are not installed, naming
            what to install.
    """
    return {
        "picture": load_domain(PICTURE_WEIGHTS),
        "caption": load_domain(CAPTION_WEIGHTS),
        "attributes": build_domain("attributes", {"columns": attribute_columns()}),
    }


def train_arm(
    domains: Mapping[str, DomainModule],
    data: Table,
    validation: Table,
    config: DemoConfig,
    name: str,
    run_dir: Path | None = None,
) -> GlobalWorkspace:
    """Train one workspace on latent tables by the recipe of that name."""
    workspace = new_workspace(domains, config)
    used = recipe(name)
    steps = round(config.steps / used.cost)
    settings = {
        "batch_size": 128,
        "unmatched_batch_size": 256,
        "learning_rate": 1e-2,
        "weight_decay": WEIGHT_DECAY[name],
        "validate_every": max(steps // 20, 1),
        **used.training,
    }
    trainer = Trainer(
        TrainerConfig(**settings, steps=steps, seed=config.seed, progress=config.progress),
        used.objectives(config.pairs, steps),
    )
    trainer.fit(workspace, data, validation, latents=True, run_dir=run_dir, resume=False)
    return workspace


def new_workspace(domains: Mapping[str, DomainModule], config: DemoConfig) -> GlobalWorkspace:
    """The untrained workspace of either arm.

    Most of a caption's latent is wording that no other domain knows: dropout keeps its networks
    from learning it by heart.
    """
    forgetful = {"caption": {"kind": "mlp", "dropout": 0.3}}
    return GlobalWorkspace(domains, dim=32, networks=forgetful, seed=config.seed)


def train_both(
    domains: Mapping[str, DomainModule],
    training: Table,
    validation: Table,
    config: DemoConfig,
    run_dir: Path,
) -> tuple[GlobalWorkspace, GlobalWorkspace]:
    """Train both arms at the same time, a core each: (on all rows, on the matched rows alone).

    The networks are small: two processes of one thread take about half the time of two trainings
    with two threads one after the other.
    """
    matched = training.select(training.matched_rows())
    context = multiprocessing.get_context("spawn")
    threads = torch.get_num_threads()
    with ProcessPoolExecutor(1, mp_context=context) as worker:
        specs = {name: module.latent.to_json() for name, module in domains.items()}
        parts = [
            {n: (c.cells, c.first, c.count) for n, c in t.columns.items()}
            for t in (matched, validation)
        ]
        future = worker.submit(
            _train_matched_only, specs, parts, attrs.evolve(config, progress=False)
        )
        torch.set_num_threads(1)
        try:
            full = train_arm(domains, training, validation, config, "default", run_dir)
            weights = future.result()
        finally:
            torch.set_num_threads(threads)
    only = new_workspace(domains, config)
    only.fit_standardizers({n: c.cells[c.first[c.present]] for n, c in matched.columns.items()})
    only.load_state_dict(weights)
    return full, only


def _train_matched_only(
    specs: Mapping[str, Any], parts: list[dict[str, Any]], config: DemoConfig
) -> dict[str, torch.Tensor]:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the other arm reports dead dimensions
    domains = {name: GivenLatents(LatentSpec.from_json(spec)) for name, spec in specs.items()}
    tables = []
    for part in parts:
        columns = {name: Column(*values) for name, values in part.items()}
        tables.append(Table(columns, torch.arange(len(next(iter(columns.values()))))))
    return train_arm(domains, tables[0], tables[1], config, "supervised").state_dict()


class DemoCommand:
    """Join pictures, captions and attributes of simple shapes, and look at the translations.

    example: globalworkspace demo --out runs/demo
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See `globalworkspace.cli.Command`."""
        defaults = DemoConfig()
        parser.add_argument(
            "--out", default="runs/demo", help="the run folder (default: runs/demo)"
        )
        parser.add_argument(
            "--pairs",
            type=int,
            default=defaults.pairs,
            help=f"matched rows (default: {defaults.pairs})",
        )
        parser.add_argument(
            "--items",
            type=int,
            default=defaults.items,
            help=f"shapes in all (default: {defaults.items})",
        )
        parser.add_argument(
            "--sentences",
            type=int,
            default=defaults.sentences,
            help=f"shapes known by a caption only, at most (default: {defaults.sentences})",
        )
        parser.add_argument(
            "--steps",
            type=int,
            default=defaults.steps,
            help=f"training steps (default: {defaults.steps})",
        )
        parser.add_argument(
            "--seed", type=int, default=defaults.seed, help="of data, matching and training"
        )
        parser.add_argument("--quiet", action="store_true", help="no progress bars")

    def run(self, args: argparse.Namespace) -> int:
        """See `globalworkspace.cli.Command`."""
        config = DemoConfig(
            pairs=args.pairs,
            items=args.items,
            sentences=args.sentences,
            steps=args.steps,
            seed=args.seed,
            progress=not args.quiet,
        )
        run_demo(Path(args.out), config)
        return 0


def prepare(
    domains: Mapping[str, DomainModule], config: DemoConfig, store: LatentStore | None
) -> tuple[Table, Table, Table, Table, Table]:
    """Raw matched table, then latents for training and validation; raw and encoded test rows."""
    raw = load("train", num_items=config.items, seed=config.seed).match(
        config.pairs, seed=config.seed
    )
    raw = _fewer_sentences(raw, config.sentences)
    raw_training, raw_validation = raw.hold_out(seed=config.seed)
    options: dict[str, Any] = {"store": store, "progress": config.progress}
    training = encode_table(domains, raw_training, **options)
    validation = encode_table(domains, raw_validation, **options)
    raw_test = load("test", num_items=config.test_items, seed=config.seed)
    test = encode_table(domains, raw_test, **options)
    return raw_training, training, validation, raw_test, test


def _fewer_sentences(table: Table, number: int) -> Table:
    """Without the rows that hold a caption only, from the `number`-th such on."""
    captions = table["caption"]
    known = captions.present.clone()
    alone = table.groups().get(("caption",), torch.tensor([], dtype=torch.int64))
    known[alone[max(number, 0) :]] = False
    columns = {**table.columns, "caption": captions.keep(known)}
    return Table(columns, table.origin).only(table)


def run_demo(folder: Path, config: DemoConfig) -> tuple[Arm, Arm]:
    """Train and judge both arms, print the table, write the run folder.

    Returns:
        (semi-supervised, matched only).
    """
    began = time.monotonic()
    domains = demo_domains()
    folder.mkdir(parents=True, exist_ok=True)
    raw_training, training, validation, raw_test, test = prepare(
        domains, config, LatentStore(folder / "latents")
    )
    print(f"training: {training.describe()}; validation: {len(validation)} matched rows")
    full_workspace, only_workspace = train_both(domains, training, validation, config, folder)
    judge = Judge(domains, raw_test, test)
    arms = {"all rows": judge.judge(full_workspace), "matched only": judge.judge(only_workspace)}
    full, only = arms["all rows"], arms["matched only"]
    print(table_text(arms, judge.ceilings(), config.test_items))
    save_run(folder, full.workspace, raw_training, training)
    evaluation = {
        "seed": config.seed,
        "seconds": time.monotonic() - began,
        "translation": full.errors,
        "retrieval": full.retrieval,
        "demo": {
            name: {
                "error": arm.error,
                "errors": arm.errors,
                "retrieval": arm.retrieval,
                "scores": arm.scores,
            }
            for name, arm in arms.items()
        },
    }
    conclude(
        folder,
        full.workspace,
        HeldOut(raw=raw_test, latents=test),
        training=raw_training,
        evaluation=evaluation,
        command=_command(folder, config),
    )
    sheet = folder / "translations.png"
    draw_sheet(
        sheet,
        _sheet_items(full.workspace, raw_test, test),
        f"{config.pairs:,} matched rows, unseen shapes",
    )
    print(f"\nSaved in {folder}; open {folder / REPORT}. {time.monotonic() - began:.0f} s in all.")
    sentence = raw_test["caption"].cells[0]
    print(f'Try: globalworkspace translate {folder} --from caption="{sentence}" --to picture')
    return full, only


def _command(folder: Path, config: DemoConfig) -> list[str]:
    changed = attrs.asdict(
        config, filter=lambda a, value: a.name != "progress" and value != a.default
    )
    options = [word for name, value in changed.items() for word in (_option(name), str(value))]
    return ["globalworkspace", "demo", "--out", str(folder), *options]


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def arms_section(experiment: Experiment) -> Section | None:
    """Report section of the demo: its two trainings beside each other."""
    arms = experiment.evaluation.get("demo")
    if not arms:
        return None
    names = list(arms)
    factors = ("class", *FACTORS)
    rows = [
        [told, name, *(f"{arms[name]['scores'][told][f]:.2f}" for f in factors), f"{error:.3f}"]
        for told in arms[names[0]]["errors"]
        for name, error in ((name, arms[name]["errors"][told]) for name in names)
    ]
    return Section(
        title="All rows against the matched rows alone",
        headings=["direction", "trained on", "class", *(f"R² {name}" for name in FACTORS), "error"],
        rows=rows,
        note="The same workspace was trained twice, for the same time: on all rows, and on the "
        "matched ones only. "
        "Class: share of translations whose shape is right. R²: how much of each fact is told, "
        "read from what was "
        "translated; 1 is all of it.",
    )


def _sheet_items(
    workspace: GlobalWorkspace, raw: Table, latents: Table, num_items: int = 4
) -> dict[str, list[tuple[Item, Item, Item]]]:
    rows = torch.arange(num_items)
    truth = {name: _items(raw[name].take(rows)) for name in raw}
    found: dict[str, list[tuple[Item, Item, Item]]] = {}
    for source in raw:
        for target in raw:
            if source != target:
                state = workspace.encode({source: latents[source].take(rows)}, latents=True)
                decoded = _items(workspace.decode(state, target))
                found[direction((source,), target)] = list(
                    zip(truth[source], decoded, truth[target], strict=True)
                )
    return found


def _items(batch: Any) -> list[Item]:
    if isinstance(batch, Mapping):
        length = len(next(iter(batch.values())))
        return [{key: values[i] for key, values in batch.items()} for i in range(length)]
    return list(batch)
