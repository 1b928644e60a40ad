"""Rooms that differ from given ones in a single respect: what a caption must not be taken for."""

from __future__ import annotations

import math

import attrs
import torch
from torch import Tensor

from globalworkspace.errors import ConfigError
from globalworkspace_shapes.attributes import angle_between
from globalworkspace_shapes.hard_negatives import RESPECTS, other_class, redrawn
from globalworkspace_shapes.room_captions import describe_rooms, told_facts
from globalworkspace_shapes.rooms import (
    OBJECTS,
    POST_RANGE,
    SIZE_RANGE,
    X_RANGE,
    Z_RANGE,
    RoomAttributes,
    sample_rooms,
)

ROOM_RESPECTS = (*RESPECTS, "post", "floor", "walls", "light")
_LEAST = {
    "color": 0.4,
    "size": (SIZE_RANGE[1] - SIZE_RANGE[0]) / 3,
    "place": 1.0,  # thirds of the way across or along
    "direction": math.pi / 3,
    "post": (POST_RANGE[1] - POST_RANGE[0]) / 3,
    "floor": math.pi / 3,
    "walls": math.pi / 3,
    "light": math.pi / 2,
}


def altered_rooms(
    rooms: RoomAttributes, respect: str, generator: torch.Generator
) -> RoomAttributes:
    """The same rooms but for one respect, in which each clearly differs, and its caption too.

    A class becomes another; the object's colour is at least 0.4 away in RGB, its size a third of
    the range, its place a third of the room across or along, its direction 60 degrees; the post a
    third of its range; the hue of floor or walls 60 degrees, the light 90. New values are drawn
    from the data set's own distribution.

    Args:
        rooms: N rooms.
        respect: One of `ROOM_RESPECTS`.
        generator: Source of chance, on the CPU.

    Raises:
        ConfigError: If the respect is unknown.

    Example:
        >>> rooms = sample_rooms(4, torch.Generator().manual_seed(0))
        >>> other = altered_rooms(rooms, "floor", torch.Generator().manual_seed(1))
        >>> bool((other.floor != rooms.floor).all()), torch.equal(other.wall, rooms.wall)
        (True, True)
    """
    if respect not in ROOM_RESPECTS:
        raise ConfigError(f'"{respect}" is no respect; known: {", ".join(ROOM_RESPECTS)}.')
    if respect == "class":
        return attrs.evolve(rooms, category=other_class(rooms.category, len(OBJECTS), generator))

    def differs(first: RoomAttributes, second: RoomAttributes) -> Tensor:
        told = [one != two for one, two in zip(told_facts(first), told_facts(second), strict=True)]
        far = _distance(first, second, respect) >= _LEAST[respect]
        return far & torch.tensor(told, dtype=torch.bool)

    fields = {"place": ("x", "z"), "direction": ("turn",), "walls": ("wall",)}
    return redrawn(rooms, sample_rooms, fields.get(respect, (respect,)), differs, generator)


def altered_room_captions(
    rooms: RoomAttributes, respect: str, generator: torch.Generator, seed: int = 0
) -> list[str]:
    """Captions of the altered rooms in the words of the rooms' own: one phrase differs.

    Args:
        rooms: N rooms.
        respect: See `altered_rooms`.
        generator: See `altered_rooms`.
        seed: Of the wording, as `describe_rooms` has it.
    """
    return describe_rooms(altered_rooms(rooms, respect, generator), seed, worded_as=rooms)


def _distance(first: RoomAttributes, second: RoomAttributes, respect: str) -> Tensor:
    """(N,), in the units of `_LEAST`."""
    if respect == "color":
        apart: Tensor = (first.color - second.color).norm(dim=1)
        return apart
    if respect == "place":
        across = (first.x - second.x).abs() * 3 / (X_RANGE[1] - X_RANGE[0])
        along = (first.z - second.z).abs() * 3 / (Z_RANGE[1] - Z_RANGE[0])
        return torch.maximum(across, along)
    name = {"direction": "turn", "walls": "wall"}.get(respect, respect)
    one, other = getattr(first, name), getattr(second, name)
    return (one - other).abs() if respect in ("size", "post") else angle_between(one, other)
