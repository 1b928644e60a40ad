"""The figures of label efficiency as lines of text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from globalworkspace.label_efficiency.factors import interval, needed_pairs, pairs_factor
from globalworkspace.label_efficiency.figure import Lines, curves, directions

OURS, REFERENCE = "default", "supervised"


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
        text.append(f"{'':<20}" + "".join(f"{n:>15,}" for n in numbers))
        for name, points in found.items():
            cells = [_cell(points.get(n)) for n in numbers]
            text.append(f"{name:<20}" + "".join(f"{cell:>15}" for cell in cells))
    return text[1:]


def factor_lines(
    lines: Lines, ours: str = OURS, references: Sequence[str] = (REFERENCE, "paper")
) -> list[str]:
    """How many times fewer pairs `ours` needs than each reference, at each of its N."""
    text: list[str] = []
    for chosen in [*directions(lines), None]:
        found = curves(lines, chosen)
        if ours not in found:
            continue
        for reference in references:
            if reference not in found:
                continue
            shown = [
                f"{n:,}: {pairs_factor(found[ours], found[reference], n)}" for n in found[ours]
            ]
            text.append(
                f"{chosen or 'mean of all directions'}: times fewer pairs, {ours} against "
                f"{reference}, at " + "; ".join(shown)
            )
    return text


def level_rows(
    found: Mapping[str, Mapping[int, Sequence[float]]], levels: Sequence[float]
) -> dict[str, list[float]]:
    """Recipe or baseline -> the pairs it needs for each level, infinite where it never gets there.

    Args:
        found: See `figure.curves`.
        levels: Errors.
    """
    means = {
        name: {n: sum(values) / len(values) for n, values in points.items()}
        for name, points in found.items()
    }
    return {name: [needed_pairs(points, v) for v in levels] for name, points in means.items()}


def _cell(values: Any) -> str:
    if not values:
        return ""
    mean, low, _ = interval(values)
    return f"{mean:.3f}" + ("" if math.isnan(low) else f" ±{mean - low:.3f}")
