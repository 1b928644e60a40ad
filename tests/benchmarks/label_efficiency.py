"""How many pairs each recipe needs: pictures and attributes of Simple Shapes, the fair protocol.

Every recipe and every closed form sees the same rows: N matched ones of 500,000 (held-out ones
counted), the others in one domain only, half of them each. Every recipe has the same networks, the
same number of settings tried for each N on a seed of its own and chosen on held-out matched rows,
and as much compute. Errors are normalised squared errors of latents on 10,000 test rows. JMVAE and
MoPoE are multivae's, with our networks' bodies (multivae_baselines.py), on three seeds; all else
is on five.

    python tests/benchmarks/label_efficiency.py             # hours; goes on where it was stopped
    python tests/benchmarks/label_efficiency.py --page      # the page from what is there

Writes docs/results/label-efficiency/fair.jsonl as results arrive, then
docs/results/label-efficiency.md, its figure, and the pairs_factor_ figures of claims.json.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import statistics
from pathlib import Path
from typing import Any

import attrs
import torch
from claims import record
from globalworkspace_shapes.dataset import attribute_columns, load
from results_page import RESULTS, head, paragraph
from safetensors.torch import load_file, save_file

from globalworkspace import DomainModule, Table
from globalworkspace.label_efficiency import (
    Grid,
    error_ratio,
    interval,
    label_efficiency,
    pairs_factor,
)
from globalworkspace.label_efficiency.figure import curves, draw
from globalworkspace.label_efficiency.grid import RESULTS as LINES
from globalworkspace.label_efficiency.jobs import read_lines
from globalworkspace.label_efficiency.text import factor_lines, level_lines, table_lines
from globalworkspace.pretrained import build_domain, load_domain
from globalworkspace.recipes import recipe

ROOT = Path(__file__).parents[2]
HOME = RESULTS / "label-efficiency"
ROWS, CHUNK, TEST_ROWS = 500_000, 50_000, 10_000
PAIRS = (50, 100, 200, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000)
JUDGED_AT = (500, 1000, 2500)
FEWEST_SEEDS = 3
"""Before a figure is a claim."""
TO_ATTRIBUTES, TO_PICTURE = "picture -> attributes", "attributes -> picture"
COMMAND = "python tests/benchmarks/label_efficiency.py"
SHARED = Grid(
    pairs=PAIRS,
    seeds=5,
    steps=16_000,
    tuning_steps=6_000,
    reserved=PAIRS[-1],
    training={
        "batch_size": 128,
        "unmatched_batch_size": 256,
        "learning_rate": 1e-2,
        "compile": True,
    },
    workspace={"dim": 32, "hidden_dim": 128},
)
GRIDS = (
    attrs.evolve(SHARED, recipes=("supervised",), tune_at=(100, 1000, 10_000)),
    attrs.evolve(SHARED, recipes=("default",), pairs=PAIRS[:-2], tune_at=(100, 1000)),
    attrs.evolve(
        SHARED,
        recipes=("paper",),
        pairs=(200, 500, 1000, 2500, 5000, 10_000),
        tune_at=(100, 1000),
    ),
)
"""`default` is `supervised` from 20,000 matched rows on, and is not trained a second time."""
ABLATED = {
    "default": "ours",
    "default(cycles=0)": "ours without late cycles",
    "default(synthetic=0)": "ours without synthetic pairs",
    "default(contrastive=0)": "ours without contrastive",
    "supervised": "translation and contrastive",
    "translation-only": "translation alone",
    "paper": "the paper's four families",
    "no-cycles": "the paper without cycles",
    "no-demi-cycles": "the paper without demi-cycles",
    "no-workspace": "the paper without a workspace: direct translators, translation and cycles",
}
ABLATED_AT = 1000
ABLATION = attrs.evolve(
    SHARED, pairs=(ABLATED_AT,), recipes=tuple(ABLATED), tune_at=(ABLATED_AT,), baselines=()
)


def specialists() -> dict[str, DomainModule]:
    """The frozen domain modules."""
    return {
        "picture": load_domain("package:globalworkspace_shapes/weights/picture"),
        "attributes": build_domain("attributes", {"columns": attribute_columns()}),
    }


def latents(split: str, rows: int, cache: Path) -> Table:
    """Latents of shapes, made and encoded in chunks of a seed each; kept in the cache."""
    modules = specialists()
    prints = "".join(module.fingerprint() for module in modules.values())
    pieces: list[dict[str, torch.Tensor]] = []
    for seed in range(math.ceil(rows / CHUNK)):
        number = min(CHUNK, rows - seed * CHUNK)
        name = hashlib.sha256(f"{split} {number} {seed} {prints}".encode()).hexdigest()[:16]
        file = cache / f"{name}.safetensors"
        if not file.exists():
            cache.mkdir(parents=True, exist_ok=True)
            save_file(encoded(modules, load(split, number, seed, domains=list(modules))), file)
        pieces.append(load_file(file))
    return Table.from_columns({n: torch.cat([piece[n] for piece in pieces]) for n in modules})


@torch.no_grad()
def encoded(modules: dict[str, DomainModule], table: Table) -> dict[str, torch.Tensor]:
    """Latents of a raw table."""
    pictures = table["picture"].cells
    found = torch.cat([modules["picture"].encode(some) for some in pictures.split(500)])
    attributes = modules["attributes"].encode(table["attributes"].cells)
    return {"picture": found.float().contiguous(), "attributes": attributes.float().contiguous()}


def claims(lines: list[dict[str, Any]]) -> list[str]:
    """Record the headline figures; each as a line of text."""
    text = []
    names = {
        "pairs_factor_default_vs_supervised_to_attributes": ("supervised", TO_ATTRIBUTES),
        "pairs_factor_default_vs_supervised_to_picture": ("supervised", TO_PICTURE),
        "pairs_factor_default_vs_paper": ("paper", None),
    }
    for claim, (reference, direction) in names.items():
        found = curves(lines, direction)
        ours = found.get("default", {})
        if any(len(ours.get(n, [])) < FEWEST_SEEDS for n in JUDGED_AT) or reference not in found:
            continue
        factors = [pairs_factor(found["default"], found[reference], n) for n in JUDGED_AT]
        values = [min(f.value, f.at_least) for f in factors]
        middle = factors[values.index(statistics.median(values))]
        value, low, high = (
            min(v, middle.at_least) for v in (middle.value, middle.low, middle.high)
        )
        record(claim, value, low, high, "x", len(found["default"][500]), COMMAND)
        text.append(f"- {claim}: " + "; ".join(f"N = {f.pairs:,}: {f}" for f in factors))
    return text + worst_ratio(lines)


def worst_ratio(lines: list[dict[str, Any]]) -> list[str]:
    """Record the largest ratio of errors, over all N and directions; its line of text."""
    trained, number = [], 0
    for direction in (TO_ATTRIBUTES, TO_PICTURE):
        found = curves(lines, direction)
        for pairs, errors in found.get("default", {}).items():
            reference = found.get("supervised", {}).get(pairs, [])
            number = min(len(errors), len(reference))
            if number >= FEWEST_SEEDS:
                ratio = error_ratio(errors[:number], reference[:number])
                trained.append((ratio, f"N = {pairs:,}, {direction}"))
    if not trained:
        return []
    faded = [n for n in PAIRS if recipe("default").for_pairs(n) is recipe("supervised")]
    same = [((1.0, 1.0, 1.0), f"N = {n:,}") for n in faded]
    (_, low, high), _ = max([*trained, *same], key=lambda w: w[0][1])
    record("default_worst_ratio_to_supervised", low, low, high, "x", number, COMMAND)
    (ratio, low, high), where = max(trained, key=lambda w: w[0][1])
    return [
        f"- default_worst_ratio_to_supervised: the error of `default` over that of `supervised` is "
        f"{ratio:.3f} ({low:.3f} to {high:.3f}) where it is worst, at {where}; at "
        f"{' and '.join(f'{n:,}' for n in faded)} both are the same training, which is not repeated"
    ]


def page(lines: list[dict[str, Any]]) -> None:
    """Write the page, its figure and the claims."""
    whole = {name for grid in GRIDS for name in grid.recipes}
    shown = [line for line in lines if "baseline" in line or line["recipe"] in whole]
    draw(shown, HOME / "fair.png", title="Simple Shapes: pictures and attributes")
    text = head("Label efficiency", COMMAND, paragraph(__doc__, 1))
    text += ["![error against pairs](label-efficiency/fair.png)", "", *claims(lines), "", "```"]
    factors = [*factor_lines(shown), "", *factor_lines(shown, "paper", ["supervised"])]
    tables = [*table_lines(shown), "", *level_lines(shown), "", *factors]
    text += [*tables, "```", ""]
    text += ablation(lines)
    notes = HOME / "notes.md"
    if notes.exists():
        text += [notes.read_text()]
    (RESULTS / "label-efficiency.md").write_text("\n".join(text))


def ablation(lines: list[dict[str, Any]]) -> list[str]:
    """What each ingredient is worth."""
    found = {name: curves(lines, name) for name in (TO_ATTRIBUTES, TO_PICTURE)}
    rows = []
    for name, label in ABLATED.items():
        cells = []
        for curve in found.values():
            errors = curve.get(name, {}).get(ABLATED_AT, [])
            if len(errors) > 1:
                mean, low, high = interval(errors)
                cells.append(f"{mean:.4f} ({low:.4f} to {high:.4f})")
        if len(cells) == len(found):
            rows.append(f"| `{name}`: {label} | {' | '.join(cells)} |")
    if not rows:
        return []
    return [
        f"## Ablation, {ABLATED_AT:,} matched rows",
        "",
        "Means over seeds with their 95 % intervals; each tuned and trained as above.",
        "",
        "| recipe | picture to attributes | attributes to picture |",
        "|---|---|---|",
        *rows,
        "",
    ]


def done() -> list[dict[str, Any]]:
    """The reported lines that are there; the grids need not be whole."""
    read = [
        *read_lines(HOME / "fair.jsonl").values(),
        *read_lines(HOME / "multivae.jsonl").values(),
    ]
    return [line for line in read if line["seed"] < SHARED.seeds]


def main() -> None:
    """Train what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "label-efficiency")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--page", action="store_true", help="train nothing")
    args = parser.parse_args()
    HOME.mkdir(parents=True, exist_ok=True)
    if not args.page:
        train(args.cache, args.workers)
    page(done())


def train(cache: Path, workers: int | None) -> None:
    """Train what is missing, one seed of everything after the other."""
    cache.mkdir(parents=True, exist_ok=True)
    kept, link = HOME / "fair.jsonl", cache / LINES
    kept.touch()
    if not link.exists():  # the results themselves are kept where they are committed
        link.symlink_to(kept)
    training, test = latents("train", ROWS, cache), latents("test", TEST_ROWS, cache)
    for seeds in range(1, SHARED.seeds + 1):
        for grid in GRIDS:
            baselines = grid.baselines if grid is GRIDS[0] else ()
            some = attrs.evolve(grid, seeds=seeds, baselines=baselines)
            label_efficiency(specialists(), training, test, some, cache, workers=workers)
        ablated = attrs.evolve(ABLATION, seeds=seeds)
        label_efficiency(specialists(), training, test, ablated, cache, workers=workers)


if __name__ == "__main__":
    main()
