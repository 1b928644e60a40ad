"""Odd-one-out triples: the odd item is the far one, the others are alike, all of it from the
seed."""

from __future__ import annotations

import math
import time

import attrs
import pytest
import torch
from globalworkspace_shapes import odd_one_out as module
from globalworkspace_shapes.attributes import ShapeAttributes, sample_attributes
from globalworkspace_shapes.odd_one_out import GROUPS, group_distances, odd_one_out

from globalworkspace.errors import DataError


def shapes(number: int = 3000, seed: int = 0) -> ShapeAttributes:
    return sample_attributes(number, torch.Generator().manual_seed(seed))


def pairwise(
    attributes: ShapeAttributes, first: torch.Tensor, second: torch.Tensor
) -> torch.Tensor:
    """Distances of rows first[i] and second[i] on each group, written out anew, (T, groups)."""
    a, b = attributes[first], attributes[second]
    turn = (a.rotation - b.rotation).abs()
    return torch.stack(
        [
            (a.category != b.category).float(),
            ((a.x - b.x) ** 2 + (a.y - b.y) ** 2).sqrt() / (17 * math.sqrt(2)),
            (a.size - b.size).abs() / 7,
            torch.where(turn > math.pi, math.tau - turn, turn) / math.pi,
            (a.color - b.color).norm(dim=1) / math.sqrt(3),
        ],
        dim=1,
    )


def sides(attributes: ShapeAttributes, triples: module.Triples) -> tuple[torch.Tensor, ...]:
    """Distances of the alike pair, and of the odd item to each of the pair."""
    others = torch.stack([(triples.odd + 1) % 3, (triples.odd + 2) % 3], dim=1)
    pair = triples.rows.gather(1, others)
    odd = triples.rows.gather(1, triples.odd[:, None])[:, 0]
    return (
        pairwise(attributes, pair[:, 0], pair[:, 1]),
        pairwise(attributes, odd, pair[:, 0]),
        pairwise(attributes, odd, pair[:, 1]),
    )


def test_on_its_group_the_odd_item_is_the_far_one_in_every_triple() -> None:
    attributes = shapes()
    triples = odd_one_out(attributes, 2000, seed=1)
    near, far_1, far_2 = (
        d.gather(1, triples.group[:, None])[:, 0] for d in sides(attributes, triples)
    )
    assert (near < far_1).all() and (near < far_2).all()
    assert near.mean() < 0.05
    assert torch.minimum(far_1, far_2).mean() > 0.3


def test_the_odd_item_is_far_on_every_group_so_that_no_other_likeness_competes() -> None:
    attributes = shapes()
    _, far_1, far_2 = sides(attributes, odd_one_out(attributes, 2000, seed=1))
    smallest = torch.minimum(far_1, far_2).min(dim=1).values
    assert smallest.min() > 0 and smallest.mean() > 0.25


def test_rows_of_a_triple_differ_and_labels_and_groups_are_uniform() -> None:
    triples = odd_one_out(shapes(), 3000, seed=2)
    assert triples.rows.shape == (3000, 3) and triples.rows.dtype == torch.int64
    a, b, c = triples.rows.unbind(1)
    assert not ((a == b) | (b == c) | (a == c)).any()
    assert (torch.bincount(triples.odd, minlength=3) / 3000 - 1 / 3).abs().max() < 0.04
    assert (torch.bincount(triples.group, minlength=5) / 3000 - 1 / 5).abs().max() < 0.04
    assert triples.group_names[:3] == [GROUPS[i] for i in triples.group[:3].tolist()]
    assert len(triples) == 3000


def test_the_partner_is_the_nearest_item_of_a_small_table() -> None:
    attributes = shapes(400)
    triples = odd_one_out(attributes, 200, seed=3)
    distances = group_distances(attributes, attributes)
    distances.diagonal(dim1=0, dim2=1).fill_(math.inf)
    nearest = distances.min(dim=1).values  # (N, groups)
    near, _, _ = sides(attributes, triples)
    others = torch.stack([(triples.odd + 1) % 3, (triples.odd + 2) % 3], dim=1)
    pair = triples.rows.gather(1, others)
    group = triples.group[:, None]
    best = torch.minimum(nearest[pair[:, 0]].gather(1, group), nearest[pair[:, 1]].gather(1, group))
    reference_best = torch.maximum(
        nearest[pair[:, 0]].gather(1, group), nearest[pair[:, 1]].gather(1, group)
    )
    found = near.gather(1, group)
    assert ((found - best).abs().lt(1e-5) | (found - reference_best).abs().lt(1e-5)).all()


def test_distances_are_what_the_definition_says_and_rotation_is_circular() -> None:
    attributes = shapes(40)
    rows = torch.arange(40)
    expected = torch.stack(
        [pairwise(attributes, rows, torch.full((40,), j)) for j in range(40)], dim=1
    )
    torch.testing.assert_close(
        group_distances(attributes, attributes), expected, atol=1e-5, rtol=1e-5
    )
    two = attrs.evolve(attributes[:2], rotation=torch.tensor([0.01, math.tau - 0.01]))
    assert group_distances(two, two)[0, 1, 3] == pytest.approx(0.02 / math.pi, abs=1e-5)


def test_the_seed_decides_everything_and_global_random_state_is_left_alone() -> None:
    attributes = shapes(500)
    before = torch.get_rng_state()
    first, second, other = (odd_one_out(attributes, 300, seed=s) for s in (7, 7, 8))
    assert torch.equal(first.rows, second.rows) and torch.equal(first.odd, second.odd)
    assert not torch.equal(first.rows, other.rows)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("number", [2100, 20_000])
def test_large_tables_are_searched_by_candidates(number: int) -> None:
    triples = odd_one_out(shapes(number), 300, seed=0, num_candidates=512)
    assert triples.rows.max() > number / 2


def test_tables_too_small_or_too_alike_are_errors() -> None:
    with pytest.raises(DataError, match="3 different items; 2 were given"):
        odd_one_out(shapes(2), 1)
    alike = shapes(5)[torch.zeros(5, dtype=torch.int64)]
    with pytest.raises(DataError, match="No item is far enough"):
        odd_one_out(alike, 1)


def test_no_triples_can_be_asked_for() -> None:
    assert odd_one_out(shapes(10), 0).rows.shape == (0, 3)


def test_drawing_prints_its_speed() -> None:
    attributes = shapes(20_000)
    started = time.perf_counter()
    odd_one_out(attributes, 2000)
    print(f"{2000 / (time.perf_counter() - started):,.0f} triples/s")
