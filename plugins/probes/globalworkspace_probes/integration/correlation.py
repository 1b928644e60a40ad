"""Pearson's correlation of many columns at once, of the data and of weighted draws from them."""

from __future__ import annotations

import torch
from torch import Tensor

_ROUNDING = 1e-28
"""Variance, relative to the largest square, that may be rounding alone."""
_EMPTY = 1e-12
"""Variance of a draw, relative to that of the data, that may be rounding alone."""


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's r of each column, (n, K), (n, K) -> (K,); 0 where one of the two is constant.

    Example:
        >>> correlation(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[3.0], [2.0], [1.0]]))
        tensor([-1.])
    """
    return weighted_correlation(first, second, torch.ones(1, len(first)).to(first))[0]


def weighted_correlation(first: Tensor, second: Tensor, weights: Tensor) -> Tensor:
    """Pearson's r of each column under each row of weights.

    Args:
        first: (n, K).
        second: (n, K).
        weights: (B, n), not negative; how often each row counts.

    Returns:
        (B, K); 0 where one of the two is constant among the rows that count.
    """
    share = weights / weights.sum(dim=1, keepdim=True)
    (x, mean_x, var_x, varies_x), (y, mean_y, var_y, varies_y) = (
        _moments(values, share) for values in (first, second)
    )
    shared = share @ (x * y) - mean_x * mean_y
    r = shared / (var_x * var_y).sqrt()
    return torch.where(varies_x & varies_y, r, torch.zeros_like(r)).clamp(-1, 1)


def _moments(values: Tensor, share: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Centred values (n, K); their mean, variance and whether they vary, (B, K) each."""
    centred = values - values.mean(dim=0)  # so that the moments below do not cancel
    mean = share @ centred
    variance = (share @ centred.square() - mean.square()).clamp(min=0)
    least = torch.maximum(
        _ROUNDING * values.square().amax(dim=0), _EMPTY * centred.square().mean(dim=0)
    )
    varies = variance > least
    return centred, mean, torch.where(varies, variance, torch.ones_like(variance)), varies
