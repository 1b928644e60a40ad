"""Drawings of a report: matplotlib's SVG, in the colours of the page, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

COLOURS = tuple(f"#0{k}0b0{k}" for k in range(8))
"""Stand for the page's `--c0` to `--c7`."""
_INK, _LINE, _FAINT = "#0a0c0a", "#0b0c0b", "#0c0c0c"
_OF_PAGE = {_INK: "var(--ink)", _LINE: "var(--line)", _FAINT: "var(--faint)"} | {
    colour: f"var(--c{k})" for k, colour in enumerate(COLOURS)
}
MOST_POINTS = 400
"""Of a curve; a longer one is thinned."""
Curve = Sequence[tuple[float, float]]


def _style() -> AbstractContextManager[None]:
    import matplotlib

    return matplotlib.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "globalworkspace",
            "text.parse_math": False,
            "font.size": 10,
            "text.color": _INK,
            "axes.labelcolor": _INK,
            "axes.edgecolor": _FAINT,
            "xtick.color": _FAINT,
            "xtick.labelcolor": _INK,
            "ytick.color": _FAINT,
            "ytick.labelcolor": _INK,
            "grid.color": _LINE,
            "axes.grid": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            "legend.fontsize": 9,
        }
    )


class Drawing:
    """An SVG of one panel, to be drawn on inside of a `with`.

    Args:
        name: Letters, digits and dashes, its own on the page: ids begin with it.
        size: Inches.

    Example:
        >>> with Drawing("lines") as drawing:
        ...     _ = drawing.axes.plot([1, 2], [3, 4], color=COLOURS[0])
        >>> drawing.svg.startswith("<svg"), "var(--c0)" in drawing.svg
        (True, True)
    """

    axes: Axes
    svg: str

    def __init__(self, name: str, size: tuple[float, float] = (4.6, 3.2)) -> None:
        self.name, self.size = name, size

    def __enter__(self) -> Drawing:
        from matplotlib.figure import Figure

        self._style = _style()
        self._style.__enter__()
        self._figure = Figure(figsize=self.size, layout="constrained")
        self._figure.patch.set_alpha(0)
        self.axes = self._figure.subplots()
        self.axes.patch.set_alpha(0)
        self.axes.set_axisbelow(True)
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        try:
            if kind is None:
                stream = io.StringIO()
                self._figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
                self.svg = _for_page(stream.getvalue(), self.name)
        finally:
            self._style.__exit__(None, None, None)

    def legend(self, entries: Mapping[str, Artist]) -> None:
        """Explain labels below the axes, where they hide nothing."""
        if entries:
            rows = -(-len(entries) // 2)
            width, height = self.size
            self._figure.set_size_inches(width, height + 0.2 * rows)
            artists, labels = list(entries.values()), list(entries)
            self._figure.legend(artists, labels, loc="outside lower center", ncols=2)

    def id_of(self, name: str) -> str:
        """The id, on the page, of an artist with that `gid`."""
        return f"{self.name}-{name}"


def _for_page(text: str, name: str) -> str:
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
    return re.sub(
        "|".join(_OF_PAGE),
        lambda found: _OF_PAGE[found[0]],
        text.replace("<svg ", "<svg aria-hidden='true' ", 1),
    ).strip()


def curves(
    name: str,
    lines: Mapping[str, Curve],
    *,
    across: str,
    up: str,
    log: bool = False,
    dashed: Mapping[str, Curve] | None = None,
) -> str:
    """Lines over a common axis.

    Args:
        name: Of the drawing.
        lines: Label -> (x, y) in order of x; points that are not finite are left out.
        across: What x is.
        up: What y is.
        log: Whether y is drawn in decades, where all of it is above 0 and it spans a factor of 5.
        dashed: Label -> a second line in the colour of the line of that label.

    Returns:
        SVG.
    """
    drawn, beside = (
        {label: _thinned([(x, y) for x, y in line if np.isfinite(y)]) for label, line in of.items()}
        for of in (lines, dashed or {})
    )
    values = [y for line in (*drawn.values(), *beside.values()) for _, y in line]
    with Drawing(name) as drawing:
        axes = drawing.axes
        legend: dict[str, Artist] = {}
        for number, (label, line) in enumerate(drawn.items()):
            colour = COLOURS[number % len(COLOURS)]
            if second := beside.get(label):
                marker = "o" if len(second) == 1 else ""
                xs, ys = zip(*second, strict=True)
                (legend[label],) = axes.plot(
                    xs, ys, "--", marker=marker, mfc="none", lw=1.2, color=colour
                )
            if line:
                xs, ys = zip(*line, strict=True)
                style = ("-", "-.", ":")[number // len(COLOURS) % 3]
                marker = "o" if len(line) == 1 else ""
                (legend[label],) = axes.plot(xs, ys, style, marker=marker, lw=1.6, color=colour)
        if log and values and min(values) > 0 and max(values) > 5 * min(values):
            axes.set_yscale("log")
            wide = max(values) > 1000 * min(values)
            plain_decades(axes.yaxis, subs=(1,) if wide else (1, 2, 5))
        axes.set(xlabel=across, ylabel=up)
        drawing.legend(legend)
    return drawing.svg


def plain_decades(axis: Axis, subs: Sequence[float] = (1, 2, 5)) -> None:
    """Write the ticks of a log axis as plain numbers, thousands as k."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(
        FuncFormatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}")
    )
    axis.set_minor_formatter(FuncFormatter(lambda x, _: ""))


def _thinned(line: Curve) -> Curve:
    """At most `MOST_POINTS` of a curve, its last one among them."""
    if len(line) <= MOST_POINTS:
        return line
    chosen = np.unique(np.linspace(0, len(line) - 1, MOST_POINTS).round().astype(int))
    return [line[k] for k in chosen]


def scatter(
    name: str,
    groups: Mapping[str, np.ndarray],
    joined: Sequence[tuple[tuple[float, float], tuple[float, float]]] = (),
    *,
    across: str = "",
    up: str = "",
) -> tuple[str, list[str]]:
    """Groups of points in a plane.

    Args:
        name: Of the drawing.
        groups: Label -> (points, 2).
        joined: Ends of thin lines.
        across: What x is.
        up: What y is.

    Returns:
        SVG, and the ids of the groups' elements, whose `use` elements are the points in order.
    """
    from matplotlib.collections import LineCollection

    marks = "os^Dv<>P"
    with Drawing(name, size=(6.4, 5.0)) as drawing:
        axes = drawing.axes
        if joined:
            axes.add_collection(LineCollection(list(joined), colors=_LINE, linewidths=0.5))
        legend: dict[str, Artist] = {}
        for number, (label, points) in enumerate(groups.items()):
            legend[label] = axes.scatter(
                points[:, 0],
                points[:, 1],
                s=14,
                marker=marks[number % len(marks)],
                color=COLOURS[number % len(COLOURS)],
                linewidths=0,
                gid=f"points-{number}",
            )
        axes.set(xlabel=across, ylabel=up)
        drawing.legend(legend)
    return drawing.svg, [drawing.id_of(f"points-{number}") for number in range(len(groups))]


def heat(name: str, values: np.ndarray, rows: Sequence[str], *, across: str) -> str:
    """A matrix as tinted cells.

    Args:
        name: Of the drawing.
        values: (rows, columns) in [0, 1].
        rows: Labels, from the top.
        across: What the columns are.

    Returns:
        SVG.
    """
    from matplotlib.colors import LinearSegmentedColormap

    number, columns = values.shape
    with Drawing(name, size=(max(4.6, 0.16 * columns + 1.4), 0.28 * number + 0.9)) as drawing:
        axes = drawing.axes
        axes.grid(False)
        blues = LinearSegmentedColormap.from_list("tint", ["#e4edf6", "#0b4f8a"])
        axes.pcolormesh(values, cmap=blues, vmin=0, vmax=1)
        axes.invert_yaxis()
        axes.set_yticks(np.arange(number) + 0.5, rows)
        axes.set_xlabel(across)
    return drawing.svg
