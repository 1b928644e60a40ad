"""From errors to "times fewer pairs": interpolation in log-log, intervals over seeds.

A curve is what one recipe reached: matched rows N -> the errors of its seeds, in the seeds' order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import attrs
import torch

from globalworkspace.errors import DataError

Curve = Mapping[int, Sequence[float]]

# two-sided 95 % quantiles of Student's t, by degrees of freedom from 1 on
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """(mean, low, high): the mean of some seeds and its 95 % interval by Student's t.

    Example:
        >>> [round(v, 2) for v in interval([1.0, 2.0, 3.0])]
        [2.0, -0.48, 4.48]
    """
    number = len(values)
    if not number:
        raise DataError("There are no values to give an interval of.")
    mean = sum(values) / number
    if number == 1:
        return mean, math.nan, math.nan
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (number - 1))
    quantile = _T95[number - 2] if number - 2 < len(_T95) else 1.96
    half = quantile * spread / math.sqrt(number)
    return mean, mean - half, mean + half


def needed_pairs(points: Mapping[int, float], level: float) -> float:
    """The matched rows at which a curve reaches `level`, interpolated in log-log.

    Args:
        points: N -> error, at least one.
        level: The error asked for.

    Returns:
        N; infinite where no point of the curve is that good, and its smallest N where the first
        already is. Where the curve crosses the level more than once, the first crossing counts.

    Example:
        >>> needed_pairs({100: 0.4, 400: 0.1}, 0.2)
        200.0
    """
    before: tuple[int, float] | None = None
    for pairs, error in sorted(points.items()):
        if error <= level:
            if before is None or before[1] == error:
                return float(pairs)
            share = math.log(before[1] / level) / math.log(before[1] / error)
            return round(math.exp(math.log(before[0]) + share * math.log(pairs / before[0])), 9)
        before = (pairs, error)
    return math.inf


@attrs.frozen(kw_only=True)
class Factor:
    """How many times fewer matched rows one curve needs than another."""

    pairs: int
    """Of the better curve."""
    level: float
    """The error it has there."""
    value: float
    """Infinite where the other curve never gets there: read "more than `at_least`"."""
    low: float
    """95 % interval, by drawing seeds again (with replacement); not a number for a single one."""
    high: float
    at_least: float
    """The other curve's largest N over `pairs`."""

    def __str__(self) -> str:
        def shown(value: float) -> str:
            return f"> {self.at_least:.3g}" if math.isinf(value) else f"{value:.2f}"

        if math.isnan(self.low):
            return shown(self.value)
        return f"{shown(self.value)} ({shown(self.low)} to {shown(self.high)})"


def pairs_factor(
    curve: Curve, reference: Curve, pairs: int, *, draws: int = 2000, seed: int = 0
) -> Factor:
    """Matched rows that `reference` needs for the error that `curve` has at `pairs`, over `pairs`.

    Args:
        curve: Of the recipe in question.
        reference: Of the one it is compared with.
        pairs: An N of `curve`.
        draws: Of the bootstrap over seeds; each curve's seeds are drawn for themselves.
        seed: Of the bootstrap.

    Raises:
        DataError: If `curve` has no such N, or either is empty.
    """
    if pairs not in curve or not reference:
        raise DataError(
            f"The curve was trained with {sorted(curve)} matched rows, not with {pairs}, or the "
            "reference has no points."
        )
    level = _mean(curve[pairs])
    value = needed_pairs(means(reference), level) / pairs
    generator = torch.Generator().manual_seed(seed)
    own = _drawn_means(curve[pairs], draws, generator)
    others = {n: _drawn_means(errors, draws, generator) for n, errors in reference.items()}
    low, high = _middle(
        [
            needed_pairs({n: drawn[i] for n, drawn in others.items()}, own[i]) / pairs
            for i in range(draws)
        ],
        [curve[pairs], *reference.values()],
    )
    return Factor(
        pairs=pairs,
        level=level,
        value=value,
        low=low,
        high=high,
        at_least=max(reference) / pairs,
    )


def level_factor(
    curve: Curve, reference: Curve, level: float, *, draws: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """(factor, low, high): matched rows that `reference` needs for an error over those of `curve`.

    Args:
        curve: Of the recipe in question.
        reference: Of the one it is compared with.
        level: The error asked for.
        draws: Of the bootstrap over seeds that gives the 95 % interval.
        seed: Of the bootstrap.

    Returns:
        Infinite where `reference` never gets there, 0 where `curve` does not, not a number where
        neither does; the interval is none where there are single seeds alone.

    Raises:
        DataError: If either is empty.
    """
    if not curve or not reference:
        raise DataError("A curve without points reaches no level.")
    generator = torch.Generator().manual_seed(seed)
    both = []
    for points in (curve, reference):
        drawn = {n: _drawn_means(errors, draws, generator) for n, errors in points.items()}
        needed = [needed_pairs(means(points), level)]
        needed += [
            needed_pairs({n: some[i] for n, some in drawn.items()}, level) for i in range(draws)
        ]
        both.append(needed)
    value, *found = (_quotient(b, a) for a, b in zip(*both, strict=True))
    return value, *_middle(found, [*curve.values(), *reference.values()])


def _middle(drawn: Sequence[float], seeds: Iterable[Sequence[float]]) -> tuple[float, float]:
    """The middle 95 % of what a bootstrap drew; nothing is known of single seeds."""
    found = sorted(v for v in drawn if not math.isnan(v))
    if not found or all(len(errors) < 2 for errors in seeds):
        return math.nan, math.nan
    last = len(found) - 1
    return found[round(0.025 * last)], found[round(0.975 * last)]


def _quotient(above: float, below: float) -> float:
    if math.isinf(below):
        return math.nan if math.isinf(above) else 0.0
    return above / below


def error_ratio(errors: Sequence[float], reference: Sequence[float]) -> tuple[float, float, float]:
    """(ratio, low, high) of errors to a reference's, seed by seed: 95 % interval of the mean log.

    Raises:
        DataError: If the seeds do not correspond.
    """
    if len(errors) != len(reference):
        raise DataError(
            f"{len(errors)} seeds cannot be paired with {len(reference)}; train the same ones."
        )
    logs = [math.log(a / b) for a, b in zip(errors, reference, strict=True)]
    mean, low, high = (math.exp(v) if not math.isnan(v) else v for v in interval(logs))
    return mean, low, high


def means(curve: Curve) -> dict[int, float]:
    """N -> the mean error of its seeds."""
    return {n: _mean(errors) for n, errors in curve.items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _drawn_means(values: Sequence[float], draws: int, generator: torch.Generator) -> list[float]:
    held = torch.tensor(list(values), dtype=torch.float64)
    chosen = torch.randint(len(held), (draws, len(held)), generator=generator)
    return list(held[chosen].mean(dim=1).tolist())
