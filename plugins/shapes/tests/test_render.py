"""Pictures against the geometry they are drawn from: area, place, direction, colour and edge."""

from __future__ import annotations

import math

import pytest
import torch
from globalworkspace_shapes import render as render_module
from globalworkspace_shapes.attributes import CLASSES, ShapeAttributes, sample_attributes
from globalworkspace_shapes.render import outline, render, render_float
from torch import Tensor

CATEGORIES = range(len(CLASSES))


def shape(
    category: int,
    *,
    x: float = 16.0,
    y: float = 16.0,
    size: float = 14.0,
    rotation: float | Tensor = 0.0,
    color: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> ShapeAttributes:
    """Shapes that differ in rotation only (one, when `rotation` is a number)."""
    angles = torch.as_tensor(rotation, dtype=torch.float32).reshape(-1)
    ones = torch.ones(len(angles))
    return ShapeAttributes(
        category=torch.full((len(angles),), category),
        x=ones * x,
        y=ones * y,
        size=ones * size,
        rotation=angles,
        color=torch.tensor([color]).repeat(len(angles), 1),
    )


def area_and_centroid(corners: Tensor) -> tuple[float, Tensor]:
    """Exact area and centroid (2,) of a polygon with corners (P, 2), by the shoelace formula."""
    following = corners.roll(-1, 0)
    cross = corners[:, 0] * following[:, 1] - corners[:, 1] * following[:, 0]
    area = cross.sum() / 2
    return float(area), ((corners + following) * cross[:, None]).sum(0) / (6 * area)


def centroids(pictures: Tensor) -> Tensor:
    """Centre of brightness (N, 2) as x from the left and y from the bottom, in pixels."""
    mass = pictures.float().sum(1)
    size = mass.shape[-1]
    centres = torch.arange(size) + 0.5
    x = (mass.sum(1) * centres).sum(1) / mass.sum((1, 2))
    y = (mass.sum(2) * (size - centres)).sum(1) / mass.sum((1, 2))
    return torch.stack([x, y], dim=1)


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("size", [7.0, 10.0, 14.0])
def test_the_drawn_area_is_that_of_the_polygon(category: int, size: float) -> None:
    pictures = render_float(shape(category, size=size, rotation=torch.linspace(0, 6.2, 64)))
    expected = area_and_centroid(outline(category))[0] * size**2
    areas = pictures[:, 0].sum((1, 2)) / expected
    assert areas.mean().item() == pytest.approx(1, abs=0.02)
    assert areas.min() > 0.96 and areas.max() < 1.05


def test_areas_of_diamond_and_triangle_in_the_unit_box_are_those_worked_out_by_hand() -> None:
    assert area_and_centroid(outline(CLASSES.index("diamond")))[0] == pytest.approx(0.5)
    assert area_and_centroid(outline(CLASSES.index("triangle")))[0] == pytest.approx(0.3)


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("rotation", [0.0, 0.7, math.pi / 2, 2.5, 4.0])
def test_the_centroid_is_the_polygons_turned_counter_clockwise_about_x_and_y(
    category: int, rotation: float
) -> None:
    picture = render(shape(category, x=12.0, y=19.0, rotation=rotation))
    offset_x, offset_y = ((area_and_centroid(outline(category))[1] - 0.5) * 14).tolist()
    expected = torch.tensor(
        [
            12.0 + offset_x * math.cos(rotation) - offset_y * math.sin(rotation),
            19.0 + offset_x * math.sin(rotation) + offset_y * math.cos(rotation),
        ]
    )
    torch.testing.assert_close(centroids(picture)[0], expected, atol=0.1, rtol=0)


def test_y_is_measured_from_the_bottom() -> None:
    picture = render(shape(0, x=8.0, y=24.0))[0, 0]
    assert picture[:16, :16].any()
    assert not picture[20:].any() and not picture[:, 20:].any()


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_turn_by_pi_flips_the_picture_both_ways(category: int) -> None:
    upright, turned = render(shape(category, rotation=torch.tensor([0.4, 0.4 + math.pi])))
    difference = upright.flip(1, 2).int() - turned.int()
    assert difference.abs().max() <= 1
    assert not upright.equal(turned)


def test_the_triangle_points_up_and_a_quarter_turn_points_it_left() -> None:
    upright, quarter = render_float(
        shape(CLASSES.index("triangle"), rotation=torch.tensor([0, math.pi / 2]))
    )
    rows, columns = upright[0].sum(1), quarter[0].sum(0)
    assert rows[9:13].sum() < 0.5 * rows[19:23].sum()
    assert columns[9:13].sum() < 0.5 * columns[19:23].sum()


@pytest.mark.parametrize("category", CATEGORIES)
def test_inside_the_colour_is_exact_and_far_away_it_is_black(category: int) -> None:
    picture = render(shape(category, rotation=0.3, color=(51 / 255, 204 / 255, 1.0)))[0]
    assert picture[:, 16, 16].tolist() == [51, 204, 255]
    assert not picture[:, :5].any() and not picture[:, :, :5].any()


def test_a_straight_edge_through_a_pixel_gives_the_covered_share() -> None:
    # At rotation 0 the triangle's base lies at y = 16.25 - 14 / 2 = 9.25: the row from 9 to 10 is
    # three quarters in.
    picture = render_float(shape(CLASSES.index("triangle"), y=16.25))[0, 0]
    assert picture[32 - 9 - 1, 16].item() == pytest.approx(0.75, abs=0.5 / 255)
    assert picture[32 - 8 - 1, 16].item() == 0
    assert picture[32 - 10 - 1, 16].item() == 1


def test_edges_are_anti_aliased_and_interiors_are_not() -> None:
    values = render(shape(CLASSES.index("egg"), rotation=0.3))[0, 0]
    partial = ((values > 0) & (values < 255)).sum()
    assert 20 < partial < 80  # the outline is about 38 pixels long
    assert (values == 255).sum() > 80


def test_doubling_the_picture_size_doubles_the_shape() -> None:
    shapes = sample_attributes(30, torch.Generator().manual_seed(0))
    small, large = render(shapes), render(shapes, size=64)
    assert large.shape == (30, 3, 64, 64)
    torch.testing.assert_close(centroids(large) / 2, centroids(small), atol=0.1, rtol=0)
    pooled = torch.nn.functional.avg_pool2d(large.float(), 2)
    assert (pooled - small.float()).abs().mean() < 1


def test_pictures_are_a_pure_function_of_the_attributes() -> None:
    shapes = sample_attributes(100, torch.Generator().manual_seed(3))
    first = render(shapes)
    torch.manual_seed(5)
    assert render(shapes).equal(first)
    assert first.dtype == torch.uint8
    assert render_float(shapes).equal(first.float() / 255)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_drawing_in_chunks_does_not_change_a_single_byte(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = sample_attributes(120, torch.Generator().manual_seed(4))
    whole = render(shapes)
    monkeypatch.setattr(render_module, "CHUNK", chunk)
    assert render(shapes).equal(whole)


def test_a_batch_is_drawn_like_its_rows_one_by_one() -> None:
    shapes = sample_attributes(12, torch.Generator().manual_seed(5))
    assert render(shapes).equal(torch.cat([render(shapes[[row]]) for row in range(12)]))


def test_no_shapes_give_no_pictures() -> None:
    assert render(sample_attributes(0, torch.Generator())).shape == (0, 3, 32, 32)


def test_the_egg_is_convex_so_that_half_planes_can_describe_it() -> None:
    edges = outline(CLASSES.index("egg")).roll(-1, 0) - outline(CLASSES.index("egg"))
    following = edges.roll(-1, 0)
    assert (edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0] > 0).all()
