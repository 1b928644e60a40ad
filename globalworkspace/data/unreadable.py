"""Cells that cannot be encoded (a damaged picture, say), where they shall be passed over.

Their latents are NaN in what is stored, so that the next run knows them, too; to a row, such a cell
is missing.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import torch
from torch import Tensor

from globalworkspace.data.table import Column, Table

Unreadable = Literal["stop", "skip"]
_CHUNK, _SHOWN = 65_536, 5


def hide_unreadable(name: str, column: Column, origin: Tensor) -> Column:
    """The column with cells missing that have an unreadable item, and a warning that counts them.

    Args:
        name: The domain.
        column: Its latents; a tensor's NaN become 0, which no row uses.
        origin: (N,) int64, the rows of the source, for the warning.
    """
    cells: Any = column.cells
    bad = torch.cat([~piece.isfinite().all(dim=1) for piece in cells.split(_CHUNK)])
    if not bad.any():
        return column
    before = torch.cat([torch.zeros(1, dtype=torch.int64), bad.cumsum(0)])
    last = column.first + column.count
    spoilt = column.present & (before[last] > before[column.first])
    rows = origin[spoilt].tolist()
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    warnings.warn(
        f'Domain "{name}": {len(rows)} of {int(column.present.sum())} cells cannot be read and '
        f"count as missing, in row {', '.join(map(str, rows[:_SHOWN]))}{more}.",
        stacklevel=2,
    )
    if isinstance(cells, Tensor):
        cells = cells.masked_fill(bad[:, None], 0.0)
    return Column(cells, column.first, column.count.masked_fill(spoilt, 0))


def without_unreadable(raw: Table, latents: Table) -> tuple[Table, Table]:
    """A table and its latents, less the cells that could not be read and rows that held no other.

    Args:
        raw: What was encoded.
        latents: What `encode_table` made of it.
    """
    masked = Table(
        {name: column.keep(latents[name].present) for name, column in raw.columns.items()},
        raw.origin,
    )
    kept = torch.stack([column.present for column in latents.columns.values()]).any(dim=0)
    rows = kept.nonzero().flatten()
    return masked.select(rows), latents.select(rows)
