"""The figures of label efficiency as lines of text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from globalworkspace.label_efficiency.factors import (
    interval,
    level_factor,
    means,
    needed_pairs,
    pairs_factor,
)
from globalworkspace.label_efficiency.figure import Lines, curves, directions

OURS, REFERENCE = "default", "supervised"
MOST_LEVELS = 4


def table_lines(lines: Lines) -> list[str]:
    """Errors, mean and half of the 95 % interval over seeds, per direction."""
    text: list[str] = []
    for chosen in [*directions(lines), None]:
        found = curves(lines, chosen)
        numbers = sorted({n for points in found.values() for n in points})
        text.append("")
        text.append(
            f"{chosen or 'mean of all directions'}: normalised error on the test rows, by matched "
            "rows (held-out counted)"
        )
        text.append(f"{'':<20}" + "".join(f"{n:>18,}" for n in numbers))
        for name, points in found.items():
            cells = [_cell(points.get(n)) for n in numbers]
            text.append(f"{name:<20}" + "".join(f"{cell:>18}" for cell in cells))
    return text[1:]


def factor_lines(
    lines: Lines, ours: str = OURS, references: Sequence[str] = (REFERENCE, "paper")
) -> list[str]:
    """How many times fewer pairs `ours` needs than each reference, at each N that both reach to."""
    text: list[str] = []
    for chosen in [*directions(lines), None]:
        found = curves(lines, chosen)
        if ours not in found:
            continue
        for reference in references:
            if reference not in found:
                continue
            shown = [
                f"{n:,}: {pairs_factor(found[ours], found[reference], n)}"
                for n in found[ours]
                if n >= min(found[reference])
            ]
            text.append(
                f"{chosen or 'mean of all directions'}: times fewer pairs, {ours} against "
                f"{reference}, at " + "; ".join(shown)
            )
    return text


def level_lines(lines: Lines, reference: str = REFERENCE) -> list[str]:
    """The matched rows that everything needs for some errors, and how many times fewer that is.

    Args:
        lines: Results; see `figure.curves`.
        reference: The recipe that the others are compared with.
    """
    text: list[str] = []
    for chosen in [*directions(lines), None]:
        found = curves(lines, chosen)
        levels = _levels(found)
        if reference not in found or not levels:
            continue
        text.append("")
        text.append(
            f"{chosen or 'mean of all directions'}: matched rows needed for an error, and how many "
            f"times fewer than {reference} needs (95 % interval)"
        )
        text.append(f"{'':<20}" + "".join(f"{level:>26g}" for level in levels))
        for name, points in found.items():
            cells = [_needed(points, found[reference], level) for level in levels]
            text.append(f"{name:<20}" + "".join(f"{cell:>26}" for cell in cells))
    return text[1:]


def _levels(found: Mapping[str, Mapping[int, Sequence[float]]]) -> list[float]:
    """At most four round errors, the largest first, spread from the worst mean to the best."""
    errors = [error for points in found.values() for error in means(points).values()]
    if not errors:
        return []
    low, high = math.floor(math.log10(min(errors))), math.ceil(math.log10(max(errors)))
    steps = [round(m * 10.0**power, 12) for power in range(low, high + 1) for m in (1, 2, 5)]
    between = sorted((v for v in steps if min(errors) <= v < max(errors)), reverse=True)
    if len(between) <= MOST_LEVELS:
        return between
    share = (len(between) - 1) / (MOST_LEVELS - 1)
    return [between[round(i * share)] for i in range(MOST_LEVELS)]


def _needed(
    points: Mapping[int, Sequence[float]], reference: Mapping[int, Sequence[float]], level: float
) -> str:
    pairs = needed_pairs(means(points), level)
    if math.isinf(pairs):
        return f"> {max(points):,}"
    if pairs <= min(points):
        return f"<= {min(points):,}"
    if points is reference:
        return f"{pairs:,.0f}"
    factor, low, high = level_factor(points, reference, level)
    if math.isinf(factor):
        return f"{pairs:,.0f} (> {max(reference) / pairs:.1f}x)"
    if math.isnan(low):
        return f"{pairs:,.0f} ({factor:.1f}x)"
    return f"{pairs:,.0f} ({factor:.1f}x, {low:.1f}-{high:.1f})"


def _cell(values: Any) -> str:
    if not values:
        return ""
    mean, low, _ = interval(values)
    return f"{mean:.3g}" + ("" if math.isnan(low) else f" ±{mean - low:.2g}")
