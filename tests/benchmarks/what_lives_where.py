"""What lives where: shares that are known are found, and what the states of Simple Shapes hold.

    python tests/benchmarks/what_lives_where.py       # a quarter of an hour

*Known*: two domains of eight columns, of which none to all are the same two domains over and the
others their own, each seen through a rotation of its own; 2,000 rows train a workspace (translation
and demi-cycle, 1,500 steps), 1,000 others judge what its states say is shared and private. *Simple
Shapes*: pictures, captions and attributes (the shipped VAE, MiniLM, columns), 2,500 rows of 20,000
matched, each other one in one domain; `default` and contrastive alone, 2,000 steps, judged by 1,000
test rows. Five seeds each.

Writes docs/results/what-lives-where.{md,json,png}.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import questions
import torch
from results_page import RESULTS, by_seed, head, keep, paragraph, plus_minus
from selection import config, domains_of, rows
from small_sets import quiet
from torch import Tensor

from globalworkspace import GlobalWorkspace, Table, Trainer
from globalworkspace.evaluation.base import HeldOut
from globalworkspace.evaluation.disentanglement import SCORES
from globalworkspace.evaluation.factors import disentanglement, factors
from globalworkspace.given_latents import GivenLatents
from globalworkspace.latents import LatentSpec
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.translation import Translation
from globalworkspace.randomness import derived_generator
from globalworkspace.recipes import recipe, usual_decay

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "python tests/benchmarks/what_lives_where.py"
SEEDS, WIDTH, SHARED = 5, 8, (0, 2, 4, 6, 8)
KNOWN_ROWS, KNOWN_STEPS = {"training": 2000, "test": 1000}, 1500
PAIRS, STEPS = 2500, 2000
RECIPES = {"default": "default", "contrastive-only": "contrastive alone"}


def known_cells(shared: int, seed: int) -> dict[str, Tensor]:
    """Two domains (rows, WIDTH) with so many columns in common, each rotated by itself."""
    chance = derived_generator(seed, "what lives where", shared)
    number = sum(KNOWN_ROWS.values())
    common = torch.randn(number, shared, generator=chance)
    cells = {}
    for name in ("left", "right"):
        own = torch.randn(number, WIDTH - shared, generator=chance)
        rotation = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=chance)).Q
        cells[name] = torch.cat([common, own], dim=1) @ rotation
    return cells


def known_seed(job: dict[str, Any]) -> dict[str, Any]:
    """Columns in common -> what the evaluation says of both domains."""
    quiet()
    found = {}
    for shared in SHARED:
        cells = known_cells(shared, job["seed"])
        first = KNOWN_ROWS["training"]
        training, test = (
            Table.from_columns({name: values[part] for name, values in cells.items()})
            for part in (slice(first), slice(first, None))
        )
        domains = {name: GivenLatents(LatentSpec.continuous(WIDTH)) for name in cells}
        workspace = GlobalWorkspace(domains, dim=24, seed=job["seed"])
        Trainer(config(KNOWN_STEPS, job["seed"]), [Translation(1.0), DemiCycle(1.0)]).fit(
            workspace, training, latents=True
        )
        found[str(shared)] = factors(workspace, HeldOut(raw=test, latents=test))["domains"]
    return found


def shapes_seed(job: dict[str, Any]) -> dict[str, Any]:
    """Recipe -> both evaluations on Simple Shapes."""
    quiet()
    questions.start(job["cache"])
    cells, seed = rows("training"), job["seed"]
    known = Table.from_columns(cells).match(PAIRS, seed=seed, unmatched="disjoint")
    test = Table.from_columns(rows("test"))
    found = {}
    for name in RECIPES:
        chosen = recipe(name).for_pairs(PAIRS)
        workspace = GlobalWorkspace(domains_of(cells), dim=64, hidden_dim=256, seed=seed)
        settings = {**chosen.training, "weight_decay": usual_decay(PAIRS)}
        Trainer(config(STEPS, seed, **settings), chosen.objectives(PAIRS, STEPS)).fit(
            workspace, known, latents=True
        )
        held_out = HeldOut(raw=test, latents=test)
        found[name] = factors(workspace, held_out) | {
            "scores": disentanglement(workspace, held_out)["scores"]
        }
    return found


Lines = Sequence[Mapping[str, Any]]


def known_table(lines: Lines) -> list[str]:
    """A line for each number of columns in common; each domain of each seed is a case."""
    text = [
        "| in common | shared | private | not above chance: shared | private |",
        "|---" * 5 + "|",
    ]
    for shared in SHARED:
        cases = [domain for line in lines for domain in line[str(shared)].values()]
        by_key = {key: [case[key] for case in cases] for key in ("shared", "private")}
        none = [f"{sum(v == 0 for v in values)} of {len(values)}" for values in by_key.values()]
        both = [plus_minus(values) for values in by_key.values()]
        text.append(f"| {shared / WIDTH:.2f} | {' | '.join([*both, *none])} |")
    return [*text, ""]


def factors_of(lines: Lines, name: str) -> dict[str, dict[str, list[float]]]:
    """Domain whose states tell -> factor -> R² of each seed."""
    first = lines[0][name]["factors"]
    return {
        source: {
            factor: [line[name]["factors"][source][factor]["explained"] for line in lines]
            for factor in told
        }
        for source, told in first.items()
    }


def shapes_tables(lines: Lines, name: str) -> list[str]:
    """Factors by domain, the shares of each domain, and the scores."""
    told = factors_of(lines, name)
    text = [f"| factor | {' | '.join(f'states of {source}' for source in told)} |"]
    text.append("|---" * (len(told) + 1) + "|")
    for factor in next(iter(told.values())):
        cells = [plus_minus(of[factor]) for of in told.values()]
        text.append(f"| {factor.removeprefix('attributes: ')} | {' | '.join(cells)} |")
    chance = max(
        told["null"]
        for line in lines
        for of in line[name]["factors"].values()
        for told in of.values()
    )
    text += ["", f"The largest null of any of these is {chance:.3f}.", ""]
    text += [f"| | {' | '.join(told)} |", "|---" * (len(told) + 1) + "|"]
    for key in ("own", "shared", "private"):
        cells = []
        for domain in told:
            of = [line[name]["domains"][domain][key] for line in lines]
            cells.append(plus_minus([x["explained"] if key == "own" else x for x in of]))
        text.append(f"| {key} | {' | '.join(cells)} |")
    for score in SCORES:
        cells = [plus_minus([line[name]["scores"][d][score] for line in lines]) for d in told]
        text.append(f"| {score} | {' | '.join(cells)} |")
    return [*text, ""]


def page(known: Lines, shapes: Lines) -> str:
    """The page."""
    text = head("What lives where", COMMAND, paragraph(__doc__, 2))
    text += ["± is half of the 95 % interval over seeds.", "", "## Known shares", ""]
    text += ["R² of a domain's standard latents that `factors` calls shared and private; the true "]
    text[-1] += "shares are the first column and what it lacks to 1. Two domains of each seed."
    text += ["", *known_table(known)]
    text += ["## Simple Shapes", "", "![factors by domain](what-lives-where.png)", ""]
    for name, title in RECIPES.items():
        text += [f"### {title}", "", *shapes_tables(shapes, name)]
    return "\n".join(text)


def draw(lines: Lines, file: Path) -> None:
    """R² of each factor by the states of each domain, a panel for each recipe."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.4), layout="constrained")
    for axis, (name, title) in zip(figure.subplots(len(RECIPES), 1), RECIPES.items(), strict=True):
        told = factors_of(lines, name)
        means = [[statistics.mean(values) for values in of.values()] for of in told.values()]
        axis.imshow(means, cmap="viridis", vmin=0, vmax=1, aspect="auto")
        for row, values in enumerate(means):
            for column, value in enumerate(values):
                color = "black" if value > 0.6 else "white"
                axis.text(column, row, f"{value:.2f}", ha="center", va="center", color=color)
        names = [factor.removeprefix("attributes: ") for factor in next(iter(told.values()))]
        axis.set_xticks(range(len(names)), names)
        axis.set_yticks(range(len(told)), [f"states of {source}" for source in told])
        axis.set_title(f"{title}: R² of each factor", fontsize=10)
    figure.savefig(file, dpi=130)


def main() -> None:
    """Measure, and write page and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "questions")
    parser.add_argument("--workers", type=int, default=None)
    args = parser.parse_args()
    quiet()
    known = by_seed(known_seed, "what-lives-where-known", args, SEEDS)
    questions.start(str(args.cache))
    questions.latents("shapes")
    shapes = by_seed(shapes_seed, "what-lives-where-shapes", args, SEEDS)
    keep("what-lives-where", {"known": known, "shapes": shapes}, page(known, shapes))
    draw(shapes, RESULTS / "what-lives-where.png")
    print((RESULTS / "what-lives-where.md").read_text())


if __name__ == "__main__":
    main()
