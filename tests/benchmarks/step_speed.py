"""How much faster a training step is than in the authors' `shimmer` through Lightning.

    python tests/benchmarks/step_speed.py --shimmer-python PATH    # the Python that has shimmer

Equal work on both sides: n unmatched batches of B rows and one matched batch of B rows with all n
domains, latents of 12, 11, 64 and 32 dimensions in turn, workspace 12, five linear layers with ReLU
in each encoder and decoder, all four loss families, AdamW; one thread, CPU time of a step. In
shimmer the translations of three domains and more go from all others to one; so do ours here. Each
cell is measured in turns, ours after theirs; a ratio belongs to one turn.

Shimmer is installed from its public source (commit d729e5e) with Lightning 2.6.6 in an environment
of its own; see peers/shimmer_steps.py for the two things put around it.

Writes docs/results/step-speed.{md,json} and the step_speedup_ figures of claims.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from results_page import claim_median, head, keep, paragraph

from globalworkspace import GlobalWorkspace, LatentSpec, Table, Trainer, TrainerConfig
from globalworkspace.data.sampler import Segment
from globalworkspace.given_latents import GivenLatents
from globalworkspace.objectives.base import Objective
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.translation import Translation
from globalworkspace.route import Route
from globalworkspace.training.callbacks import Callback, Training

PEER = Path(__file__).parent / "peers" / "shimmer_steps.py"
DIMS, ROWS = (12, 11, 64, 32), 20_000
GRID = [(n, batch, 32) for n in (2, 3, 4, 8) for batch in (256, 512, 2056)] + [(2, 512, 256)]
MODES: dict[str, dict[str, Any]] = {
    "fp32": {"precision": "fp32"},
    "bf16": {"precision": "bf16"},
    "compiled": {"precision": "fp32", "compile": True},
    "compiled-bf16": {"precision": "bf16", "compile": True},
}
COMMAND = "python tests/benchmarks/step_speed.py --shimmer-python PATH"
GPU_COMMAND = f"{COMMAND} --device cuda"


class AllToOne(Translation):
    """Shimmer's translations: from all other domains of a matched row to each."""

    def routes(self, segment: Segment) -> Iterable[Route]:
        for target in segment.group:
            others = tuple(name for name in segment.group if name != target)
            if others:
                yield Route(others, target)


class Clock(Callback):
    """Prints CPU time per step of stretches of steps; with "turns" each waits until it is sent."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job, self.done, self.began = job, 0, 0.0

    @property
    def last(self) -> int:
        """The last step."""
        return int(self.job["warmup"] + self.job.get("turns", 1) * self.job["steps"])

    def step_done(self, training: Training) -> None:
        into = training.step - self.job["warmup"]
        if into < 0 or into % self.job["steps"]:
            return
        if into:
            ms = 1000 * (self._now() - self.began) / self.job["steps"]
            print(json.dumps({"ms": ms}), flush=True)
            self.done += 1
        if "turns" in self.job and self.done < self.job["turns"]:
            print("ready", flush=True)
            input()
        self.began = self._now()

    def _now(self) -> float:
        if self.job["device"] == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()


def timed(job: dict[str, Any], families: list[Objective], fusion: str, **settings: Any) -> None:
    """Print milliseconds of CPU time per step of our trainer, on shimmer's sizes."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    dims = {f"d{i}": DIMS[i % len(DIMS)] for i in range(job["n"])}
    table = Table.from_columns(
        {name: torch.randn(ROWS, dim, generator=generator) for name, dim in dims.items()}
    )
    workspace = GlobalWorkspace(
        {name: GivenLatents(LatentSpec.continuous(dim)) for name, dim in dims.items()},
        dim=12,
        hidden_dim=job["width"],
        num_layers=4,
        networks=dict.fromkeys(dims, "plain-mlp"),
        fusion=fusion,
    )
    clock = Clock(job)
    config = TrainerConfig(
        steps=clock.last,
        batch_size=job["batch"],
        unmatched_batch_size=job["batch"],
        device=job["device"],
        progress=False,
        **settings,
    )
    Trainer(config, families, callbacks=[clock]).fit(workspace, table, latents=True)


def ours(job: dict[str, Any]) -> None:
    """Print milliseconds of CPU time per step with shimmer's families."""
    families = [AllToOne(1.0), Contrastive(0.1, on="code"), DemiCycle(1.0), Cycle(1.0)]
    timed(job, families, "single", **MODES[job["mode"]])


