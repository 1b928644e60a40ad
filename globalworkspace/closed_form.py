"""Ridge regression and canonical correlations, tuned by cross-validation on matched rows alone.

They are the yardsticks a trained workspace must beat, and its first weights (see `initializers`).
Everything runs in float64 on the CPU.

Shapes: N matched rows, M rows of one side (matched or not), D columns of a side, K canonical
    dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import attrs
import torch
from torch import Tensor
from torch.nn import functional as F

from globalworkspace.errors import ConfigError, DataError
from globalworkspace.randomness import derived_generator

Score = Callable[[Tensor, Tensor], float]
"""Two (B, K) batches whose rows correspond -> how badly they fit; smaller is better."""

ALPHAS = tuple(10 ** (power / 4) for power in range(-12, 17))
"""Penalties of `ridge`: 0.001 ... 10,000 in steps of a quarter of a decade."""
SHRINKAGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99, 1.0)
"""Of `cca` and `maxvar`: from almost none to partial least squares."""

TINY = 1e-10  # a direction with less than this share of the largest variance does not exist


def squared_error(predictions: Tensor, truths: Tensor) -> float:
    """Mean squared error."""
    return float((predictions - truths).square().mean())


def retrieval_error(first: Tensor, second: Tensor) -> float:
    """1 - mean reciprocal rank of the right partner by cosine, mean of both ways.

    Finer than a recall on few rows, and ties count against it.
    """
    similarity = F.normalize(first, dim=1) @ F.normalize(second, dim=1).T
    own = similarity.diagonal()
    ranks = torch.cat(
        [(similarity >= own[:, None]).sum(dim=1), (similarity >= own[None]).sum(dim=0)]
    )
    return 1 - float(ranks.double().reciprocal().mean())


@attrs.frozen(eq=False, kw_only=True)
class LinearMap:
    """`y = x @ weight.T + bias`, as a linear layer holds it."""

    weight: Tensor
    """(D_y, D_x)."""
    bias: Tensor
    """(D_y,)."""
    alpha: float
    """The penalty that was chosen."""
    errors: Mapping[float, float]
    """Penalty -> mean error on held-out folds; empty where there was nothing to choose."""

    def __call__(self, x: Tensor) -> Tensor:
        """(B, D_x) -> (B, D_y), in float64."""
        return x.double() @ self.weight.T + self.bias


def ridge(
    x: Tensor,
    y: Tensor,
    alphas: Sequence[float] = ALPHAS,
    *,
    folds: int = 5,
    seed: int = 0,
    error: Score = squared_error,
) -> LinearMap:
    """The linear map with intercept that minimises `mean ||y - f(x)||² + alpha ||weight||²`.

    Args:
        x: (N, D_x).
        y: (N, D_y).
        alphas: Penalties to choose from; one: no choice is made. 0 gives the least-norm least-
            squares solution.
        folds: Of the cross-validation.
        seed: Of the assignment to folds.
        error: What the choice minimises on the held-out fold: (predictions, truths) -> float.

    Raises:
        DataError: If the rows do not correspond or are too few.
        ConfigError: If there is no penalty, or a negative one.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [2.0]])
        >>> ridge(x, 3 * x + 1, alphas=[0])(torch.tensor([[5.0]])).round(decimals=6).tolist()
        [[16.0]]
    """
    x, y = check_pairs(x, y)
    if not alphas or min(alphas) < 0 or not all(math.isfinite(alpha) for alpha in alphas):
        raise ConfigError(f"alphas={list(alphas)} must hold at least one number, none below 0.")
    errors: dict[float, float] = {}
    chosen = float(alphas[0])
    if len(alphas) > 1:
        sums = dict.fromkeys(map(float, alphas), 0.0)
        parts = split_folds(len(x), folds, seed)
        for train, held in parts:
            solve = _RidgePath(x[train], y[train])
            for alpha in sums:
                weight, bias = solve(alpha)
                sums[alpha] += error(x[held] @ weight.T + bias, y[held]) / len(parts)
        errors = sums
        chosen = min(errors, key=lambda alpha: (errors[alpha], -alpha))
    weight, bias = _RidgePath(x, y)(chosen)
    return LinearMap(weight=weight, bias=bias, alpha=chosen, errors=errors)


class _RidgePath:
    """One SVD, any number of penalties."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x_mean, self.y_mean, self.count = x.mean(dim=0), y.mean(dim=0), len(x)
        u, self.scale, self.v = torch.linalg.svd(x - self.x_mean, full_matrices=False)
        self.target = u.T @ (y - self.y_mean)

    def __call__(self, alpha: float) -> tuple[Tensor, Tensor]:
        real = self.scale > self.scale.max() * TINY
        gain = torch.where(
            real, self.scale / (self.scale.square() + alpha * self.count), 0.0
        ).nan_to_num(0.0)
        weight = ((self.v.T * gain) @ self.target).T
        return weight, self.y_mean - weight @ self.x_mean


