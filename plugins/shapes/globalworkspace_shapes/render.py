"""Draw Simple Shapes pictures from their attributes, thousands a second on one core.

Every shape of the data set is convex, so it is the intersection of half-planes: four for the
diamond, three for the triangle, and for the egg the tangents of its four Bezier curves. The signed
distance to the outline is the largest of the distances to those lines, and a pixel's coverage is
that distance cut to the pixel's width, which is what makes the edge anti-aliased. At the polygons'
corners the coverages by the lines are multiplied instead, because the largest distance would blunt
a sharp tip: it makes the smallest triangles 3.5 % too large. There is no randomness and no state:
equal attributes give equal pictures, byte for byte.

A picture covers the square [0, size] x [0, size] with the origin at its *bottom left*; row 0 is the
top row and pixel (row, column) has its centre at x = column + 1/2, y = size - row - 1/2.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from globalworkspace_shapes.attributes import CLASSES, PICTURE_SIZE, ShapeAttributes

CHUNK = 256
"""Pictures drawn at once: the distance maps of one chunk (1 MB at 32 pixels) stay in the cache."""

DIAMOND = ((0.5, 0.0), (1.0, 0.3), (0.5, 1.0), (0.0, 0.3))
TRIANGLE = ((0.5, 1.0), (0.2, 0.0), (0.8, 0.0))
EGG_CURVES = (
    ((0.5, 0.0), (0.8, 0.0), (0.9, 0.1), (0.9, 0.3)),
    ((0.9, 0.3), (0.9, 0.5), (0.7, 1.0), (0.5, 1.0)),
    ((0.5, 1.0), (0.3, 1.0), (0.1, 0.5), (0.1, 0.3)),
    ((0.1, 0.3), (0.1, 0.1), (0.2, 0.0), (0.5, 0.0)),
)
"""Control points of the egg's cubic Bezier curves in the unit box: broad bottom, narrow top."""

TANGENTS_PER_CURVE = 10
"""Tangent lines per Bezier curve."""


def render(attributes: ShapeAttributes, size: int = PICTURE_SIZE) -> Tensor:
    """Draw one picture per row, the shape in its colour on black.

    Args:
        attributes: N shapes; x, y and size are in pixels of a 32-pixel picture and scaled to
            `size`.
        size: Pixels per side of the pictures.

    Returns:
        (N, 3, size, size) uint8.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> from globalworkspace_shapes.attributes import sample_attributes
        >>> render(sample_attributes(4, generator)).shape
        torch.Size([4, 3, 32, 32])
    """
    pictures = torch.empty(len(attributes), 3, size, size, dtype=torch.uint8)
    color = attributes.color * 255
    for category in range(len(CLASSES)):
        for rows in (attributes.category == category).nonzero()[:, 0].split(CHUNK):
            coverage = _coverage(attributes[rows], category, size)
            bright = color[rows, :, None, None] * coverage[:, None]
            pictures[rows] = bright.add_(0.5).to(torch.uint8)
    return pictures


def render_float(attributes: ShapeAttributes, size: int = PICTURE_SIZE) -> Tensor:
    """The pictures of `render` as (N, 3, size, size) float32 in [0, 1]: what encoders take."""
    return render(attributes, size).float().div_(255)


def outline(category: int, points_per_curve: int = 200) -> Tensor:
    """Corners of a shape in the unit box, counter-clockwise, (P, 2) float64.

    Args:
        category: Class label, index into `CLASSES`.
        points_per_curve: Samples on each of the egg's curves; the polygons have their corners.
    """
    if CLASSES[category] == "diamond":
        return torch.tensor(DIAMOND, dtype=torch.float64)
    if CLASSES[category] == "triangle":
        return torch.tensor(TRIANGLE, dtype=torch.float64)
    t = torch.arange(points_per_curve, dtype=torch.float64) / points_per_curve
    return torch.cat([_bezier(curve, t)[0] for curve in EGG_CURVES])


def _coverage(shapes: ShapeAttributes, category: int, size: int) -> Tensor:
    """Share of each pixel that a shape covers, (n, size, size) in [0, 1]; all of one class."""
    normals, offsets = _half_planes(category)
    scale = size / PICTURE_SIZE
    cos, sin = shapes.rotation.cos()[:, None], shapes.rotation.sin()[:, None]
    normal_x = normals[:, 0] * cos - normals[:, 1] * sin  # (n, lines)
    normal_y = normals[:, 0] * sin + normals[:, 1] * cos
    # Half a pixel of margin turns the distance at a pixel's centre into that pixel's coverage.
    reach = offsets * (shapes.size * scale)[:, None] + 0.5
    centres = torch.arange(size, dtype=torch.float32) + 0.5
    across = centres - (shapes.x * scale)[:, None]  # (n, columns)
    up = (size - centres) - (shapes.y * scale)[:, None]  # (n, rows), top row first
    left = normal_x[:, :, None] * across[:, None]  # (n, lines, columns)
    inside = reach[:, :, None] - normal_y[:, :, None] * up[:, None]  # (n, lines, rows)
    coverage = torch.ones(len(shapes), size, size)
    distance = torch.empty_like(coverage)
    smooth = CLASSES[category] == "egg"
    for line in range(len(normals)):
        torch.sub(inside[:, line, :, None], left[:, line, None, :], out=distance)
        if smooth:
            torch.minimum(coverage, distance, out=coverage)
        else:
            coverage.mul_(distance.clamp_(0, 1))
    return coverage.clamp_(min=0)


@functools.cache
def _half_planes(category: int) -> tuple[Tensor, Tensor]:
    """Lines around a shape: outward unit normals (lines, 2), distances from (.5, .5) (lines,)."""
    if CLASSES[category] == "egg":
        t = (torch.arange(TANGENTS_PER_CURVE, dtype=torch.float64) + 0.5) / TANGENTS_PER_CURVE
        sampled = [_bezier(curve, t) for curve in EGG_CURVES]
        points, directions = (torch.cat(parts) for parts in zip(*sampled, strict=True))
    else:
        points = outline(category)
        directions = points.roll(-1, 0) - points
    directions = directions / directions.norm(dim=1, keepdim=True)
    normals = torch.stack(
        [directions[:, 1], -directions[:, 0]], dim=1
    )  # outward when counter-clockwise
    offsets = ((points - 0.5) * normals).sum(1)
    return normals.float(), offsets.float()


def _bezier(curve: Sequence[tuple[float, float]], t: Tensor) -> tuple[Tensor, Tensor]:
    """Points and derivatives, each (T, 2), of a cubic Bezier curve at t (T,) in [0, 1]."""
    a, b, c, d = torch.tensor(curve, dtype=torch.float64)
    t = t[:, None]
    s = 1 - t
    points = s**3 * a + 3 * s**2 * t * b + 3 * s * t**2 * c + t**3 * d
    slopes = 3 * s**2 * (b - a) + 6 * s * t * (c - b) + 3 * t**2 * (d - c)
    return points, slopes