class Runner:
    """A process that trains, and waits before each stretch of steps until it is its turn."""

    def __init__(self, command: list[str], job: dict[str, Any]) -> None:
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [*command, json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def ready(self) -> None:
        """Wait until it could take its first turn."""
        self._read("ready")

    def turn(self) -> float:
        """Milliseconds of CPU time per step of the next stretch."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(json.loads(self._read('{"ms"'))["ms"])

    def _read(self, beginning: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(beginning):
                return line
        self.log.seek(0)
        raise SystemExit(f"{self.process.args} failed:\n{self.log.read()[-2000:]}")


def cell(n: int, batch: int, width: int, modes: list[str], args: argparse.Namespace) -> Any:
    """Times of one size, in turns."""
    if batch < 512:  # compiling takes a minute, and no claim is made of these
        modes = [mode for mode in modes if not mode.startswith("compiled")]
    work = n * n * batch * width
    job = {
        "n": n,
        "batch": batch,
        "width": width,
        "steps": 30 if args.device != "cpu" else max(min(int(args.effort / work), 120), 8),
        "warmup": 5,
        "turns": args.repeats,
        "device": args.device,
    }
    own = [sys.executable, __file__, "--one"]
    runners = {"shimmer": Runner([args.shimmer_python, str(PEER)], job | {"kind": "lightning"})}
    for mode in modes:
        runners[mode] = Runner(own, job | {"mode": mode})
    for runner in runners.values():
        runner.ready()
    times: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(args.repeats):
        for name, runner in runners.items():
            times[name].append(runner.turn())
    for runner in runners.values():
        runner.process.wait()
    medians = {name: round(statistics.median(values), 2) for name, values in times.items()}
    print(n, batch, width, medians, flush=True)
    return {"n": n, "batch": batch, "width": width, "steps": job["steps"], "ms": times}


def ratios(result: dict[str, Any], mode: str) -> list[float]:
    """Shimmer's time over ours, one per turn."""
    ms = result["ms"]
    return [theirs / mine for theirs, mine in zip(ms["shimmer"], ms[mode], strict=True)]


def claim(name: str, results: list[dict[str, Any]], modes: list[str]) -> None:
    """The smallest median ratio over the cells, each with its better mode."""
    best = [
        max((ratios(r, m) for m in modes if m in r["ms"]), key=statistics.median) for r in results
    ]
    worst = min(best, key=statistics.median)
    claim_median(name, worst, "x", COMMAND)


def page(
    results: list[dict[str, Any]],
    title: str = "The time of a training step",
    command: str = COMMAND,
    about: str = paragraph(__doc__),
    modes: Sequence[str] = tuple(MODES),
) -> str:
    """A page of docs/results."""
    lines = [
        *head(title, command, about),
        "Times are medians of milliseconds, ratios are medians with their range.",
        "",
        "| domains | rows B | width | shimmer | "
        + " | ".join(f"{m} | ratio" for m in modes)
        + " |",
        "|---|---|---|---|" + "---|---|" * len(modes),
    ]
    for result in results:
        row = [str(result[key]) for key in ("n", "batch", "width")]
        row.append(f"{statistics.median(result['ms']['shimmer']):.1f}")
        for mode in modes:
            if mode not in result["ms"]:
                row += ["", ""]
                continue
            found = ratios(result, mode)
            row.append(f"{statistics.median(result['ms'][mode]):.1f}")
            row.append(f"{statistics.median(found):.2f} ({min(found):.2f}–{max(found):.2f})")
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def on_a_gpu(args: argparse.Namespace) -> None:
    """Measure the cells of a GPU, print and record."""
    modes = ["fp32", "bf16"]
    versions = f"{torch.cuda.get_device_name()}, torch {torch.__version__.split('+')[0]}"
    about = (
        f"{versions}. Wall-clock time of a step on a GPU, both sides on it, latents in main memory "
        "before the start. Else as in [step-speed.md](step-speed.md): n unmatched batches of B "
        "rows and a matched one, all four loss families, each cell in turns, ours after theirs. "
        "Ours is recorded as a CUDA graph after its first step, which needs no setting."
    )
    results = []
    for n, batch in [(2, 512), (2, 2056), (4, 512), (4, 2056), (8, 512)]:
        results.append(cell(n, batch, 32, modes, args))
        text = page(results, "The time of a training step on a GPU", GPU_COMMAND, about, modes)
        keep("step-speed-gpu", {"on": versions, "cells": results}, text)  # borrowed GPUs go back
    print(text)
    worst = min((ratios(r, "fp32") for r in results), key=statistics.median)
    claim_median("step_speedup_gpu_min_vs_shimmer_lightning", worst, "x", GPU_COMMAND)


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--shimmer-python")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--effort", type=float, default=4e6, help="work per measurement")
    parser.add_argument("--cells", help="such as 2,512,32;4,512,32 (records nothing)")
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--device", default="cpu", help="cuda: wall-clock time on a GPU")
    args = parser.parse_args()
    if args.one:
        ours(json.loads(args.one))
        return
    if not args.shimmer_python:
        parser.error("--shimmer-python PATH is needed")
    if args.device != "cpu":
        on_a_gpu(args)
        return
    grid = GRID
    if args.cells:
        grid = [tuple(map(int, c.split(","))) for c in args.cells.split(";")]  # type: ignore[misc]
    modes = args.modes.split(",")
    results = [cell(*size, modes, args) for size in grid]
    print(page(results))
    if args.cells:
        return
    keep("step-speed", results, page(results))
    narrow = [r for r in results if r["width"] == 32]
    wide = [r for r in results if r["width"] == 256]
    claim("step_speedup_min_vs_shimmer_lightning", narrow, ["fp32"])
    claim(
        "step_speedup_b2056_vs_shimmer_lightning",
        [r for r in narrow if r["batch"] == 2056],
        ["fp32"],
    )
    larger = [r for r in narrow if r["batch"] >= 512]
    claim("step_speedup_compiled_or_bf16_min", larger, [m for m in MODES if m != "fp32"])
    claim("step_speedup_width256_fp32", wide, ["fp32"])
    claim("step_speedup_width256_bf16", wide, ["bf16", "compiled-bf16"])


if __name__ == "__main__":
    main()
