"""Emoji retrieval with 200 matched pairs: the workspace of examples/emoji.py beside ridge and CCA.

    python tests/benchmarks/emoji.py

Runs the example's own functions on five draws of pairs (seeds 0 to 4, the 251 unseen concepts the
same), prints every figure, writes the table of docs/results/emoji.md between its markers and three
figures into docs/results/claims.json. Value: mean over the seeds; low and high: their range.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "examples"), str(Path(__file__).parent)]

import emoji  # noqa: E402
from claims import record  # noqa: E402

REPORT = ROOT / "docs" / "results" / "emoji.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
COMMAND = "python tests/benchmarks/emoji.py"
METHODS = ("ridge", "CCA", "workspace")


def mean_r5(scores: emoji.Scores) -> float:
    return (scores[emoji.THERE][5] + scores[emoji.BACK][5]) / 2


def table(runs: dict[int, dict[str, emoji.Scores]]) -> str:
    """Markdown: means with ranges per method, then the mean R@5 of every seed."""
    directions = (emoji.THERE, emoji.BACK)
    heads = [f"{d}, R@{k}" for d in directions for k in (1, 5)]
    lines = [f"| | {' | '.join(heads)} | **mean R@5** |", "|---" * (len(heads) + 2) + "|"]
    for method in METHODS:
        cells = [
            spread([run[method][d][k] for run in runs.values()]) for d in directions for k in (1, 5)
        ]
        final = spread([mean_r5(run[method]) for run in runs.values()])
        lines.append(f"| {method} | {' | '.join(cells)} | **{final}** |")
    lines += ["", "Mean R@5 of both directions, by seed:", ""]
    lines += [f"| seed | {' | '.join(METHODS)} |", "|---" * (len(METHODS) + 1) + "|"]
    for seed, run in runs.items():
        lines.append(f"| {seed} | {' | '.join(f'{mean_r5(run[m]):.3f}' for m in METHODS)} |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "emoji")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*latent dimensions are dead")
    domains = emoji.specialists()
    latents = emoji.encode(domains, emoji.load(options.out), options.out)
    runs = {}
    for seed in range(options.seeds):
        *_, runs[seed] = emoji.compare(domains, latents, options.pairs, seed)
        shown = ", ".join(f"{m} {mean_r5(runs[seed][m]):.3f}" for m in METHODS)
        print(f"seed {seed}: mean R@5: {shown}", flush=True)
    print(table(runs))
    if (options.pairs, options.seeds) != (200, 5):
        print("Not the documented setting: nothing is recorded.")
        return
    for method in METHODS:
        values = [mean_r5(run[method]) for run in runs.values()]
        name = f"emoji_r5_{method.lower()}_200"
        mean = statistics.mean(values)
        record(name, round(mean, 4), round(min(values), 4), round(max(values), 4), "1", 5, COMMAND)
    if REPORT.exists():
        before, _, rest = REPORT.read_text().partition(BEGIN)
        after = rest.partition(END)[2]
        REPORT.write_text(f"{before}{BEGIN}\n{table(runs)}\n{END}{after}")


if __name__ == "__main__":
    main()
