"""Training on latents that stay on disk: speed against memory, and how much memory it takes.

    python tests/benchmarks/larger_than_memory.py

10,000,000 rows of 64-dimensional latents in two domains, matched, 5.1 GB in shards of 65,536 rows.
The same training runs from the shards, whose pages are dropped from the system's cache first, and
from tensors in memory, in turns and in processes of their own, one thread. Memory is RssAnon of
/proc/self/status: what the process holds beside pages of files, looked at every 20 steps and after
setting up; the limit that is aimed at is 1.5 GiB.

Writes docs/results/larger-than-memory.{md,json} and larger_than_memory_speed_fraction of
claims.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from results_page import claim_median, head, keep, measured, paragraph

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig
from globalworkspace.data.shards import ShardedLatents, finish_shards, shard_file, write_shards
from globalworkspace.data.table import Column
from globalworkspace.given_latents import GivenLatents
from globalworkspace.latents import LatentSpec
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.translation import Translation
from globalworkspace.training.callbacks import Callback, Training

DIM, SHARD_ROWS, DOMAINS = 64, 65_536, ("left", "right")
WARM_UP = 20
COMMAND = "python tests/benchmarks/larger_than_memory.py"


def make(folder: Path, rows: int) -> None:
    """Random shards of both domains; what is there already stays."""
    for number, name in enumerate(DOMAINS):

        def encode(stretch: slice, number: int = number) -> torch.Tensor:
            generator = torch.Generator().manual_seed(2 * stretch.start + number)
            return torch.randn(stretch.stop - stretch.start, DIM, generator=generator)

        write_shards(folder / name, name, rows, SHARD_ROWS, encode)
        finish_shards(folder / name, name, rows, DIM, SHARD_ROWS)


def drop_pages(folder: Path) -> None:
    """Forget the files' pages, so that reading them is reading the disk."""
    for name in DOMAINS:
        for index in range(ShardedLatents(folder / name).num_shards):
            handle = os.open(shard_file(folder / name, index), os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def anonymous_mib() -> float:
    """RssAnon of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("This system's /proc/self/status has no RssAnon; run this on Linux.")


class Watch(Callback):
    """Time per step after some that warm up, and the largest memory seen."""

    def __init__(self, folder: Path | None) -> None:
        self.folder, self.began, self.took, self.mib = folder, 0.0, 0.0, 0.0

    def started(self, training: Training) -> None:
        self.mib = anonymous_mib()
        if self.folder is not None:
            drop_pages(self.folder)

    def step_done(self, training: Training) -> None:
        if training.step == WARM_UP:
            self.began = time.perf_counter()
        if training.step % 20 == 0:
            self.mib = max(self.mib, anonymous_mib())
        if training.step == training.steps:
            self.took = (time.perf_counter() - self.began) / (training.steps - WARM_UP)


def one(job: dict[str, Any]) -> dict[str, float]:
    """Train from shards or from memory; seconds per step and memory."""
    torch.set_num_threads(1)
    folder, rows = Path(job["folder"]), job["rows"]
    columns = {}
    for name in DOMAINS:
        latents = ShardedLatents(folder / name)
        cells: Any = latents if job["disk"] else torch.cat(list(latents.split(SHARD_ROWS)))
        columns[name] = Column(cells, torch.arange(rows), torch.ones(rows, dtype=torch.int64))
    table = Table(columns, columns["left"].first)
    workspace = GlobalWorkspace(
        {name: GivenLatents(LatentSpec.continuous(DIM)) for name in DOMAINS}, dim=12, hidden_dim=128
    )
    config = TrainerConfig(
        steps=WARM_UP + job["steps"],
        batch_size=2048,
        unmatched_batch_size=1024,
        progress=False,
        device="cpu",
        log_every=10**9,
    )
    watch = Watch(folder if job["disk"] else None)
    families = [Translation(1.0), Contrastive(0.1), DemiCycle(0.1), Cycle(0.3, detach=True)]
    Trainer(config, families, callbacks=[watch]).fit(workspace, table, latents=True)
    return {"s": watch.took, "mib": watch.mib, "peak_mib": peak_mib()}


def peak_mib() -> float:
    """Largest resident memory so far, pages of files included."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def page(saved: dict[str, Any]) -> str:
    """docs/results/larger-than-memory.md."""
    lines = [
        *head("Latents larger than memory", COMMAND, paragraph(__doc__)),
        "| latents | ms per step | RssAnon, largest, MiB |",
        "|---|---|---|",
    ]
    for name, key in (("in files", "disk"), ("in memory", "memory")):
        times = [1000 * x["s"] for x in saved[key]]
        memory = max(x["mib"] for x in saved[key])
        lines.append(
            f"| {name} | {statistics.median(times):.1f} ({min(times):.1f}–{max(times):.1f}) | "
            f"{memory:,.0f} |"
        )
    shares = fractions(saved)
    lines += [
        "",
        f"Speed from files as a share of that from memory, turn by turn: median "
        f"{statistics.median(shares):.3f}, from {min(shares):.3f} to {max(shares):.3f}.",
    ]
    return "\n".join(lines) + "\n"


def fractions(saved: dict[str, Any]) -> list[float]:
    """Speed from files over speed from memory, one per turn."""
    return [m["s"] / d["s"] for d, m in zip(saved["disk"], saved["memory"], strict=True)]


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="for the shards (default: a temporary one)")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(json.loads(args.one))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch)
        make(folder, args.rows)
        job = {"folder": str(folder), "rows": args.rows, "steps": args.steps}
        saved: dict[str, Any] = {"rows": args.rows, "disk": [], "memory": []}
        for _ in range(args.repeats):
            for name, disk in (("disk", True), ("memory", False)):
                found = measured([sys.executable, __file__, "--one"], job | {"disk": disk})
                print(name, found, flush=True)
                saved[name].append(found)
    print(page(saved))
    if args.rows < 10_000_000:
        return
    keep("larger-than-memory", saved, page(saved))
    shares = fractions(saved)
    claim_median("larger_than_memory_speed_fraction", shares, "1", COMMAND)


if __name__ == "__main__":
    main()
