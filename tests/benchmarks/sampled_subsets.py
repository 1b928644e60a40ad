"""Sampling the sets of domains that are fused, against walking all of them.

    python tests/benchmarks/sampled_subsets.py

Simple Shapes in four domains (picture, sentence, attributes, sound; the shipped modules): 4,000
matched rows for training, 1,000 for the test. The same workspace is trained for the same number of
steps with `subsets="every"` (translation from all 7 sets of the other domains to each, fusion of
all sets of two domains and more: 28 and 28 routes for every row) and with `subsets="sampled"` (4
and 4 routes, a set drawn for each row), from the same first weights and batches. The error is
normalised: 0 is perfect, 1 a constant guess; it is the mean over all directions from one domain,
and over all sets of the others. Nothing is chosen on validation rows; the last weights are judged.

Writes docs/results/sampled-subsets.{md,json}.
"""

from __future__ import annotations

import argparse
import statistics
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from globalworkspace_shapes.dataset import attribute_columns, load
from results_page import head, keep, paragraph

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig, encode_table
from globalworkspace.data.latent_store import LatentStore
from globalworkspace.evaluation.translation import normalized_error, predict
from globalworkspace.objectives.base import Subsets
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.fused import Fused
from globalworkspace.objectives.translation import Translation
from globalworkspace.pretrained import build_domain, load_domain
from globalworkspace.standard_table import standardize_table

ROOT = Path(__file__).parents[2]
COMMAND = "python tests/benchmarks/sampled_subsets.py"
NAMES = ("picture", "caption", "attributes", "sound")
WEIGHTS = "package:globalworkspace_shapes/weights/{}"
WAYS: tuple[Subsets, ...] = ("every", "sampled")
ROWS, TEST_ROWS = 4_000, 1_000


def latents(store: Path) -> tuple[dict[str, Any], Table, Table]:
    """The modules, and training and test rows as latents."""
    domains = {
        name: load_domain(WEIGHTS.format(name)) for name in ("picture", "caption", "sound")
    } | {"attributes": build_domain("attributes", {"columns": attribute_columns()})}
    tables = [
        encode_table(
            domains,
            load(split, rows, seed=0, domains=NAMES),
            store=LatentStore(store),
            precision="bf16",
        )
        for split, rows in (("train", ROWS), ("test", TEST_ROWS))
    ]
    return domains, tables[0], tables[1]


def train(
    domains: dict[str, Any], training: Table, test: Table, subsets: Subsets, seed: int, steps: int
) -> dict[str, float]:
    """One workspace and its test errors."""
    workspace = GlobalWorkspace(domains, dim=32, hidden_dim=64, fusion="random-softmax", seed=seed)
    families = [
        Translation(1.0, subsets=subsets),
        Fused(0.5, subsets=subsets),
        Contrastive(0.1),
        DemiCycle(0.1),
    ]
    config = TrainerConfig(
        steps=steps, batch_size=256, unmatched_batch_size=0, seed=seed, device="cpu", progress=False
    )
    began = time.process_time()
    Trainer(config, families).fit(workspace, training, latents=True)
    seconds = time.process_time() - began
    return {"seconds": seconds, **errors(workspace, standardize_table(workspace, test))}


def errors(workspace: GlobalWorkspace, test: Table) -> dict[str, float]:
    """Mean normalised error from one domain, and from all sets of the others."""
    rows = torch.arange(len(test))
    found: dict[int, list[float]] = {}
    for target in test:
        others = [name for name in test if name != target]
        for size in range(1, len(others) + 1):
            for sources in combinations(others, size):
                guess = predict(workspace, test, sources, target, rows)
                error = float(normalized_error(guess, test[target].take(rows)).mean())
                found.setdefault(size, []).append(error)
    every = [value for values in found.values() for value in values]
    return {"one domain": statistics.fmean(found[1]), "all sets": statistics.fmean(every)}


def page(saved: dict[str, Any]) -> str:
    """docs/results/sampled-subsets.md."""
    lines = [
        *head("Sampled sets of domains", COMMAND, paragraph(__doc__)),
        f"{saved['steps']:,} steps, {saved['seeds']} seeds; means, and the range over seeds. "
        "Seconds are CPU time of the training on one thread.",
        "",
        "| sets | seconds | error from one domain | error from all sets |",
        "|---|---|---|---|",
    ]
    for way in WAYS:
        cells = []
        for figure, digits in (("seconds", 0), ("one domain", 4), ("all sets", 4)):
            values = [run[figure] for run in saved[way]]
            low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
            cells.append(f"{statistics.fmean(values):.{digits}f} ({low}–{high})")
        lines.append(f"| {way} | {' | '.join(cells)} |")
    differences = [
        s["all sets"] - e["all sets"] for s, e in zip(saved["sampled"], saved["every"], strict=True)
    ]
    values = [run["all sets"] for run in saved["every"]]
    lines += [
        "",
        "Sampled minus every, seed by seed, all sets: "
        f"{', '.join(f'{x:+.4f}' for x in differences)}; the seeds of *every* spread over "
        f"{max(values) - min(values):.4f}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--store", type=Path, default=ROOT / "runs" / "sampled-subsets")
    args = parser.parse_args()
    torch.set_num_threads(1)
    domains, training, test = latents(args.store)
    saved: dict[str, Any] = {"steps": args.steps, "seeds": args.seeds, "every": [], "sampled": []}
    for seed in range(args.seeds):
        for way in WAYS:
            saved[way].append(train(domains, training, test, way, seed, args.steps))
            print(seed, way, saved[way][-1], flush=True)
    print(page(saved))
    if args.seeds >= 3:
        keep("sampled-subsets", saved, page(saved))


if __name__ == "__main__":
    main()
