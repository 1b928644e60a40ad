"""Fused: the state of several domains, decoded to each of them."""

from __future__ import annotations

from collections.abc import Iterable

from globalworkspace.data.sampler import Segment
from globalworkspace.objectives.base import RowObjective
from globalworkspace.routes import Route


class Fused(RowObjective):
    """`{all domains of a matched row} -> each of them`."""

    name = "fused"
    has_directions = False

    def routes(self, segment: Segment) -> Iterable[Route]:
        """See `Objective.routes`."""
        sources = tuple(name for name in segment.group if name not in self.exclude)
        if len(sources) >= 2:
            for target in sources:
                yield Route(sources, target)
