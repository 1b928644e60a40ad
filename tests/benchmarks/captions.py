"""Pictures told in written sentences: how many of the words are right.

The shipped writer (trained on sentences alone) and the shipped picture VAE are joined by a
workspace, once from rows that are all matched and once from 500 pairs among 12,000 rows; ridge
regression and, at 500 pairs, a workspace trained on the matched rows alone stand beside it. The
words are read back by the grammar. Writes docs/results/captions.{md,json} and the caption_ figures
of claims.json.

    python tests/benchmarks/captions.py            # about 3 hours on two cores
    python tests/benchmarks/captions.py --only 500 # the part with 500 pairs, from the same cache
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from claims import record
from globalworkspace_shapes.dataset import load
from globalworkspace_shapes.demo import demo_domains
from globalworkspace_shapes.words import FIGURES, word_accuracy
from globalworkspace_text.best_of import write_best
from safetensors.torch import load_file, save_file
from torch import Tensor

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig
from globalworkspace.closed_form import ridge
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.translation import Translation

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
ROWS, CHUNK, TEST_ROWS = 600_000, 30_000, 1_000
FEW_ROWS, PAIRS = 12_000, 500
Latents = dict[str, Tensor]
BEST_OF = (
    "*workspace*: the likeliest word each time. *best of 32*: that sentence and 31 drawn ones, of "
    "which the one is kept that the workspace translates back best (`write_best`).",
    "The claims about fully matched rows are those of *best of 32*, those about 500 pairs of "
    "*workspace*.",
    "",
)


def encode(job: tuple[str, int, int, Path]) -> Path:
    """Latents of one chunk of shapes, a data set of its own seed; kept in the cache."""
    split, rows, seed, cache = job
    torch.set_num_threads(1)
    modules = demo_domains()
    prints = "".join(module.fingerprint() for module in modules.values())
    name = hashlib.sha256(f"{split} {rows} {seed} {prints}".encode()).hexdigest()[:16]
    file = cache / f"{name}.safetensors"
    if file.exists():
        return file
    table = load(split, rows, seed)
    found = {}
    with torch.no_grad():
        pictures = table["picture"].cells
        found["picture"] = torch.cat([modules["picture"].encode(p) for p in pictures.split(500)])
        with torch.autocast("cpu", torch.bfloat16):
            found["caption"] = modules["caption"].encode(table["caption"].cells)
        found["attributes"] = modules["attributes"].encode(table["attributes"].cells)
    cache.mkdir(parents=True, exist_ok=True)
    save_file({name: values.float().contiguous() for name, values in found.items()}, file)
    return file


def chunks(rows: int, cache: Path) -> list[tuple[str, int, int, Path]]:
    """The chunks that `rows` shapes are made of."""
    return [("train", CHUNK, seed, cache) for seed in range(rows // CHUNK)]


def training_latents(rows: int, cache: Path) -> Latents:
    """Latents of `rows` shapes in all."""
    files = [load_file(encode(chunk)) for chunk in chunks(rows, cache)]
    return {name: torch.cat([file[name] for file in files]) for name in files[0]}


class Judge:
    """Scores what is written for the pictures of the test rows."""

    def __init__(self, cache: Path) -> None:
        self.modules = demo_domains()
        self.latents = load_file(encode(("test", TEST_ROWS, 0, cache)))
        self.truth = load("test", TEST_ROWS, 0, domains=["attributes"])["attributes"].cells

    def written(self, caption: Tensor) -> dict[str, float]:
        return word_accuracy(self.modules["caption"].decode(caption.float()), self.truth)

    def workspace(self, workspace: GlobalWorkspace) -> dict[str, float]:
        state = workspace.encode({"picture": self.latents["picture"]}, latents=True)
        return self.written(workspace.decode(state, "caption", latents=True))

    def best_of(self, workspace: GlobalWorkspace) -> dict[str, float]:
        """Of 32 sentences the one that translates back best; nothing but pictures is given."""
        generator = torch.Generator().manual_seed(0)
        inputs = {"picture": self.latents["picture"]}
        with torch.autocast("cpu", torch.bfloat16):  # of the sentence encoder, as for training
            sentences = write_best(
                workspace, inputs, "caption", samples=32, generator=generator, latents=True
            )
        return word_accuracy(sentences, self.truth)

    def bounds(self) -> dict[str, dict[str, float]]:
        """What the writer makes of the true sentences, and of those of other shapes."""
        true = self.latents["caption"]
        return {"ceiling": self.written(true), "chance": self.written(true.roll(1, dims=0))}


def full(job: tuple[int, Path, int, int]) -> dict[str, Any]:
    """One workspace from matched rows alone."""
    seed, cache, rows, steps = job
    torch.set_num_threads(1)
    judge = Judge(cache)
    kept = cache / f"workspace-{rows}-{steps}-{seed}"
    if not (kept / "done.json").exists():
        train_full(seed, cache, rows, steps, judge, kept)
    workspace = GlobalWorkspace.from_pretrained(kept / "workspace")
    found = {"seed": seed, **json.loads((kept / "done.json").read_text())}
    found["workspace"], found["best of 32"] = judge.workspace(workspace), judge.best_of(workspace)
    print(f"full: {found}", flush=True)
    return found


def train_full(seed: int, cache: Path, rows: int, steps: int, judge: Judge, kept: Path) -> None:
    """Train the workspace of one seed and keep it, so that an interrupted benchmark goes on."""
    latents = training_latents(rows, cache)
    table = Table.from_columns({name: latents[name] for name in ("picture", "caption")})
    training, validation = table.hold_out(2_000 / rows, seed=seed)
    modules = {name: judge.modules[name] for name in table.domains}
    workspace = GlobalWorkspace(modules, dim=64, hidden_dim=768, num_layers=3, seed=seed)
    settings = TrainerConfig(
        steps=steps,
        batch_size=512,
        unmatched_batch_size=0,
        learning_rate=2e-3,
        weight_decay=0.3,
        precision="bf16",
        validate_every=500,
        seed=seed,
        progress=False,
    )
    began = time.monotonic()
    trainer = Trainer(settings, [Translation(1.0, many_to_one=False)])
    best = trainer.fit(workspace, training, validation, latents=True).best_step
    workspace.save_pretrained(kept / "workspace")
    print(f"full, seed {seed}: {time.monotonic() - began:.0f} s", flush=True)
    (kept / "done.json").write_text(json.dumps({"best_step": best}))


def few(job: tuple[int, Path, int]) -> dict[str, Any]:
    """Workspaces from 500 pairs, with and without the unmatched rows, and ridge."""
    seed, cache, steps = job
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)
    judge = Judge(cache)
    columns = {n: x[:FEW_ROWS] for n, x in load_file(encode(("train", CHUNK, 0, cache))).items()}
    table = Table.from_columns(columns).match(PAIRS, seed=seed)
    training, validation = table.hold_out(seed=seed)
    matched = training.select(training.matched_rows())
    found: dict[str, Any] = {"seed": seed}
    for name, data in (("workspace", training), ("matched only", matched)):
        workspace = GlobalWorkspace(judge.modules, dim=64, hidden_dim=256, seed=seed)
        settings = TrainerConfig(
            steps=steps,
            batch_size=128,
            weight_decay=1.0,
            keep="last",
            validate_every=500,
            seed=seed,
            progress=False,
        )
        families = [
            Translation(1.0, many_to_one=False),
            Contrastive(0.1),
            DemiCycle(0.1),
            Cycle(0.3, detach=True),
        ]
        Trainer(settings, families).fit(workspace, data, validation, latents=True)
        found[name] = judge.workspace(workspace)
    rows = torch.arange(len(matched))
    line = ridge(matched["picture"].take(rows), matched["caption"].take(rows))
    found["ridge"] = judge.written(line(judge.latents["picture"]).float())
    print(f"{PAIRS} pairs, seed {seed}: {found['workspace']}", flush=True)
    return found


def run(job: tuple[Callable[..., dict[str, Any]], tuple[Any, ...]]) -> tuple[str, dict[str, Any]]:
    """One training in a process of its own."""
    function, arguments = job
    return function.__name__, function(arguments)


def ridge_of_all(judge: Judge, latents: Latents) -> dict[str, float]:
    """A ridge map from all matched rows."""
    line = ridge(latents["picture"], latents["caption"])
    return judge.written(line(judge.latents["picture"]).float())


def claim(runs: list[dict[str, Any]], suffix: str, command: str) -> None:
    """Mean over seeds, with smallest and largest, into claims.json."""
    for ours, figure in (("shape", "shape"), ("colour", "color"), ("place", "place")):
        method = "best of 32" if "best of 32" in runs[0] else "workspace"
        values = [run[method][figure] for run in runs]
        mean = statistics.fmean(values)
        name = f"caption_{ours}_word_accuracy{suffix}"
        record(name, mean, min(values), max(values), "1", len(values), command)


def page(saved: dict[str, Any]) -> str:
    """docs/results/captions.md."""
    lines = [
        "# Pictures told in written sentences",
        "",
        "    python tests/benchmarks/captions.py",
        "",
        "The shipped writer, a `text-autoencoder`, was trained on 30,000 captions alone, "
        "the picture VAE on pictures alone.",
        "A workspace joins them; its sentences about 1,000 unseen pictures are read back by the "
        "grammar that wrote the training captions. A sentence that cannot be read is wrong in",
        "everything. Color: the true color (of 139 named ones) is among the three nearest to the "
        "word, itself counted. Place: the true cell or a neighbor. Size: the true word or the",
        "next. The exact figures allow no neighbor. Each row is the mean over its seeds, the range "
        "below it.",
        "",
        *(BEST_OF if "best of 32" in saved.get("full", [{}])[0] else ()),
        "| from | method | seeds | " + " | ".join(f.replace("_", " ") for f in FIGURES) + " |",
        "|---|---|---|" + "---|" * len(FIGURES),
    ]

    def row(source: str, method: str, results: list[dict[str, float]]) -> None:
        means = [f"{statistics.fmean(r[f] for r in results):.3f}" for f in FIGURES]
        lines.append(f"| {source} | {method} | {len(results)} | {' | '.join(means)} |")
        if len(results) > 1:
            ranges = [
                f"{min(r[f] for r in results):.2f}–{max(r[f] for r in results):.2f}"
                for f in FIGURES
            ]
            lines.append(f"| | | | {' | '.join(ranges)} |")

    row("true sentences", "the writer alone (ceiling)", [saved["bounds"]["ceiling"]])
    if "full" in saved:
        everything = f"{saved['rows']:,} matched rows"
        for method in ("workspace", "best of 32"):
            if method in saved["full"][0]:
                row(everything, method, [run[method] for run in saved["full"]])
        row(everything, "ridge", [saved["ridge"]])
    if "few" in saved:
        for method in ("workspace", "matched only", "ridge"):
            row(f"{PAIRS} pairs", method, [run[method] for run in saved["few"]])
    row("sentences of other shapes", "chance", [saved["bounds"]["chance"]])
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("full", "500"))
    parser.add_argument("--seeds", type=int, default=3, help="with all rows matched")
    parser.add_argument("--few-seeds", type=int, default=5, help="with 500 pairs")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--few-steps", type=int, default=3_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "captions")
    args = parser.parse_args()
    file = RESULTS / "captions.json"
    saved: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    judge = Judge(args.cache)
    saved["bounds"] = judge.bounds()
    jobs: list[tuple[Callable[..., dict[str, Any]], tuple[Any, ...]]] = []
    if args.only != "500":
        with multiprocessing.get_context("spawn").Pool(args.workers) as pool:
            pool.map(encode, chunks(args.rows, args.cache), chunksize=1)
        latents = training_latents(args.rows, args.cache)
        saved["rows"], saved["ridge"] = args.rows, ridge_of_all(judge, latents)
        del latents
        saved["full"] = []
        jobs += [(full, (seed, args.cache, args.rows, args.steps)) for seed in range(args.seeds)]
    if args.only != "full":
        saved["few"] = []
        jobs += [(few, (seed, args.cache, args.few_steps)) for seed in range(args.few_seeds)]
    with multiprocessing.get_context("spawn").Pool(args.workers) as pool:
        for name, found in pool.imap_unordered(run, jobs, chunksize=1):
            saved[name] = sorted([*saved[name], found], key=lambda result: result["seed"])
            file.write_text(json.dumps(saved, indent=1) + "\n")
    if args.only != "500":
        claim(saved["full"], "", "python tests/benchmarks/captions.py")
    if args.only != "full":
        claim(saved["few"], "_500", "python tests/benchmarks/captions.py --only 500")
    file.write_text(json.dumps(saved, indent=1) + "\n")
    (RESULTS / "captions.md").write_text(page(saved))
    print((RESULTS / "captions.md").read_text())


if __name__ == "__main__":
    main()
