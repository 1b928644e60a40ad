"""One comparison on equal terms: who translates, retrieves and tells classes best, with few pairs.

    python tests/benchmarks/comparison.py     # about two hours of one core; goes on when stopped

Frozen latents of pictures and attributes of Simple Shapes (20,000 rows, 1,000 to judge by) and of
drawings and names of emoji (1,210, hence no more than 1,000 pairs, and 251 of other families). N
rows are matched, every other row has one domain only. All that is trained has the same bodies (two
layers of 256, 64 dimensions), batches and learning rate, and four settings to choose from: each is
tried for each N on a draw that is not reported, twice a fifth of its pairs is held out, and the
mean of translation error and retrieval error (1 less the mean reciprocal rank) of both directions
decides. Then five draws, all N pairs trained on. What sees matched rows alone takes 3.3 times as
many steps, each being cheaper.

`default` and `paper` are the core's recipes. FuseMix is the recipe `fusemix`, with classes mixed,
too, and contrastive alone the same without the mixing. MMVM is demi-cycles and the pairwise
regulariser, with a tenth of the standard normal. Contrastive alone, FuseMix and CCA have no
decoders: they translate by a kernel ridge regression from their states, fitted on the same pairs.
CCA takes covariances from every row; it, ridge and kernel ridge tune themselves by cross-validation
on the pairs of every draw, which costs them next to nothing. *Error*: squared error over variance
of latents, mean of both directions; a constant guess has 1. *R@5*: of both directions. *Class*: of
a picture (3 shapes; 8 categories of emoji), by a small network on its states that was trained on
those of 5,000 (1,210) labelled pictures; *across*: by one trained on states of the other domain,
which never saw a picture. What ridge and kernel ridge have for a state of a picture is what they
predict.

Writes docs/results/comparison.{md,json,png}.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import attrs
import torch
from globalworkspace_mmvm import MixturePrior
from results_page import RESULTS, head, keep, least_error, paragraph, plus_minus
from small_sets import SmallSet, quiet, small_set
from torch import Tensor

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig
from globalworkspace.closed_form import retrieval_error, split_folds
from globalworkspace.components import build_augmentations
from globalworkspace.evaluation.downstream import learn
from globalworkspace.evaluation.retrieval import recall_at, states
from globalworkspace.evaluation.translation import normalized_error, predict
from globalworkspace.kernel_ridge import kernel_ridge
from globalworkspace.label_efficiency import interval
from globalworkspace.label_efficiency.baselines import BASELINES
from globalworkspace.label_efficiency.jobs import run_jobs
from globalworkspace.label_efficiency.trainings import (
    shown_table,
    split_rows,
    table_of_rows,
)
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.recipes import COST_MATCHED, COST_PAPER, Recipe, recipe, usual_decay
from globalworkspace.standard_table import standardize_table

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "python tests/benchmarks/comparison.py"
SETS = {"shapes": "Simple Shapes", "emoji": "Emoji"}
PAIRS = {"shapes": (100, 500, 2500), "emoji": (100, 500, 1000)}
"""There are 1,210 emoji to train on."""
SEEDS, TUNING_SEED, FOLDS, TRIED = 5, 1000, 5, 2
LABELLED = 5000
FIGURES = ("error", "R@5", "class", "across")
TITLES = {
    "error": "error of translation",
    "R@5": "R@5",
    "class": "class of a picture",
    "across": "class of a picture, learnt in the other domain",
}
_CACHE: dict[str, Path] = {}


def _mmvm(pairs: int, steps: int, regulariser: float = 0.1) -> list[Any]:
    return [DemiCycle(1.0), MixturePrior(regulariser, alpha=0.1)]


def _contrastive(pairs: int, steps: int) -> list[Any]:
    return [Contrastive(1.0, learn_scale=True)]


CONTRASTIVE = attrs.evolve(
    recipe("fusemix"), name="contrastive alone", build=_contrastive, augmentations={}
)
MMVM_VAE = Recipe(
    name="mmvm",
    summary="demi-cycles and the MMVM VAE's regulariser",
    build=_mmvm,
    workspace={"fusion": "posteriors", "activation": "none"},
    cost=COST_PAPER,
)


LONG = {"length": 1.0, "decay": 1.0, "dropout": 0.0}
SHORT = {"length": 0.25, "decay": 10.0, "dropout": 0.3}


def settings(*own: Mapping[str, float]) -> list[dict[str, Any]]:
    """Two of a method's own, each at length, and short with dropout and more weight decay."""
    return [{**usual, "own": dict(some)} for some in own for usual in (LONG, SHORT)]


