"""What a Simple Shapes picture shows: one shape's class, place, size, rotation and colour.

Ranges follow the Simple Shapes data set (Devillers, Maytié, VanRullen, arXiv 2306.15711): class
uniform over diamond, egg and triangle; x and y integer 7..24 pixels, size integer 7..14 pixels,
rotation uniform over the circle, colour uniform in HLS with hue 0..180, lightness 46..255 and
saturation 0..255 (8-bit convention).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import torch
from torch import Tensor

CLASSES = ("diamond", "egg", "triangle")
"""Class names; the position is the class label."""

PICTURE_SIZE = 32
"""Pixels per side that x, y and size are expressed in."""

POSITION_RANGE = (7, 24)
SIZE_RANGE = (7, 14)
LIGHTNESS_RANGE = (46, 255)


@attrs.frozen(eq=False, kw_only=True)
class ShapeAttributes:
    """A batch of N shapes, column by column."""

    category: Tensor
    """(N,) int64, index into `CLASSES`."""
    x: Tensor
    """(N,) float32, centre in pixels from the left of a 32-pixel picture."""
    y: Tensor
    """(N,) float32, centre in pixels from the *bottom* of a 32-pixel picture."""
    size: Tensor
    """(N,) float32, side of the unit box in pixels of a 32-pixel picture."""
    rotation: Tensor
    """(N,) float32, radians in [0, 2 pi), counter-clockwise."""
    color: Tensor
    """(N, 3) float32, RGB in [0, 1]."""

    def __len__(self) -> int:
        return len(self.category)

    def __getitem__(self, rows: slice | Sequence[int] | Tensor) -> ShapeAttributes:
        """The given rows as a new batch."""
        return ShapeAttributes(
            **{f.name: getattr(self, f.name)[rows] for f in attrs.fields(ShapeAttributes)}
        )

    def columns(self) -> dict[str, Tensor]:
        """Table of an `attributes` domain: shape, x, y, size, rotation, r, g, b; (N,) each."""
        return {
            "shape": self.category,
            "x": self.x,
            "y": self.y,
            "size": self.size,
            "rotation": self.rotation,
            "r": self.color[:, 0],
            "g": self.color[:, 1],
            "b": self.color[:, 2],
        }


def sample_attributes(num_items: int, generator: torch.Generator) -> ShapeAttributes:
    """Draw `num_items` shapes from the data set's distribution.

    Args:
        num_items: How many shapes.
        generator: CPU generator; the draw is a pure function of its state.
    """

    def integers(low: int, high: int) -> Tensor:
        return torch.randint(low, high + 1, (num_items,), generator=generator)

    category = integers(0, len(CLASSES) - 1)
    x, y = integers(*POSITION_RANGE).float(), integers(*POSITION_RANGE).float()
    size = integers(*SIZE_RANGE).float()
    rotation = torch.rand(num_items, generator=generator) * (2 * torch.pi)
    hue = integers(0, 180) / 180.0
    lightness = integers(*LIGHTNESS_RANGE) / 255.0
    saturation = integers(0, 255) / 255.0
    return ShapeAttributes(
        category=category,
        x=x,
        y=y,
        size=size,
        rotation=rotation,
        color=hls_to_rgb(hue, lightness, saturation),
    )


def hls_to_rgb(hue: Tensor, lightness: Tensor, saturation: Tensor) -> Tensor:
    """Convert HLS in [0, 1], each (N,), to RGB in [0, 1], (N, 3), as `colorsys.hls_to_rgb` does."""
    upper = torch.where(
        lightness <= 0.5,
        lightness * (1 + saturation),
        lightness + saturation - lightness * saturation,
    )
    lower = 2 * lightness - upper

    def channel(offset: float) -> Tensor:
        h = (hue + offset) % 1.0
        rising = lower + (upper - lower) * h * 6
        falling = lower + (upper - lower) * (2 / 3 - h) * 6
        return torch.where(
            h < 1 / 6, rising, torch.where(h < 1 / 2, upper, torch.where(h < 2 / 3, falling, lower))
        )

    return torch.stack([channel(1 / 3), channel(0.0), channel(-1 / 3)], dim=1).clamp(0, 1)


def angle_between(first: Tensor, second: Tensor) -> Tensor:
    """Radians in [0, pi] between directions that broadcast."""
    turn = (first - second).remainder(math.tau)
    return torch.minimum(turn, math.tau - turn)
