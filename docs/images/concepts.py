"""Draw the two figures of docs/concepts.md.

python docs/images/concepts.py
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

HERE = Path(__file__).parent
BLUE, ORANGE, GREEN, GREY = "#0b6fb8", "#c2570c", "#1b7f4b", "#5a616b"
DOMAINS = (("photo", BLUE), ("caption", ORANGE), ("attributes", GREEN))


def box(axes: Axes, x: float, y: float, text: str, colour: str, width: float = 1.3) -> None:
    """A rounded box with a word in it."""
    shape = FancyBboxPatch(
        (x - width / 2, y - 0.19), width, 0.38, boxstyle="round,pad=0.03", ec=colour, fc="white"
    )
    axes.add_patch(shape)
    axes.text(x, y, text, ha="center", va="center", color=colour, fontsize=10)


def arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, bend: float = 0
) -> None:
    """An arrow, bent or straight."""
    style = f"arc3,rad={bend}"
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=12, color=colour, connectionstyle=style
        )
    )


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Axes in which a unit is an inch."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def workspace() -> None:
    """Raw data -> latents -> codes -> one state -> latents -> raw data."""
    figure, axes = canvas(10, 3.5)
    headings = ("raw", "latent", "code", "state", "latent", "raw")
    for x, word in zip((0.7, 2.4, 3.75, 5, 7.0, 9.2), headings, strict=True):
        axes.text(x, 3.28, word, ha="center", color=GREY, fontsize=10, style="italic")
    for y, (name, colour) in zip((2.6, 1.7, 0.8), DOMAINS, strict=True):
        axes.text(0.7, y, name, ha="center", va="center", color=colour, fontsize=11)
        box(axes, 2.4, y, "frozen specialist", colour, 1.5)
        arrow(axes, (1.15, y), (1.6, y), colour)
        arrow(axes, (3.2, y), (4.62, 1.7 + (y - 1.7) * 0.28), colour)
        arrow(axes, (5.38, 1.7 + (y - 1.7) * 0.28), (6.2, y), colour)
        box(axes, 7.0, y, "frozen specialist", colour, 1.5)
        arrow(axes, (7.82, y), (8.6, y), colour)
        axes.text(9.2, y, name, ha="center", va="center", color=colour, fontsize=11)
    axes.add_patch(Circle((5, 1.7), 0.36, ec=GREY, fc="#eef1f5"))
    axes.text(5, 1.7, "fusion", ha="center", va="center", fontsize=9)
    axes.text(3.95, 0.28, "encoders: trained", ha="center", color=GREY, fontsize=9)
    axes.text(5.85, 0.28, "decoders: trained", ha="center", color=GREY, fontsize=9)
    figure.savefig(HERE / "workspace.png", dpi=130)


def routes() -> None:
    """What each family of losses compares."""
    figure, axes = canvas(10, 2.9)
    families = ("translation", "demi-cycle", "cycle", "contrastive", "fused")
    for number, name in enumerate(families):
        x = 1 + 2 * number
        axes.text(x, 2.65, name, ha="center", fontsize=11, weight="bold")
        axes.add_patch(Circle((x, 1.45), 0.22, ec=GREY, fc="#eef1f5"))
        for y, letter, colour in ((2.2, "a", BLUE), (0.7, "b", ORANGE)):
            axes.text(x - 0.55, y, letter, ha="center", va="center", color=colour, fontsize=13)
        into = ((x - 0.45, 2.1), (x - 0.12, 1.65))
        if name == "translation":
            arrow(axes, *into, BLUE)
            arrow(axes, (x - 0.12, 1.25), (x - 0.45, 0.8), ORANGE)
        elif name == "demi-cycle":
            arrow(axes, *into, BLUE)
            arrow(axes, (x + 0.1, 1.68), (x - 0.36, 2.22), BLUE, 0.5)
        elif name == "cycle":
            arrow(axes, *into, BLUE)
            arrow(axes, (x - 0.12, 1.25), (x - 0.45, 0.8), ORANGE)
            arrow(axes, (x - 0.36, 0.66), (x + 0.1, 1.22), ORANGE, 0.4)
            arrow(axes, (x + 0.1, 1.68), (x - 0.36, 2.24), BLUE, 0.5)
        elif name == "contrastive":
            arrow(axes, *into, BLUE)
            arrow(axes, (x - 0.45, 0.8), (x - 0.12, 1.25), ORANGE)
            axes.text(x, 1.45, "≈", ha="center", va="center", fontsize=12)
        else:
            arrow(axes, *into, BLUE)
            arrow(axes, (x - 0.45, 0.8), (x - 0.12, 1.25), ORANGE)
            arrow(axes, (x + 0.1, 1.68), (x - 0.36, 2.26), BLUE, 0.5)
            arrow(axes, (x + 0.1, 1.22), (x - 0.36, 0.62), ORANGE, -0.5)
    notes = ("needs matches", "needs none", "needs none", "needs matches", "needs matches")
    for number, note in enumerate(notes):
        axes.text(1 + 2 * number, 0.15, note, ha="center", color=GREY, fontsize=9)
    figure.savefig(HERE / "routes.png", dpi=130)


if __name__ == "__main__":
    workspace()
    routes()
