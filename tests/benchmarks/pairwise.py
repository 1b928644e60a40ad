"""Three domains matched by pairs: sentences become attributes without one such pair.

Pictures, captions and attributes of 150,000 shapes: 1,000 rows hold picture and caption, 1,000
others picture and attributes, no row holds caption and attributes; every other row is seen in one
domain only. What the workspace says of the shape that a sentence tells of is compared with the same
workspace by way of a picture, with two ridge regressions one after the other, and with a ridge
regression that is given 1,000 pairs of caption and attributes.

    python tests/benchmarks/pairwise.py     # 12 minutes on two cores, 15 more without a cache

Writes docs/results/pairwise.{md,json} and caption_to_attributes_class_accuracy_without_pairs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from captions import ROOT, encode, training_latents
from claims import record
from globalworkspace_shapes.demo import demo_domains
from globalworkspace_shapes.scoring import FACTORS, facts_of_attributes, score
from results_page import by_seed, head, keep, paragraph, plus_minus
from safetensors.torch import load_file
from torch import Tensor

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig
from globalworkspace.closed_form import ridge
from globalworkspace.data.table import Column
from globalworkspace.given_latents import GivenLatents
from globalworkspace.label_efficiency import interval
from globalworkspace.recipes import recipe, usual_decay

COMMAND = "python tests/benchmarks/pairwise.py"
ROWS, TEST_ROWS, PAIRS, SEEDS, STEPS = 150_000, 1_000, 1_000, 5, 8_000
NAMES = ("picture", "caption", "attributes")
ARMS = {
    "workspace": "workspace, caption -> attributes",
    "by picture": "workspace, caption -> picture -> attributes",
    "two ridges": "ridge, caption -> picture, then picture -> attributes",
    "ridge with pairs": "ridge that is given caption-attributes pairs",
}


def shown(latents: dict[str, Tensor], seed: int) -> Table:
    """Which cells are seen: see above."""
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(seed))
    rest = order[2 * PAIRS :]
    held = {
        "picture": torch.cat([order[: 2 * PAIRS], rest[0::3]]),
        "caption": torch.cat([order[:PAIRS], rest[1::3]]),
        "attributes": torch.cat([order[PAIRS : 2 * PAIRS], rest[2::3]]),
    }
    columns = {}
    for name, rows in held.items():
        count = torch.zeros(ROWS, dtype=torch.int64)
        count[rows] = 1
        columns[name] = Column(latents[name], torch.arange(ROWS), count)
    return Table(columns, torch.arange(ROWS))


def one_seed(job: dict[str, Any]) -> dict[str, Any]:
    """All arms of one seed, scored on the test rows."""
    seed, cache = job["seed"], Path(job["cache"])
    modules = demo_domains()
    latents = {n: x[:ROWS] for n, x in training_latents(ROWS, cache).items()}
    test = load_file(encode(("test", TEST_ROWS, 0, cache)))
    table = shown(latents, seed)
    assert not (table["caption"].present & table["attributes"].present).any()
    training, validation = table.hold_out(0.2, seed=seed)
    chosen = recipe("default")
    workspace = GlobalWorkspace(GivenLatents.of(modules), dim=64, seed=seed)
    config = TrainerConfig(
        steps=STEPS,
        batch_size=256,
        unmatched_batch_size=128,
        learning_rate=1e-2,
        weight_decay=usual_decay(PAIRS),
        compile=True,
        seed=seed,
        device="cpu",
        progress=False,
    )
    trainer = Trainer(config, chosen.objectives(PAIRS, STEPS))
    trainer.fit(workspace, training, validation, latents=True)
    direct = workspace.translate({"caption": test["caption"]}, "attributes", latents=True)
    drawn = workspace.translate({"caption": test["caption"]}, "picture", latents=True)
    chained = workspace.translate({"picture": drawn}, "attributes", latents=True)
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(seed))
    first, second = order[:PAIRS], order[PAIRS : 2 * PAIRS]
    to_picture = ridge(latents["caption"][first], latents["picture"][first], seed=seed)
    to_attributes = ridge(latents["picture"][second], latents["attributes"][second], seed=seed)
    given = ridge(latents["caption"][second], latents["attributes"][second], seed=seed)
    told = {
        "workspace": direct,
        "by picture": chained,
        "two ridges": to_attributes(to_picture(test["caption"])).float(),
        "ridge with pairs": given(test["caption"]).float(),
    }
    truth = facts_of_attributes(modules["attributes"].decode(test["attributes"]))
    return {
        "seed": seed,
        **{
            name: score(facts_of_attributes(modules["attributes"].decode(guess)), truth)
            for name, guess in told.items()
        },
    }


def main() -> None:
    """Measure, write the page and the claim."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "captions")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    found = by_seed(one_seed, "pairwise", args, SEEDS)
    names = ("class", *FACTORS)
    text = head("Three domains matched by pairs", COMMAND, paragraph(__doc__, 1))
    text += ["| | class | " + " | ".join(f"R² {n}" for n in FACTORS) + " |"]
    text += ["|---" * (len(names) + 1) + "|"]
    for arm, label in ARMS.items():
        cells = [plus_minus([seed[arm][name] for seed in found]) for name in names]
        text.append(f"| {label} | " + " | ".join(cells) + " |")
    text += [
        "",
        f"Means over {SEEDS} seeds, and half of their 95 % interval, on 1,000 test rows.",
        "",
    ]
    keep("pairwise", found, "\n".join(text))
    values = interval([seed["workspace"]["class"] for seed in found])
    record("caption_to_attributes_class_accuracy_without_pairs", *values, "1", SEEDS, COMMAND)
    print("\n".join(text))


if __name__ == "__main__":
    main()
