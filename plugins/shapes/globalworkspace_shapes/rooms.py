"""Rooms: a harder data set, an object in a lit room that a post may hide in part.

A seen room has fifteen factors: the object's class, place, turn, size and colour, where the post
stands, the hues of floor and walls, where light falls from and how bright it is, and where the
camera is. Pictures are rendered, captions written and attributes told from them; nothing is
downloaded or stored, and a split is a pure function of the seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor

from globalworkspace_shapes.attributes import hls_to_rgb
from globalworkspace_shapes.dataset import (
    DOMAINS,
    checked_domains,
    checked_number,
    derived_seed,
)

if TYPE_CHECKING:
    from globalworkspace import Table

OBJECTS = ("cube", "pyramid", "wedge", "column")
"""Class names; the position is the class label."""
X_RANGE, Z_RANGE, SIZE_RANGE = (-1.0, 1.0), (-0.3, 1.2), (0.3, 0.6)
POST_RANGE, CAMERA_RANGE, HEIGHT_RANGE = (-1.2, 1.2), (-25.0, 25.0), (0.8, 2.0)
BRIGHTNESS_RANGE = (0.5, 1.0)


@attrs.frozen(eq=False, kw_only=True)
class RoomAttributes:
    """A batch of N rooms, column by column.

    Lengths are in metres: the room is 4 wide, 2.6 high and 4 deep, and the middle of its floor is
    the origin; x points right, z away from the camera.
    """

    category: Tensor
    """(N,) int64, index into `OBJECTS`."""
    x: Tensor
    """(N,) of the object's foot."""
    z: Tensor
    """(N,)"""
    turn: Tensor
    """(N,) radians in [0, 2 pi) that the object is turned about its vertical axis; its front, the
    side with a light patch, shows to the camera's end of the room at 0."""
    size: Tensor
    """(N,) half of the object's width."""
    color: Tensor
    """(N, 3) RGB in [0, 1]."""
    post: Tensor
    """(N,) x of the post that stands before the object."""
    floor: Tensor
    """(N,) hue, radians in [0, 2 pi), red at 0."""
    wall: Tensor
    """(N,) likewise."""
    light: Tensor
    """(N,) radians in [0, 2 pi): where around the room's middle the lamp hangs, the right at 0, the
    back at pi / 2."""
    brightness: Tensor
    """(N,) of the lamp, in [0.5, 1]."""
    camera: Tensor
    """(N,) degrees by which the camera stands to the right."""
    height: Tensor
    """(N,) of the camera."""

    def __len__(self) -> int:
        return len(self.category)

    def __getitem__(self, rows: slice | Sequence[int] | Tensor) -> RoomAttributes:
        """The given rows as a new batch."""
        return RoomAttributes(
            **{f.name: getattr(self, f.name)[rows] for f in attrs.fields(RoomAttributes)}
        )

    def columns(self) -> dict[str, Tensor]:
        """Table of an `attributes` domain, (N,) each; `attribute_columns` describes it."""
        plain = {
            f.name: getattr(self, f.name)
            for f in attrs.fields(RoomAttributes)
            if f.name not in ("category", "color")
        }
        return {
            "object": self.category,
            **plain,
            **{name: self.color[:, i] for i, name in enumerate("rgb")},
        }


def attribute_columns() -> dict[str, Any]:
    """The `columns` setting of an `attributes` domain for this data set, in its order."""
    circular = {"type": "circular", "period": math.tau}
    numbers = ("x", "z", "turn", "size", "post", "floor", "wall", "light", "brightness", "camera")
    return {
        "object": {"type": "categorical", "categories": list(OBJECTS)},
        **{
            name: circular if name in ("turn", "floor", "wall", "light") else "continuous"
            for name in (*numbers, "height", "r", "g", "b")
        },
    }


def sample_rooms(num_items: int, generator: torch.Generator) -> RoomAttributes:
    """Draw rooms, every factor by itself and uniformly over its range.

    Args:
        num_items: How many.
        generator: CPU generator; the draw is a pure function of its state.
    """

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(num_items, generator=generator)

    return RoomAttributes(
        category=torch.randint(len(OBJECTS), (num_items,), generator=generator),
        x=uniform(*X_RANGE),
        z=uniform(*Z_RANGE),
        turn=uniform(0, math.tau),
        size=uniform(*SIZE_RANGE),
        color=hls_to_rgb(uniform(0, 1), uniform(0.3, 0.75), uniform(0.4, 1)),
        post=uniform(*POST_RANGE),
        floor=uniform(0, math.tau),
        wall=uniform(0, math.tau),
        light=uniform(0, math.tau),
        brightness=uniform(*BRIGHTNESS_RANGE),
        camera=uniform(*CAMERA_RANGE),
        height=uniform(*HEIGHT_RANGE),
    )


def load(
    split: str = "train",
    num_items: int | None = None,
    seed: int = 0,
    picture_size: int = 64,
    domains: Sequence[str] = DOMAINS,
) -> Table:
    """Make one split as a table, every row matched; use `Table.match` to hide the matching of most.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        num_items: Rows; default 10,000 for training and 1,000 for the others.
        seed: Of the whole data set; splits of one seed belong together.
        picture_size: Pixels per side.
        domains: Which columns to make, in this order: `"picture"` (uint8 tensor (N, 3, size,
            size)), `"caption"` (strings), `"attributes"` (mapping of tensors, as
            `attribute_columns` describes).

    Raises:
        ConfigError: On an unknown split or domain, or a number below 1.

    Example:
        >>> table = load("test", num_items=3, domains=["caption", "attributes"])
        >>> len(table), table.domains
        (3, ('caption', 'attributes'))
    """
    from globalworkspace import Table

    names = checked_domains("rooms", domains, DOMAINS, picture_size)
    rooms = load_rooms(split, num_items, seed)
    columns: dict[str, Any] = {}
    for name in names:
        if name == "picture":
            from globalworkspace_shapes.room_render import render_rooms

            columns[name] = render_rooms(rooms, picture_size)
        elif name == "caption":
            from globalworkspace_shapes.room_captions import describe_rooms

            columns[name] = describe_rooms(rooms, derived_seed(seed, split, "room captions"))
        else:
            columns[name] = rooms.columns()
    return Table.from_columns(columns)


def load_rooms(split: str = "train", num_items: int | None = None, seed: int = 0) -> RoomAttributes:
    """The attributes behind `load` with the same arguments, row by row.

    Raises:
        ConfigError: On an unknown split or a number below 1.
    """
    number = checked_number("rooms", split, num_items)
    return sample_rooms(number, torch.Generator().manual_seed(derived_seed(seed, split, "rooms")))
