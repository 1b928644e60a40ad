"""The MMVM VAE's trade-off: what is kept of a domain, against what is told of the others.

    python tests/benchmarks/mmvm.py

Three domains of 12 dimensions, a fixed random tanh network each of 4 factors that all share and 4
of its own, with noise: 1,500 complete rows for training, 500 to choose by, 2,000 to judge on.
Every variational workspace has 8 dimensions and is trained for 400 steps at each of six betas,
five seeds (each with a generator of its own): the MMVM's regulariser in both forms, independent
VAEs (alpha = 1), and the joint VAEs by aggregation. The mixture form, whose pull is bounded, has
higher betas than the others: below 2 it aligns nothing. R² of imputation: a domain from the mean of
another's posterior, a mean over the six directions; 0 is a constant guess. Reconstruction error:
all domains, as each model's own likelihood has it, from the domain's own posterior (MMVM and
independent) or from the complete row's, drawn where the model draws what takes part; 1 is a
constant guess. "From itself" is the error of a domain from its own posterior alone, for every
model. No sampling noise is added when judging. Beside them a plain workspace of equal size
(translation and demi-cycles) and ridge.

Writes docs/results/mmvm.{md,json,png} and the mmvm_ figures of claims.json.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from claims import record
from globalworkspace_mmvm import MixturePrior, StandardPrior
from results_page import RESULTS, by_seed, head, keep, paragraph, plus_minus
from torch import Tensor

from globalworkspace import GlobalWorkspace, LatentSpec, Table, Trainer, TrainerConfig
from globalworkspace.closed_form import ridge
from globalworkspace.evaluation.translation import normalized_error, predict
from globalworkspace.given_latents import GivenLatents
from globalworkspace.objectives.base import Objective
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.fused import Fused
from globalworkspace.objectives.translation import Translation
from globalworkspace.standard_table import standardize_table

ROOT = Path(__file__).parents[2]
COMMAND = "python tests/benchmarks/mmvm.py"
NAMES, SHARED, PRIVATE, COLUMNS, HIDDEN, NOISE = ("a", "b", "c"), 4, 4, 12, 32, 0.05
TRAINING, VALIDATION, TEST = 1500, 500, 2000
DIM, STEPS, SEEDS = 8, 400, 5
BETAS = (0.03, 0.1, 0.3, 1.0, 2.0, 4.0)
PAIRWISE, MIXTURE, INDEPENDENT = "MMVM, pairwise", "MMVM, mixture", "independent"
JOINT = ("joint, product", "joint, mixture", "joint, mopoe", "joint, average")
LATE_BETAS = (0.3, 1.0, 2.0, 2.5, 3.0, 4.0)
MODELS = (PAIRWISE, MIXTURE, INDEPENDENT, *JOINT)
FIGURES = ("reconstruction", "from itself", "imputation", "from the others")


def generated(seed: int) -> dict[str, Tensor]:
    """Domain -> (rows, COLUMNS): functions of factors that all share and of some of its own."""
    chance = torch.Generator().manual_seed(seed)
    rows = TRAINING + VALIDATION + TEST
    shared = torch.randn(rows, SHARED, generator=chance)
    found = {}
    for name in NAMES:
        factors = torch.cat([shared, torch.randn(rows, PRIVATE, generator=chance)], dim=1)
        inner = torch.randn(SHARED + PRIVATE, HIDDEN, generator=chance)
        outer = torch.randn(HIDDEN, COLUMNS, generator=chance)
        hidden = torch.tanh(factors @ inner / (SHARED + PRIVATE) ** 0.5)
        noise = NOISE * torch.randn(rows, COLUMNS, generator=chance)
        found[name] = hidden @ outer / HIDDEN**0.5 + noise
    return found


def betas_of(model: str) -> tuple[float, ...]:
    """Where a model's curve is measured."""
    return LATE_BETAS if model == MIXTURE else BETAS


