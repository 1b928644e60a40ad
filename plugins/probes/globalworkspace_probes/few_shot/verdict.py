"""When a few-shot learner is said to be helped by language, and when not.

Language helps only if the arm that has it beats *both* the arm with shuffled language and the one
with as many parameters and no language, by differences that are paired over the same episodes and
whose 95 % intervals lie above 0. Episodes alone do not show how much a difference owes to the first
weights and the split of the classes, so an arm is trained in several runs that differ in both, and
the interval is the wider one of two: over the means of the runs (Student's t), and over episodes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs
from torch import Tensor

from globalworkspace.errors import DataError
from globalworkspace.label_efficiency import interval

PROTONET = "protonet"
MATCHED = "parameters matched"
LANGUAGE = "language"
SHUFFLED = "shuffled language"
RANDOM = "random auxiliary"
CONSTANT = "constant input"
CONTROLS = (PROTONET, MATCHED, SHUFFLED, RANDOM, CONSTANT)
DECISIVE = (SHUFFLED, MATCHED)
"""The controls that language has to beat."""


@attrs.frozen(kw_only=True)
class Interval:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


def over_episodes(values: Tensor) -> Interval:
    """The mean of values (runs, episodes), with the interval of episodes drawn independently."""
    mean = float(values.mean())
    half = 1.96 * float(values.std()) / math.sqrt(values.numel())
    return Interval(mean=mean, low=mean - half, high=mean + half)


def paired_difference(first: Tensor, second: Tensor) -> Interval:
    """`first - second` of the same episodes, with the wider interval of runs and of episodes.

    Args:
        first: (runs, episodes) accuracies; at least two runs.
        second: Those of another arm in the same episodes.

    Raises:
        DataError: If they are not of the same episodes, or of one run.
    """
    if first.shape != second.shape or first.ndim != 2 or len(first) < 2:
        raise DataError(
            f"Accuracies of shapes {tuple(first.shape)} and {tuple(second.shape)} cannot be "
            "paired. Give (runs, episodes) of the same episodes, of two runs or more."
        )
    apart = first - second
    mean, low, high = interval(apart.mean(dim=1).tolist())
    episodes = over_episodes(apart)
    half = max(high - mean, episodes.high - episodes.mean)
    return Interval(mean=mean, low=mean - half, high=mean + half)


def language_helps(accuracies: Mapping[str, Tensor]) -> bool:
    """The claim rule: whether language beats both decisive controls.

    Args:
        accuracies: Arm -> (runs, episodes), with `LANGUAGE` and the `DECISIVE` arms.
    """
    return all(
        paired_difference(accuracies[LANGUAGE], accuracies[control]).low > 0 for control in DECISIVE
    )
