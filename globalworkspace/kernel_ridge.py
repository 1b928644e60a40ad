"""Kernel ridge regression, tuned by cross-validation on matched rows alone.

The strongest closed form where matched rows are few and the relation is not linear; its cost grows
with the cube of their number. In float64 on the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import torch
from torch import Tensor

from globalworkspace.closed_form import check_pairs, split_folds
from globalworkspace.errors import ConfigError

WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the Gaussian kernel, in medians of the distance between two rows."""
PENALTIES = tuple(10.0**power for power in range(-6, 1))
_CHUNK = 4096


@attrs.frozen(eq=False, kw_only=True)
class KernelMap:
    """`y = mean + k(x, anchors) coefficients`, k a Gaussian kernel."""

    anchors: Tensor
    """(N, D_x): the rows it was fitted on."""
    coefficients: Tensor
    """(N, D_y)."""
    mean: Tensor
    """(D_y,)."""
    width: float
    """Of the kernel, in the units of x."""
    penalty: float
    errors: dict[tuple[float, float], float]
    """(width in medians, penalty) -> mean squared error on held-out folds."""

    def __call__(self, x: Tensor) -> Tensor:
        """(B, D_x) -> (B, D_y), in float64."""
        return torch.cat(
            [
                self.mean + _kernel(rows.double(), self.anchors, self.width) @ self.coefficients
                for rows in x.split(_CHUNK)
            ]
        )


def kernel_ridge(
    x: Tensor,
    y: Tensor,
    *,
    widths: Sequence[float] = WIDTHS,
    penalties: Sequence[float] = PENALTIES,
    folds: int = 5,
    seed: int = 0,
) -> KernelMap:
    """Fit a Gaussian kernel ridge regression, width and penalty chosen by cross-validation.

    Minimises `||y - mean - K c||² + penalty N c' K c`; one eigendecomposition per width and fold
    serves every penalty.

    Args:
        x: (N, D_x).
        y: (N, D_y); row i belongs to row i of `x`.
        widths: To choose from, in medians of the distance between two rows of x.
        penalties: To choose from, above 0.
        folds: Of the cross-validation.
        seed: Of the assignment to folds.

    Raises:
        DataError: If the rows do not correspond or are too few.
        ConfigError: If there is nothing to choose from, or a value is not above 0.

    Example:
        >>> x = torch.linspace(0, 3, 60)[:, None]
        >>> found = kernel_ridge(x, x.sin())
        >>> bool((found(x) - x.sin()).abs().max() < 0.02)
        True
    """
    x, y = check_pairs(x, y)
    if not widths or not penalties or min(widths) <= 0 or min(penalties) <= 0:
        raise ConfigError(
            f"widths={list(widths)} and penalties={list(penalties)} must each hold at least one "
            "number, all above 0."
        )
    some = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:1000]]
    unit = float(torch.pdist(some).median()) or 1.0
    errors: dict[tuple[float, float], float] = {}
    parts = split_folds(len(x), folds, seed)
    for width in widths:
        for train, held in parts:
            mean = y[train].mean(dim=0)
            values, vectors = torch.linalg.eigh(_kernel(x[train], x[train], width * unit))
            seen = _kernel(x[held], x[train], width * unit) @ vectors
            told = vectors.T @ (y[train] - mean)
            for penalty in penalties:
                scale = values.clamp(min=0) + penalty * len(train)
                guess = mean + seen @ (told / scale[:, None])
                error = float((guess - y[held]).square().mean()) / len(parts)
                errors[width, penalty] = errors.get((width, penalty), 0.0) + error
    width, penalty = min(errors, key=lambda key: (errors[key], -key[0], -key[1]))
    mean = y.mean(dim=0)
    kernel = _kernel(x, x, width * unit)
    kernel.diagonal().add_(penalty * len(x))
    return KernelMap(
        anchors=x,
        coefficients=torch.linalg.solve(kernel, y - mean),
        mean=mean,
        width=width * unit,
        penalty=penalty,
        errors=errors,
    )


def _kernel(a: Tensor, b: Tensor, width: float) -> Tensor:
    return torch.cdist(a, b).square().div_(-2 * width**2).exp_()