def families(model: str, beta: float) -> list[Objective]:
    """The loss of a model: its reconstruction, and its regulariser as heavy as beta says.

    The row loss is a mean over columns of squared errors, so that twice beta over their number is
    beta of a Gaussian likelihood of variance 1, divided by the number of domains. The joint
    posterior's divergence counts once for every domain, as in the authors' code.
    """
    weight = 2 * beta / COLUMNS
    if model in JOINT:
        return [Fused(1.0), StandardPrior(weight)]
    if model == INDEPENDENT:
        return [DemiCycle(1.0), MixturePrior(weight, alpha=1.0)]
    estimator: Any = "mixture" if model == MIXTURE else "pairwise"
    return [DemiCycle(1.0), MixturePrior(weight, estimator=estimator)]


def variational(model: str, seed: int) -> GlobalWorkspace:
    """An untrained workspace whose states are distributions."""
    kind, _, aggregate = model.partition(", ")
    return GlobalWorkspace(
        {name: GivenLatents(LatentSpec.continuous(COLUMNS)) for name in NAMES},
        dim=DIM,
        hidden_dim=64,
        networks=dict.fromkeys(NAMES, "gaussian-mlp"),
        fusion="posteriors",
        fusion_options={"aggregate": aggregate if kind == "joint" else "identity"},
        activation="none",
        seed=seed,
    )


def plain(seed: int) -> GlobalWorkspace:
    """An untrained workspace of the same size, as the core makes it."""
    domains = {name: GivenLatents(LatentSpec.continuous(COLUMNS)) for name in NAMES}
    return GlobalWorkspace(domains, dim=DIM, hidden_dim=64, seed=seed)


def fit(
    workspace: GlobalWorkspace, objectives: Sequence[Objective], rows: Table, seed: int
) -> GlobalWorkspace:
    """The workspace, trained."""
    config = TrainerConfig(
        steps=STEPS,
        batch_size=128,
        unmatched_batch_size=0 if any(o.name == "fused" for o in objectives) else 128,
        learning_rate=1e-2,
        weight_decay=1e-2,
        ema=0.98,
        seed=seed,
        device="cpu",
        progress=False,
    )
    Trainer(config, objectives).fit(workspace, rows, latents=True)
    return workspace


@torch.no_grad()
def judged(workspace: GlobalWorkspace, table: Table, model: str) -> dict[str, float]:
    """The FIGURES of a trained workspace."""
    standard = standardize_table(workspace, table)
    rows = torch.arange(len(table))
    truths = {name: standard[name].take(rows) for name in NAMES}

    def error(sources: Sequence[str], target: str) -> float:
        guess = predict(workspace, standard, sources, target, rows)
        return float(normalized_error(guess, truths[target]).mean())

    alone = [error((name,), name) for name in NAMES]
    whole = alone
    if model in JOINT:
        codes = {name: workspace.encoder(name)(truths[name]) for name in NAMES}
        state = workspace.fusion.fuse(codes, generator=torch.Generator().manual_seed(0))
        whole = [
            float(normalized_error(workspace.decoder(name)(state.code), truths[name]).mean())
            for name in NAMES
        ]
    pairs = [1 - error((a,), b) for a in NAMES for b in NAMES if a != b]
    others = [1 - error([a for a in NAMES if a != b], b) for b in NAMES]
    values = map(statistics.fmean, (whole, alone, pairs, others))
    return dict(zip(FIGURES, values, strict=True))


