"""Canonical correlations of any number of domains, where not every matched row has each of them.

Shapes: R matched rows, M rows of one domain (matched or not), D columns of a domain, K directions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import attrs
import torch
from torch import Tensor

from globalworkspace.closed_form import (
    SHRINKAGES,
    TINY,
    Score,
    Side,
    check_side,
    retrieval_error,
    split_folds,
)
from globalworkspace.errors import ConfigError, DataError


@attrs.frozen(eq=False, kw_only=True)
class MaxVar:
    """Directions of several domains along which their matched rows agree."""

    means: Mapping[str, Tensor]
    """Domain -> (D,)."""
    weights: Mapping[str, Tensor]
    """Domain -> (D, K), the direction that agrees most first."""
    correlations: Tensor
    """(K,) mean agreement of the domains, descending; with two domains the canonical
    correlations."""
    shrinkage: float
    power: float
    errors: Mapping[tuple[float, float], float]
    """(shrinkage, power) -> mean error on held-out folds; empty where there was nothing to
    choose."""

    def project(self, domain: str, values: Tensor) -> Tensor:
        """(B, D) -> (B, K), each dimension weighted by its correlation to the chosen power."""
        return (
            (values.double() - self.means[domain])
            @ self.weights[domain]
            * self.correlations.clamp(0, 1) ** self.power
        )


def maxvar(
    matched: Mapping[str, Tensor],
    everything: Mapping[str, Tensor] | None = None,
    *,
    dim: int | None = None,
    shrinkages: Sequence[float] = SHRINKAGES,
    powers: Sequence[float] = (1.0,),
    folds: int = 5,
    seed: int = 0,
    error: Score = retrieval_error,
) -> MaxVar:
    """Generalised canonical correlations (Kettenring's MAXVAR), regularised like `cca`.

    The leading eigenvectors of the matrix whose blocks are the whitened cross-covariances of every
    two domains. Not every matched row needs every domain: a block is estimated from the rows that
    have both, and is zero where none has. With two domains it is `closed_form.cca`.

    Args:
        matched: Domain -> (R, D); row i of each is one item, NaN where that row lacks the domain.
        everything: Domain -> (M, D) all rows, matched and unmatched, for its covariance; default:
            those in `matched`.
        dim: Directions K (default: as many as agree).
        shrinkages: Of every domain, to choose from.
        powers: Weightings by correlation to choose from.
        folds: Of the cross-validation over matched rows.
        seed: Of the assignment to folds.
        error: What the choice minimises, mean over pairs of domains.

    Raises:
        DataError: If no two domains share enough rows, or the rows do not correspond.
        ConfigError: If a setting is out of range.
    """
    if (
        not shrinkages
        or not all(0 <= value <= 1 for value in shrinkages)
        or not powers
        or min(powers) < 0
    ):
        raise ConfigError(
            f"shrinkages={list(shrinkages)} must lie in [0, 1] and powers={list(powers)} be at "
            "least 0; give one of each."
        )
    values = {name: rows.detach().cpu().double() for name, rows in matched.items()}
    if len(values) < 2 or len({len(rows) for rows in values.values()}) > 1:
        shapes = {name: tuple(rows.shape) for name, rows in values.items()}
        raise DataError(f"Two domains or more with equally many rows are needed; got {shapes}.")
    present = {name: ~rows.isnan().any(dim=1) for name, rows in values.items()}
    sides = {}
    for name, rows in values.items():
        own = rows[present[name]]
        sides[name] = Side(
            check_side(None if everything is None else everything[name], own, name),
            rows.nan_to_num(0.0),
        )
    count = len(next(iter(values.values())))
    errors: dict[tuple[float, float], float] = {}
    shrinkage, power = float(shrinkages[0]), float(powers[0])
    if len(shrinkages) * len(powers) > 1:
        for train, held in split_folds(count, folds, seed):
            for value in map(float, shrinkages):
                vectors, rho = _agree(sides, present, value, train, dim)
                codes = {name: sides[name].whiten(value)[held] @ vectors[name] for name in sides}
                for weighting in map(float, powers):
                    scales = rho.clamp(0, 1) ** weighting
                    found = [
                        error(codes[a][both] * scales, codes[b][both] * scales)
                        for a, b in combinations(sides, 2)
                        if int((both := present[a][held] & present[b][held]).sum()) > 1
                    ]
                    if found:
                        errors[value, weighting] = (
                            errors.get((value, weighting), 0.0) + sum(found) / len(found) / folds
                        )
        if errors:
            shrinkage, power = min(errors, key=lambda key: (errors[key], -key[0]))
    vectors, rho = _agree(sides, present, shrinkage, torch.arange(count), dim)
    return MaxVar(
        means={name: side.mean for name, side in sides.items()},
        weights={name: side.whitener(shrinkage) @ vectors[name] for name, side in sides.items()},
        correlations=rho,
        shrinkage=shrinkage,
        power=power,
        errors=errors,
    )


def _agree(
    sides: Mapping[str, Side],
    present: Mapping[str, Tensor],
    shrinkage: float,
    rows: Tensor,
    dim: int | None,
) -> tuple[dict[str, Tensor], Tensor]:
    """Leading eigenvectors of the whitened cross-covariances of every two domains.

    Domain -> (D, K), and (K,) eigenvalues / (n - 1).
    """
    sizes = [len(side.variances) for side in sides.values()]
    blocks = dict(zip(sides, torch.arange(sum(sizes)).split(sizes), strict=True))
    matrix = torch.zeros(sum(sizes), sum(sizes), dtype=torch.float64)
    rank = 0
    for a, b in combinations(sides, 2):
        both = rows[present[a][rows] & present[b][rows]]
        if len(both) < 3:
            continue
        x, y = sides[a].whiten(shrinkage)[both], sides[b].whiten(shrinkage)[both]
        cross = (x - x.mean(dim=0)).T @ (y - y.mean(dim=0)) / (len(both) - 1)
        matrix[blocks[a][:, None], blocks[b]] = cross
        matrix[blocks[b][:, None], blocks[a]] = cross.T
        rank += min(len(both) - 1, *cross.shape)
    if not rank:
        raise DataError(
            "No two domains share at least 3 matched rows. Give more rows with two domains."
        )
    values, vectors = torch.linalg.eigh(matrix)
    kept = min(rank, dim or rank, int((values > TINY).sum()))
    values, vectors = values.flip(0)[:kept], vectors.flip(1)[:, :kept] * len(sides) ** 0.5
    return {name: vectors[block] for name, block in blocks.items()}, values / (len(sides) - 1)
