"""In which order a pool's rows are drawn: a pure function of (seed, pool, step).

Rows whose latents are in memory are shuffled as a whole, anew in each epoch. Where latents lie in
files, reading them at random would touch the whole disk all the time: there the files are shuffled,
some neighbors in that order make a window, and rows are shuffled within the window. Files are then
read one after the other, and few are needed at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from globalworkspace.data.cells import LazyLatents
from globalworkspace.randomness import derived_generator

WINDOW_SHARDS = 8
"""Files whose rows are shuffled together."""


class RowOrder(ABC):
    """Draws rows of one pool.

    Args:
        rows: (N,) int64, the pool.
        seed: Of the shuffling.
        pool: The pool's number.
    """

    def __init__(self, rows: Tensor, seed: int, pool: int) -> None:
        self.rows, self.seed, self.pool = rows, seed, pool

    def draw(self, size: int, step: int) -> Tensor:
        """The `size` rows of a step; none is twice in it, and an epoch has each at most once."""
        # A batch never crosses two epochs: no row is twice in it.
        epoch, position = divmod(step, len(self.rows) // size)
        return self._stretch(epoch, position * size, (position + 1) * size)

    @abstractmethod
    def _stretch(self, epoch: int, start: int, stop: int) -> Tensor:
        """The rows at positions `start` to `stop` of the epoch's order."""


class ShuffledRows(RowOrder):
    """All rows shuffled together."""

    _order: tuple[int, Tensor] | None = None

    def _stretch(self, epoch: int, start: int, stop: int) -> Tensor:
        if self._order is None or self._order[0] != epoch:
            generator = derived_generator(self.seed, "rows", self.pool, epoch)
            self._order = epoch, torch.randperm(len(self.rows), generator=generator)
        return self.rows[self._order[1][start:stop]]


class WindowedRows(RowOrder):
    """Files shuffled, then rows within windows of `WINDOW_SHARDS` files.

    Args:
        rows: See `RowOrder`.
        seed: See `RowOrder`.
        pool: See `RowOrder`.
        items: (N,) int64, where each row's latents lie in `cells`.
        cells: Latents in files.
    """

    def __init__(
        self, rows: Tensor, seed: int, pool: int, items: Tensor, cells: LazyLatents
    ) -> None:
        shards = items // cells.shard_rows
        order = shards.argsort(stable=True)
        super().__init__(rows[order], seed, pool)
        self.cells = cells
        self.shards, counts = shards[order].unique_consecutive(return_counts=True)
        self._ends = counts.cumsum(0)
        self._starts = self._ends - counts
        self._plan: tuple[int, Tensor, Tensor] | None = None
        self._windows: dict[tuple[int, int], Tensor] = {}

    def _stretch(self, epoch: int, start: int, stop: int) -> Tensor:
        _, ends = self._epoch(epoch)
        first, last = torch.searchsorted(ends, torch.tensor([start, stop - 1]), right=True).tolist()
        pieces = []
        for window in range(first, last + 1):
            before = int(ends[window - 1]) if window else 0
            rows = self._window(epoch, window)
            pieces.append(rows[max(start - before, 0) : stop - before])
        return torch.cat(pieces)

    def _epoch(self, epoch: int) -> tuple[Tensor, Tensor]:
        """The order of the files, and where each window of them ends among the epoch's rows."""
        if self._plan is None or self._plan[0] != epoch:
            generator = derived_generator(self.seed, "shards", self.pool, epoch)
            order = torch.randperm(len(self.shards), generator=generator)
            sizes = (self._ends - self._starts)[order]
            ends = torch.stack([piece.sum() for piece in sizes.split(WINDOW_SHARDS)]).cumsum(0)
            self._plan = epoch, order, ends
        return self._plan[1], self._plan[2]

    def _window(self, epoch: int, window: int) -> Tensor:
        """The shuffled rows of one window; the last two are kept, the next one is announced."""
        if (epoch, window) not in self._windows:
            order, _ = self._epoch(epoch)
            members = order.split(WINDOW_SHARDS)
            rows = torch.cat(
                [self.rows[self._starts[i] : self._ends[i]] for i in members[window].tolist()]
            )
            generator = derived_generator(self.seed, "rows", self.pool, epoch, window)
            shuffled = rows[torch.randperm(len(rows), generator=generator)]
            while len(self._windows) > 1:
                del self._windows[next(iter(self._windows))]
            self._windows[epoch, window] = shuffled
            if window + 1 < len(members):
                self.cells.prefetch(self.shards[members[window + 1]].tolist())
        return self._windows[epoch, window]
