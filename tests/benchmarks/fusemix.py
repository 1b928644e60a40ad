"""FuseMix with 50 to 500 pairs: against clean pairs, and against mixing that goes wrong.

    python tests/benchmarks/fusemix.py       # some two hours; goes on where it was stopped

Contrastive alone on N pairs of frozen latents, no other row. *clean*: the pairs as they are;
*FuseMix*: both domains mixed by one coefficient with one partner; *broken*: each domain by a
coefficient of its own; these by the core's networks (`mlp`, two layers of 256), *adapters* by the
paper's (`fusemix-adapter`, two blocks). Each method tries four settings for each N (300 or 1,000
steps; weight decay 0.1 without dropout, or 1 with dropout 0.3), judged by held-out pairs: twice a
fifth of the pairs of a draw that is not reported. Then five draws of N pairs, all of them trained
on, judged by test rows: 1,000 shapes, 251 emoji of families without a relative in training, 500
spoken captions. Beside them ridge and CCA, tuned by cross-validation on the pairs.

Writes docs/results/fusemix.{md,json,png} and the fusemix_ figures of claims.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from claims import record
from globalworkspace_fusemix.mixing import FuseMix
from results_page import RESULTS, head, keep, least_error, paragraph, plus_minus
from small_sets import SmallSet, quiet, small_set
from spoken_captions import cosine
from torch import Tensor

from globalworkspace import Augmentation, GlobalWorkspace, Table, Trainer, TrainerConfig
from globalworkspace.closed_form import cca, retrieval_error, ridge, split_folds
from globalworkspace.evaluation.retrieval import recall_at, retrieval, states
from globalworkspace.label_efficiency import interval
from globalworkspace.label_efficiency.baselines import workspace_of_units
from globalworkspace.label_efficiency.jobs import run_jobs
from globalworkspace.latents import LatentSpec
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.standard_table import standardize_table

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "python tests/benchmarks/fusemix.py"
SETS = {"shapes": "Simple Shapes", "emoji": "Emoji", "speech": "Spoken captions"}
PAIRS, SEEDS, TUNING_SEED, FOLDS, TRIED = (50, 100, 200, 500), 5, 1000, 5, 2
ADAPTERS = ", adapters"
ARMS = ("clean", "FuseMix", "broken", f"clean{ADAPTERS}", f"FuseMix{ADAPTERS}")
METHODS = (*ARMS, "ridge", "CCA")
WITHOUT_ADAPTERS = "emoji"
"""Their pictures' latents are 1,280 wide: 26 million parameters in two blocks, and hours more."""
CHOICES = tuple(
    {"steps": steps, "decay": decay, "dropout": dropout}
    for decay, dropout in ((0.1, 0.0), (1.0, 0.3))
    for steps in (300, 1000)
)
COMPARED = (
    ("FuseMix", "clean"),
    ("FuseMix", "broken"),
    (f"FuseMix{ADAPTERS}", f"clean{ADAPTERS}"),
    (f"FuseMix{ADAPTERS}", "FuseMix"),
)
_CACHE: dict[str, Path] = {}


def measured_on(method: str, name: str) -> bool:
    """Whether a method is measured on a set."""
    return name != WITHOUT_ADAPTERS or not method.endswith(ADAPTERS)


def mixing(arm: str) -> Augmentation | None:
    """What the arm sees its pairs through."""
    if arm.startswith("clean"):
        return None
    return FuseMix(discrete="mix", share="partner" if arm == "broken" else "both")


@lru_cache(maxsize=1)
def _set(name: str) -> SmallSet:
    return small_set(name, _CACHE["home"])


def start(cache: str) -> None:
    """What each process needs."""
    quiet()
    _CACHE["home"] = Path(cache)


def rows_of(data: SmallSet, pairs: int, seed: int) -> Tensor:
    """The pairs of a draw."""
    number = len(next(iter(data.training.values())))
    return torch.randperm(number, generator=torch.Generator().manual_seed(seed))[:pairs]


def table(latents: Mapping[str, Tensor], rows: Tensor | None = None) -> Table:
    """Rows of latents, all of them matched."""
    return Table.from_columns({n: v if rows is None else v[rows] for n, v in latents.items()})


def trained(
    data: SmallSet, arm: str, rows: Tensor, choice: Mapping[str, Any], seed: int
) -> GlobalWorkspace:
    """A workspace by contrastive alone."""
    adapted = arm.endswith(ADAPTERS)
    workspace = GlobalWorkspace(
        data.domains,
        dim=64,
        hidden_dim=256,
        networks=dict.fromkeys(data.specs, "fusemix-adapter" if adapted else "mlp"),
        activation="none",
        dropout=choice["dropout"],
        seed=seed,
    )
    objective, augmentation = Contrastive(1.0, learn_scale=True), mixing(arm)
    config = TrainerConfig(
        steps=choice["steps"],
        weight_decay=choice["decay"],
        learning_rate=1e-3,
        unmatched_batch_size=0,
        seed=seed,
        device="cpu",
        progress=False,
    )
    if augmentation is None:
        trainer = Trainer(config, [objective])
    else:
        trainer = Trainer(
            config, [objective.seen_through("mixed")], augmentations={"mixed": augmentation}
        )
    trainer.fit(workspace, table(data.training, rows), latents=True)
    return workspace


