"""Fused: the state of several domains, decoded to each of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from globalworkspace.data.sampler import Segment
from globalworkspace.objectives.base import RowObjective, Subsets, checked_subsets
from globalworkspace.objectives.schedules import Weight
from globalworkspace.route import Route


class Fused(RowObjective):
    """`{all domains of a matched row} -> each of them`.

    Args:
        weight: See `Objective`.
        exclude: See `Objective`.
        subsets: `"whole"`: those routes. `"every"`: `{A} -> a` from every set A of two domains or
            more to each a in it. `"sampled"`: one such set drawn anew for each row and target, an
            unbiased estimate of `"every"`.
        budget: See `RowObjective`.
    """

    name = "fused"
    has_directions = False

    def __init__(
        self,
        weight: Weight = 1.0,
        *,
        exclude: Sequence[str] = (),
        subsets: Subsets = "whole",
        budget: int | None = None,
    ) -> None:
        super().__init__(weight, exclude=exclude, budget=budget)
        self.subsets = checked_subsets(self.name, subsets)

    def routes(self, segment: Segment) -> Iterable[Route]:
        """See `Objective.routes`."""
        return self.within_budget([*self._all_routes(segment)])

    def _all_routes(self, segment: Segment) -> Iterable[Route]:
        known = tuple(name for name in segment.group if name not in self.exclude)
        for target in known if len(known) >= 2 else ():
            if self.subsets == "sampled" and len(known) >= 3:
                yield Route(known, target, kept=(target,))
            elif self.subsets == "every":
                for size in range(2, len(known) + 1):
                    for sources in combinations(known, size):
                        if target in sources:
                            yield Route(sources, target)
            else:
                yield Route(known, target)
