"""Translation: from a matched row's other domains to each of them (arXiv 2306.15711)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from globalworkspace.data.sampler import Segment
from globalworkspace.objectives.base import RowObjective, Subsets, checked_subsets
from globalworkspace.objectives.schedules import Weight
from globalworkspace.route import Route


class Translation(RowObjective):
    """`{a} -> b` for every ordered pair of a matched row; with more domains also many to one.

    Args:
        weight: See `Objective`.
        exclude: See `Objective`.
        many_to_one: Also `{all others} -> b`, fused, where a row has more than two domains.
        subsets: `"whole"`: those routes. `"every"`: `{A} -> b` from every non-empty set A of the
            others, 2^(n-1) - 1 routes to each of n domains. `"sampled"`: one such set drawn anew
            for each row, an unbiased estimate of `"every"` at the cost of n routes.
        budget: See `RowObjective`.
    """

    name = "translation"

    def __init__(
        self,
        weight: Weight = 1.0,
        *,
        exclude: Sequence[str] = (),
        many_to_one: bool = True,
        subsets: Subsets = "whole",
        budget: int | None = None,
    ) -> None:
        super().__init__(weight, exclude=exclude, budget=budget)
        self.many_to_one, self.subsets = many_to_one, checked_subsets(self.name, subsets)

    def routes(self, segment: Segment) -> Iterable[Route]:
        """See `Objective.routes`."""
        return self.within_budget([*self._all_routes(segment)])

    def _all_routes(self, segment: Segment) -> Iterable[Route]:
        for target in segment.group:
            others = tuple(
                name for name in segment.group if name != target and self.allows(name, target)
            )
            if self.subsets == "sampled" and len(others) >= 2:
                yield Route(others, target, kept=())
                continue
            for source in others:
                yield Route((source,), target)
            if self.subsets == "every":
                for size in range(2, len(others) + 1):
                    for sources in combinations(others, size):
                        yield Route(sources, target)
            elif self.many_to_one and len(others) >= 2:
                yield Route(others, target)
