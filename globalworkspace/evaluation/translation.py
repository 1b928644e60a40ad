"""How well one domain's latents are predicted from another's.

The error is the *normalised* squared error: of the activated standard latents, divided by their
variance over the judged rows (of a continuous column a tenth of that in training at least),
averaged over columns. 0 is perfect and 1 a constant guess, so that figures compare across domains
and latents; R² of a column is 1 minus its error, where it varies as much as that.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from globalworkspace.data.table import Table
from globalworkspace.errors import DataError
from globalworkspace.latents import LatentSpec
from globalworkspace.workspace import GlobalWorkspace

_CHUNK = 8192


def direction(sources: Sequence[str], target: str) -> str:
    """How a direction is written: `photo -> caption`."""
    return f"{' + '.join(sources)} -> {target}"


@torch.no_grad()
def predict(
    workspace: GlobalWorkspace, table: Table, sources: Sequence[str], target: str, rows: Tensor
) -> Tensor:
    """Activated standard latents (len(rows), A) of `target` from `sources` of a standard table."""
    pieces = []
    for chunk in rows.split(_CHUNK):
        codes = {
            name: workspace.encoder(name)(table[name].take(chunk).to(workspace.device))
            for name in sources
        }
        state = workspace.fusion.fuse(codes)
        pieces.append(workspace.spec(target).activate(workspace.decoder(target)(state.code)))
    return torch.cat(pieces)


LEAST_VARIANCE = 0.1
"""What a continuous column is taken to vary at least, in units of the training rows' variance."""


def normalized_error(predictions: Tensor, truths: Tensor, spec: LatentSpec | None = None) -> Tensor:
    """Squared error over variance per column, of columns that vary.

    Args:
        predictions: (B, A), activated.
        truths: (B, A) standard latents.
        spec: What they are made of: then a continuous column counts as varying by a tenth of what
            it does in training at least. Rows may be few, and lack what a column is about: its
            small error over nearly no variance would outweigh all others.

    Returns:
        (A',), of the columns that vary.
    """
    variance = truths.double().var(dim=0, correction=0)
    error = (predictions.double() - truths.double()).square().mean(dim=0)
    varies = variance > 1e-8
    if spec is not None:
        for part, columns in zip(spec.parts, spec.slices().values(), strict=True):
            if part.kind == "continuous":
                variance[columns].clamp_(min=LEAST_VARIANCE)
    return error[varies] / variance[varies]


def translation_error(workspace: GlobalWorkspace, table: Table) -> dict[str, float]:
    """Normalised error of every direction, over the rows that its two domains share.

    Args:
        workspace: In eval mode.
        table: A *standardised* latent table.

    Returns:
        `"photo -> caption"` -> mean over columns.

    Raises:
        DataError: If no two domains share a row.
    """
    errors = direction_errors(workspace, table)
    if not errors:
        raise DataError(f"No two domains share rows to judge translations by ({table.describe()}).")
    return errors


def direction_errors(workspace: GlobalWorkspace, table: Table) -> dict[str, float]:
    """`translation_error`, empty where no two domains share two rows that differ."""
    errors = {}
    for source in table:
        for target in table:
            rows = table.rows_with(source, target)
            if source != target and len(rows) >= 2:
                predictions = predict(workspace, table, (source,), target, rows)
                columns = normalized_error(
                    predictions,
                    table[target].take(rows).to(workspace.device),
                    workspace.spec(target),
                )
                if len(columns):
                    errors[direction((source,), target)] = float(columns.mean())
    return errors
