"""Ridge encoding models of many responses at once, judged on contiguous stretches of events.

Events are ordered in time and their neighbours are alike, so a held-out fold is one stretch: folds
of shuffled events would hold neighbours of what was fitted, and a response of mere noise would look
predictable. As in the code of Subramaniam et al. 2024 (arXiv 2406.14481), each held-out stretch is
halved: on the first halves the penalty of each response is chosen, on the second ones it is scored.

The closed form needs one singular value decomposition per fold, X = U S V', for every penalty and
every response: the prediction at rows Z is Z V diag(s / (s^2 + alpha)) U' y. Unlike in that code,
the intercept is not penalised.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import torch
from torch import Tensor

from globalworkspace.errors import DataError
from globalworkspace_probes.integration.correlation import correlation

ALPHAS = tuple(10.0**power for power in range(-1, 6))
"""The penalties of the paper's code: 0.1 to 100,000."""
FOLDS = 5
_FEWEST = 4
"""Events in half a held-out stretch: a correlation of fewer says nothing."""


@attrs.frozen(eq=False, kw_only=True)
class Fold:
    """Positions of events, each (n,) int64."""

    train: Tensor
    validation: Tensor
    """By these the penalty is chosen."""
    scored: Tensor
    """By these the model is judged."""


def contiguous_folds(events: int, folds: int = FOLDS) -> list[Fold]:
    """Cut ordered events into stretches, each held out once and halved.

    Args:
        events: How many there are.
        folds: How many stretches; their lengths differ by one at most.

    Raises:
        DataError: If half a stretch has fewer than four events.

    Example:
        >>> fold = contiguous_folds(40, 5)[1]
        >>> fold.validation.tolist(), fold.scored.tolist()
        ([8, 9, 10, 11], [12, 13, 14, 15])
    """
    if folds < 2 or events // folds // 2 < _FEWEST:
        raise DataError(
            f"{events} events were given for {folds} folds; 2 folds at least and "
            f"{2 * _FEWEST} events in each are needed. Give more events or fewer folds."
        )
    every = torch.arange(events)
    found = []
    for held in every.tensor_split(folds):
        half = len(held) // 2
        outside = (every < held[0]) | (every > held[-1])
        found.append(Fold(train=every[outside], validation=held[:half], scored=held[half:]))
    return found


@attrs.frozen(eq=False, kw_only=True)
class HeldOutPredictions:
    """Predictions of K responses by models that never saw these events; a tensor per fold."""

    validation: list[Tensor]
    """(events, K) each: of the first halves, by which the penalty was chosen."""
    scored: list[Tensor]
    """(events, K) each: of the second halves."""
    alpha: Tensor
    """(K,): the penalty of each response."""


class RidgeEncoder:
    """Linear models from one feature table to any responses.

    Args:
        features: (events, D), finite. Each column is standardised by the events that a model is
            fitted on; one that is constant there has no part in it.
        folds: See `contiguous_folds`.
        alphas: Penalties to choose from, for standardised columns and summed squared errors.

    Example:
        >>> x = torch.linspace(0, 20, 80, dtype=torch.float64).sin()[:, None]
        >>> encoder = RidgeEncoder(x, contiguous_folds(80, 4))
        >>> predicted = encoder.predict(2 * x + 1)
        >>> float((predicted.scored[0] - (2 * x + 1)[10:20]).abs().max()) < 1e-2
        True
    """

    def __init__(
        self, features: Tensor, folds: Sequence[Fold], alphas: Sequence[float] = ALPHAS
    ) -> None:
        self.folds, self.alphas = folds, alphas
        self._parts = [_decomposed(features.double(), fold) for fold in folds]

    def predict(self, responses: Tensor) -> HeldOutPredictions:
        """Fit every response on each fold's events, and predict the held-out stretch.

        The penalty of a response is the one with the highest correlation on the first halves, mean
        over folds.

        Args:
            responses: (events, K), finite.
        """
        responses = responses.double()
        candidates: list[tuple[list[Tensor], list[Tensor]]] = [([], []) for _ in self.alphas]
        scores = responses.new_zeros(len(self.alphas), responses.shape[1])
        for fold, (left, scale, validation, scored) in zip(self.folds, self._parts, strict=True):
            known = responses[fold.train]
            mean = known.mean(dim=0)
            seen = left.T @ (known - mean)
            for index, alpha in enumerate(self.alphas):
                weights = (scale / (scale.square() + alpha))[:, None] * seen
                first, second = validation @ weights + mean, scored @ weights + mean
                scores[index] += correlation(first, responses[fold.validation])
                candidates[index][0].append(first)
                candidates[index][1].append(second)
        best = scores.argmax(dim=0)
        halves = [
            [_chosen([pair[half][k] for pair in candidates], best) for k in range(len(self.folds))]
            for half in (0, 1)
        ]
        return HeldOutPredictions(
            validation=halves[0],
            scored=halves[1],
            alpha=torch.tensor(self.alphas, dtype=torch.float64)[best],
        )


def _decomposed(features: Tensor, fold: Fold) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """U (n, r), s (r,), and the two held-out halves in the coordinates of V, (m, r) each."""
    known = features[fold.train]
    mean, spread = known.mean(dim=0), known.std(dim=0, correction=0)
    varies = spread > 1e-12 * known.abs().amax(dim=0).clamp(min=1e-300)
    mean, spread = mean[varies], spread[varies]

    def standard(rows: Tensor) -> Tensor:
        return (features[rows][:, varies] - mean) / spread

    left, scale, right = torch.linalg.svd(standard(fold.train), full_matrices=False)
    return left, scale, standard(fold.validation) @ right.T, standard(fold.scored) @ right.T


def _chosen(candidates: Sequence[Tensor], best: Tensor) -> Tensor:
    """From a prediction (n, K) per penalty, each column of its own penalty."""
    stacked = torch.stack(list(candidates))
    return stacked.gather(0, best.expand(1, stacked.shape[1], -1))[0]