def one_seed(job: dict[str, Any]) -> dict[str, Any]:
    """Every model at every beta, and what stands beside them."""
    seed = job["seed"]
    values = generated(seed)

    def cut(first: int, last: int, given: Mapping[str, Tensor] = values) -> Table:
        return Table.from_columns({name: x[first:last] for name, x in given.items()})

    training = cut(0, TRAINING)
    validation, test = (
        cut(TRAINING, TRAINING + VALIDATION),
        cut(TRAINING + VALIDATION, len(values["a"])),
    )
    found: dict[str, Any] = {}
    for model in MODELS:
        for beta in betas_of(model):
            made = fit(variational(model, seed), families(model, beta), training, seed)
            by = judged(made, validation, model)["imputation"]
            found.setdefault(model, {})[beta] = {"chosen by": by, **judged(made, test, model)}
    best = chosen(found[PAIRWISE])
    mixed = {
        name: x[torch.randperm(TRAINING, generator=torch.Generator().manual_seed(index))]
        for index, (name, x) in enumerate(values.items())
    }
    broken = fit(
        variational(PAIRWISE, seed), families(PAIRWISE, best), cut(0, TRAINING, mixed), seed
    )
    direct = fit(plain(seed), [Translation(1.0), DemiCycle(1.0)], training, seed)
    return {
        "models": found,
        "shuffled": judged(broken, test, PAIRWISE),
        "plain workspace": judged(direct, test, "plain"),
        "ridge": ridge_r2(values, seed),
    }


def chosen(points: Mapping[Any, Mapping[str, float]]) -> Any:
    """The beta whose imputation is best on validation rows."""
    return max(points, key=lambda beta: points[beta]["chosen by"])


def ridge_r2(values: Mapping[str, Tensor], seed: int) -> float:
    """R² of imputation by ridge regression, one for each direction."""
    found = []
    for source in NAMES:
        for target in NAMES:
            if source != target:
                x, y = (values[n] for n in (source, target))
                maps = ridge(x[:TRAINING], y[:TRAINING], seed=seed)
                guess = maps(x[TRAINING + VALIDATION :])
                error = normalized_error(guess, y[TRAINING + VALIDATION :]).mean()
                found.append(1 - float(error))
    return statistics.fmean(found)


def over_seeds(
    runs: Sequence[Mapping[str, Any]], model: str, beta: float, figure: str
) -> list[float]:
    """A figure's values, a seed each."""
    return [run["models"][model][str(beta)][figure] for run in runs]


def best_of(runs: Sequence[Mapping[str, Any]], model: str, figure: str) -> list[float]:
    """A figure at the beta that each seed's validation rows chose."""
    return [run["models"][model][chosen(run["models"][model])][figure] for run in runs]


def matched(runs: Sequence[Mapping[str, Any]], axis: str) -> list[str]:
    """At each beta of the MMVM: the best imputation of the joint models at no larger an error."""

    def mean(model: str, beta: float, figure: str) -> float:
        return statistics.fmean(over_seeds(runs, model, beta, figure))

    lines = [
        f"| beta | {axis} | MMVM, pairwise | " + " | ".join(JOINT) + " |",
        "|" + "---|" * (3 + len(JOINT)),
    ]
    for beta in BETAS:
        error = mean(PAIRWISE, beta, axis)
        cells = []
        for model in JOINT:
            reached = [mean(model, b, "imputation") for b in BETAS if mean(model, b, axis) <= error]
            cells.append(f"{max(reached):.3f}" if reached else "not reached")
        own = mean(PAIRWISE, beta, "imputation")
        lines.append(f"| {beta:g} | {error:.3f} | {own:.3f} | " + " | ".join(cells) + " |")
    return lines


