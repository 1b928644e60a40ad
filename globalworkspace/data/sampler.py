"""Which rows a step sees: a pure function of (seed, step), without state to save.

Every step draws a fixed quota: of each matched group, and for every domain of all rows that have
it, matched or not (the paper's demi-cycles and cycles run on everything that is available). Each
quota walks through a seeded permutation of its rows, then through the next.
"""

from __future__ import annotations

import functools

import attrs
import torch
from torch import Tensor

from globalworkspace.data.cells import LazyLatents, take_cells
from globalworkspace.data.order import RowOrder, ShuffledRows, WindowedRows
from globalworkspace.data.table import Group, Table
from globalworkspace.moving import onto
from globalworkspace.processes import Processes
from globalworkspace.randomness import derived_generator


@attrs.frozen
class Segment:
    """A stretch of a batch: rows of one group that walk the same routes."""

    group: Group
    size: int
    """Rows in this process's batch."""
    whole: int = attrs.field(default=attrs.Factory(lambda self: self.size, takes_self=True))
    """Rows in the batch of all processes that train together."""
    start: int = 0
    """Which of those is the first of this process's."""

    def here(self, rows: slice) -> slice:
        """Where `rows` of the whole segment lie among this process's; empty if none does."""
        first, last = (
            min(max(edge - self.start, 0), self.size) for edge in (rows.start, rows.stop)
        )
        return slice(first, last)

    @property
    def matched(self) -> bool:
        """Whether its rows hold two or more domains."""
        return len(self.group) >= 2


@attrs.frozen(eq=False)
class Batch:
    """The latents of one step.

    For each domain, the rows of all segments that have it lie one after the other, in segment
    order.
    """

    segments: tuple[Segment, ...]
    latents: dict[str, Tensor]
    """Domain -> standard latents (rows, A)."""
    rows: tuple[Tensor, ...]
    """Per segment, the table rows (size,) it drew."""
    drawn: tuple[Tensor, ...] = ()
    """The same for the batch of all processes; on the CPU."""


def order_digest(before: Tensor, batch: Batch) -> Tensor:
    """A fingerprint (int64 scalar) of the rows of `batch` and, by `before`, of all until then.

    A polynomial hash in wrap-around arithmetic: it tells orders apart and keeps no secret.
    """
    rows = torch.cat(batch.drawn)
    return before * _MULTIPLIER + ((rows + 1) * _places(len(rows))).sum()


_MULTIPLIER = 6364136223846793005  # Knuth's


@functools.lru_cache(maxsize=8)
def _places(rows: int) -> Tensor:
    return torch.arange(1, 2 * rows, 2) * _MULTIPLIER


class BatchSampler:
    """Draws the batch of a step from a latent table.

    Args:
        table: Rows whose cells are standard latents, wherever they lie.
        matched_rows: Rows of matched groups per step, shared equally among them (each at most what
            it has).
        unmatched_rows: Rows per domain and step for the one-domain routes; 0 for none.
        seed: Of all draws.
        device: Where batches go; None: where the table's cells are.
        processes: Those that train together: the batch is drawn for all of them, and each takes
            its share of every segment.
    """

    def __init__(
        self,
        table: Table,
        *,
        matched_rows: int,
        unmatched_rows: int,
        seed: int,
        device: torch.device | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.table, self.seed, self.device = table, seed, device
        processes = processes or Processes()
        matched = {group: rows for group, rows in table.groups().items() if len(group) >= 2}
        pools: list[tuple[Group, Tensor]] = []
        sizes: list[int] = []
        for group, rows in matched.items():
            pools.append((group, rows))
            sizes.append(min(max(matched_rows // len(matched), 2), len(rows)))
        if unmatched_rows:
            for name in table.domains:
                rows = table.rows_with(name)
                pools.append(((name,), rows))
                sizes.append(min(unmatched_rows, len(rows)))
        self._shares = [processes.share(size) for size in sizes]
        self.segments = tuple(
            Segment(group, share.stop - share.start, size, share.start)
            for (group, _), size, share in zip(pools, sizes, self._shares, strict=True)
        )
        self._orders = [
            self._order(index, group, rows) for index, (group, rows) in enumerate(pools)
        ]
        self._alternatives = {name: bool((table[name].count > 1).any()) for name in table}

    def _order(self, index: int, group: Group, rows: Tensor) -> RowOrder:
        """Rows in files are drawn file by file, by the first domain that has them there."""
        for name in group:
            cells = self.table[name].cells
            if isinstance(cells, LazyLatents):
                return WindowedRows(rows, self.seed, index, self.table[name].first[rows], cells)
        return ShuffledRows(rows, self.seed, index)

    def batch(self, step: int) -> Batch:
        """The batch of `step`."""
        drawn = tuple(
            order.draw(segment.whole, step)
            for order, segment in zip(self._orders, self.segments, strict=True)
        )
        latents = {}
        for name in self.table:
            held = [i for i, segment in enumerate(self.segments) if name in segment.group]
            if not held:
                continue
            column, rows = self.table[name], torch.cat([drawn[i] for i in held])
            items = column.first[rows]
            if self._alternatives[name]:
                chance = torch.rand(
                    len(rows), generator=derived_generator(self.seed, "alternative", step, name)
                )
                items = items + (chance * column.count[rows]).long()
            pieces = items.split([self.segments[i].whole for i in held])
            items = torch.cat(
                [piece[self._shares[i]] for i, piece in zip(held, pieces, strict=True)]
            )
            cells = take_cells(column.cells, items)
            latents[name] = cells if self.device is None else onto(cells, self.device)
        mine = tuple(rows[share] for rows, share in zip(drawn, self._shares, strict=True))
        return Batch(self.segments, latents, mine, drawn)
