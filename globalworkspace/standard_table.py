"""Latent tables in the units that the workspace's networks see."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import torch
from torch import Tensor

from globalworkspace.data.cells import LazyLatents
from globalworkspace.data.table import Column, Table
from globalworkspace.errors import DataError
from globalworkspace.latents import Standardizer
from globalworkspace.workspace import GlobalWorkspace

log = logging.getLogger(__name__)
_CHUNK = 65_536


def standardize_table(workspace: GlobalWorkspace, table: Table) -> Table:
    """A latent table in standard units, in the workspace's dtype.

    It lies on the workspace's device where it fits into half of the memory free there, else on the
    CPU; batches are moved as they are drawn. Latents in files stay there, and are standardised as
    they are read.
    """
    check_latents(workspace, table)
    columns = {}
    device = workspace.device
    if device.type == "cuda":
        needed = sum(
            column.cells.numel()
            for column in table.columns.values()
            if isinstance(column.cells, Tensor)
        )
        if needed * workspace.dtype.itemsize > torch.cuda.mem_get_info(device)[0] / 2:
            log.warning("The latents do not fit on %s; they stay in main memory.", device)
            device = torch.device("cpu")
    for name in table:
        column = table[name]
        standardizer = workspace.standardizer(name)
        if not isinstance(column.cells, Tensor):
            lazy = StandardizedLatents(column.cells, standardizer, workspace.dtype)
            columns[name] = Column(lazy, column.first, column.count)
            continue
        pieces = [
            standardizer.standardize(chunk.to(workspace.device, workspace.dtype)).to(device)
            for chunk in column.cells.split(_CHUNK)
        ]
        columns[name] = Column(torch.cat(pieces), column.first, column.count)
    return Table(columns, table.origin)


class StandardizedLatents:
    """Latents in files, in standard units where they are read.

    Args:
        cells: The latents (M, D).
        standardizer: Theirs.
        dtype: Of what is given out.
    """

    def __init__(self, cells: LazyLatents, standardizer: Standardizer, dtype: torch.dtype) -> None:
        self.cells, self.standardizer, self.dtype = cells, standardizer, dtype
        self.shape = torch.Size((len(cells), standardizer.standard_spec.dim))

    @property
    def shard_rows(self) -> int:
        """How many rows lie together, in one file."""
        return self.cells.shard_rows

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, items: Tensor) -> Tensor:
        """The standard latents (B, A) at positions (B,) int64, on the standardizer's device."""
        return self._standard(self.cells[items])

    def split(self, rows: int) -> Iterator[Tensor]:
        """All standard latents in order, at most `rows` at a time."""
        return (self._standard(piece) for piece in self.cells.split(rows))

    def prefetch(self, shards: list[int]) -> None:
        """Say which files are read next."""
        self.cells.prefetch(shards)

    def _standard(self, latents: Tensor) -> Tensor:
        return self.standardizer.standardize(latents.to(self.standardizer.mean.device, self.dtype))


def check_latents(workspace: GlobalWorkspace, table: Table) -> None:
    """Raise a `DataError` if a latent table does not fit the workspace, naming domain and row."""
    for name in table:
        if name not in workspace.domains:
            raise DataError(
                f'The table has a domain "{name}" and the workspace has '
                f"{', '.join(workspace.domains)}."
            )
        column, dim = table[name], workspace.standardizer(name).spec.dim
        cells = column.cells
        lazy = isinstance(cells, LazyLatents)
        if not (lazy or isinstance(cells, Tensor)) or tuple(cells.shape[1:]) != (dim,):
            got = tuple(cells.shape) if hasattr(cells, "shape") else type(cells).__name__
            raise DataError(f'Domain "{name}": latents (items, {dim}) were expected, got {got}.')
        if lazy:
            continue  # each shard is checked when it is first used
        bad = (~cells.isfinite().all(dim=1)).nonzero().flatten()
        if len(bad):
            owners = (column.first <= bad[0]) & (bad[0] < column.first + column.count)
            rows = table.origin[owners].tolist()
            where = f"of row {rows[0]}" if rows else f"number {int(bad[0])}"
            raise DataError(
                f'Domain "{name}": the latent {where} holds NaN or infinity ({len(bad)} such). '
                "Remove its row."
            )
