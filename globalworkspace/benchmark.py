"""What a training step costs on this machine, and how much of the machine it uses."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence

import attrs
import torch
from torch.utils.flop_counter import FlopCounterMode

from globalworkspace.data.table import Table
from globalworkspace.given_latents import GivenLatents
from globalworkspace.latents import LatentSpec
from globalworkspace.objectives.base import Objective
from globalworkspace.training.callbacks import Callback, Training
from globalworkspace.training.config import TrainerConfig
from globalworkspace.training.device import pick_device
from globalworkspace.training.trainer import Trainer
from globalworkspace.workspace import GlobalWorkspace

DIMS = (12, 11, 64, 32)
"""Latent sizes of the grid's domains, in turn."""
ROWS = 20_000
WARM_UP = 5


@attrs.frozen(kw_only=True)
class StepCost:
    """The cost of one training step."""

    domains: int
    batch: int
    """Rows of all segments in a step."""
    width: int
    precision: str
    ms: float
    """Median milliseconds of a step."""
    fastest_ms: float
    slowest_ms: float
    rows_per_s: float
    gflop: float
    """Multiplications and additions of all matrix products, forward and backward, in 1e9."""
    peak_share: float
    """Of what the machine reaches on one large matrix product in the same precision."""
    memory_mib: float
    """Largest memory of the process (on a GPU: of its tensors) so far."""


class _Clock(Callback):
    """Wall-clock time of each step, device work included."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.times = device, list[float]()

    def step_done(self, training: Training) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.times.append(time.perf_counter())


def measure(
    workspace: GlobalWorkspace,
    latents: Table,
    config: TrainerConfig,
    objectives: Sequence[Objective] | None = None,
    *,
    steps: int = 30,
    peak: float | None = None,
) -> StepCost:
    """Train for a few steps and time them; the workspace is changed.

    Args:
        workspace: What is trained.
        latents: Latent table.
        config: Batch sizes, precision, device; its number of steps is ignored.
        objectives: As in `Trainer`.
        steps: How many are timed, after some that warm up.
        peak: Operations per second of `matmul_peak`, if it was measured before.
    """
    device = pick_device(config.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    quiet = attrs.evolve(config, progress=False, log_every=10**9, checkpoint_every=10**9)
    clock = _Clock(device)
    timed = attrs.evolve(quiet, steps=WARM_UP + steps)
    Trainer(timed, objectives, callbacks=[clock]).fit(workspace, latents, latents=True)
    took = torch.tensor(clock.times[WARM_UP - 1 :], dtype=torch.float64).diff() * 1000
    counter = FlopCounterMode(display=False)
    with counter:
        once = attrs.evolve(quiet, steps=1, compile=False)
        Trainer(once, objectives).fit(workspace, latents, latents=True)
    flop = counter.get_total_flops()
    ms = float(took.median())
    peak = matmul_peak(device, config.precision) if peak is None else peak
    rows = _rows_per_step(latents, config)
    return StepCost(
        domains=len(latents.domains),
        batch=rows,
        width=workspace.hidden_dim,
        precision=config.precision + (" compiled" if config.compile else ""),
        ms=ms,
        fastest_ms=float(took.min()),
        slowest_ms=float(took.max()),
        rows_per_s=1000 * rows / ms,
        gflop=flop / 1e9,
        peak_share=flop / (ms / 1000) / peak,
        memory_mib=_memory(device) / 2**20,
    )


def grid_workspace(domains: int, width: int, seed: int = 0) -> tuple[GlobalWorkspace, Table]:
    """A workspace of `domains` domains with random latents, and rows that are all matched."""
    generator = torch.Generator().manual_seed(seed)
    dims = {f"domain_{i + 1}": DIMS[i % len(DIMS)] for i in range(domains)}
    table = Table.from_columns(
        {name: torch.randn(ROWS, dim, generator=generator) for name, dim in dims.items()}
    )
    modules = {name: GivenLatents(LatentSpec.continuous(dim)) for name, dim in dims.items()}
    return GlobalWorkspace(modules, dim=12, hidden_dim=width, num_layers=4), table


@torch.no_grad()
def matmul_peak(device: torch.device, precision: str, size: int = 2048) -> float:
    """Operations per second of the best of a few large matrix products.

    Args:
        device: Where.
        precision: `"bf16"`, else float32.
        size: Rows and columns.
    """
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def _rows_per_step(table: Table, config: TrainerConfig) -> int:
    from globalworkspace.data.sampler import BatchSampler

    sampler = BatchSampler(
        table,
        matched_rows=config.batch_size,
        unmatched_rows=config.unmatched_batch_size,
        seed=config.seed,
    )
    return config.accumulate * sum(segment.size for segment in sampler.segments)


def _memory(device: torch.device) -> float:
    """Bytes."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024  # what ru_maxrss counts
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
