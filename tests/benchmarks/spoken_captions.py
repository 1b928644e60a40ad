"""Spoken captions and written ones, joined: a Whisper encoder beside a sentence encoder.

    python tests/benchmarks/spoken_captions.py

A synthesiser with seven voices speaks 1,000 captions of Simple Shapes for training and 500 others
for testing, into WAV files. Whisper tiny.en (pooled) and MiniLM encode them. 200 rows stay matched;
each other row keeps its sound or its sentence. Ridge regression, CCA and a workspace learn to find
the sentence that was said; ridge regression also tells the class of the shape from the sounds of
the 200. Three seeds of captions, voices, pairs and training. Writes the table of
docs/results/spoken-captions.md and three figures into docs/results/claims.json; value: mean over
the seeds; low and high: their range.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from functools import partial
from pathlib import Path

import torch
from claims import record
from globalworkspace_shapes.attributes import CLASSES
from globalworkspace_shapes.speech import write_spoken_captions
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from globalworkspace import (
    DomainModule,
    GlobalWorkspace,
    LatentStore,
    Table,
    Trainer,
    TrainerConfig,
    encode_table,
)
from globalworkspace.closed_form import cca, retrieval_error, ridge
from globalworkspace.data.readers import read_folder
from globalworkspace.evaluation.retrieval import recall_at, retrieval
from globalworkspace.initializers import cca as start_from_cca
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.translation import Translation
from globalworkspace.pretrained import build_domain
from globalworkspace.standard_table import standardize_table

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "docs" / "results" / "spoken-captions.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
COMMAND = "python tests/benchmarks/spoken_captions.py"
THERE, BACK = "speech -> caption", "caption -> speech"
ROWS, PAIRS, TEST = 1_000, 200, 500
COLUMNS = {"speech": "file_name", "caption": "caption"}

Scores = dict[str, dict[int, float]]


def tables(folder: Path, seed: int) -> dict[str, tuple[Table, Tensor]]:
    """Split -> its table, and the shapes' classes (N,)."""
    found = {}
    for split, number in (("train", ROWS), ("test", TEST)):
        home = folder / f"seed-{seed}" / split
        if not (home / "metadata.csv").is_file():
            write_spoken_captions(home, split, number, seed)
        classes = read_folder(str(home))["shape"].take(list(range(number)))
        labels = torch.tensor([CLASSES.index(name) for name in classes])
        found[split] = read_folder(str(home), COLUMNS), labels
    return found


def train(domains: dict[str, DomainModule], known: Table, seed: int) -> GlobalWorkspace:
    """A linear start from CCA, then 100 steps with cycles on every row."""
    sizes = {"dim": 192, "hidden_dim": PAIRS, "num_layers": 1, "linear_path": True}
    workspace = GlobalWorkspace(domains, **sizes, fusion="mean", activation="none", seed=seed)
    objectives = [Contrastive(1.0, scale=10.0), Translation(1.0), DemiCycle(0.1), Cycle(1.0)]
    rate = {"steps": 100, "learning_rate": 1e-4, "weight_decay": 0.0, "ema": 0.9}
    config = TrainerConfig(**rate, seed=seed, device="cpu", progress=False)
    start = partial(start_from_cca, seed=seed)
    Trainer(config, objectives).fit(workspace, known, latents=True, initializer=start)
    return workspace


def cosine(first: Tensor, second: Tensor) -> Tensor:
    return normalize(first.double()) @ normalize(second.double()).T


def compare(domains: dict[str, DomainModule], folder: Path, seed: int) -> dict[str, Scores]:
    """One draw of captions and voices: recalls of three methods, and the class accuracy."""
    found = tables(folder, seed)
    store = LatentStore(folder / "latents")
    latents = {
        split: encode_table(domains, table, store=store, progress=True)
        for split, (table, _) in found.items()
    }
    known = latents["train"].match(PAIRS, seed=seed, unmatched="disjoint")
    workspace = train(domains, known, seed)
    standard, test = (standardize_table(workspace, t) for t in (known, latents["test"]))
    rows = known.matched_rows()
    x, y = (standard[name].take(rows) for name in COLUMNS)
    x_all, y_all = (standard[n].take(standard.rows_with(n)) for n in COLUMNS)
    x_test, y_test = (test[name].take(torch.arange(TEST)) for name in COLUMNS)
    there, back = (ridge(*pair, error=retrieval_error) for pair in ((x, y), (y, x)))
    joint = cca(x, y, x_all, y_all, powers=(0.0, 0.5, 1.0))
    cosines = cosine(joint.project_x(x_test), joint.project_y(y_test))
    reader = ridge(x, one_hot(found["train"][1][known.origin[rows]]).float())
    right = (reader(x_test).argmax(dim=1) == found["test"][1]).double().mean()
    return {
        "ridge": {
            THERE: recall_at(cosine(there(x_test), y_test)),
            BACK: recall_at(cosine(back(y_test), x_test)),
        },
        "CCA": {THERE: recall_at(cosines), BACK: recall_at(cosines.T)},
        "workspace": retrieval(workspace, test),
        "class": {"accuracy": {1: float(right)}},
    }


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def table_text(runs: list[dict[str, Scores]]) -> str:
    """Markdown: means over the seeds with their ranges."""
    heads = [f"{direction}, R@{k}" for direction in (THERE, BACK) for k in (1, 5)]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for method in ("ridge", "CCA", "workspace"):
        cells = [spread([run[method][d][k] for run in runs]) for d in (THERE, BACK) for k in (1, 5)]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    lines.append(f"| chance | {1 / TEST:.3f} | {5 / TEST:.3f} | {1 / TEST:.3f} | {5 / TEST:.3f} |")
    accuracy = spread([run["class"]["accuracy"][1] for run in runs])
    return "\n".join(
        [*lines, "", f"Class of the shape, from the sound alone: {accuracy}; chance 0.333."]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "spoken-captions")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*latent dimensions are dead")
    domains = {"speech": build_domain("whisper", {}), "caption": build_domain("bert", {})}
    runs = []
    for seed in range(options.seeds):
        runs.append(compare(domains, options.out, seed))
        print(f"seed {seed}: {runs[-1]}", flush=True)
    print(table_text(runs))
    if options.seeds != 3:
        print("Not the documented setting: nothing is recorded.")
        return
    figures = {
        "spoken_captions_r1_workspace": [run["workspace"][THERE][1] for run in runs],
        "spoken_captions_r1_cca": [run["CCA"][THERE][1] for run in runs],
        "spoken_captions_class_accuracy": [run["class"]["accuracy"][1] for run in runs],
    }
    for name, values in figures.items():
        mean, low, high = (round(f(values), 4) for f in (statistics.mean, min, max))
        record(name, mean, low, high, "1", len(values), COMMAND)
    before, _, rest = REPORT.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    REPORT.write_text(f"{before}{BEGIN}\n{table_text(runs)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
