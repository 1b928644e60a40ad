"""The distribution of the attributes, and the colour conversion against the standard library."""

from __future__ import annotations

import colorsys

import pytest
import torch
from globalworkspace_shapes.attributes import (
    CLASSES,
    POSITION_RANGE,
    SIZE_RANGE,
    ShapeAttributes,
    hls_to_rgb,
    sample_attributes,
)


@pytest.fixture(scope="module")
def shapes() -> ShapeAttributes:
    return sample_attributes(20_000, torch.Generator().manual_seed(0))


def test_every_integer_attribute_takes_exactly_the_values_of_its_range(
    shapes: ShapeAttributes,
) -> None:
    for values, (low, high) in (
        (shapes.x, POSITION_RANGE),
        (shapes.y, POSITION_RANGE),
        (shapes.size, SIZE_RANGE),
        (shapes.category, (0, len(CLASSES) - 1)),
    ):
        assert values.unique().tolist() == list(range(low, high + 1))


def test_integer_attributes_are_uniform(shapes: ShapeAttributes) -> None:
    for values in (shapes.x, shapes.y, shapes.size, shapes.category):
        _, counts = values.unique(return_counts=True)
        expected = len(shapes) / len(counts)
        assert (counts - expected).abs().max() < 5 * expected**0.5


def test_rotation_is_uniform_over_the_circle(shapes: ShapeAttributes) -> None:
    assert 0 <= shapes.rotation.min() and shapes.rotation.max() < 2 * torch.pi
    counts = torch.histc(shapes.rotation, bins=16, min=0, max=2 * torch.pi)
    assert (counts - len(shapes) / 16).abs().max() < 5 * (len(shapes) / 16) ** 0.5


def test_colours_stay_in_the_unit_cube_and_are_never_black(shapes: ShapeAttributes) -> None:
    assert shapes.color.shape == (len(shapes), 3)
    assert shapes.color.min() >= 0 and shapes.color.max() <= 1
    lightness = (shapes.color.amax(1) + shapes.color.amin(1)) / 2
    assert lightness.min() >= 46 / 255 - 1e-5 and lightness.max() <= 1 + 1e-5


def test_hls_to_rgb_agrees_with_colorsys_on_a_grid_that_includes_every_boundary() -> None:
    hues = [i / 12 for i in range(13)]
    steps = [0.0, 0.18, 0.5, 0.75, 1.0]
    grid = [(h, lightness, s) for h in hues for lightness in steps for s in steps]
    got = hls_to_rgb(*torch.tensor(grid, dtype=torch.float64).T)
    expected = torch.tensor([colorsys.hls_to_rgb(*row) for row in grid], dtype=torch.float64)
    torch.testing.assert_close(got, expected)


def test_the_draw_is_a_function_of_the_generator_alone() -> None:
    torch.manual_seed(1)
    first = sample_attributes(50, torch.Generator().manual_seed(7)).columns()
    torch.manual_seed(2)
    second = sample_attributes(50, torch.Generator().manual_seed(7)).columns()
    other = sample_attributes(50, torch.Generator().manual_seed(8)).columns()
    assert all(first[name].equal(second[name]) for name in first)
    assert not first["rotation"].equal(other["rotation"])


def test_indexing_takes_the_same_rows_of_every_column(shapes: ShapeAttributes) -> None:
    rows = torch.tensor([3, 1, 4])
    part = shapes[rows]
    assert len(part) == 3
    for name, column in part.columns().items():
        assert column.equal(shapes.columns()[name][rows])
