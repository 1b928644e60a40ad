"""InfoNCE in one pass: the exponentials of a batch serve both directions, loss and gradient alike.

The usual two cross-entropies keep several B x B tensors for the backward pass. Rows of unit length
have cosines in [-1, 1], so `exp(s cos - s)` needs no maximum, and one matrix of them gives

    loss = mean_i (log sum_j E_ij + log sum_j E_ji) / 2 + s - s x_i . y_i
    d loss / d (s x_i . y_j) = (E_ij / rowsum_i + E_ij / columnsum_j) / 2B - [i = j] / B,

whose products with x and y are formed at once: nothing of size B x B outlives the call, and a
large batch is taken in stretches of rows.

Of several processes each forms the matrix of its own rows against the columns of all; the column
sums and the gradient of the columns are added up between them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from globalworkspace.processes import Processes

CHUNK_ENTRIES = 1 << 19
"""Entries of the similarity matrix that are computed together, for the cache's sake."""
KEPT_ENTRIES = 1 << 25
"""Up to this many entries are kept until the column sums are known; beyond, computed twice."""


def info_nce(
    first: Tensor,
    second: Tensor,
    scale: Tensor,
    *,
    max_scale: float | None = None,
    processes: Processes | None = None,
    counts: Sequence[int] = (),
) -> Tensor:
    """Symmetric InfoNCE of two batches whose rows correspond.

    `(CE(s x y^T) + CE(s y x^T)) / 2` on L2-normalised rows, mean over rows; every other row of the
    batch is a negative.

    Args:
        first: (B, W).
        second: (B, W).
        scale: Scalar s, the inverse temperature.
        max_scale: A bound that s is known to keep, so that it need not be read from the device;
            None: it is read. From 39 on (in float32) the sums are formed in float64.
        processes: Those that hold a share of the batch's rows each; None: all are here.
        counts: How many rows each of them holds.

    Returns:
        Scalar; gradients flow to all three (once: the gradient itself cannot be differentiated).
        With several processes the share of this one: shares add up to the loss, and so do the
        gradients of weights.
    """
    with torch.autocast(first.device.type, enabled=False):
        x, y = (
            F.normalize(v if v.dtype == torch.float64 else v.float(), dim=1)
            for v in (first, second)
        )
        bound = float(scale.detach()) if max_scale is None else max_scale
        together = processes or Processes()
        if 2 * bound > _largest_exponent(torch.float64) and together.size == 1:
            return _plain(x, y, scale)
        if 2 * bound > _largest_exponent(x.dtype):
            x, y = x.double(), y.double()
        loss: Tensor = _InfoNCE.apply(x, y, scale.to(x), together, counts or [len(x)])
        return loss.to(first.dtype if first.dtype == torch.float64 else torch.float32)


def _largest_exponent(dtype: torch.dtype) -> float:
    """Up to here exp(-x) is far from the smallest number of `dtype`."""
    return -0.9 * math.log(torch.finfo(dtype).tiny)


def _plain(x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    logits = scale * x @ y.T
    labels = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


class _InfoNCE(torch.autograd.Function):
    """See the module; x and y (rows here, W) of unit length, the scale a scalar of their dtype."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        scale: Tensor,
        processes: Processes,
        counts: Sequence[int],
    ) -> Tensor:
        columns, wanted = sum(counts), any(ctx.needs_input_grad)
        here = slice(sum(counts[: processes.rank]), sum(counts[: processes.rank + 1]))
        y_all = processes.gather(y, counts)
        stretches = x.split(max(CHUNK_ENTRIES // columns, 1))
        kept = wanted and len(x) * columns <= KEPT_ENTRIES
        row_sums, blocks = [], []
        column_sums = y.new_zeros(columns)
        for piece in stretches:
            block = _similarities(piece, y_all, scale)
            row_sums.append(block.sum(dim=1))
            column_sums += block.sum(dim=0)
            if kept:
                blocks.append(block)
        processes.add(column_sums)
        agreement = (x * y).sum(dim=1)
        logs = (torch.cat(row_sums).log() + column_sums[here].log()) / 2
        loss = (logs + scale - scale * agreement).sum() / columns
        if wanted:
            share = scale / (2 * columns)
            right = torch.cat([y_all, y_all / column_sums[:, None]], dim=1)
            to_x, to_y = [], torch.zeros_like(right)
            for index, (piece, sums) in enumerate(zip(stretches, row_sums, strict=True)):
                block = blocks[index] if kept else _similarities(piece, y_all, scale)
                by_row, by_column = (block @ right).chunk(2, dim=1)
                to_x.append(by_row / sums[:, None] + by_column)
                to_y.addmm_(block.T, torch.cat([piece / sums[:, None], piece], dim=1))
            by_row, by_column = processes.add(to_y)[here].chunk(2, dim=1)
            grad_x = share * (torch.cat(to_x) - 2 * y)
            grad_y = share * (by_row + by_column / column_sums[here, None] - 2 * x)
            ctx.save_for_backward(grad_x, grad_y, (x * grad_x).sum() / scale)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        to_x, to_y, to_scale = ctx.saved_tensors
        return grad * to_x, grad * to_y, grad * to_scale, None, None


def _similarities(x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    """exp(s x y^T - s), (rows of x, rows of y)."""
    return torch.mm(x * scale, y.T).sub_(scale).exp_()
