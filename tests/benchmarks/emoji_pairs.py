"""Emoji drawings and names: 50 to 400 matched pairs, the rest unmatched.

The concepts, specialists and unseen test items are those of examples/emoji.py: 1,210 emoji of
which N stay matched and each other keeps its drawing *or* its name, 251 unseen concepts of other
families.
`default` and `supervised` start from the same closed form (the initializer `cca` with anchors) and
train 30 steps at 1e-4; ridge and CCA are tuned by cross-validation on the pairs. Five draws of
pairs. Settings were chosen on other concepts, three tried for each recipe.

    python tests/benchmarks/emoji_pairs.py

Writes docs/results/emoji-pairs.{md,json} and the claims emoji_r5_default_200, emoji_r5_ridge_200.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "examples"), str(Path(__file__).parent)]

import emoji  # noqa: E402
import torch  # noqa: E402
from claims import record  # noqa: E402
from results_page import RESULTS, head, keep, paragraph, plus_minus  # noqa: E402

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig  # noqa: E402
from globalworkspace.evaluation.retrieval import retrieval  # noqa: E402
from globalworkspace.initializers import cca as start_from_cca  # noqa: E402
from globalworkspace.label_efficiency import interval  # noqa: E402
from globalworkspace.recipes import recipe  # noqa: E402
from globalworkspace.standard_table import standardize_table  # noqa: E402

COMMAND = "python tests/benchmarks/emoji_pairs.py"
PAIRS, SEEDS, STEPS = (50, 100, 200, 400), 5, 30
RECIPES = {
    "supervised": "supervised(contrastive=1)",
    "default": "default(contrastive=1)",
}
METHODS = ("ridge", "CCA", *RECIPES)


def trained(
    domains: dict[str, Any], latents: Table, name: str, pairs: int, seed: int
) -> tuple[GlobalWorkspace, Table]:
    """A workspace by a recipe, and the rows it has seen."""
    known = latents.match(pairs, seed=seed, unmatched="disjoint")
    workspace = GlobalWorkspace(
        domains,
        dim=192,
        hidden_dim=min(pairs, 256),
        num_layers=1,
        linear_path=True,
        fusion="mean",
        activation="none",
        seed=seed,
    )
    chosen = recipe(RECIPES[name])
    config = TrainerConfig(
        **{"unmatched_batch_size": 128, **chosen.training},
        steps=STEPS,
        learning_rate=1e-4,
        weight_decay=0.0,
        ema=0.9,
        seed=seed,
        device="cpu",
        progress=False,
    )
    start = partial(start_from_cca, features="anchors", seed=seed)
    trainer = Trainer(config, chosen.objectives(pairs, STEPS))
    trainer.fit(workspace, known, latents=True, initializer=start)
    return workspace, known


def main() -> None:
    """Measure, and write the page and the claims."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "emoji")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*latent dimensions are dead")
    torch.set_num_threads(1)  # with more, the last bits of sums decide which settings are chosen
    domains = emoji.specialists()
    latents = emoji.encode(domains, emoji.load(args.out), args.out)
    test = latents["test"]
    lines = []
    for pairs in PAIRS:
        for seed in range(SEEDS):
            found = {}
            for name in RECIPES:
                workspace, known = trained(domains, latents["train"], name, pairs, seed)
                found[name] = retrieval(workspace, standardize_table(workspace, test))
            found["ridge"] = emoji.judge_ridge(workspace, known, test)
            found["CCA"] = emoji.judge_cca(workspace, known, test)
            lines.append({"pairs": pairs, "seed": seed, **found})
            print(pairs, seed, {m: round(mean_r5(found[m]), 3) for m in METHODS}, flush=True)
    keep("emoji-pairs", lines, page(lines))
    print((RESULTS / "emoji-pairs.md").read_text())
    for method in ("default", "ridge"):
        values = [mean_r5(line[method]) for line in lines if line["pairs"] == 200]
        mean = sum(values) / len(values)
        name = f"emoji_r5_{method}_200"
        record(name, round(mean, 4), round(min(values), 4), round(max(values), 4), "1", 5, COMMAND)


def mean_r5(scores: Any) -> float:
    """R@5, mean of both directions."""
    return float(scores[emoji.THERE][5] + scores[emoji.BACK][5]) / 2


def page(lines: list[dict[str, Any]]) -> str:
    """The page."""
    text = head("Emoji: 50 to 400 pairs", COMMAND, paragraph(__doc__, 1))
    text += ["Mean R@5 of both directions, and half of the 95 % interval over five draws:", ""]
    text += ["| | " + " | ".join(f"{n} pairs" for n in PAIRS) + " |", "|---" * 5 + "|"]
    for method in METHODS:
        cells = []
        for pairs in PAIRS:
            some = [mean_r5(line[method]) for line in lines if line["pairs"] == pairs]
            cells.append(plus_minus(some))
        text.append(f"| {method} | {' | '.join(cells)} |")
    text += ["", "Draw by draw, `default` less each other method (mean R@5, same pairs):", ""]
    text += ["| `default` less | " + " | ".join(f"{n} pairs" for n in PAIRS) + " |"]
    text += ["|---" * 5 + "|"]
    for method in METHODS[:-1]:
        cells = []
        for pairs in PAIRS:
            gains = [
                mean_r5(line["default"]) - mean_r5(line[method])
                for line in lines
                if line["pairs"] == pairs
            ]
            mean, low, high = interval(gains)
            cells.append(f"{mean:+.3f} ({low:+.3f} to {high:+.3f})")
        text.append(f"| {method} | {' | '.join(cells)} |")
    for direction in (emoji.THERE, emoji.BACK):
        text += ["", f"{direction}, R@1 / R@5:", ""]
        text += ["| | " + " | ".join(f"{n} pairs" for n in PAIRS) + " |", "|---" * 5 + "|"]
        for method in METHODS:
            cells = []
            for pairs in PAIRS:
                some = [line[method][direction] for line in lines if line["pairs"] == pairs]
                cells.append(
                    " / ".join(f"{sum(s[k] for s in some) / len(some):.3f}" for k in (1, 5))
                )
            text.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join([*text, ""])


if __name__ == "__main__":
    main()
