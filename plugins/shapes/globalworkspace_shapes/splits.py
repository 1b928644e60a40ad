"""Out-of-distribution splits: hold out a value of two attributes, test on what was held out.

Two of shape, hue, size, rotation and position are drawn, and one value of each (a class, a third, a
cell of 3 x 3). An item is out of distribution if it has either. Everything is a pure function of
the seed, so the same seed gives the same boundaries on training and test data; bins are equally
wide over the range that really occurs, ends included.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
import torch
from torch import Tensor

from globalworkspace_shapes.attributes import CLASSES, POSITION_RANGE, SIZE_RANGE, ShapeAttributes

ATTRIBUTES = ("shape", "hue", "size", "rotation", "position")
_THIRDS = 3
_HUE_STEP = 1 / 180
"""Hues of the data set are whole steps: bins begin half a step before red, so that rounding moves
none across an edge."""


@attrs.frozen(eq=False, kw_only=True)
class OODSplit:
    """Rows inside and outside the distribution; together they are all rows, each once."""

    in_distribution: Tensor
    """(n,) int64 row numbers, ascending."""
    out_of_distribution: Tensor
    """(N - n,) int64 row numbers, ascending."""
    held_out: dict[str, int]
    """Attribute -> the held-out value: a class label, a third (0 to 2), or 3 * row + column of the
    position."""
    description: str
    """The held-out values in words."""


def ood_split(attributes: ShapeAttributes, seed: int = 0) -> OODSplit:
    """Split rows by two held-out attribute values.

    Args:
        attributes: N shapes.
        seed: Draws the two attributes and the value of each; the data has no part in it.

    Returns:
        The split, with what was held out.

    Example:
        >>> from globalworkspace_shapes.attributes import sample_attributes
        >>> split = ood_split(sample_attributes(100, torch.Generator().manual_seed(0)), seed=3)
        >>> len(split.in_distribution) + len(split.out_of_distribution)
        100
    """
    held_out = draw_held_out(seed)
    outside = torch.zeros(len(attributes), dtype=torch.bool)
    for name, value in held_out.items():
        outside |= attribute_bins(attributes, name) == value
    return OODSplit(
        in_distribution=(~outside).nonzero()[:, 0],
        out_of_distribution=outside.nonzero()[:, 0],
        held_out=held_out,
        description=" or ".join(_words(name, value) for name, value in held_out.items()),
    )


def draw_held_out(seed: int) -> dict[str, int]:
    """Draw two attributes and a value of each to hold out, uniformly; pure function of `seed`."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(ATTRIBUTES), generator=generator)[:2].sort().values.tolist()
    counts = {"shape": len(CLASSES), "position": _THIRDS**2}
    return {
        ATTRIBUTES[i]: int(
            torch.randint(counts.get(ATTRIBUTES[i], _THIRDS), (1,), generator=generator)
        )
        for i in chosen
    }


def attribute_bins(attributes: ShapeAttributes, name: str) -> Tensor:
    """Each row's value of one of `ATTRIBUTES`, (N,) int64; a gray has no hue and gets -1."""
    readers: dict[str, Callable[[ShapeAttributes], Tensor]] = {
        "shape": lambda a: a.category.long(),
        "hue": _hue_bins,
        "size": lambda a: _thirds(a.size, *_integer_edges(SIZE_RANGE)),
        "rotation": lambda a: _thirds(a.rotation, 0.0, math.tau),
        "position": lambda a: (
            _THIRDS * _thirds(a.y, *_integer_edges(POSITION_RANGE))
            + _thirds(a.x, *_integer_edges(POSITION_RANGE))
        ),
    }
    return readers[name](attributes)


def rgb_to_hue(color: Tensor) -> Tensor:
    """RGB (N, 3) in [0, 1] -> hue (N,) in [0, 1), red at 0; NaN for grays, which have none."""
    color = color.double()
    largest, which = color.max(dim=1)
    chroma = largest - color.min(dim=1).values
    red, green, blue = color.unbind(1)
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    sextants = torch.stack(
        [(green - blue) / safe, (blue - red) / safe + 2, (red - green) / safe + 4], dim=1
    )
    hue = (sextants.gather(1, which[:, None])[:, 0] / 6).remainder(1.0)
    # Under half an 8-bit step no picture shows a hue, and float32 rounding would invent one.
    return torch.where(chroma > 0.5 / 255, hue, torch.full_like(hue, torch.nan))


def _hue_bins(attributes: ShapeAttributes) -> Tensor:
    hue = rgb_to_hue(attributes.color)
    bins = _thirds((hue.nan_to_num(0.0) + _HUE_STEP / 2).remainder(1.0), 0.0, 1.0)
    return torch.where(hue.isnan(), torch.full_like(bins, -1), bins)


def _integer_edges(values: tuple[int, int]) -> tuple[float, float]:
    """Whole numbers from low to high, both included, fill low - 1/2 to high + 1/2."""
    return values[0] - 0.5, values[1] + 0.5


def _thirds(values: Tensor, low: float, high: float) -> Tensor:
    return ((values.double() - low) * (_THIRDS / (high - low))).floor().long().clamp(0, _THIRDS - 1)


def _words(name: str, value: int) -> str:
    if name == "shape":
        return f"shape: {CLASSES[value]}"
    if name == "position":
        row, column = divmod(value, _THIRDS)
        low, high = _integer_edges(POSITION_RANGE)
        return f"position: {_interval('x', column, low, high)} and {_interval('y', row, low, high)}"
    if name == "size":
        return f"size: {_interval('size', value, *_integer_edges(SIZE_RANGE))}"
    start = -180 * _HUE_STEP if name == "hue" else 0.0
    return f"{name}: {_interval(name, value, start, start + 360.0)} degrees"


def _interval(name: str, third: int, low: float, high: float) -> str:
    width = (high - low) / _THIRDS
    return f"{low + third * width:.4g} <= {name} < {low + (third + 1) * width:.4g}"