STEPS = {"shapes": 3000, "emoji": 1000}
"""Of length 1, in those of `default`."""
ALONE = [
    {"length": length, "decay": decay, "dropout": dropout, "own": {}}
    for length in (1.0, 0.1)
    for decay, dropout in ((1.0, 0.0), (10.0, 0.3))
]
TRAINED: dict[str, list[dict[str, Any]]] = {
    "default": settings({"contrastive": 0.1}, {"contrastive": 1.0}),
    "paper": settings({"cycles": 0.1}, {"cycles": 0.5}),
    "contrastive alone": ALONE,
    "FuseMix": ALONE,
    "MMVM": [
        {**LONG, "own": {"regulariser": regulariser}} for regulariser in (0.1, 0.03, 0.01, 0.003)
    ],
}
CLOSED = {"CCA": "cca, all rows", "ridge": "ridge", "kernel ridge": "kernel ridge"}
METHODS = (*TRAINED, *CLOSED)
LATENTS = "frozen latents"
WITHOUT_DECODERS = ("contrastive alone", "FuseMix", "CCA")


def tries(name: str, method: str) -> list[dict[str, Any]]:
    """The four settings that a method chooses from on a set."""
    if (name, method) == ("emoji", "MMVM"):  # at length alone it would only overfit
        return settings({"regulariser": 0.1}, {"regulariser": 0.03})
    return TRAINED[method]


def recipe_of(method: str) -> Recipe:
    """What a method trains by."""
    if method == "MMVM":
        return MMVM_VAE
    if method == "FuseMix":
        mixed = {"mixed": {"kind": "fusemix", "discrete": "mix"}}
        return attrs.evolve(recipe("fusemix"), augmentations=mixed)
    return CONTRASTIVE if method == "contrastive alone" else recipe(method)


@lru_cache(maxsize=1)
def _set(name: str) -> SmallSet:
    return small_set(name, _CACHE["home"])


@lru_cache(maxsize=1)
def labels(name: str) -> tuple[Tensor, Tensor]:
    """(training rows,) and (test rows,) classes."""
    data = _set(name)
    if name == "shapes":
        spec = data.specs["attributes"]
        shape = next(spec.slices()[p.name] for p in spec.parts if p.kind == "categorical")
        first, second = (
            part["attributes"][:, shape].argmax(dim=1) for part in (data.training, data.test)
        )
        return first, second
    told = []
    for part in ("train", "test"):
        with (_CACHE["home"] / "emoji" / "data" / part / "metadata.csv").open() as stream:
            told.append([row["category"] for row in csv.DictReader(stream)])
    known = sorted(set(told[0]) | set(told[1]))
    first, second = (torch.tensor([known.index(one) for one in some]) for some in told)
    return first, second


def start(cache: str) -> None:
    """What each process needs."""
    quiet()
    _CACHE["home"] = Path(cache)


@attrs.frozen(eq=False, kw_only=True)
class Joined:
    """Two domains as a method joins them."""

    states: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]
    """Standard latents of the first (second) domain -> what is compared by cosine."""
    translations: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]
    """First to second, second to first."""
    returning: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] | None = None
    """The states that are compared when the second is asked for, if others."""

    def compared(self, x: Tensor, y: Tensor, way: int) -> tuple[Tensor, Tensor]:
        """States of the asking domain and of the other one: way 0 asks with the first."""
        first, second = self.states if way == 0 or self.returning is None else self.returning
        found = first(x), second(y)
        return found if way == 0 else (found[1], found[0])


