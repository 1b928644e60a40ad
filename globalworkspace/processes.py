"""Several processes that train one workspace, as `torchrun` starts them.

Every process draws the same global batch and keeps a contiguous share of each segment's rows.
Losses are sums over its own rows divided by the rows of all; one all-reduce adds up the flat
gradient, so that each process takes the step that one process alone would take on the whole batch.
What is random is drawn for the rows of all and cut to size.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence

import attrs
import torch
from torch import Tensor, distributed

from globalworkspace.errors import ConfigError


@attrs.frozen
class Processes:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.rank == 0

    def share(self, rows: int) -> slice:
        """Which of `rows` rows are this process's; shares differ by one row at most."""
        return slice(rows * self.rank // self.size, rows * (self.rank + 1) // self.size)

    def counts(self, rows: int) -> list[int]:
        """How many of `rows` rows each process has, in order of rank."""
        shares = [Processes(rank, self.size).share(rows) for rank in range(self.size)]
        return [share.stop - share.start for share in shares]

    def add(self, values: Tensor) -> Tensor:
        """The sum of the processes' `values`, the same everywhere; in place, without gradient."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def gather(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """The rows of all processes in order of rank, without gradient.

        Args:
            rows: (counts[rank], ...), this process's.
            counts: How many rows each process has.
        """
        if self.size == 1:
            return rows
        whole = rows.new_zeros(sum(counts), *rows.shape[1:])
        start = sum(counts[: self.rank])
        whole[start : start + len(rows)] = rows.detach()
        return self.add(whole)  # shares differ in size, which an all-gather does not allow

    def copy_from_first(self, values: Tensor) -> Tensor:
        """The first process's `values` everywhere; in place."""
        if self.size > 1:
            distributed.broadcast(values, src=0)
        return values

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in some process."""
        if self.size == 1:
            return flag
        return bool(self.add(torch.tensor(float(flag))) > 0)

    def agree(self, value: float) -> float:
        """The first process's `value` everywhere."""
        if self.size == 1:
            return value
        return float(self.copy_from_first(torch.tensor(value, dtype=torch.float64)))

    def wait(self) -> None:
        """Go on when every process has come here."""
        if self.size > 1:
            distributed.barrier()

    @contextlib.contextmanager
    def first_before_others(self) -> Iterator[None]:
        """The first process runs the block alone, then the others: they find what it stored."""
        if not self.first:
            self.wait()
        try:
            yield
        finally:
            if self.first:
                self.wait()


def current_processes() -> Processes:
    """The processes that this one belongs to, joined on the first call; alone without `torchrun`.

    Raises:
        ConfigError: If `torchrun` started several and torch cannot join them.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        return Processes()
    if not distributed.is_available():
        raise ConfigError(
            f"{size} processes were started, and this torch was built without torch.distributed. "
            "Start one process, or install another torch."
        )
    # imported later, its functions would hold the group as a default argument, and end it too late
    import torch.distributed.nn
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    if not distributed.is_initialized():
        gpu = own_gpu()
        if gpu is not None:
            torch.cuda.set_device(gpu)
        store, rank, size = next(rendezvous("env://"))
        # after a restart the launcher's store still holds the addresses of those that died
        store = PrefixStore(f"attempt-{_attempt()}", store)
        distributed.init_process_group(
            "gloo" if gpu is None else "cpu:gloo,cuda:nccl",
            store=store,
            rank=rank,
            world_size=size,
        )
        atexit.register(_leave)
    return Processes(distributed.get_rank(), distributed.get_world_size())


def started_here() -> int:
    """How many of the processes run on this machine, as far as the launcher tells."""
    return max(int(os.environ.get("LOCAL_WORLD_SIZE", "1")), _local_rank() + 1)


def own_gpu() -> int | None:
    """This process's GPU, one each in the launcher's order; None where there are too few."""
    if torch.cuda.device_count() < started_here():
        return None
    return _local_rank()


def _local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))


def restarted() -> bool:
    """Whether `torchrun --max-restarts` has started this process again after a failure."""
    return _attempt() > 0


def _leave() -> None:
    """End the group's threads while the interpreter still runs.

    A gloo thread that frees a tensor when the interpreter has gone aborts the process: a finished
    run would count as a failed one. After an error nothing is awaited from the others.
    """
    if distributed.is_initialized() and not hasattr(sys, "last_value"):
        distributed.destroy_process_group()


def _attempt() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
