"""How often the right item of another domain is found by its workspace state."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from globalworkspace.data.table import Table
from globalworkspace.workspace import GlobalWorkspace


def recall_at(similarity: Tensor, ks: Sequence[int] = (1, 5)) -> dict[int, float]:
    """Share of queries whose own item is among the k most similar.

    Args:
        similarity: (B, B); row i's right answer is column i. Ties count against it, so that
            constant states score chance or worse.
        ks: How many answers are looked at.
    """
    places = ranks(similarity)
    return {k: float((places <= k).double().mean()) for k in ks}


def ranks(similarity: Tensor) -> Tensor:
    """The place, from 1, of each query's own item among all: (B, B) -> (B,); see `recall_at`."""
    own = similarity.diagonal()[:, None]
    better: Tensor = (~(similarity < own)).sum(dim=1)  # so that NaN counts against it, too
    return better


@torch.no_grad()
def retrieval(
    workspace: GlobalWorkspace,
    table: Table,
    *,
    gallery_size: int = 1000,
    ks: Sequence[int] = (1, 5),
) -> dict[str, dict[int, float]]:
    """Recall of every direction, by cosine of the states of rows that two domains share.

    Args:
        workspace: In eval mode.
        table: A *standardised* latent table.
        gallery_size: How many items there are to choose from, at most: the first shared rows.
        ks: See `recall_at`.

    Returns:
        `"photo -> caption"` -> k -> recall.
    """
    found = {}
    for source in table:
        for target in table:
            if source == target:
                continue
            rows, first, second = shared_states(workspace, table, source, target, gallery_size)
            if len(rows) < 2:
                continue
            found[f"{source} -> {target}"] = recall_at(first @ second.T, ks)
    return found


@torch.no_grad()
def shared_states(
    workspace: GlobalWorkspace, table: Table, source: str, target: str, most: int = 1000
) -> tuple[Tensor, Tensor, Tensor]:
    """States of the rows that two domains share, each from one of them alone.

    Args:
        workspace: In eval mode.
        table: A *standardised* latent table.
        source: A domain.
        target: Another.
        most: The first so many rows.

    Returns:
        Rows (n,), states from the source and from the target (n, W), all of length 1.
    """
    rows = table.rows_with(source, target)[:most]
    first, second = (
        F.normalize(states(workspace, table, name, rows), dim=1) for name in (source, target)
    )
    return rows, first, second


@torch.no_grad()
def states(workspace: GlobalWorkspace, table: Table, source: str, rows: Tensor) -> Tensor:
    """Codes (len(rows), W) of rows of a *standardised* latent table, from one domain alone."""
    cells = table[source].take(rows).to(workspace.device)
    return workspace.fusion.finish(workspace.encoder(source)(cells)).code
