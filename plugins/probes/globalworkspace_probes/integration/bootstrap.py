"""Block bootstrap of held-out correlations, and false discoveries under control.

Neighbouring events are alike, so single events are no independent draws: whole blocks of
neighbours are drawn instead, within each held-out stretch, on a circle. All models are judged on
the same draws, so that what they have in common cancels in their difference.

Predictions are drawn anew, not models: nothing is fitted twice, so a drawn event can never lie both
among the fitted and the judged ones, which an unsorted bootstrap of whole fits gets wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from globalworkspace.errors import DataError
from globalworkspace_probes.integration.correlation import weighted_correlation

RESAMPLES = 1000


def block_weights(
    sizes: Sequence[int], *, block: int, resamples: int, generator: torch.Generator
) -> list[Tensor]:
    """How often each event is drawn, by blocks on a circle, stretch by stretch.

    Args:
        sizes: Events in each stretch.
        block: Neighbours that are drawn together; as many as the stretch has, at most.
        resamples: How many draws B.
        generator: Source of chance.

    Returns:
        A float64 tensor (B, events) per stretch; each row sums to the events of the stretch.

    Raises:
        DataError: If the block or the number of draws is under 1.
    """
    if block < 1 or resamples < 1:
        raise DataError(
            f"block={block} and resamples={resamples} were given; both must be at least 1."
        )
    found = []
    for size in sizes:
        length = min(block, size)
        starts = torch.randint(size, (resamples, -(-size // length)), generator=generator)
        drawn = (starts[:, :, None] + torch.arange(length)).flatten(1)[:, :size] % size
        counts = torch.zeros(resamples, size, dtype=torch.float64)
        found.append(counts.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64)))
    return found


def resampled_correlation(
    predicted: Sequence[Tensor], measured: Sequence[Tensor], weights: Sequence[Tensor]
) -> Tensor:
    """Pearson's r of each response in each draw, mean over stretches.

    Args:
        predicted: (events, K) per stretch.
        measured: Likewise.
        weights: (B, events) per stretch, see `block_weights`; rows of ones give the r of the data.

    Returns:
        (B, K); a stretch where one of the two is constant counts as 0.
    """
    found = torch.zeros(len(weights[0]), predicted[0].shape[1], dtype=torch.float64)
    for p, y, weight in zip(predicted, measured, weights, strict=True):
        found += weighted_correlation(p, y, weight) / len(measured)
    return found


def benjamini_hochberg(p_values: Tensor) -> Tensor:
    """Adjusted p-values: those under q are the discoveries at a false discovery rate of q.

    Args:
        p_values: (n,).

    Returns:
        (n,): min over j >= i of n p_(j) / j for the i-th smallest (Benjamini and Hochberg 1995).

    Example:
        >>> benjamini_hochberg(torch.tensor([0.01, 0.04, 0.03]))
        tensor([0.0300, 0.0400, 0.0400])
    """
    number = len(p_values)
    order = p_values.argsort()
    scaled = p_values[order] * number / torch.arange(1, number + 1).to(p_values)
    falling = scaled.flip(0).cummin(dim=0).values.flip(0).clamp(max=1.0)
    return torch.empty_like(p_values).scatter_(0, order, falling)
