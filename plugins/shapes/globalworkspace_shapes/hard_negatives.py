"""Shapes that differ from given ones in a single respect: what a caption must not be taken for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import attrs
import torch
from torch import Tensor

from globalworkspace.errors import ConfigError
from globalworkspace_shapes import grammar
from globalworkspace_shapes.attributes import (
    CLASSES,
    ShapeAttributes,
    angle_between,
    sample_attributes,
)
from globalworkspace_shapes.captions import compose_captions, draw_choices, size_bins
from globalworkspace_shapes.rooms import RoomAttributes

RESPECTS = ("class", "color", "size", "place", "direction")
_LEAST = {"color": 0.4, "size": 3.0, "place": 6.0, "direction": math.pi / 3}
"""How far the changed value is from the old one: in RGB, pixels, pixels and radians."""
Items = TypeVar("Items", ShapeAttributes, RoomAttributes)


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
    if respect == "class":
        return attrs.evolve(shapes, category=other_class(shapes.category, len(CLASSES), generator))
    columns = {"color": ("color",), "size": ("size",), "place": ("x", "y")}

    def differs(first: ShapeAttributes, second: ShapeAttributes) -> Tensor:
        return _distance(first, second, respect) >= _LEAST[respect]

    fields = columns.get(respect, ("rotation",))
    return redrawn(shapes, sample_attributes, fields, differs, generator)


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


def other_class(category: Tensor, number: int, generator: torch.Generator) -> Tensor:
    """(N,) classes of so many, none of them the given one's."""
    step = torch.randint(1, number, (len(category),), generator=generator)
    return (category + step) % number


def redrawn(
    items: Items,
    sample: Callable[[int, torch.Generator], Items],
    fields: tuple[str, ...],
    differs: Callable[[Items, Items], Tensor],
    generator: torch.Generator,
) -> Items:
    """The items with new values in some fields, drawn again until each differs.

    Args:
        items: N of them.
        sample: (how many, generator) -> new ones, whose fields are taken.
        fields: Names of columns.
        differs: (n old items, n new ones) -> (n,) bool.
        generator: Source of chance, on the CPU.
    """
    changed, left = items, torch.arange(len(items))
    while len(left):  # every value has others that lie so far away
        drawn = sample(len(left), generator)
        new = {}
        for name in fields:
            new[name] = getattr(changed, name).clone()
            new[name][left] = getattr(drawn, name)
        changed = attrs.evolve(changed, **new)
        left = left[~differs(items[left], changed[left])]
    return changed


def _distance(first: ShapeAttributes, second: ShapeAttributes, respect: str) -> Tensor:
    """(N,), in the units of `_LEAST`."""
    if respect == "color":
        apart: Tensor = (first.color - second.color).norm(dim=1)
        return apart
    if respect == "size":
        return (first.size - second.size).abs()
    if respect == "place":
        return torch.maximum((first.x - second.x).abs(), (first.y - second.y).abs())
    return angle_between(first.rotation, second.rotation)