@attrs.frozen(eq=False, kw_only=True)
class CCA:
    """Canonical directions of two sides."""

    x_mean: Tensor
    """(D_x,)."""
    y_mean: Tensor
    """(D_y,)."""
    x_weight: Tensor
    """(D_x, K): columns are directions in which the side has unit (regularised) variance, most
    correlated first."""
    y_weight: Tensor
    """(D_y, K)."""
    correlations: Tensor
    """(K,) canonical correlations, descending; estimates from few pairs may exceed 1."""
    shrinkages: tuple[float, float]
    """The shrinkage of each side that was chosen."""
    power: float
    """How strongly projections are weighted by their correlation."""
    errors: Mapping[tuple[float, float, float], float]
    """(shrinkage of x, of y, power) -> mean error on held-out folds; empty where there was nothing
    to choose."""

    def project_x(self, x: Tensor, power: float | None = None) -> Tensor:
        """(B, D_x) -> (B, K), times the correlations to `power` (default: the chosen one)."""
        return (x.double() - self.x_mean) @ self.x_weight * self.scales(power)

    def project_y(self, y: Tensor, power: float | None = None) -> Tensor:
        """(B, D_y) -> (B, K); see `project_x`."""
        return (y.double() - self.y_mean) @ self.y_weight * self.scales(power)

    def scales(self, power: float | None = None) -> Tensor:
        """(K,) correlations (at most 1) to `power`."""
        return self.correlations.clamp(min=0, max=1) ** (self.power if power is None else power)


def cca(
    x_pairs: Tensor,
    y_pairs: Tensor,
    x_all: Tensor | None = None,
    y_all: Tensor | None = None,
    *,
    dim: int | None = None,
    shrinkages: Sequence[float | tuple[float, float]] = SHRINKAGES,
    powers: Sequence[float] = (1.0,),
    folds: int = 5,
    seed: int = 0,
    error: Score = retrieval_error,
) -> CCA:
    """Regularised canonical correlations, each side's covariance taken from every row of it.

    A side's covariance is `(1 - s) C + s mean_variance I`. Only the cross-covariance needs pairs,
    so unmatched rows help: with more of them the
    whitening is known better. Shrinkages and power are chosen by cross-validation on the pairs;
    held-out rows stay in the covariances,
    where they are unmatched rows like any other.

    Args:
        x_pairs: (N, D_x).
        y_pairs: (N, D_y); row i belongs to row i of `x_pairs`.
        x_all: (M_x, D_x) all rows of the side, matched and unmatched; default: those of the pairs.
        y_all: (M_y, D_y).
        dim: Canonical dimensions K, at most min(N - 1, D_x, D_y) (the default).
        shrinkages: Of both sides, or (x, y) each, in [0, 1], to choose from; 0 leaves out
            directions without variance.
        powers: Weightings by correlation to choose from; see `CCA.project_x`.
        folds: Of the cross-validation.
        seed: Of the assignment to folds.
        error: What the choice minimises on held-out pairs: (projected x, projected y) -> float.

    Raises:
        DataError: If the pairs do not correspond, are too few, or a side's rows have other columns.
        ConfigError: If a setting is out of range.
    """
    x_pairs, y_pairs = check_pairs(x_pairs, y_pairs)
    choices = [
        (float(s), float(s)) if isinstance(s, (int, float)) else (float(s[0]), float(s[1]))
        for s in shrinkages
    ]
    if not choices or not all(0 <= value <= 1 for pair in choices for value in pair):
        raise ConfigError(
            f"shrinkages={list(shrinkages)} must hold at least one number (or pair) in [0, 1]."
        )
    if not powers or min(powers) < 0:
        raise ConfigError(f"powers={list(powers)} must hold at least one number, none below 0.")
    if dim is not None and dim < 1:
        raise ConfigError(f"dim={dim} must be at least 1.")
    x_side = Side(check_side(x_all, x_pairs, "x_all"), x_pairs)
    y_side = Side(check_side(y_all, y_pairs, "y_all"), y_pairs)
    errors: dict[tuple[float, float, float], float] = {}
    (x_shrinkage, y_shrinkage), power = choices[0], float(powers[0])
    if len(choices) * len(powers) > 1:
        parts = split_folds(len(x_pairs), folds, seed)
        for pair in choices:
            for train, held in parts:
                u, rho, v = _correlate(x_side, y_side, pair, train, dim)
                x_code, y_code = x_side.whiten(pair[0])[held] @ u, y_side.whiten(pair[1])[held] @ v
                for value in map(float, powers):
                    scales = rho.clamp(0, 1) ** value
                    key = (*pair, value)
                    errors[key] = errors.get(key, 0.0) + error(
                        x_code * scales, y_code * scales
                    ) / len(parts)
        x_shrinkage, y_shrinkage, power = min(
            errors, key=lambda key: (errors[key], -key[0], -key[1])
        )
    u, rho, v = _correlate(
        x_side, y_side, (x_shrinkage, y_shrinkage), torch.arange(len(x_pairs)), dim
    )
    return CCA(
        x_mean=x_side.mean,
        y_mean=y_side.mean,
        x_weight=x_side.whitener(x_shrinkage) @ u,
        y_weight=y_side.whitener(y_shrinkage) @ v,
        correlations=rho,
        shrinkages=(x_shrinkage, y_shrinkage),
        power=power,
        errors=errors,
    )


