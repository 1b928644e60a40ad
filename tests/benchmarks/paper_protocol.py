"""The paper's own protocol: how many pairs the cycles save against translation alone.

As in the authors' code (arXiv 2306.15711): the baseline is the translation loss alone, without
weight decay to speak of; the other curve has all four families, its coefficients chosen for each N
among four settings (20,000 steps, one seed); every run is long (100,000 steps, batch 128, a
constant learning rate; it ends early where no direction has become better for 25,000 steps), and
what counts of it is the *smallest* validation translation loss on its way, those validation rows
not being counted as pairs. The baseline is weak, and the choice sees the rows that are reported:
see the fair protocol for what a careful user would get. `default` is ours, in the same protocol and
with the same networks, schedule and decay as in the fair one; 30,000 steps are enough for it. With
captions it is chosen among its own four settings (6,000 steps), with attributes it is as it comes.

    python tests/benchmarks/paper_protocol.py --pairing attributes   # many hours; goes on
    python tests/benchmarks/paper_protocol.py --page                 # from what is there

Writes docs/results/label-efficiency/paper.jsonl as results arrive, then
docs/results/paper-protocol.md (with label-efficiency/paper-notes.md at its end), its figures and
the pairs_factor_paper_protocol claims.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from captions import training_latents
from claims import record
from globalworkspace_shapes.demo import demo_domains
from label_efficiency import HOME, ROOT, latents
from results_page import RESULTS, head, paragraph, plus_minus

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig
from globalworkspace.evaluation.translation import direction
from globalworkspace.given_latents import GivenLatents
from globalworkspace.label_efficiency import pairs_factor
from globalworkspace.label_efficiency.baselines import (
    BASELINES,
    LARGEST_KERNEL,
    known_rows,
    workspace_of_units,
)
from globalworkspace.label_efficiency.factors import Factor
from globalworkspace.label_efficiency.figure import draw
from globalworkspace.label_efficiency.jobs import read_lines, run_jobs
from globalworkspace.label_efficiency.trainings import chosen_recipe, shown_table
from globalworkspace.objectives.base import Objective
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.translation import Translation
from globalworkspace.recipes import recipe
from globalworkspace.standard_table import standardize_table
from globalworkspace.training.callbacks import Callback, Training

COMMAND = "python tests/benchmarks/paper_protocol.py"
LINES = HOME / "paper.jsonl"
PAIRINGS = {"attributes": ("picture", "attributes"), "caption": ("picture", "caption")}
PAIRS = (500, 1000, 2500, 5000, 10_000, 25_000, 50_000)
ALL_FOUR_PAIRS, DEFAULT_PAIRS = (1000, 2500, 5000), (1000, 2500)
"""A factor is read where a curve has points: those of the baseline have to reach far."""
ROWS, VALIDATION, SEEDS = 500_000, 2_000, 3
CAPTION_ROWS = 510_000  # whole chunks of `captions`
STEPS, DEFAULT_STEPS, TRIAL_STEPS, PATIENCE = 100_000, 30_000, 20_000, 25_000
DEFAULT_TRIAL_STEPS = 6_000
JUDGED_AT = 2500
SETTINGS = (  # contrastive, demi-cycle, cycle beside translation 1
    (0.1, 1.0, 1.0),
    (0.1, 0.1, 0.1),
    (0.1, 0.5, 0.1),
    (0.01, 1.0, 0.3),
)

CLAIMS = {
    "all four": "pairs_factor_paper_protocol",
    "default": "pairs_factor_paper_protocol_default",
}
Curves = dict[str, dict[int, list[float]]]


class SmallestLoss(Callback):
    """The smallest validation translation loss of each direction on the way.

    Args:
        validation: The rows that are looked at.
        patience: Ends the run when no direction has become better for so many steps.
    """

    def __init__(self, validation: Table, patience: int) -> None:
        self.validation, self.patience = validation, patience
        self.smallest: dict[str, float] = {}
        self.last = 0
        """The step of the last that was smallest."""

    @torch.no_grad()
    def evaluated(self, training: Training) -> None:
        workspace = training.workspace
        standard = standardize_table(workspace, self.validation)
        losses = {}
        for source in standard:
            state = workspace.fusion.finish(workspace.encoder(source)(standard[source].cells))
            for target in standard:
                if target != source:
                    told = workspace.decoder(target)(state.code)
                    rows = workspace.spec(target).loss(told, standard[target].cells)
                    losses[direction((source,), target)] = float(rows.mean())
        for name, value in losses.items():
            if value < self.smallest.get(name, math.inf):
                self.smallest[name], self.last = value, training.step
        if training.step - self.last >= self.patience:
            training.stop(f"nothing has become better since step {self.last}")


_HELD: dict[str, Any] = {}


def start(pairing: str, cache: str, caption_cache: str, device: str) -> None:
    """Load the latents of a pairing."""
    names = PAIRINGS[pairing]
    modules = demo_domains()
    if pairing == "attributes":
        table = latents("train", ROWS + 50_000, Path(cache))
        held = {name: table[name].cells for name in names}
    else:
        held = training_latents(CAPTION_ROWS, Path(caption_cache))
    _HELD["latents"] = {name: held[name][:ROWS] for name in names}
    _HELD["validation"] = {name: held[name][ROWS : ROWS + VALIDATION] for name in names}
    _HELD["device"] = device
    _HELD["domains"] = GivenLatents.of({name: modules[name] for name in names})


def families(job: dict[str, Any]) -> list[Objective]:
    """The objectives of a job."""
    if job["recipe"] == "translation alone":
        return [Translation(1.0)]
    if job["recipe"] == "default":
        ours, choice = chosen_recipe({"choice": 0} | job)
        return ours.objectives(job["pairs"], job["steps"], **choice["strengths"])
    contrastive, demi, cycle = SETTINGS[job["setting"]]
    return [Translation(1.0), Contrastive(contrastive), DemiCycle(demi), Cycle(cycle)]


def closed_form(job: dict[str, Any]) -> dict[str, Any]:
    """A closed form from the same rows, tuned on the matched ones; its losses are no minima."""
    table = shown_table(_HELD["latents"], job["pairs"], PAIRS[-1], job["seed"])
    workspace = workspace_of_units(_HELD["domains"], table)
    rows = known_rows(standardize_table(workspace, table))
    judged = standardize_table(workspace, Table.from_columns(_HELD["validation"]))
    losses = {}
    for source in judged:
        for target in judged:
            if target != source:
                translate, _ = BASELINES[job["recipe"]](*rows, source, target, job["seed"])
                told = translate(judged[source].cells).float()
                each = workspace.spec(target).loss(told, judged[target].cells)
                losses[direction((source,), target)] = float(each.mean())
    return {"errors": losses}


def work(job: dict[str, Any]) -> dict[str, Any]:
    """One training."""
    if job["recipe"] in BASELINES:
        return closed_form(job)
    table = shown_table(_HELD["latents"], job["pairs"], PAIRS[-1], job["seed"])
    ours = job["recipe"] == "default"
    decay = chosen_recipe({"choice": 0} | job)[1]["weight_decay"] if ours else 5e-5
    workspace = GlobalWorkspace(_HELD["domains"], dim=32, hidden_dim=128, seed=job["seed"])
    validation = Table.from_columns(_HELD["validation"])
    smallest = SmallestLoss(validation, job["steps"] if ours else PATIENCE)
    config = TrainerConfig(
        steps=job["steps"],
        batch_size=128,
        unmatched_batch_size=0 if job["recipe"] == "translation alone" else 256 if ours else 128,
        learning_rate=1e-2 if ours else 1e-3,
        weight_decay=decay,
        schedule="cosine" if ours else "constant",
        ema=0.995 if ours else 0.0,
        validate_every=250,
        compile=True,
        keep="last",
        seed=job["seed"],
        device=_HELD["device"],
        precision="fp32",
        progress=False,
    )
    trainer = Trainer(config, families(job), callbacks=[smallest])
    result = trainer.fit(workspace, table, validation, latents=True)
    return {
        "errors": smallest.smallest,
        "best_step": smallest.last,
        "seconds": round(result.seconds, 1),
    }


def run(pairing: str, jobs: Iterable[dict[str, Any]], args: argparse.Namespace) -> list[Any]:
    """The lines of some jobs."""
    keyed = {json.dumps(job, sort_keys=True): job for job in jobs}
    return run_jobs(
        keyed,
        work,
        LINES,
        start=start,
        start_args=(pairing, str(args.cache), str(args.caption_cache), args.device),
        workers=args.workers,
        what=pairing,
    )


def grid(pairing: str, args: argparse.Namespace) -> None:
    """Everything of a pairing, what the claims are made from first, lest a run is stopped."""
    everything = {"pairing": pairing}
    seeds = range(SEEDS)
    for n in sorted(ALL_FOUR_PAIRS, key=lambda n: n != JUDGED_AT):
        common = everything | {"pairs": n}
        all_four = common | {"recipe": "all four"}
        trial = all_four | {"seed": 1000, "steps": TRIAL_STEPS}
        tried = run(pairing, [trial | {"setting": s} for s in range(len(SETTINGS))], args)
        best = min(tried, key=lambda t: sum(t["errors"].values()))["setting"]
        jobs = [all_four | {"seed": seed, "steps": STEPS, "setting": best} for seed in seeds]
        if n in DEFAULT_PAIRS:
            ours = common | {"recipe": "default", "steps": DEFAULT_STEPS}
            if pairing == "caption":
                ours |= chosen(common | {"recipe": "default", "seed": 1000}, args)
            jobs += [ours | {"seed": seed} for seed in seeds]
        run(pairing, jobs, args)
    run(pairing, alone(pairing), args)
    if pairing == "caption":  # both are numbers alone: what a closed form tells has the same loss
        closed = [
            everything | {"recipe": name, "pairs": n, "seed": seed}
            for name in BASELINES
            for n in PAIRS
            for seed in seeds
            if name != "kernel ridge" or n <= LARGEST_KERNEL
        ]
        run(pairing, closed, args)


def chosen(common: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """The choice of `default` that does best in a short training; none for the first one."""
    jobs = [
        common | {"steps": DEFAULT_TRIAL_STEPS} | ({"choice": c} if c else {})
        for c in range(len(recipe("default").choices))
    ]
    tried = run(common["pairing"], jobs, args)
    best = min(range(len(tried)), key=lambda c: sum(tried[c]["errors"].values()))
    return {"choice": best} if best else {}


def alone(pairing: str) -> list[dict[str, Any]]:
    """The jobs of the baseline."""
    common = {"pairing": pairing, "recipe": "translation alone", "steps": STEPS}
    return [common | {"pairs": n, "seed": seed} for seed in range(SEEDS) for n in PAIRS]


def page() -> None:
    """The page, its figures and the claims, from what is there."""
    text = head("The paper's protocol", COMMAND, paragraph(__doc__, 1))
    lines = [x for x in read_lines(LINES).values() if x["seed"] < SEEDS]
    for pairing in PAIRINGS:
        held = [line for line in lines if line["pairing"] == pairing]
        if not held:
            continue
        tuned = {line["pairs"] for line in held if "choice" in line}
        for line in held:  # trained before there was a choice
            if line["recipe"] == "default" and line["pairs"] in tuned and "choice" not in line:
                line["recipe"] = "default, as it comes"
        figure, plural = f"paper-{pairing}.png", f"{pairing.removesuffix('s')}s"
        draw(
            held,
            HOME / figure,
            title=f"the paper's protocol: pictures and {plural}",
            across="matched rows",
            up="smallest validation loss",
        )
        text += [f"## Pictures and {plural}", "", f"![losses](label-efficiency/{figure})", ""]
        curves = _curves(held)
        text += ["| matched rows | " + " | ".join(curves) + " |", "|---" * (len(curves) + 1) + "|"]
        for n in PAIRS:
            cells = [_cell(points.get(n, [])) for points in curves.values()]
            text.append(f"| {n:,} | " + " | ".join(cells) + " |")
        seeds = min(len(values) for points in curves.values() for values in points.values())
        text += ["", f"Sum of both directions; {seeds} of {SEEDS} seeds so far.", ""]
        text += ["Times fewer pairs than translation alone:", ""]
        directions = list(held[0]["errors"])
        text.append("| | matched rows | both | " + " | ".join(directions) + " |")
        text.append("|---" * (len(directions) + 3) + "|")
        for name, claim in CLAIMS.items():
            for n in sorted(curves.get(name, {})):
                found = [
                    pairs_factor(some[name], some["translation alone"], n)
                    for some in (curves, *(_curves(held, which) for which in directions))
                ]
                text.append(f"| {name} | {n:,} | " + " | ".join(map(str, found)) + " |")
                if n == JUDGED_AT:
                    suffix = "" if pairing == "attributes" else f"_{plural}"
                    _claim(claim + suffix, found[0], len(curves[name][n]))
        text.append("")
    text += [(HOME / "paper-notes.md").read_text()]
    (RESULTS / "paper-protocol.md").write_text("\n".join(text))


def _curves(lines: list[dict[str, Any]], which: str | None = None) -> Curves:
    """Recipe -> N -> the errors of the seeds: of one direction, or the sum of both."""
    curves: Curves = {}
    for line in sorted(lines, key=lambda x: x["seed"]):
        errors = line["errors"]
        error = sum(errors.values()) if which is None else errors[which]
        curves.setdefault(line["recipe"], {}).setdefault(line["pairs"], []).append(error)
    return curves


def _claim(name: str, found: Factor, seeds: int) -> None:
    ends = (found.low, found.high) if seeds > 1 else (found.value, found.value)
    low, middle, high = (min(v, found.at_least) for v in (ends[0], found.value, ends[1]))
    unit = "x or more" if math.isinf(found.value) else "x"
    record(name, middle, low, high, unit, seeds, COMMAND)


def _cell(values: list[float]) -> str:
    if len(values) > 1:
        return plus_minus(values)
    return f"{values[0]:.4f}" if values else ""


def main() -> None:
    """Train what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairing", choices=[*PAIRINGS, "both"], default="both")
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "label-efficiency")
    parser.add_argument("--caption-cache", type=Path, default=ROOT / "runs" / "captions")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--device", default="cpu", help="cuda: the same on a GPU")
    parser.add_argument("--page", action="store_true", help="train nothing")
    args = parser.parse_args()
    HOME.mkdir(parents=True, exist_ok=True)
    if not args.page:
        for pairing in PAIRINGS if args.pairing == "both" else [args.pairing]:
            grid(pairing, args)
    page()


if __name__ == "__main__":
    main()
