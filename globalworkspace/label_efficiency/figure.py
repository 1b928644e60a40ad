"""The figure of label efficiency: error against matched rows on log axes, a panel a direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from globalworkspace.label_efficiency.factors import interval
from globalworkspace.report.plots import plain_decades

MEAN = "mean of both"
Lines = Sequence[Mapping[str, Any]]


def curves(lines: Lines, direction: str | None = None) -> dict[str, dict[int, list[float]]]:
    """Recipe or baseline -> matched rows -> errors of the seeds, in order.

    Args:
        lines: What `label_efficiency` returned.
        direction: As `"photo -> caption"`; None: the mean over directions.
    """
    found: dict[str, dict[int, dict[int, float]]] = {}
    for line in lines:
        errors = line["errors"]
        value = sum(errors.values()) / len(errors) if direction is None else errors[direction]
        name = line.get("recipe") or line["baseline"]
        found.setdefault(name, {}).setdefault(line["pairs"], {})[line["seed"]] = value
    return {
        name: {n: [by[seed] for seed in sorted(by)] for n, by in sorted(points.items())}
        for name, points in found.items()
    }


def directions(lines: Lines) -> list[str]:
    """The directions that the lines tell of."""
    return list(dict.fromkeys(name for line in lines for name in line["errors"]))


def draw(
    lines: Lines,
    file: str | Path,
    *,
    title: str = "",
    across: str = "matched rows (held-out counted)",
    up: str = "normalised error on test rows",
) -> Path:
    """Draw mean and 95 % interval of every recipe and baseline to a PNG or SVG file.

    Args:
        lines: What `label_efficiency` returned.
        file: Where to; its suffix says what.
        title: Above the panels.
        across: What N counts.
        up: What the errors are.
    """
    from matplotlib.figure import Figure

    trained = {line["recipe"] for line in lines if "recipe" in line}
    panels: list[tuple[str, str | None]] = [(name, name) for name in directions(lines)]
    if len(panels) > 1:
        panels.append(("mean of all directions" if len(panels) > 2 else MEAN, None))
    figure = Figure(figsize=(4.2 * len(panels), 4.4), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (name, chosen) in zip(axes, panels, strict=True):
        for index, (label, points) in enumerate(curves(lines, chosen).items()):
            numbers = list(points)
            means, lows, highs = zip(*(interval(points[n]) for n in numbers), strict=True)
            style = {"marker": "o", "ls": "-"} if label in trained else {"marker": ".", "ls": "--"}
            axis.plot(numbers, means, color=f"C{index % 10}", label=label, ms=4, lw=1.4, **style)
            floors = [max(low, mean / 10) for low, mean in zip(lows, means, strict=True)]
            axis.fill_between(numbers, floors, highs, color=f"C{index % 10}", alpha=0.15, lw=0)
        axis.set(xscale="log", yscale="log", title=name, xlabel=across)
        axis.grid(True, which="both", alpha=0.2)
        plain_decades(axis.xaxis, subs=(1, 3))
        plain_decades(axis.yaxis)
    axes[0].set_ylabel(up)
    axes[-1].legend(fontsize=8)
    figure.suptitle(title)
    target = Path(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=130)
    return target