def held_out_error(data: SmallSet, arm: str, rows: Tensor, choice: Mapping[str, Any]) -> float:
    """1 less the mean reciprocal rank of held-out pairs among each other, both directions."""
    errors = []
    for training, held in split_folds(len(rows), FOLDS, TUNING_SEED)[:TRIED]:
        workspace = trained(data, arm, rows[training], choice, TUNING_SEED)
        standard = standardize_table(workspace, table(data.training, rows[held]))
        first, second = (states(workspace, standard, n, torch.arange(len(held))) for n in standard)
        errors += [retrieval_error(first, second), retrieval_error(second, first)]
    return statistics.mean(errors)


def work(job: dict[str, Any]) -> dict[str, Any]:
    """The outcome of one job."""
    data = _set(job["set"])
    rows = rows_of(data, job["pairs"], job.get("seed", TUNING_SEED))
    if "judged" in job:
        return {"error": held_out_error(data, job["method"], rows, CHOICES[job["judged"]])}
    test = table(data.test)
    if job["method"] in ARMS:
        workspace = trained(data, job["method"], rows, CHOICES[job["choice"]], job["seed"])
        scores = retrieval(workspace, standardize_table(workspace, test))
    else:
        scores = closed_form(data, job["method"], rows, test)
    return {
        "recall": {name: {str(k): v for k, v in found.items()} for name, found in scores.items()}
    }


def closed_form(
    data: SmallSet, method: str, rows: Tensor, test: Table
) -> dict[str, dict[int, float]]:
    """Ridge or CCA on the same pairs."""
    known = table(data.training, rows)
    workspace = workspace_of_units(data.domains, known)
    pieces = [standardize_table(workspace, part) for part in (known, test)]
    (x, y), (x_test, y_test) = (
        tuple(part[name].take(torch.arange(len(part))) for name in part) for part in pieces
    )
    there, back = data.directions
    if method == "ridge":
        forth, home = (ridge(*pair, error=retrieval_error) for pair in ((x, y), (y, x)))
        found = {there: cosine(forth(x_test), y_test), back: cosine(home(y_test), x_test)}
    else:
        joint = cca(x, y, powers=(0.0, 0.5, 1.0))
        likeness = cosine(joint.project_x(x_test), joint.project_y(y_test))
        found = {there: likeness, back: likeness.T}
    return {name: recall_at(similarity) for name, similarity in found.items()}


def identity_errors(seeds: int = 20) -> tuple[list[float], list[float]]:
    """How far mixed y is from the map of mixed x, FuseMix and each broken kind of it."""
    specs = {"x": LatentSpec.continuous(6), "y": LatentSpec.continuous(4)}

    def error(seed: int, share: Any) -> float:
        draw = torch.Generator().manual_seed(seed)
        x = torch.randn(64, 6, generator=draw, dtype=torch.float64)
        weight = torch.randn(6, 4, generator=draw, dtype=torch.float64)
        mixed = FuseMix(granularity="sample", share=share).apply(
            {"x": x, "y": x @ weight}, specs, draw
        )
        return float((mixed["y"] - mixed["x"] @ weight).abs().max())

    whole = [error(seed, "both") for seed in range(seeds)]
    broken = [error(seed, kind) for seed in range(seeds) for kind in ("partner", "coefficient")]
    return whole, broken