class Side:
    """One side of a correlation analysis: its principal axes, and its matched rows along them.

    Args:
        rows: (M, D) float64, every row of the side.
        pairs: (N, D) float64, the matched ones.
    """

    def __init__(self, rows: Tensor, pairs: Tensor) -> None:
        self.mean = rows.mean(dim=0)
        centred = rows - self.mean
        variances, axes = torch.linalg.eigh(centred.T @ centred / max(len(rows) - 1, 1))
        real = variances > variances.max() * TINY
        if not real.any():
            raise DataError("One side of the pairs does not vary. Check its latents.")
        self.axes: Tensor = axes
        self.variances: Tensor = variances.clamp(min=0)
        self.mean_variance = float(variances.mean())
        self.real: Tensor = real
        self.coordinates: Tensor = (pairs - self.mean) @ axes

    def whitener(self, shrinkage: float) -> Tensor:
        """(D, D): centred rows times this have unit variance under the regularised covariance."""
        gains: Tensor = self._gains(shrinkage)
        return self.axes * gains

    def whiten(self, shrinkage: float) -> Tensor:
        """(N, D): the matched rows whitened."""
        whitened: Tensor = self.coordinates * self._gains(shrinkage)
        return whitened

    def _gains(self, shrinkage: float) -> Tensor:
        regularised = (1 - shrinkage) * self.variances + shrinkage * self.mean_variance
        kept: Tensor = torch.ones_like(self.real) if shrinkage > 0 else self.real
        gains = regularised.clamp(min=1e-300).rsqrt()
        return gains.masked_fill(~kept, 0.0)


def _correlate(
    x_side: Side, y_side: Side, shrinkages: tuple[float, float], rows: Tensor, dim: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Directions and correlations of the given pairs: (D_x, K), (K,), (D_y, K)."""
    x, y = x_side.whiten(shrinkages[0])[rows], y_side.whiten(shrinkages[1])[rows]
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    # Few pairs, many columns: the product's SVD is that of a small core.
    x_basis, x_factor = torch.linalg.qr(x.T)
    y_basis, y_factor = torch.linalg.qr(y.T)
    u, rho, vh = torch.linalg.svd(
        x_factor @ y_factor.T / max(len(rows) - 1, 1), full_matrices=False
    )
    size = min(len(rows) - 1, x.shape[1], y.shape[1], dim or len(rows))
    return x_basis @ u[:, :size], rho[:size], y_basis @ vh[:size].T


def check_pairs(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Matched rows (N, D_x) and (N, D_y) in float64 on the CPU, or an error."""
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise DataError(
            "Matched rows (N, D_x) and (N, D_y) are needed; "
            f"got {tuple(x.shape)} and {tuple(y.shape)}."
        )
    if len(x) < 3:
        raise DataError(f"{len(x)} matched rows are too few for a closed form; give at least 3.")
    x, y = x.detach().cpu().double(), y.detach().cpu().double()
    if not (x.isfinite().all() and y.isfinite().all()):
        raise DataError("The matched rows hold NaN or infinity. Remove those rows.")
    return x, y


def check_side(rows: Tensor | None, pairs: Tensor, name: str) -> Tensor:
    """All rows of a side in float64 on the CPU, or an error; `pairs` where none were given."""
    if rows is None:
        return pairs
    if rows.ndim != 2 or rows.shape[1] != pairs.shape[1]:
        raise DataError(
            f"{name} has shape {tuple(rows.shape)}; "
            f"rows of {pairs.shape[1]} columns, as in the pairs, are needed."
        )
    return rows.detach().cpu().double()


def split_folds(count: int, folds: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """(training rows, held-out rows) of each fold."""
    if folds < 2:
        raise ConfigError(f"folds={folds} must be at least 2.")
    order = torch.randperm(count, generator=derived_generator(seed, "folds", count))
    parts = order.chunk(min(folds, count))
    return [
        (torch.cat([p for j, p in enumerate(parts) if j != i]), parts[i]) for i in range(len(parts))
    ]
