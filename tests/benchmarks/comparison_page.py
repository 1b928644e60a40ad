"""The page and the figure of the comparison."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from comparison_methods import LATENTS, METHODS, PAIRS, SETS, STEPS, TRAINED, tries
from results_page import plus_minus

from globalworkspace.label_efficiency import interval

FIGURES = ("error", "R@5", "class", "across")
TITLES = {
    "error": "error of translation",
    "R@5": "R@5",
    "class": "class of a picture",
    "across": "class of a picture, learnt in the other domain",
}
Cell = tuple[str, int, str]


def values(lines: Sequence[Mapping[str, Any]], figure: str) -> dict[Cell, list[float]]:
    """(set, pairs, method) -> a figure of the draws in order, mean of both directions."""
    found: dict[Cell, dict[int, float]] = {}
    for line in lines:
        if figure not in line:
            continue
        value = line[figure]
        value = statistics.mean(value) if isinstance(value, list) else value
        found.setdefault((line["set"], line["pairs"], line["method"]), {})[line["seed"]] = value
    return {cell: [by[seed] for seed in sorted(by)] for cell, by in found.items()}


def page(lines: Sequence[Mapping[str, Any]], opening: Sequence[str]) -> str:
    """The page; bold: the best mean of a column, and what is not shown to differ from it.

    Args:
        lines: Of the draws that are reported.
        opening: What stands above the figures.
    """
    text = [*opening, "![Four figures](comparison.png)", ""]
    text += [
        "Means of five draws ± half of the 95 % interval. Bold: the best, and whatever is not shown"
        " to be worse, draw by draw.",
        "",
    ]
    for name, title in SETS.items():
        text += [f"## {title}", ""]
        for figure in FIGURES:
            found = values(lines, figure)
            columns = PAIRS[name]
            text += [f"| {TITLES[figure]} | " + " | ".join(f"{n:,} pairs" for n in columns) + " |"]
            text += ["|---" * (len(columns) + 1) + "|"]
            bold = {n: best(found, name, n, figure) for n in columns}
            for method in METHODS:
                cells = [
                    f"**{cell}**" if method in bold[n] else cell
                    for n in columns
                    for cell in [plus_minus(found[name, n, method])]
                ]
                text.append(f"| {method} | {' | '.join(cells)} |")
            text.append("")
            if figure == "class":
                alone = plus_minus(found[name, 0, LATENTS])
                text += [f"The same network on the frozen latents of pictures: {alone}.", ""]
    return "\n".join(text + directions(lines) + choices(lines))


def best(found: Mapping[Cell, list[float]], name: str, pairs: int, figure: str) -> set[str]:
    """The methods that may be the best."""
    sign = 1 if figure == "error" else -1
    means = {m: sign * statistics.mean(found[name, pairs, m]) for m in METHODS}
    first = min(means, key=lambda m: means[m])
    equal = {first}
    for method in METHODS:
        worse = [
            sign * (a - b)
            for a, b in zip(found[name, pairs, method], found[name, pairs, first], strict=True)
        ]
        if interval(worse)[1] <= 0:
            equal.add(method)
    return equal


def directions(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Errors of each direction."""
    text = ["## Each direction", "", "Error of translation, means of five draws, there / back.", ""]
    for name, title in SETS.items():
        columns = PAIRS[name]
        text += [f"| {title} | " + " | ".join(f"{n:,} pairs" for n in columns) + " |"]
        text += ["|---" * (len(columns) + 1) + "|"]
        for method in METHODS:
            cells = []
            for pairs in columns:
                some = [
                    line["error"]
                    for line in lines
                    if (line["set"], line["pairs"], line["method"]) == (name, pairs, method)
                ]
                ways = zip(*some, strict=True)
                cells.append(" / ".join(f"{statistics.mean(way):.3f}" for way in ways))
            text.append(f"| {method} | {' | '.join(cells)} |")
        text.append("")
    return text


def tried() -> list[str]:
    """What each method could choose from."""
    text = ["| | set | tried |", "|---|---|---|"]
    for method in TRAINED:
        for name, title in SETS.items():
            told = "; ".join(worded(setting) for setting in tries(name, method))
            text.append(f"| {method} | {title} | {told} |")
    return [*text, ""]


def worded(setting: Mapping[str, Any]) -> str:
    """A setting in words."""
    told = {**setting, **setting["own"]}
    return ", ".join(f"{key} {told[key]:g}" for key in told if key != "own")


def choices(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """What tuning chose."""
    text = [
        "## What tuning chose",
        "",
        *tried(),
        "| | set | pairs | setting |",
        "|---|---|---|---|",
    ]
    seen = {}
    for line in lines:
        if "setting" in line:
            seen[line["method"], line["set"], line["pairs"]] = line["setting"]
    for (method, name, pairs), choice in sorted(seen.items()):
        text.append(f"| {method} | {SETS[name]} | {pairs:,} | {worded(choice)} |")
    return [
        *text,
        "",
        f"Decay is a factor of the usual one; length 1 is {STEPS['shapes']:,} steps on "
        f"shapes and {STEPS['emoji']:,} on emoji, in those of `default`.",
        "",
    ]


def draw(lines: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Every figure against pairs, a row for each set."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 7), layout="constrained")
    grid = figure.subplots(len(SETS), len(FIGURES))
    for row, (name, title) in zip(grid, SETS.items(), strict=True):
        for axis, what in zip(row, FIGURES, strict=True):
            found = values(lines, what)
            for index, method in enumerate(METHODS):
                means, lows, highs = zip(
                    *(interval(found[name, n, method]) for n in PAIRS[name]), strict=True
                )
                style = "o-" if method in TRAINED else ".--"
                axis.plot(PAIRS[name], means, style, color=f"C{index}", label=method, ms=4, lw=1.4)
                axis.fill_between(PAIRS[name], lows, highs, color=f"C{index}", alpha=0.12, lw=0)
            axis.set(xscale="log", title=f"{title}\n{TITLES[what]}", xlabel="matched rows")
            if (name, what) == ("shapes", "error"):
                axis.set(yscale="log")
            axis.title.set_fontsize(9)
            axis.set_xticks(PAIRS[name], [f"{n:,}" for n in PAIRS[name]])
            axis.minorticks_off()
            axis.grid(True, alpha=0.2)
    grid[0][0].legend(fontsize=7)
    figure.savefig(file, dpi=120)
