"""Latent tables in the units that the workspace's networks see."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from globalworkspace.data.table import Column, Table
from globalworkspace.errors import DataError
from globalworkspace.workspace import GlobalWorkspace

log = logging.getLogger(__name__)
_CHUNK = 65_536


def standardize_table(workspace: GlobalWorkspace, table: Table) -> Table:
    """A latent table in standard units, in the workspace's dtype.

    It lies on the workspace's device where it fits into half of the memory free there, else on the
    CPU; batches are moved as they are drawn.
    """
    check_latents(workspace, table)
    columns = {}
    device = workspace.device
    if device.type == "cuda":
        needed = sum(column.cells.numel() for column in table.columns.values())
        if needed * workspace.dtype.itemsize > torch.cuda.mem_get_info(device)[0] / 2:
            log.warning("The latents do not fit on %s; they stay in main memory.", device)
            device = torch.device("cpu")
    for name in table:
        column = table[name]
        standardizer = workspace.standardizer(name)
        pieces = [
            standardizer.standardize(chunk.to(workspace.device, workspace.dtype)).to(device)
            for chunk in column.cells.split(_CHUNK)
        ]
        columns[name] = Column(torch.cat(pieces), column.first, column.count)
    return Table(columns, table.origin)


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
        if not isinstance(cells, Tensor) or cells.ndim != 2 or cells.shape[1] != dim:
            got = tuple(cells.shape) if isinstance(cells, Tensor) else type(cells).__name__
            raise DataError(f'Domain "{name}": latents (items, {dim}) were expected, got {got}.')
        bad = (~cells.isfinite().all(dim=1)).nonzero().flatten()
        if len(bad):
            owners = (column.first <= bad[0]) & (bad[0] < column.first + column.count)
            rows = table.origin[owners].tolist()
            where = f"of row {rows[0]}" if rows else f"number {int(bad[0])}"
            raise DataError(
                f'Domain "{name}": the latent {where} holds NaN or infinity ({len(bad)} such). '
                "Remove its row."
            )
