"""How the cost of a step grows with the number of domains, all of them fused.

    python tests/benchmarks/domain_growth.py --shimmer-python PATH    # the Python that has shimmer

A batch of 512 matched rows with n domains and 512 rows of each domain alone; latents of 12, 11, 64
and 32 dimensions in turn, workspace 12, five linear layers of width 32 in each network; one thread,
CPU time of a step. Ours draws the sets of domains that are fused (`subsets = "sampled"`) within a
budget per row: two routes of translation, one of fusion, one cycle, pairs for the contrastive loss
in which each domain takes part once. Shimmer's `GlobalWorkspaceFusion` walks all 2^n - 1 sets; it
is installed from its public source (commit d729e5e) with Lightning 2.6.6, see
peers/shimmer_steps.py.

Measured in turns, ours after theirs; a ratio belongs to one turn. Writes
docs/results/domain-growth.{md,json} and fusion_speedup_n8 of claims.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from results_page import claim_median, head, keep, measured, paragraph
from step_speed import PEER, timed

from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.fused import Fused
from globalworkspace.objectives.translation import Translation

BATCH, WIDTH = 512, 32
OURS, THEIRS = (2, 4, 8, 16), (2, 4, 8)
COMMAND = "python tests/benchmarks/domain_growth.py --shimmer-python PATH"


def ours(job: dict[str, Any]) -> None:
    """Print milliseconds of CPU time per step of our trainer, within the budget."""
    families = [
        Translation(1.0, subsets="sampled", budget=2),
        Fused(1.0, subsets="sampled", budget=1),
        Contrastive(0.1, on="code", budget=1),
        DemiCycle(1.0),
        Cycle(1.0, budget=1),
    ]
    timed(job, families, "random-softmax", precision="fp32")


def page(saved: dict[str, Any]) -> str:
    """docs/results/domain-growth.md."""
    lines = [
        *head("The cost of many domains", COMMAND, paragraph(__doc__)),
        "Milliseconds per step, median and range over the turns.",
        "",
        "| domains | ours, sampled | against half as many domains | shimmer, every set | ratio |",
        "|---|---|---|---|---|",
    ]
    for n in OURS:
        mine = saved["ours"][str(n)]
        row = [str(n), f"{statistics.median(mine):.1f} ({min(mine):.1f}–{max(mine):.1f})"]
        half = saved["ours"].get(str(n // 2))
        if half:
            growth = [a / b for a, b in zip(mine, half, strict=True)]
            row.append(f"{statistics.median(growth):.2f}x")
        else:
            row.append("")
        theirs = saved["shimmer"].get(str(n))
        if theirs:
            ratio = [a / b for a, b in zip(theirs, mine, strict=True)]
            row.append(f"{statistics.median(theirs):.0f} ({min(theirs):.0f}–{max(theirs):.0f})")
            row.append(f"{statistics.median(ratio):.1f}x ({min(ratio):.1f}–{max(ratio):.1f})")
        else:
            row += ["", ""]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--shimmer-python")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    if args.one:
        ours(json.loads(args.one))
        return
    if not args.shimmer_python:
        parser.error("--shimmer-python PATH is needed")
    saved: dict[str, Any] = {
        "ours": {str(n): [] for n in OURS},
        "shimmer": {str(n): [] for n in THEIRS},
    }
    for _ in range(args.repeats):
        for n in OURS:
            job = {"n": n, "batch": BATCH, "width": WIDTH, "warmup": 3, "device": "cpu"}
            if n in THEIRS:
                theirs = job | {"steps": max(24 // 2 ** (n - 2), 3), "kind": "fusion"}
                found = measured([args.shimmer_python, str(PEER)], theirs)
                saved["shimmer"][str(n)].append(found["ms"])
            mine = measured([sys.executable, str(Path(__file__)), "--one"], job | {"steps": 100})
            saved["ours"][str(n)].append(mine["ms"])
        print({k: {n: x[-1] for n, x in v.items()} for k, v in saved.items()}, flush=True)
    print(page(saved))
    keep("domain-growth", saved, page(saved))
    ratio = [a / b for a, b in zip(saved["shimmer"]["8"], saved["ours"]["8"], strict=True)]
    claim_median("fusion_speedup_n8", ratio, "x", COMMAND)


if __name__ == "__main__":
    main()