def trained(
    data: SmallSet, method: str, known: Table, pairs: int, choice: Mapping[str, Any], seed: int
) -> GlobalWorkspace:
    """A workspace."""
    used = recipe_of(method)
    length = STEPS["emoji" if "photo" in data.specs else "shapes"] * choice["length"]
    steps = round(length / (used.cost if used.cost == COST_MATCHED else 1))
    networks = dict.fromkeys(data.specs, "gaussian-mlp" if method == "MMVM" else "mlp")
    workspace = GlobalWorkspace(
        data.domains,
        dim=64,
        hidden_dim=256,
        num_layers=2,
        dropout=choice["dropout"],
        networks=networks,
        seed=seed,
        **used.workspace,
    )
    config = TrainerConfig(
        **{
            "batch_size": 128,
            "unmatched_batch_size": 128,
            "learning_rate": 3e-3,
            **used.training,
            "keep": "last",
        },
        steps=steps,
        weight_decay=usual_decay(pairs) * choice["decay"],
        seed=seed,
        device="cpu",
        progress=False,
    )
    augmentations = build_augmentations(used.augmentations)
    trainer = Trainer(
        config, used.objectives(pairs, steps, **choice["own"]), augmentations=augmentations
    )
    trainer.fit(workspace, known, latents=True)
    return workspace


def joined_by_training(workspace: GlobalWorkspace, known: Table, method: str) -> Joined:
    """What a trained workspace makes of its two domains."""
    names = list(workspace.domains)

    def state(name: str) -> Callable[[Tensor], Tensor]:
        def of(latents: Tensor) -> Tensor:
            rows = torch.arange(len(latents))
            return states(workspace, Table.from_columns({name: latents}), name, rows).double()

        return of

    def decoded(source: str, target: str) -> Callable[[Tensor], Tensor]:
        def of(latents: Tensor) -> Tensor:
            rows = torch.arange(len(latents))
            table = Table.from_columns({source: latents})
            return predict(workspace, table, (source,), target, rows).double()

        return of

    both = state(names[0]), state(names[1])
    there, back = (decoded(a, b) for a, b in (names, names[::-1]))
    made = Joined(states=both, translations=(there, back))
    if method not in WITHOUT_DECODERS:
        return made
    standard = standardize_table(workspace, known)
    x, y = (standard[name].take(standard.matched_rows()) for name in names)
    return with_readout(made, x, y)


def with_readout(made: Joined, x: Tensor, y: Tensor) -> Joined:
    """Translations by kernel ridge regression from the states of matched rows."""
    states_of_x, states_of_y = made.compared(x, y, 0)[0], made.compared(x, y, 1)[0]
    to_second, to_first = kernel_ridge(states_of_x, y), kernel_ridge(states_of_y, x)
    return attrs.evolve(
        made,
        translations=(
            lambda latents: to_second(made.compared(latents, y[:1], 0)[0]),
            lambda latents: to_first(made.compared(x[:1], latents, 1)[0]),
        ),
    )


def joined_in_closed_form(
    workspace: GlobalWorkspace, known: Table, method: str, seed: int
) -> Joined:
    """The same of a closed form, on the latents that the workspace standardises."""
    standard = standardize_table(workspace, known)
    names = list(standard)
    matched = standard.matched_rows()
    pairs = {name: standard[name].take(matched) for name in names}
    everything = {
        name: standard[name].take(standard[name].present.nonzero().flatten()) for name in names
    }
    made = BASELINES[CLOSED[method]]
    ways = [made(pairs, everything, a, b, seed) for a, b in (names, names[::-1])]

    def asking(way: int) -> Callable[[Tensor], Tensor]:
        translate, compare = ways[way]
        other = everything[names[1 - way]][:1]
        return lambda latents: compare(latents, other, translate(latents))[0]

    def answering(way: int) -> Callable[[Tensor], Tensor]:
        translate, compare = ways[way]
        other = everything[names[way]][:1]
        return lambda latents: compare(other, latents, translate(other))[1]

    found = Joined(
        states=(asking(0), answering(0)),
        translations=(ways[0][0], ways[1][0]),
        returning=(answering(1), asking(1)),
    )
    return with_readout(found, *pairs.values()) if method in WITHOUT_DECODERS else found


