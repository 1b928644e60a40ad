"""Out-of-distribution splits: seeded, complete, with the ends of every range inside a bin."""

from __future__ import annotations

import colorsys

import attrs
import pytest
import torch
from globalworkspace_shapes import splits
from globalworkspace_shapes.attributes import ShapeAttributes, hls_to_rgb, sample_attributes
from globalworkspace_shapes.splits import attribute_bins, draw_held_out, ood_split, rgb_to_hue


def shapes(number: int = 4000, seed: int = 0) -> ShapeAttributes:
    return sample_attributes(number, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(12))
def test_rows_are_split_without_rest_by_either_held_out_value(seed: int) -> None:
    attributes = shapes()
    split = ood_split(attributes, seed)
    both = torch.cat([split.in_distribution, split.out_of_distribution])
    assert torch.equal(both.sort().values, torch.arange(len(attributes)))
    assert len(split.held_out) == 2
    first, second = (attribute_bins(attributes, n) == v for n, v in split.held_out.items())
    outside = set(split.out_of_distribution.tolist())
    assert outside == {i for i in range(len(attributes)) if first[i] or second[i]}
    assert 0.05 < len(outside) / len(attributes) < 0.65
    for name in split.held_out:
        assert name in split.description


def test_boundaries_come_from_the_seed_and_not_from_the_data() -> None:
    assert ood_split(shapes(10, 1), 5).held_out == ood_split(shapes(500, 2), 5).held_out
    drawn = [draw_held_out(seed) for seed in range(300)]
    assert drawn == [draw_held_out(seed) for seed in range(300)]
    counts = {name: sum(name in held for held in drawn) for name in splits.ATTRIBUTES}
    assert min(counts.values()) > 80
    assert {held["position"] for held in drawn if "position" in held} == set(range(9))
    assert {held["size"] for held in drawn if "size" in held} == {0, 1, 2}


def test_a_split_leaves_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    ood_split(shapes(10), 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_thirds_hold_the_ends_of_the_range_so_size_14_can_be_out_of_distribution() -> None:
    attributes = shapes()
    sizes = attribute_bins(attributes, "size")
    found = {int(s): set(sizes[attributes.size == s].tolist()) for s in range(7, 15)}
    assert [found[s] for s in range(7, 15)] == [{0}, {0}, {0}, {1}, {1}, {2}, {2}, {2}]
    position = attribute_bins(attributes, "position")
    shares = torch.bincount(position, minlength=9) / len(position)
    assert (shares - 1 / 9).abs().max() < 0.025
    corner = position[(attributes.x == 24) & (attributes.y == 24)]
    assert set(corner.tolist()) == {8}


def test_hue_bins_are_equally_full_and_grays_belong_to_none() -> None:
    attributes = shapes(20_000)
    bins = attribute_bins(attributes, "hue")
    hued = bins[bins >= 0]
    shares = torch.bincount(hued, minlength=3) / len(hued)
    assert (shares - 1 / 3).abs().max() < 0.02
    gray = attrs.evolve(
        attributes[:3], color=torch.tensor([[0.5] * 3, [1.0] * 3, [0.2, 0.21, 0.21]])
    )
    assert attribute_bins(gray, "hue").tolist() == [-1, -1, 1]


def test_every_hue_of_the_data_set_falls_in_one_bin_whatever_its_lightness() -> None:
    hue = torch.arange(181) / 180.0
    for lightness, saturation in [(0.2, 0.3), (0.5, 1.0), (0.9, 0.7)]:
        color = hls_to_rgb(hue, torch.full((181,), lightness), torch.full((181,), saturation))
        bins = attribute_bins(attrs.evolve(shapes(181), color=color), "hue")
        assert bins.tolist() == [0] * 60 + [1] * 60 + [2] * 60 + [0]


def test_hue_is_the_standard_library_s() -> None:
    color = torch.rand(500, 3, generator=torch.Generator().manual_seed(0))
    expected = [colorsys.rgb_to_hls(*c)[0] for c in color.tolist()]
    torch.testing.assert_close(rgb_to_hue(color), torch.tensor(expected, dtype=torch.float64))
    primaries = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1e-9]])
    hues = rgb_to_hue(primaries)
    assert hues.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 0], abs=1e-6) or hues[3] > 0.999


def test_descriptions_say_what_is_held_out() -> None:
    assert splits._words("shape", 1) == "shape: egg"
    assert splits._words("size", 2) == "size: 11.83 <= size < 14.5"
    assert splits._words("hue", 0) == "hue: -1 <= hue < 119 degrees"
    assert splits._words("position", 5) == "position: 18.5 <= x < 24.5 and 12.5 <= y < 18.5"
