"""Whether single dimensions of a code stand for single factors: MIG and DCI.

MIG (Chen et al. 2018, arXiv 1802.04942): per factor, the gap between the two dimensions that tell
most of it, in mutual information over the factor's entropy. DCI (Eastwood and Williams 2018): from
the weights of sparse linear regressions of each factor on all dimensions, whether a dimension has
weight for one factor alone (disentanglement), whether a factor needs one dimension alone
(completeness), and how well the factors are told at all (informativeness: R² here, on rows that
were not fitted).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

BINS = 20
FEWEST = 200
"""Rows below which these scores are chance."""
SCORES = ("MIG", "disentanglement", "completeness", "informativeness")
_PENALTIES = (0.3, 0.1, 0.03, 0.01, 0.003)


def disentangled(codes: Tensor, factors: Mapping[str, Tensor]) -> dict[str, float]:
    """Both scores, as far as they can be had.

    Args:
        codes: (N, W).
        factors: Name -> (N, k): a number, cosine and sine of an angle, or indicators of classes.

    Returns:
        `MIG`, the mean over factors, and what `dci` gives.
    """
    single = {
        name: values.argmax(dim=1) if values.shape[1] > 2 else _angle_or_number(values)
        for name, values in factors.items()
    }
    gaps = mig(codes, single)
    mean = {"MIG": sum(gaps.values()) / len(gaps)} if gaps else {}
    return mean | (dci(codes, factors) or {})


def _angle_or_number(values: Tensor) -> Tensor:
    """A number as it is; two columns are an angle's, or those of two classes."""
    if values.shape[1] == 1:
        return values[:, 0]
    if bool(((values == 0) | (values == 1)).all()):
        return values.argmax(dim=1)
    return torch.atan2(values[:, 1], values[:, 0])


def mig(codes: Tensor, factors: Mapping[str, Tensor]) -> dict[str, float]:
    """The mutual information gap of each factor.

    Args:
        codes: (N, W).
        factors: Name -> (N,) numbers, or classes where the dtype is an integer.

    Returns:
        Name -> gap in [0, 1]; a factor without variation is left out.
    """
    bins = max(2, min(BINS, int(len(codes) ** 0.5 / 2)))  # few rows fill few bins by chance alone
    columns = [_binned(codes[:, k], bins) for k in range(codes.shape[1])]
    gaps = {}
    for name, values in factors.items():
        labels = values if not values.is_floating_point() else _binned(values, bins)
        entropy = _entropy(torch.unique(labels, return_counts=True)[1])
        if entropy <= 0:
            continue
        told = sorted((_shared(column, labels) for column in columns), reverse=True)
        gaps[name] = (told[0] - (told[1] if len(told) > 1 else 0.0)) / entropy
    return gaps


def dci(codes: Tensor, factors: Mapping[str, Tensor], seed: int = 0) -> dict[str, float] | None:
    """Disentanglement, completeness and informativeness.

    Args:
        codes: (N, W).
        factors: Name -> (N, k): columns of numbers; those of one factor are told together.
        seed: Of the split: of three quarters of the rows the weights are fitted, by the others they
            are judged and their penalty was chosen.

    Returns:
        `disentanglement` (of two factors and more), `completeness`, `informativeness`; None without
        scikit-learn, or where no factor can be told. Factors without variation are left out.
    """
    try:
        from sklearn.linear_model import Lasso
    except ImportError:
        return None
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed)).numpy()
    cut = (3 * len(order)) // 4
    fitted, judged = order[:cut], order[cut:]
    x = _standard(codes.double().numpy())
    weights, told = [], []
    for values in factors.values():
        y = values.double().numpy()
        y = _standard(y[:, y.std(axis=0) > 1e-12])
        if not y.shape[1]:
            continue
        found = []
        for penalty in _PENALTIES:
            model = Lasso(alpha=penalty, max_iter=5000, tol=1e-3).fit(x[fitted], y[fitted])
            guess = model.predict(x[judged]).reshape(len(judged), -1)
            error = np.square(guess - y[judged]).mean() / max(np.square(y[judged]).mean(), 1e-12)
            found.append((1 - float(error), np.abs(np.atleast_2d(model.coef_)).sum(axis=0)))
        score, importance = max(found, key=lambda entry: entry[0])
        weights.append(importance)
        told.append(score)
    if not weights or np.sum(weights) <= 0:
        return None
    matrix = np.stack(weights, axis=1)  # (W, factors)
    found_all = {"completeness": _sharpness(matrix.T), "informativeness": float(np.mean(told))}
    if len(weights) > 1:
        found_all["disentanglement"] = _sharpness(matrix)
    return found_all


def _sharpness(matrix: np.ndarray) -> float:
    """1 minus the entropy of each row over that of a flat one, averaged by the rows' weights."""
    total = matrix.sum(axis=1)
    rows = matrix[total > 0] / total[total > 0][:, None]
    if rows.shape[1] < 2:
        return 1.0
    logs = np.log(np.where(rows > 0, rows, 1.0))
    entropy = -(rows * logs).sum(axis=1) / np.log(rows.shape[1])
    return float(np.average(1 - entropy, weights=total[total > 0]))


def _standard(values: np.ndarray) -> np.ndarray:
    spread = values.std(axis=0)
    found: np.ndarray = (values - values.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0)
    return found


def _binned(values: Tensor, bins: int) -> Tensor:
    """Numbers (N,) -> their bins (N,), of about as many rows each."""
    values = values.double().contiguous()
    edges = torch.quantile(values, torch.linspace(0, 1, bins + 1).double())[1:-1]
    return torch.bucketize(values, edges.unique())


def _entropy(counts: Tensor) -> float:
    shares = counts[counts > 0].double() / counts.sum()
    return float(-(shares * shares.log()).sum())


def _shared(first: Tensor, second: Tensor) -> float:
    """Mutual information of two labellings (N,), in nats."""
    a, b = (torch.unique(labels, return_inverse=True)[1] for labels in (first, second))
    joint = torch.bincount(a * (int(b.max()) + 1) + b)
    return _entropy(torch.bincount(a)) + _entropy(torch.bincount(b)) - _entropy(joint)