def page(runs: Sequence[Mapping[str, Any]]) -> str:
    """docs/results/mmvm.md."""
    ours = best_of(runs, PAIRWISE, "imputation")
    found = {model: best_of(runs, model, "imputation") for model in MODELS}
    found["plain workspace"] = [run["plain workspace"]["imputation"] for run in runs]
    found["ridge"] = [run["ridge"] for run in runs]
    found[f"{PAIRWISE}, shuffled pairing"] = [run["shuffled"]["imputation"] for run in runs]
    lines = head("MMVM VAE: the trade-off over beta", COMMAND, paragraph(__doc__))
    lines += ["![Imputation against reconstruction error](mmvm.png)", ""]
    lines += ["## Imputation of a domain from another", ""]
    lines += [f"| model | R² | {PAIRWISE}, minus it | betas chosen |", "|---|---|---|---|"]
    for name, values in found.items():
        ahead = [mine - theirs for mine, theirs in zip(ours, values, strict=True)]
        points = [run["models"][name] for run in runs] if name in MODELS else []
        betas = ", ".join(f"{b:g}" for b in sorted({float(chosen(p)) for p in points}))
        gap = "" if name == PAIRWISE else plus_minus(ahead)
        lines.append(f"| {name} | {plus_minus(values)} | {gap} | {betas} |")
    lines += [
        "",
        f"Means over {len(runs)} seeds, and half of their 95 % intervals. Each seed chooses a",
        "model's beta by its imputation on the validation rows; for shuffled pairing it is the",
        "one chosen with the true pairing.",
        "",
    ]
    lines += ["## At matched error", ""]
    lines += [
        "Beside the MMVM's imputation at each beta the best one of each joint model, over its own",
        "betas, whose mean error is no larger.",
        "",
        *matched(runs, "reconstruction"),
        "",
        "The same where the error is that of a domain from its own posterior alone:",
        "",
        *matched(runs, "from itself"),
        "",
        "## The whole curves",
        "",
        "| model | beta | reconstruction error | error from itself | imputation from one, R² "
        "| from both others, R² |",
        "|---|---|---|---|---|---|",
    ]
    for model in MODELS:
        for beta in betas_of(model):
            cells = [plus_minus(over_seeds(runs, model, beta, figure)) for figure in FIGURES]
            lines.append(f"| {model} | {beta:g} | {' | '.join(cells)} |")
    cells = [plus_minus([run["plain workspace"][f] for run in runs]) for f in FIGURES]
    lines.append(f"| plain workspace | | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(runs: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Imputation against both errors, a curve over beta for each model."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    floor = -0.6
    panels = (
        (left, "reconstruction", "reconstruction error, as each model reconstructs"),
        (right, "from itself", "error of a domain from its own posterior alone"),
    )
    for axis, across, label in panels:
        for index, model in enumerate(MODELS):
            points = [
                [statistics.fmean(over_seeds(runs, model, b, f)) for b in betas_of(model)]
                for f in (across, "imputation")
            ]
            style = "-" if model not in JOINT else "--"
            axis.plot(*points, style, color=f"C{index}", marker="o", ms=4, lw=1.4, label=model)
            if points[1][0] > floor:
                axis.annotate(f"{betas_of(model)[0]:g}", (points[0][0], points[1][0]), fontsize=7)
        at = [
            statistics.fmean([r["plain workspace"][f] for r in runs])
            for f in (across, "imputation")
        ]
        axis.plot(*at, "k*", ms=9, label="plain workspace")
        axis.axhline(
            statistics.fmean([r["ridge"] for r in runs]), color="k", ls=":", lw=1, label="ridge"
        )
        axis.axhline(0, color="0.7", lw=0.8)
        axis.set(xlabel=label, ylim=(floor, None), xlim=(0, 1.05))
        axis.grid(alpha=0.2)
    left.set_ylabel("imputation of a domain from another, R²")
    left.legend(fontsize=8, loc="lower right")
    figure.suptitle("Each curve runs from its smallest beta (labelled) to 4; means over seeds")
    figure.savefig(file, dpi=130)


def main() -> None:
    """Measure, write the page, the figure and the claims."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "mmvm")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    args = parser.parse_args()
    runs = by_seed(one_seed, "mmvm", args, args.seeds)
    print(page(runs))
    if args.seeds < SEEDS:
        return
    keep("mmvm", runs, page(runs))
    draw(runs, RESULTS / "mmvm.png")
    shuffled = [run["shuffled"]["imputation"] for run in runs]
    for claim, values in (
        ("mmvm_imputation_r2", best_of(runs, PAIRWISE, "imputation")),
        ("mmvm_shuffled_r2", shuffled),
    ):
        record(claim, statistics.mean(values), min(values), max(values), "1", len(values), COMMAND)


if __name__ == "__main__":
    main()
