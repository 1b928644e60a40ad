"""Demi-cycle: a domain into the workspace and back to itself (arXiv 2306.15711)."""

from __future__ import annotations

from collections.abc import Iterable

from globalworkspace.data.sampler import Segment
from globalworkspace.objectives.base import RowObjective
from globalworkspace.route import Route


class DemiCycle(RowObjective):
    """`{a} -> a` for every domain, on all rows that have it."""

    name = "demi_cycle"
    has_directions = False

    def routes(self, segment: Segment) -> Iterable[Route]:
        """See `Objective.routes`."""
        if not segment.matched and self.allows(segment.group[0], segment.group[0]):
            yield Route(segment.group, segment.group[0])