def measured(args: argparse.Namespace) -> list[dict[str, Any]]:
    """All lines: tuning first, then the draws that are reported."""
    args.cache.mkdir(parents=True, exist_ok=True)
    for name in SETS:
        small_set(name, args.cache)
    options: dict[str, Any] = {
        "start": start,
        "start_args": (str(args.cache),),
        "workers": args.workers,
        "what": "fusemix",
    }

    def done(jobs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        keyed = {json.dumps(job, sort_keys=True): job for job in jobs}
        return run_jobs(keyed, work, args.cache / "fusemix.jsonl", **options)

    tuned = done(
        [
            {"set": name, "pairs": pairs, "method": arm, "judged": choice}
            for name in SETS
            for pairs in PAIRS
            for arm in ARMS
            if measured_on(arm, name)
            for choice in range(len(CHOICES))
        ]
    )
    chosen = least_error(tuned, ("set", "pairs", "method"))
    jobs: list[dict[str, Any]] = [
        {"set": name, "pairs": pairs, "method": method, "seed": seed}
        | ({"choice": chosen[name, pairs, method]["judged"]} if method in ARMS else {})
        for name in SETS
        for pairs in PAIRS
        for method in METHODS
        if measured_on(method, name)
        for seed in range(SEEDS)
    ]
    return done(jobs)


Scores = dict[tuple[str, int, str], list[float]]


def scores(lines: Sequence[Mapping[str, Any]], k: int) -> Scores:
    """(set, pairs, method) -> R@k of the draws in order, mean of both directions."""
    found: dict[tuple[str, int, str], dict[int, float]] = {}
    for line in lines:
        values = [recall[str(k)] for recall in line["recall"].values()]
        key = (line["set"], line["pairs"], line["method"])
        found.setdefault(key, {})[line["seed"]] = statistics.mean(values)
    return {key: [by[seed] for seed in sorted(by)] for key, by in found.items()}


def page(lines: Sequence[Mapping[str, Any]], identity: tuple[list[float], list[float]]) -> str:
    """The page."""
    text = head("FuseMix: 50 to 500 pairs", COMMAND, paragraph(__doc__, 2))
    text += ["![R@5 against pairs](fusemix.png)", ""]
    for k in (5, 1):
        found = scores(lines, k)
        for name, title in SETS.items():
            text += [f"{title}: R@{k}, mean of both directions ± half of the 95 % interval.", ""]
            text += ["| | " + " | ".join(f"{n} pairs" for n in PAIRS) + " |", "|---" * 5 + "|"]
            for method in (each for each in METHODS if measured_on(each, name)):
                cells = [plus_minus(found[name, pairs, method]) for pairs in PAIRS]
                text.append(f"| {method} | {' | '.join(cells)} |")
            text.append("")
        if k == 5:
            text += ["Draw by draw, one method less another (R@5, same pairs):", ""]
            text += ["| | " + " | ".join(f"{n} pairs" for n in PAIRS) + " |", "|---" * 5 + "|"]
            for name, title in SETS.items():
                for ours, other in COMPARED:
                    if not measured_on(ours, name):
                        continue
                    cells = []
                    for pairs in PAIRS:
                        first, second = (found[name, pairs, m] for m in (ours, other))
                        mean, low, high = interval(
                            [a - b for a, b in zip(first, second, strict=True)]
                        )
                        cells.append(f"{mean:+.3f} ({low:+.3f} to {high:+.3f})")
                    text.append(f"| {title}: {ours} − {other} | {' | '.join(cells)} |")
            text.append("")
    whole, broken = identity
    text += [
        "If y is a linear map of x, mixed y is that map of mixed x. Largest difference over 20 "
        f"seeds, in float64: {max(whole):.1e}. With a coefficient or a partner of each domain's "
        f"own the smallest is {min(broken):.2f}.",
        "",
    ]
    return "\n".join(text)


def draw(lines: Sequence[Mapping[str, Any]], file: Path) -> None:
    """R@5 against pairs, a panel for each set."""
    from matplotlib.figure import Figure

    found = scores(lines, 5)
    figure = Figure(figsize=(14, 4.2), layout="constrained")
    for axis, (name, title) in zip(figure.subplots(1, 3), SETS.items(), strict=True):
        for index, method in enumerate(METHODS):
            if not measured_on(method, name):
                continue
            means, lows, highs = zip(
                *(interval(found[name, pairs, method]) for pairs in PAIRS), strict=True
            )
            style = "o-" if method in ARMS else ".--"
            axis.plot(PAIRS, means, style, color=f"C{index}", label=method, ms=4, lw=1.4)
            axis.fill_between(PAIRS, lows, highs, color=f"C{index}", alpha=0.15, lw=0)
        axis.set(xscale="log", title=title, xlabel="matched rows", ylabel="R@5, both directions")
        axis.set_xticks(PAIRS, [str(n) for n in PAIRS])
        axis.minorticks_off()
        axis.grid(True, alpha=0.2)
    handles, names = figure.axes[0].get_legend_handles_labels()  # the set with all methods
    figure.legend(handles, names, loc="outside right upper", fontsize=8)
    figure.savefig(file, dpi=130)


def main() -> None:
    """Measure, and write page, figure and claims."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "fusemix")
    parser.add_argument("--workers", type=int, default=None)
    args = parser.parse_args()
    quiet()
    lines = measured(args)
    identity = identity_errors()
    keep("fusemix", lines, page(lines, identity))
    draw(lines, RESULTS / "fusemix.png")
    print((RESULTS / "fusemix.md").read_text())
    for name, values, pick in (
        ("fusemix_identity_error", identity[0], max),
        ("fusemix_broken_identity_error", identity[1], min),
    ):
        record(name, pick(values), min(values), max(values), "1", len(values), COMMAND)


if __name__ == "__main__":
    main()
