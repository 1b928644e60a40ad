"""Draw rooms by casting rays, about seventy pictures a second on one core.

Object and post are convex, so each is an intersection of half-spaces, and a ray meets it between
the last plane it enters by and the first it leaves by. Light comes from one lamp, which throws
shadows, and from everywhere a little. Every pixel is the mean of four rays. There is no randomness:
equal attributes give equal pictures.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from globalworkspace_shapes.attributes import hls_to_rgb
from globalworkspace_shapes.rooms import OBJECTS, RoomAttributes

CHUNK_RAYS = 1 << 18
"""Rays cast at once, for the cache's sake."""
RAYS_PER_SIDE = 2
"""Of a pixel: two by two rays."""

HALF_WIDTH, HALF_DEPTH, CEILING = 2.0, 2.0, 2.6
POST_RADIUS, POST_HEIGHT, POST_Z = 0.16, 1.3, -1.1
CAMERA_DISTANCE, LOOK_AT, VIEW = 4.2, (0.0, 0.55, 0.2), 0.52
"""Metres from the middle; what the camera looks at; tangent of half its angle of view."""
LAMP_RADIUS, LAMP_HEIGHT = 1.5, 2.3
AMBIENT = 0.35
TILES = 1.5
"""Floor tiles per metre."""
PATCH = 0.5
"""How much of the front side's colour is white."""
_FAR, _NEAR = 1e6, 1e-4


