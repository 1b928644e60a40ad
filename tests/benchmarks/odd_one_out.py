"""Odd one out, as in the paper: is the odd shape found when one of the three is told, not shown?

A classifier with one hidden layer of 16 learns on frozen states of pictures which of three shapes
is the odd one. It is tested on pictures, and across domains: one of the three, drawn at random, is
given by its attributes instead. Workspaces are trained on 1,000 matched rows among 100,000. Beside
them stand the paper's three baselines: no encoder (the latents themselves, filled up to equal
length), an encoder trained on the task with the classifier, and a random one.

    python tests/benchmarks/odd_one_out.py

Writes docs/results/odd-one-out.{md,json} and the odd_one_out_ figures of claims.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from claims import record
from globalworkspace_shapes.attributes import ShapeAttributes
from globalworkspace_shapes.dataset import load_attributes
from globalworkspace_shapes.odd_one_out import Triples, odd_one_out
from label_efficiency import CHUNK, latents, specialists
from results_page import by_seed, head, keep, paragraph
from torch import Tensor, nn
from torch.nn import functional as F

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig
from globalworkspace.evaluation.downstream import learn, states, transfer
from globalworkspace.given_latents import GivenLatents
from globalworkspace.label_efficiency import interval
from globalworkspace.label_efficiency.trainings import shown_table
from globalworkspace.recipes import recipe, usual_decay
from globalworkspace.standard_table import standardize_table

ROOT = Path(__file__).parents[2]
COMMAND = "python tests/benchmarks/odd_one_out.py"
PAIRS, ROWS, TRIPLES, TEST_TRIPLES, SEEDS = 1000, 100_000, 100_000, 10_000, 5
RECIPES = ("default", "paper", "supervised")
STEPS, HIDDEN = 8000, 16
SEEN, TOLD = "picture", "attributes"
BASELINES = {
    "no encoder": "latents themselves",
    "encoder of the task": "trained with the classifier",
    "random encoder": "never trained",
}


def joined(held: Mapping[str, Tensor], triples: Triples, told: Tensor | None) -> Tensor:
    """Three states side by side (T, 3 D); the one at position `told` (T,) by its attributes."""
    three = held[SEEN][triples.rows]
    if told is not None:
        other = held[TOLD][triples.rows]
        here = F.one_hot(told, 3).bool()[:, :, None]
        three = torch.where(here, other, three)
    return three.flatten(1)


def accuracies(
    training: Mapping[str, Tensor], test: Mapping[str, Tensor], tasks: list[Triples], seed: int
) -> dict[str, float]:
    """Of a classifier that learns on pictures: on pictures, and with one of three told."""
    found = learn(
        joined(training, tasks[0], None), tasks[0].odd, hidden_dim=HIDDEN, steps=6000, seed=seed
    )
    return scores(found.score, test, tasks[1], seed)


def scores(score: Any, test: Mapping[str, Tensor], task: Triples, seed: int) -> dict[str, float]:
    """The two accuracies."""
    told = torch.randint(3, (len(task),), generator=torch.Generator().manual_seed(seed))
    return {
        "pictures": score(joined(test, task, None), task.odd),
        "cross-modal": score(joined(test, task, told), task.odd),
    }


class TaskEncoder(nn.Module):
    """Encoders of both domains and the classifier behind them, trained on pictures alone."""

    def __init__(self, workspace: GlobalWorkspace) -> None:
        super().__init__()
        self.workspace = workspace
        self.classifier = nn.Sequential(
            nn.Linear(3 * workspace.dim, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 3)
        )

    def fit(self, standard: Tensor, task: Triples, seed: int, steps: int = 6000) -> None:
        """Learn which of three pictures is the odd one."""
        encoder = self.workspace.encoder(SEEN).requires_grad_(True)
        weights = [*encoder.parameters(), *self.classifier.parameters()]
        optimizer = torch.optim.AdamW(weights, lr=3e-3, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        chance = torch.Generator().manual_seed(seed)
        for _ in range(steps):
            some = torch.randint(len(task), (512,), generator=chance)
            codes = torch.tanh(encoder(standard[task.rows[some].flatten()]))
            loss = F.cross_entropy(self.classifier(codes.view(len(some), -1)), task.odd[some])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    @torch.no_grad()
    def score(self, inputs: Tensor, labels: Tensor) -> float:
        """Accuracy on three states side by side."""
        return float((self.classifier(inputs).argmax(dim=1) == labels).double().mean())


def labels_of(shapes: ShapeAttributes) -> tuple[Tensor, Tensor]:
    """(class, the other attributes) of each row, for the probes."""
    columns = shapes.columns()
    numbers = [columns[n].float() for n in ("x", "y", "size", "r", "g", "b")]
    turned = [shapes.rotation.cos(), shapes.rotation.sin()]
    return shapes.category.long(), torch.stack([*numbers, *turned], dim=1)


def one_seed(job: dict[str, Any]) -> dict[str, Any]:
    """All arms of one seed."""
    seed, cache = job["seed"], Path(job["cache"])
    domains = GivenLatents.of(specialists())
    rows = latents("train", ROWS, cache)
    held = latents("test", 10_000, cache)
    # the chunks of `latents` are data sets of a seed each
    pieces = [load_attributes("train", CHUNK, index) for index in range(ROWS // CHUNK)]
    test_shapes = load_attributes("test", 10_000, 0)
    first = pieces[0]
    tasks = [odd_one_out(first, TRIPLES, seed), odd_one_out(test_shapes, TEST_TRIPLES, seed)]
    seen = rows.select(range(CHUNK))
    found: dict[str, Any] = {"seed": seed, "probes": {}}
    for name in RECIPES:
        workspace = trained(domains, rows, name, seed)
        found[name] = accuracies(states(workspace, seen), states(workspace, held), tasks, seed)
        kinds = zip(("class", "attributes"), labels_of(first), labels_of(test_shapes), strict=True)
        found["probes"][name] = {
            kind: dict(transfer(workspace, seen, labels, held, wanted, learnt_on=SEEN, seed=seed))
            for kind, labels, wanted in kinds
        }
    plain = GlobalWorkspace(domains, dim=32, seed=seed)
    plain.fit_standardizers({n: rows[n].cells for n in rows})
    found["random encoder"] = accuracies(states(plain, seen), states(plain, held), tasks, seed)
    standard = [
        {n: column.cells for n, column in standardize_table(plain, table).columns.items()}
        for table in (seen, held)
    ]
    width = max(values.shape[1] for values in standard[0].values())
    padded = [
        {n: F.pad(values, (0, width - values.shape[1])) for n, values in part.items()}
        for part in standard
    ]
    found["no encoder"] = accuracies(padded[0], padded[1], tasks, seed)
    torch.manual_seed(seed)
    of_task = TaskEncoder(plain)
    of_task.fit(standard[0][SEEN], tasks[0], seed)
    found["encoder of the task"] = scores(of_task.score, states(plain, held), tasks[1], seed)
    return found


def trained(domains: Any, rows: Table, name: str, seed: int) -> GlobalWorkspace:
    """A workspace by a recipe."""
    table = shown_table({n: rows[n].cells for n in rows}, PAIRS, PAIRS, seed)
    training, validation = table.hold_out(0.2, seed=seed)
    chosen = recipe(name)
    workspace = GlobalWorkspace(domains, dim=32, seed=seed)
    steps = round(STEPS / chosen.cost)
    config = TrainerConfig(
        **{
            "batch_size": 128,
            "unmatched_batch_size": 256,
            "weight_decay": usual_decay(PAIRS),
            **chosen.training,
        },
        learning_rate=1e-2,
        steps=steps,
        seed=seed,
        device="cpu",
        progress=False,
    )
    trainer = Trainer(config, chosen.objectives(PAIRS, steps))
    trainer.fit(workspace, training, validation, latents=True)
    return workspace


def main() -> None:
    """Measure, write the page and the claims."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "label-efficiency")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    latents("train", ROWS, args.cache)
    latents("test", 10_000, args.cache)
    found = by_seed(one_seed, "odd-one-out", args, SEEDS)
    text = head("Odd one out", COMMAND, paragraph(__doc__, 1))
    text += ["| states | of pictures alone | one of three told |", "|---|---|---|"]
    means = {}
    for name in (*RECIPES, *BASELINES):
        cells = []
        for kind in ("pictures", "cross-modal"):
            mean, low, high = interval([seed[name][kind] for seed in found])
            cells.append(f"{mean:.3f} ({low:.3f}–{high:.3f})")
            means[name, kind] = mean, low, high
        label = f"{name}: {BASELINES[name]}" if name in BASELINES else f"workspace, `{name}`"
        text.append(f"| {label} | {cells[0]} | {cells[1]} |")
    text += ["", "Means over five seeds with their 95 % intervals; chance is .333.", ""]
    text += ["## Probes: learnt on states of pictures, tested on states of each domain", ""]
    text += ["| workspace | class, pictures | class, attributes | R², pictures | R², attributes |"]
    text += ["|---|---|---|---|---|"]
    for name in RECIPES:
        cells = []
        for kind in ("class", "attributes"):
            for domain in (SEEN, TOLD):
                mean, low, high = interval([s["probes"][name][kind][domain] for s in found])
                cells.append(f"{mean:.3f} ({low:.3f}–{high:.3f})")
        text.append(f"| `{name}` | " + " | ".join(cells) + " |")
    keep("odd-one-out", found, "\n".join([*text, ""]))
    best = max(BASELINES, key=lambda name: means[name, "cross-modal"][0])
    for claim, name in (
        ("odd_one_out_cross_modal_accuracy", "default"),
        ("odd_one_out_best_baseline", best),
    ):
        record(claim, *means[name, "cross-modal"], "1", SEEDS, COMMAND)
    print("\n".join(text))


if __name__ == "__main__":
    main()
