"""Which way a shape moves, read off clips: the workspaces of examples/clips.py on three draws.

    python tests/benchmarks/clips.py

Prints every figure and writes the table of docs/results/clips.md between its markers. Value: mean
over the seeds; in brackets: their range.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "examples")]

import clips as example  # noqa: E402

REPORT = ROOT / "docs" / "results" / "clips.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def table(runs: list[dict[str, dict[str, float]]]) -> str:
    lines = [f"| | {' | '.join(example.CHANCE)} |", "|---" * (len(example.CHANCE) + 1) + "|"]
    guess = " | ".join(f"{value:.2f}" for value in example.CHANCE.values())
    lines.append(f"| a guess | {guess} |")
    for arm in example.ARMS:
        cells = [spread([run[arm].get(name) for run in runs]) for name in example.CHANCE]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(values: list[float | None]) -> str:
    if None in values:
        return "–"
    return f"{statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*latent dimensions are dead")
    runs = []
    for seed in range(options.seeds):
        rows, unseen = example.draw(4000, 1000, seed)
        runs.append({})
        for arm in example.ARMS:
            runs[-1][arm] = example.judge(example.train(arm, rows, 1500, seed), *unseen)
            print(f"seed {seed}, {arm}: {runs[-1][arm]}", flush=True)
    print(table(runs))
    if options.seeds == 3:
        before, _, rest = REPORT.read_text().partition(BEGIN)
        REPORT.write_text(f"{before}{BEGIN}\n{table(runs)}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