def render_rooms(rooms: RoomAttributes, size: int = 64) -> Tensor:
    """Draw one picture per row.

    Args:
        rooms: N rooms.
        size: Pixels per side.

    Returns:
        (N, 3, size, size) uint8.

    Example:
        >>> from globalworkspace_shapes.rooms import sample_rooms
        >>> render_rooms(sample_rooms(2, torch.Generator().manual_seed(0)), 16).shape
        torch.Size([2, 3, 16, 16])
    """
    rows = max(CHUNK_RAYS // (size * RAYS_PER_SIDE) ** 2, 1)
    pieces = []
    for some in torch.arange(len(rooms)).split(rows):
        bright = _cast(rooms[some], size * RAYS_PER_SIDE)
        pixels = F.avg_pool2d(bright.transpose(1, 2).unflatten(2, (-1, size * RAYS_PER_SIDE)), 2)
        pieces.append((pixels * 255 + 0.5).clamp_(0, 255).to(torch.uint8))
    return torch.cat(pieces)


def _cast(rooms: RoomAttributes, side: int) -> Tensor:
    """Colours (N, rays, 3) in [0, 1] of the rays through a grid of side x side points."""
    origin, directions = _camera(rooms, side)
    solids = [_object(rooms), _post(rooms)]
    start = origin[:, None].expand_as(directions)
    distance, normal, color = _walls(rooms, start, directions)
    for solid in solids:
        reached, facing, painted = _meet(solid, start, directions)
        nearer = (reached < distance)[..., None]
        distance = torch.minimum(distance, reached)
        normal, color = torch.where(nearer, facing, normal), torch.where(nearer, painted, color)
    points = start + distance[..., None] * directions
    lamp = torch.stack(
        [
            LAMP_RADIUS * rooms.light.cos(),
            torch.full_like(rooms.light, LAMP_HEIGHT),
            LAMP_RADIUS * rooms.light.sin(),
        ],
        dim=1,
    )
    towards = lamp[:, None] - points
    away = towards.norm(dim=2, keepdim=True)
    towards = towards / away
    lit = (normal * towards).sum(dim=2).clamp(min=0)
    for solid in solids:
        between, _, _ = _meet(solid, points + 1e-3 * normal, towards)
        lit = torch.where(between < away[..., 0], torch.zeros_like(lit), lit)
    strength = AMBIENT + (1 - AMBIENT) * 1.3 * rooms.brightness[:, None] * lit
    return (color * strength[..., None]).clamp(0, 1)


def _camera(rooms: RoomAttributes, side: int) -> tuple[Tensor, Tensor]:
    """Where the camera is (N, 3) and its rays (N, side * side, 3), row by row from the top left."""
    angle = rooms.camera * (math.pi / 180)
    origin = torch.stack(
        [CAMERA_DISTANCE * angle.sin(), rooms.height, -CAMERA_DISTANCE * angle.cos()], dim=1
    )
    ahead = F.normalize(torch.tensor(LOOK_AT) - origin, dim=1)
    up = torch.tensor([0.0, 1.0, 0.0]).expand_as(ahead)
    right = F.normalize(torch.linalg.cross(up, ahead), dim=1)
    above = torch.linalg.cross(ahead, right)
    steps = (torch.arange(side) + 0.5) / side * 2 - 1
    down, across = torch.meshgrid(steps, steps, indexing="ij")
    directions = (
        ahead[:, None]
        + VIEW * across.reshape(1, -1, 1) * right[:, None]
        - VIEW * down.reshape(1, -1, 1) * above[:, None]
    )
    return origin, F.normalize(directions, dim=2)


def _walls(rooms: RoomAttributes, start: Tensor, directions: Tensor) -> tuple[Tensor, ...]:
    """Where rays leave the room: distance (N, R), normal and colour (N, R, 3)."""
    planes = (
        (1, 0.0, -1),  # axis, where, from which side a ray meets it
        (1, CEILING, 1),
        (2, HALF_DEPTH, 1),
        (0, -HALF_WIDTH, -1),
        (0, HALF_WIDTH, 1),
    )
    distances, normals = [], []
    for axis, where, sign in planes:
        speed = directions[..., axis]
        there = (where - start[..., axis]) / speed
        distances.append(torch.where((speed * sign > 0) & (there > 0), there, _FAR))
        normal = [0.0, 0.0, 0.0]
        normal[axis] = -float(sign)
        normals.append(normal)
    distance, which = torch.stack(distances).min(dim=0)
    normal = torch.tensor(normals)[which]
    floor, wall = _hue(rooms.floor), _hue(rooms.wall)
    white = torch.full_like(wall, 0.9)
    colors = torch.stack([floor, white, wall, 0.85 * wall, 0.85 * wall], dim=1)
    color = colors[torch.arange(len(rooms))[:, None], which]
    points = start + distance[..., None] * directions
    dark = ((points[..., 0] * TILES).floor() + (points[..., 2] * TILES).floor()) % 2 == 1
    color = torch.where(((which == 0) & dark)[..., None], 0.8 * color, color)
    return distance, normal, color


def _hue(angle: Tensor) -> Tensor:
    middle = torch.full_like(angle, 0.6)
    return hls_to_rgb(angle / math.tau, middle, middle)


_Solid = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
"""Normals (N, P, 3) and offsets (N, P) in its own frame, foot (N, 3), size (N,), turn (N,), colour
(N, 3)."""


def _object(rooms: RoomAttributes) -> _Solid:
    normals, offsets = _half_spaces()
    foot = torch.stack([rooms.x, torch.zeros_like(rooms.x), rooms.z], dim=1)
    shape = rooms.category
    return normals[shape], offsets[shape], foot, rooms.size, rooms.turn, rooms.color


def _post(rooms: RoomAttributes) -> _Solid:
    normals, offsets = _half_spaces()
    column = OBJECTS.index("column")
    number, zeros = len(rooms), torch.zeros_like(rooms.post)
    tall = offsets[column].clone()
    tall[_TOP] = POST_HEIGHT / POST_RADIUS
    foot = torch.stack([rooms.post, zeros, zeros + POST_Z], dim=1)
    gray = torch.full((number, 3), 0.45)
    return (
        normals[column].expand(number, -1, -1),
        tall.expand(number, -1),
        foot,
        zeros + POST_RADIUS,
        zeros,
        gray,
    )


_TOP = 0


@functools.cache
def _half_spaces() -> tuple[Tensor, Tensor]:
    """Of each class: outward unit normals (C, P, 3) and offsets (C, P), the first the top's.

    In a frame whose origin is the foot's middle and whose unit is half the width; the front faces
    -z. Planes that a class lacks are so far away that they are never met.
    """
    slope = math.hypot(2.2, 1.0)
    sides = [(math.sin(math.tau * k / 6), 0.0, -math.cos(math.tau * k / 6)) for k in range(6)]
    solids: dict[str, list[tuple[tuple[float, float, float], float]]] = {
        "cube": [
            ((0, 1, 0), 2.0),
            *(((x, 0, z), 1.0) for x, z in ((1, 0), (-1, 0), (0, 1), (0, -1))),
        ],
        "pyramid": [
            ((0, 1, 0), 9.0),
            *(
                ((2.2 * x / slope, 1 / slope, 2.2 * z / slope), 2.2 / slope)
                for x, z in ((1, 0), (-1, 0), (0, 1), (0, -1))
            ),
        ],
        "wedge": [
            ((0, 2**-0.5, 2**-0.5), 2**-0.5),
            *(((x, 0, z), 1.0) for x, z in ((1, 0), (-1, 0), (0, -1))),
        ],
        "column": [((0, 1, 0), 2.2), *((side, 0.8) for side in sides)],
    }
    most = 1 + max(len(planes) for planes in solids.values())
    normals, offsets = torch.zeros(len(OBJECTS), most, 3), torch.full((len(OBJECTS), most), 1e3)
    for index, name in enumerate(OBJECTS):
        for place, (normal, offset) in enumerate([*solids[name], ((0, -1, 0), 0.0)]):
            normals[index, place] = torch.tensor(normal)
            offsets[index, place] = offset
    return normals, offsets


def _meet(solid: _Solid, start: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where rays enter a solid: distance (N, R), far where they miss it, normal and colour.

    Args:
        solid: N of them, one for each room.
        start: (N, R, 3).
        directions: (N, R, 3), of unit length.
    """
    normals, offsets, foot, size, turn, color = solid
    cos, sin, zero, one = turn.cos(), turn.sin(), torch.zeros_like(turn), torch.ones_like(turn)
    rotation = torch.stack(  # from its own frame to the room's
        [
            torch.stack([cos, zero, sin], dim=1),
            torch.stack([zero, one, zero], dim=1),
            torch.stack([-sin, zero, cos], dim=1),
        ],
        dim=1,
    )
    turned = normals @ rotation.mT  # (N, P, 3) in the room's frame
    reach = offsets * size[:, None] + (turned * foot[:, None]).sum(dim=2)
    left = reach[:, None] - start @ turned.mT  # (N, R, P): how far inside each plane
    speed = directions @ turned.mT
    crossing = left / torch.where(speed == 0, 1e-12, speed)  # along a plane: never, or always
    enters = speed < 0
    entered, which = crossing.masked_fill(~enters, -_FAR).max(dim=2)
    left_again = crossing.masked_fill(enters, _FAR).min(dim=2).values
    hit = (entered < left_again) & (entered > _NEAR)
    rows = torch.arange(len(turned))[:, None]
    front = normals[rows, which][..., 2] < -0.6
    painted = torch.where(
        front[..., None], (1 - PATCH) * color[:, None] + PATCH, color[:, None].expand_as(directions)
    )
    return torch.where(hit, entered, _FAR), turned[rows, which], painted