def held_out_error(data: SmallSet, method: str, pairs: int, choice: Mapping[str, Any]) -> float:
    """Mean of translation error and retrieval error of held-out pairs, both directions."""
    matched, alone = _rows(data, pairs, TUNING_SEED)
    errors = []
    for training, held in split_folds(pairs, FOLDS, TUNING_SEED)[:TRIED]:
        known = table_of_rows(data.training, matched[training], alone)
        workspace = trained(data, method, known, len(training), choice, TUNING_SEED)
        made = joined_by_training(workspace, known, method)
        x, y = standard_latents(workspace, data.training, matched[held])
        errors += [*translation_errors(workspace, made, x, y)]
        errors += [retrieval_error(*made.compared(x, y, way)) for way in (0, 1)]
    return statistics.mean(errors)


def translation_errors(
    workspace: GlobalWorkspace, made: Joined, x: Tensor, y: Tensor
) -> tuple[float, float]:
    """There and back."""
    second, first = (workspace.spec(name) for name in list(workspace.domains)[::-1])
    there = normalized_error(made.translations[0](x), y, second).mean()
    return float(there), float(normalized_error(made.translations[1](y), x, first).mean())


def standard_latents(
    workspace: GlobalWorkspace, latents: Mapping[str, Tensor], rows: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Standard latents of both domains."""
    some = {name: x if rows is None else x[rows] for name, x in latents.items()}
    standard = standardize_table(workspace, Table.from_columns(some))
    first, second = (standard[name].take(torch.arange(len(standard))) for name in standard)
    return first, second


def _rows(data: SmallSet, pairs: int, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
    number = len(next(iter(data.training.values())))
    return split_rows(number, list(data.specs), pairs, pairs, seed)


def work(job: dict[str, Any]) -> dict[str, Any]:
    """The outcome of one job."""
    data, pairs, method = _set(job["set"]), job["pairs"], job["method"]
    if "judged" in job:
        return {"error": held_out_error(data, method, pairs, job["judged"])}
    seed = job["seed"]
    if method == LATENTS:
        return {"class": class_of_latents(job["set"], seed)}
    known = shown_table(data.training, pairs, pairs, seed)
    if method in TRAINED:
        workspace = trained(data, method, known, pairs, job["setting"], seed)
        made = joined_by_training(workspace, known, method)
    else:
        workspace = GlobalWorkspace(data.domains, dim=1)
        present = {name: known[name].present.nonzero().flatten() for name in known}
        workspace.fit_standardizers({name: known[name].take(present[name]) for name in known})
        made = joined_in_closed_form(workspace, known, method, seed)
    return judged(workspace, made, job["set"], seed)


def class_of_latents(name: str, seed: int) -> float:
    """Accuracy of the same network on the pictures' frozen latents."""
    data, (learnt, asked) = _set(name), labels(name)
    picture = next(iter(data.specs))
    given = data.training[picture][:LABELLED]
    network = learn(given, learnt[: len(given)], steps=1000, seed=seed)
    return network.score(data.test[picture], asked)


def judged(workspace: GlobalWorkspace, made: Joined, name: str, seed: int) -> dict[str, Any]:
    """The FIGURES on test rows; errors and R@5 of each direction."""
    data = _set(name)
    learnt, asked = labels(name)
    x, y = standard_latents(workspace, data.test)
    sides = standard_latents(workspace, data.training, torch.arange(min(LABELLED, len(learnt))))
    own, other = made.compared(*sides, 0)
    of_pictures, _ = made.compared(x, y, 0)
    recalls = []
    for way in (0, 1):
        asking, answers = (torch.nn.functional.normalize(s) for s in made.compared(x, y, way))
        recalls.append(recall_at(asking @ answers.T)[5])
    probes = [
        learn(given.float(), learnt[: len(given)], steps=1000, seed=seed).score(
            of_pictures.float(), asked
        )
        for given in (own, other)
    ]
    errors = translation_errors(workspace, made, x, y)
    return {"error": errors, "R@5": recalls, "class": probes[0], "across": probes[1]}


def measured(args: argparse.Namespace) -> list[dict[str, Any]]:
    """All lines: tuning first, then the draws that are reported."""
    args.cache.mkdir(parents=True, exist_ok=True)
    for name in SETS:
        small_set(name, args.data)
    options: dict[str, Any] = {
        "start": start,
        "start_args": (str(args.data),),
        "workers": args.workers,
        "what": "comparison",
    }

    def done(jobs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        keyed = {json.dumps(job, sort_keys=True): job for job in jobs}
        return run_jobs(keyed, work, args.cache / "comparison.jsonl", **options)

    cells: list[dict[str, Any]] = [
        {"set": name, "pairs": pairs, "method": method}
        for name in SETS
        for pairs in PAIRS[name]
        for method in METHODS
    ]
    tuned = done(
        [
            {**cell, "judged": choice}
            for cell in cells
            if cell["method"] in TRAINED
            for choice in tries(cell["set"], cell["method"])
        ]
    )
    chosen = least_error(tuned, ("set", "pairs", "method"))
    jobs: list[dict[str, Any]] = [
        {**cell, "seed": seed}
        | ({"setting": chosen[tuple(cell.values())]["judged"]} if cell["method"] in TRAINED else {})
        for seed in range(SEEDS)
        for cell in cells
    ]
    jobs += [
        {"set": name, "pairs": 0, "method": LATENTS, "seed": seed}
        for name in SETS
        for seed in range(SEEDS)
    ]
    return done(jobs)


Cell = tuple[str, int, str]


def values(lines: Sequence[Mapping[str, Any]], figure: str) -> dict[Cell, list[float]]:
    """(set, pairs, method) -> a figure of the draws in order, mean of both directions."""
    found: dict[Cell, dict[int, float]] = {}
    for line in lines:
        if figure not in line:
            continue
        value = line[figure]
        value = statistics.mean(value) if isinstance(value, list) else value
        found.setdefault((line["set"], line["pairs"], line["method"]), {})[line["seed"]] = value
    return {cell: [by[seed] for seed in sorted(by)] for cell, by in found.items()}


def page(lines: Sequence[Mapping[str, Any]]) -> str:
    """The page; bold: the best mean of a column, and what is not shown to differ from it."""
    text = head("A comparison on equal terms", COMMAND, paragraph(__doc__, 2))
    text += [*paragraph(__doc__, 3).splitlines(), "", "![Four figures](comparison.png)", ""]
    text += [
        "Means of five draws ± half of the 95 % interval. Bold: the best, and whatever is not shown"
        " to be worse, draw by draw.",
        "",
    ]
    for name, title in SETS.items():
        text += [f"## {title}", ""]
        for figure in FIGURES:
            found = values(lines, figure)
            columns = PAIRS[name]
            text += [f"| {TITLES[figure]} | " + " | ".join(f"{n:,} pairs" for n in columns) + " |"]
            text += ["|---" * (len(columns) + 1) + "|"]
            bold = {n: best(found, name, n, figure) for n in columns}
            for method in METHODS:
                cells = [
                    f"**{cell}**" if method in bold[n] else cell
                    for n in columns
                    for cell in [plus_minus(found[name, n, method])]
                ]
                text.append(f"| {method} | {' | '.join(cells)} |")
            text.append("")
            if figure == "class":
                alone = plus_minus(found[name, 0, LATENTS])
                text += [f"The same network on the frozen latents of pictures: {alone}.", ""]
    return "\n".join(text + directions(lines) + choices(lines))


def best(found: Mapping[Cell, list[float]], name: str, pairs: int, figure: str) -> set[str]:
    """The methods that may be the best."""
    sign = 1 if figure == "error" else -1
    means = {m: sign * statistics.mean(found[name, pairs, m]) for m in METHODS}
    first = min(means, key=lambda m: means[m])
    equal = {first}
    for method in METHODS:
        worse = [
            sign * (a - b)
            for a, b in zip(found[name, pairs, method], found[name, pairs, first], strict=True)
        ]
        if interval(worse)[1] <= 0:
            equal.add(method)
    return equal


def directions(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Errors of each direction."""
    text = ["## Each direction", "", "Error of translation, means of five draws, there / back.", ""]
    for name, title in SETS.items():
        columns = PAIRS[name]
        text += [f"| {title} | " + " | ".join(f"{n:,} pairs" for n in columns) + " |"]
        text += ["|---" * (len(columns) + 1) + "|"]
        for method in METHODS:
            cells = []
            for pairs in columns:
                some = [
                    line["error"]
                    for line in lines
                    if (line["set"], line["pairs"], line["method"]) == (name, pairs, method)
                ]
                ways = zip(*some, strict=True)
                cells.append(" / ".join(f"{statistics.mean(way):.3f}" for way in ways))
            text.append(f"| {method} | {' | '.join(cells)} |")
        text.append("")
    return text


def tried() -> list[str]:
    """What each method could choose from."""
    text = ["| | set | tried |", "|---|---|---|"]
    for method in TRAINED:
        for name, title in SETS.items():
            told = "; ".join(worded(setting) for setting in tries(name, method))
            text.append(f"| {method} | {title} | {told} |")
    return [*text, ""]


def worded(setting: Mapping[str, Any]) -> str:
    """A setting in words."""
    told = {**setting, **setting["own"]}
    return ", ".join(f"{key} {told[key]:g}" for key in told if key != "own")


def choices(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """What tuning chose."""
    text = [
        "## What tuning chose",
        "",
        *tried(),
        "| | set | pairs | setting |",
        "|---|---|---|---|",
    ]
    seen = {}
    for line in lines:
        if "setting" in line:
            seen[line["method"], line["set"], line["pairs"]] = line["setting"]
    for (method, name, pairs), choice in sorted(seen.items()):
        text.append(f"| {method} | {SETS[name]} | {pairs:,} | {worded(choice)} |")
    return [
        *text,
        "",
        f"Decay is a factor of the usual one; length 1 is {STEPS['shapes']:,} steps on "
        f"shapes and {STEPS['emoji']:,} on emoji, in those of `default`.",
        "",
    ]


def draw(lines: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Every figure against pairs, a row for each set."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 7), layout="constrained")
    grid = figure.subplots(len(SETS), len(FIGURES))
    for row, (name, title) in zip(grid, SETS.items(), strict=True):
        for axis, what in zip(row, FIGURES, strict=True):
            found = values(lines, what)
            for index, method in enumerate(METHODS):
                means, lows, highs = zip(
                    *(interval(found[name, n, method]) for n in PAIRS[name]), strict=True
                )
                style = "o-" if method in TRAINED else ".--"
                axis.plot(PAIRS[name], means, style, color=f"C{index}", label=method, ms=4, lw=1.4)
                axis.fill_between(PAIRS[name], lows, highs, color=f"C{index}", alpha=0.12, lw=0)
            axis.set(xscale="log", title=f"{title}\n{TITLES[what]}", xlabel="matched rows")
            if (name, what) == ("shapes", "error"):
                axis.set(yscale="log")
            axis.title.set_fontsize(9)
            axis.set_xticks(PAIRS[name], [f"{n:,}" for n in PAIRS[name]])
            axis.minorticks_off()
            axis.grid(True, alpha=0.2)
    grid[0][0].legend(fontsize=7)
    figure.savefig(file, dpi=120)


def main() -> None:
    """Measure, and write page and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "comparison")
    parser.add_argument("--data", type=Path, default=ROOT / "runs" / "fusemix")
    parser.add_argument("--workers", type=int, default=None)
    args = parser.parse_args()
    quiet()
    lines = json.loads(json.dumps(measured(args)))
    keep("comparison", lines, page(lines))
    draw(lines, RESULTS / "comparison.png")
    print((RESULTS / "comparison.md").read_text())


if __name__ == "__main__":
    main()
