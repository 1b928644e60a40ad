"""Shapes that differ from given ones in a single respect: what a caption must not be taken for."""

from __future__ import annotations

import math

import attrs
import torch
from torch import Tensor

from globalworkspace.errors import ConfigError
from globalworkspace_shapes import grammar
from globalworkspace_shapes.attributes import CLASSES, ShapeAttributes, sample_attributes
from globalworkspace_shapes.captions import compose_captions, draw_choices, size_bins

RESPECTS = ("class", "color", "size", "place", "direction")
_LEAST = {"color": 0.4, "size": 3.0, "place": 6.0, "direction": math.pi / 3}
"""How far the changed value is from the old one: in RGB, pixels, pixels and radians."""


def altered(shapes: ShapeAttributes, respect: str, generator: torch.Generator) -> ShapeAttributes:
    """The same shapes but for one respect, in which each clearly differs.

    A class becomes another; a colour is at least 0.4 away in RGB, a size 3 pixels, a place 6
    pixels across or along, a direction 60 degrees. New values are drawn from the data set's own
    distribution.

    Args:
        shapes: N shapes.
        respect: One of `RESPECTS`.
        generator: Source of chance, on the CPU.

    Raises:
        ConfigError: If the respect is unknown.

    Example:
        >>> shapes = sample_attributes(4, torch.Generator().manual_seed(0))
        >>> other = altered(shapes, "class", torch.Generator().manual_seed(1))
        >>> bool((other.category != shapes.category).all()), torch.equal(other.x, shapes.x)
        (True, True)
    """
    if respect not in RESPECTS:
        raise ConfigError(f'"{respect}" is no respect; known: {", ".join(RESPECTS)}.')
    number = len(shapes)
    if respect == "class":
        step = torch.randint(1, len(CLASSES), (number,), generator=generator)
        return attrs.evolve(shapes, category=(shapes.category + step) % len(CLASSES))
    changed, left = shapes, torch.arange(number)
    while len(left):  # every value has others that lie so far away
        drawn = sample_attributes(len(left), generator)
        changed = _with(changed, left, drawn, respect)
        left = left[_distance(shapes[left], changed[left], respect) < _LEAST[respect]]
    return changed


def altered_captions(
    shapes: ShapeAttributes,
    respect: str,
    generator: torch.Generator,
    seed: int | torch.Generator = 0,
) -> list[str]:
    """Captions of the altered shapes in the words of the shapes' own: one phrase differs.

    Args:
        shapes: N shapes.
        respect: See `altered`.
        generator: See `altered`.
        seed: Of the wording, as `write_captions` has it.
    """
    changed, choices = altered(shapes, respect, generator), draw_choices(shapes, seed)
    names = torch.tensor([len(names) for names in grammar.SHAPE_NAMES])
    words = torch.tensor([len(words) for words in grammar.SIZE_WORDS])
    choices = attrs.evolve(
        choices,
        shape_name=choices.shape_name % names[changed.category],
        size_word=choices.size_word % words[size_bins(changed.size)],
    )
    return compose_captions(changed, choices)


def _with(
    shapes: ShapeAttributes, rows: Tensor, drawn: ShapeAttributes, respect: str
) -> ShapeAttributes:
    """The shapes with some rows' values of a respect replaced."""
    columns = {"color": ("color",), "size": ("size",), "place": ("x", "y")}
    new = {}
    for name in columns.get(respect, ("rotation",)):
        new[name] = getattr(shapes, name).clone()
        new[name][rows] = getattr(drawn, name)
    return attrs.evolve(shapes, **new)


def _distance(first: ShapeAttributes, second: ShapeAttributes, respect: str) -> Tensor:
    """(N,), in the units of `_LEAST`."""
    if respect == "color":
        apart: Tensor = (first.color - second.color).norm(dim=1)
        return apart
    if respect == "size":
        return (first.size - second.size).abs()
    if respect == "place":
        return torch.maximum((first.x - second.x).abs(), (first.y - second.y).abs())
    turn = (first.rotation - second.rotation).remainder(math.tau)
    return torch.minimum(turn, math.tau - turn)
