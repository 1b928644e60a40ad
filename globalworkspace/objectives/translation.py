"""Translation: from a matched row's other domains to each of them (arXiv 2306.15711)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from globalworkspace.data.sampler import Segment
from globalworkspace.objectives.base import RowObjective
from globalworkspace.objectives.schedules import Weight
from globalworkspace.routes import Route


class Translation(RowObjective):
    """`{a} -> b` for every ordered pair of a matched row; with more domains also many to one.

    Args:
        weight: See `Objective`.
        exclude: See `Objective`.
        many_to_one: Also `{all others} -> b`, fused, where a row has more than two domains.
    """

    name = "translation"

    def __init__(
        self, weight: Weight = 1.0, *, exclude: Sequence[str] = (), many_to_one: bool = True
    ) -> None:
        super().__init__(weight, exclude=exclude)
        self.many_to_one = many_to_one

    def routes(self, segment: Segment) -> Iterable[Route]:
        """See `Objective.routes`."""
        for target in segment.group:
            others = tuple(
                name for name in segment.group if name != target and self.allows(name, target)
            )
            for source in others:
                yield Route((source,), target)
            if self.many_to_one and len(others) >= 2:
                yield Route(others, target)
