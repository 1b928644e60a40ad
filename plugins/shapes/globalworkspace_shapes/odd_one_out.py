"""Odd-one-out triples: two shapes alike in one respect, and a third that is far from both.

The task tells whether frozen states hold what was in the picture: a classifier sees three states
and names the odd one. One group of attributes (class, place, size, rotation, color) is drawn per
triple; the partner is the nearest item on that group; the odd item is drawn from those farthest
from both on *every* group, so that no other likeness competes. Rotation is compared on the circle,
and every draw comes from the seed.
"""

from __future__ import annotations

import math

import attrs
import torch
from torch import Tensor

from globalworkspace.errors import DataError
from globalworkspace_shapes.attributes import (
    POSITION_RANGE,
    SIZE_RANGE,
    ShapeAttributes,
    angle_between,
)

GROUPS = ("class", "position", "size", "rotation", "color")

CHUNK = 256
"""Triples drawn at once; they share their candidates."""


@attrs.frozen(eq=False, kw_only=True)
class Triples:
    """T triples of rows, in random order."""

    rows: Tensor
    """(T, 3) int64 rows of the attributes."""
    odd: Tensor
    """(T,) int64: position of the odd item, 0, 1 or 2; the label."""
    group: Tensor
    """(T,) int64: the respect in which the other two are alike, index into `GROUPS`."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def group_names(self) -> list[str]:
        """The T names of `group`."""
        return [GROUPS[i] for i in self.group.tolist()]


def odd_one_out(
    attributes: ShapeAttributes,
    num_triples: int,
    seed: int = 0,
    *,
    num_candidates: int = 2048,
    top_share: float = 0.001,
) -> Triples:
    """Draw odd-one-out triples.

    Args:
        attributes: N shapes to choose from.
        num_triples: T.
        seed: Of every draw.
        num_candidates: Partners and odd items are looked for among this many items, drawn anew for
            every `CHUNK`
            triples: time grows with T, not with T * N.
        top_share: The odd item is drawn from this share of the candidates (at least one), ranked by
            their smallest distance, over groups, to the other two.

    Returns:
        The triples. On the triple's group the odd item is strictly farther from both others than
        they are apart.

    Raises:
        DataError: If there are too few or too similar items for a triple.

    Example:
        >>> from globalworkspace_shapes.attributes import sample_attributes
        >>> shapes = sample_attributes(500, torch.Generator().manual_seed(0))
        >>> odd_one_out(shapes, 4, seed=1).rows.shape
        torch.Size([4, 3])
    """
    if len(attributes) < 3:
        raise DataError(
            f"An odd-one-out triple needs 3 different items; {len(attributes)} were given."
        )
    generator = torch.Generator().manual_seed(seed)
    chunks = [
        _draw(attributes, min(CHUNK, num_triples - start), generator, num_candidates, top_share)
        for start in range(0, num_triples, CHUNK)
    ]
    ordered = (
        torch.cat([rows for rows, _ in chunks]) if chunks else torch.zeros(0, 3, dtype=torch.int64)
    )
    group = (
        torch.cat([group for _, group in chunks]) if chunks else torch.zeros(0, dtype=torch.int64)
    )
    places = torch.rand(num_triples, 3, generator=generator).argsort(dim=1)
    return Triples(
        rows=ordered.gather(1, places), odd=(places == 2).long().argmax(dim=1), group=group
    )


def group_distances(first: ShapeAttributes, second: ShapeAttributes) -> Tensor:
    """Distances of all pairs on each group, (N, M, groups) float32; each group's range is 1.

    Class: 0 or 1. Position and color: Euclidean. Rotation: the angle between, over pi.
    """
    span = POSITION_RANGE[1] - POSITION_RANGE[0]
    places = _apart(
        torch.stack([first.x, first.y], dim=1), torch.stack([second.x, second.y], dim=1)
    )
    return torch.stack(
        [
            (first.category[:, None] != second.category).float(),
            places / (span * math.sqrt(2)),
            (first.size[:, None] - second.size).abs() / (SIZE_RANGE[1] - SIZE_RANGE[0]),
            angle_between(first.rotation[:, None], second.rotation) / math.pi,
            _apart(first.color, second.color) / math.sqrt(3),
        ],
        dim=2,
    )


def _apart(first: Tensor, second: Tensor) -> Tensor:
    # The faster way by products of matrices gives equal points a distance other than 0.
    return torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")


def _draw(
    attributes: ShapeAttributes,
    number: int,
    generator: torch.Generator,
    num_candidates: int,
    top_share: float,
) -> tuple[Tensor, Tensor]:
    """(number, 3) rows in the order reference, partner, odd item, and (number,) groups."""
    total = len(attributes)
    references = torch.randint(total, (number,), generator=generator)
    group = torch.randint(len(GROUPS), (number,), generator=generator)
    candidates = _candidates(total, num_candidates, generator)
    pool = attributes[candidates]
    from_reference = group_distances(attributes[references], pool)
    on_group = group[:, None, None].expand(-1, len(candidates), 1)

    gap = from_reference.gather(2, on_group)[:, :, 0]
    gap = gap.masked_fill(candidates == references[:, None], math.inf)
    smallest = gap.min(dim=1, keepdim=True).values
    partner = _random_among(gap <= smallest, generator)
    partner_rows = candidates[partner]
    if bool(smallest.isinf().any()):
        raise DataError(
            f"An item has no partner among {len(candidates)} candidates. Raise num_candidates."
        )

    from_partner = group_distances(attributes[partner_rows], pool)
    nearer = torch.minimum(from_reference, from_partner)
    valid = nearer.gather(2, on_group)[:, :, 0] > smallest
    if not bool(valid.any(dim=1).all()):
        bad = int((~valid.any(dim=1)).nonzero()[0, 0])
        raise DataError(
            f"No item is far enough from rows {int(references[bad])} and {int(partner_rows[bad])} "
            "in "
            f"{GROUPS[int(group[bad])]} to be odd, among {len(candidates)} candidates. Give more "
            "or more varied items."
        )
    score = nearer.min(dim=2).values.masked_fill(~valid, -1.0)
    top = max(1, round(top_share * len(candidates)))
    best = score.topk(top, dim=1)
    odd = best.indices.gather(1, _random_among(best.values >= 0, generator)[:, None])[:, 0]
    return torch.stack([references, partner_rows, candidates[odd]], dim=1), group


def _candidates(total: int, number: int, generator: torch.Generator) -> Tensor:
    """Rows, each once: all of them, or about `number` drawn from a large table."""
    if total <= number:
        return torch.arange(total)
    if total < 8 * number:
        return torch.randperm(total, generator=generator)[:number]
    rows: Tensor = torch.unique(torch.randint(total, (number,), generator=generator))
    return rows


def _random_among(allowed: Tensor, generator: torch.Generator) -> Tensor:
    """One column, drawn uniformly from those allowed, for each row of (N, M) bool, (N,) int64."""
    draw = torch.rand(allowed.shape, generator=generator)
    return draw.masked_fill_(~allowed, -1.0).argmax(dim=1)
