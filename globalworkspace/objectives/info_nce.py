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

CHUNK_ENTRIES = 1 << 18
"""Entries of the similarity matrices that are computed together, for the cache's sake."""
KEPT_ENTRIES = 1 << 21
"""Up to this many are kept until the column sums are known; beyond, they are computed twice, which
takes less time than to fetch them from memory."""
ON_ACCELERATORS = 64
"""Times as many on another device than a CPU."""


def info_nce(
    first: Tensor,
    second: Tensor,
    scale: Tensor,
    *,
    max_scale: float | None = None,
    processes: Processes | None = None,
    counts: Sequence[int] = (),
) -> Tensor:
    """Symmetric InfoNCE of two batches whose rows correspond, or of P such pairs at once.

    `(CE(s x y^T) + CE(s y x^T)) / 2` on L2-normalised rows, mean over rows; every other row of the
    batch is a negative.

    Args:
        first: (B, W) or (P, B, W).
        second: The same.
        scale: Scalar s, the inverse temperature.
        max_scale: A bound that s is known to keep, so that it need not be read from the device;
            None: it is read. From 39 on (in float32) the sums are formed in float64.
        processes: Those that hold a share of the batch's rows each; None: all are here.
        counts: How many rows each of them holds.

    Returns:
        Scalar or (P,); gradients flow to all three (once: the gradient itself cannot be
        differentiated). With several processes the share of this one: shares add up to the loss,
        and so do the gradients of weights.
    """
    with torch.autocast(first.device.type, enabled=False):
        x, y = (
            F.normalize(v if v.dtype == torch.float64 else v.float(), dim=-1)
            for v in (first, second)
        )
        bound = float(scale.detach()) if max_scale is None else max_scale
        together = processes or Processes()
        if 2 * bound > _largest_exponent(torch.float64) and together.size == 1:
            return _plain(x, y, scale)
        if 2 * bound > _largest_exponent(x.dtype):
            x, y = x.double(), y.double()
        pairs = (x, y) if x.ndim == 3 else (x[None], y[None])
        loss: Tensor = _InfoNCE.apply(*pairs, scale.to(x), together, counts or [x.shape[-2]])
        loss = loss.to(torch.promote_types(first.dtype, torch.float32))
        return loss if x.ndim == 3 else loss[0]


def _largest_exponent(dtype: torch.dtype) -> float:
    """Up to here exp(-x) is far from the smallest number of `dtype`."""
    return -0.9 * math.log(torch.finfo(dtype).tiny)


def _plain(x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    logits = scale * x @ y.mT
    here = logits.diagonal(dim1=-2, dim2=-1)
    return (logits.logsumexp(-1) + logits.logsumexp(-2) - 2 * here).mean(-1) / 2


class _InfoNCE(torch.autograd.Function):
    """See the module; x and y (P, rows here, W) of unit length, the scale a scalar of their dtype.

    Columns are the rows of y; what is computed together is some pairs, or some rows of one.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        scale: Tensor,
        processes: Processes,
        counts: Sequence[int],
    ) -> Tensor:
        wanted = any(ctx.needs_input_grad)
        loss: Tensor
        if processes.size == 1:
            loss, *gradients = _one_process(x, y, scale, wanted)
        else:
            loss, *gradients = _losses_and_gradients(x, y, scale, wanted, processes, counts)
        if wanted:
            ctx.save_for_backward(*gradients)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        to_x, to_y, to_scale = ctx.saved_tensors
        of_pair = grad[:, None, None]
        return of_pair * to_x, of_pair * to_y, (grad * to_scale).sum(), None, None


def _losses_and_gradients(
    x: Tensor,
    y: Tensor,
    scale: Tensor,
    wanted: bool,
    processes: Processes,
    counts: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Losses (P,) and, if `wanted`, their gradients: (P, rows, W) twice, and of the scale (P,)."""
    columns = sum(counts)
    here = slice(sum(counts[: processes.rank]), sum(counts[: processes.rank + 1]))
    y_all = processes.gather(y.transpose(0, 1), counts).transpose(0, 1)
    factor = 1 if x.device.type == "cpu" else ON_ACCELERATORS
    kept = wanted and len(x) * x.shape[1] * columns <= factor * KEPT_ENTRIES
    stretches = _stretches(len(x), x.shape[1], columns, factor * CHUNK_ENTRIES)
    of_two = scale / math.log(2)  # powers of two take a CPU a third of the time of exp
    left = torch.cat([x * of_two, -of_two.expand(*x.shape[:2], 1)], dim=2)
    right = torch.cat([y_all, y_all.new_ones(*y_all.shape[:2], 1)], dim=2)

    def exponentials(some: slice, rows: slice) -> Tensor:
        """exp(s x y^T - s), (pairs, rows, columns)."""
        return torch.bmm(left[some, rows], right[some].mT).exp2_()

    row_sums, column_sums = x.new_empty(x.shape[:2]), x.new_zeros(len(x), columns)
    blocks = []
    for some, rows in stretches:
        block = exponentials(some, rows)
        row_sums[some, rows] = block.sum(dim=2)
        column_sums[some] += block.sum(dim=1)
        if kept:
            blocks.append(block)
    processes.add(column_sums)
    agreement = (x * y).sum(dim=2)
    logs = (row_sums.log() + column_sums[:, here].log()) / 2
    loss = (logs + scale - scale * agreement).sum(dim=1) / columns
    if wanted:
        of_row, of_column = 1 / row_sums, 1 / column_sums
        x_t, y_t = x.mT.contiguous(), y_all.mT.contiguous()  # (P, W, rows): faster products
        to_x, to_y = torch.empty_like(x_t), torch.zeros_like(y_t)
        for index, (some, rows) in enumerate(stretches):
            block = blocks[index] if kept else exponentials(some, rows)
            block *= of_row[some, rows, None] + of_column[some, None]
            to_x[some, :, rows] = y_t[some] @ block.mT
            to_y[some] += x_t[some, :, rows] @ block
        share = scale / (2 * columns)
        grad_x = share * (to_x.mT - 2 * y)
        grad_y = share * (processes.add(to_y)[:, :, here].mT - 2 * x)
        to_scale = (x * grad_x).sum(dim=(1, 2)) / scale
        return loss, grad_x.contiguous(), grad_y.contiguous(), to_scale
    return loss, x.new_empty(0), x.new_empty(0), x.new_empty(0)


@torch.library.custom_op(
    "globalworkspace::info_nce",
    mutates_args=(),
    schema="(Tensor x, Tensor y, Tensor scale, bool wanted) -> (Tensor, Tensor, Tensor, Tensor)",
)
def _one_process(
    x: Tensor, y: Tensor, scale: Tensor, wanted: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same with all rows here; one operation to torch.compile, which would do no better."""
    return _losses_and_gradients(x, y, scale, wanted, Processes(), [x.shape[1]])


@_one_process.register_fake
def _(x: Tensor, y: Tensor, scale: Tensor, wanted: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    of_pairs = x.new_empty(len(x))
    if not wanted:
        return of_pairs, x.new_empty(0), x.new_empty(0), x.new_empty(0)
    return of_pairs, x.new_empty(x.shape), x.new_empty(x.shape), x.new_empty(len(x))


def _stretches(pairs: int, rows: int, columns: int, entries: int) -> list[tuple[slice, slice]]:
    """Pairs and rows whose similarities are computed together."""
    together = max(entries // (rows * columns), 1)
    height = rows if together > 1 else max(entries // columns, 1)
    return [
        (slice(pair, pair + together), slice(row, row + height))
        for pair in range(0, pairs, together)
        for row in range(0, rows, height)
    ]
