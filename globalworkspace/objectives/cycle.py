"""Cycle: a domain to another one and back; needs no matched rows (arXiv 2306.15711).

With `detach` the intermediate translation is taken as given: the way back then learns from
synthetic pairs (back-translation), and the way there is not pushed to hide private information in
it. With a `teacher` the averaged weights walk one of the two ways, and learn nothing by it: they
make the synthetic pairs, or judge a translation by what it leads back to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from globalworkspace.data.sampler import Segment
from globalworkspace.errors import ConfigError
from globalworkspace.objectives.base import RowObjective
from globalworkspace.objectives.schedules import Weight
from globalworkspace.route import Route


class Cycle(RowObjective):
    """`{a} -> b -> a` for all rows of every domain a, through every other domain b.

    Args:
        weight: See `Objective`.
        exclude: See `Objective`; `"a"` leaves out the cycles that begin in a, `"a -> b"` those that
            go from a through b.
        detach: Stop gradients at the intermediate translation.
        teacher: The way that the averaged weights walk: `"there"`, `"back"` or None.
        budget: Partners that a row cycles through on average; see `RowObjective`.
    """

    name = "cycle"

    def __init__(
        self,
        weight: Weight = 1.0,
        *,
        exclude: Sequence[str] = (),
        detach: bool = False,
        teacher: Literal["there", "back"] | None = None,
        budget: int | None = None,
    ) -> None:
        super().__init__(weight, exclude=exclude, budget=budget)
        if teacher not in (None, "there", "back"):
            raise ConfigError(f'cycle: teacher="{teacher}" is unknown; write "there" or "back".')
        if detach and teacher == "back":
            raise ConfigError(
                "cycle: with detach the way back is what learns, so that no teacher can walk it. "
                'Write teacher="there", or leave one of the two out.'
            )
        self.detach, self.teacher = detach, teacher
        self.name = "back_translation" if detach else "cycle"
        self.domains: tuple[str, ...] = ()

    def check_domains(self, names: Sequence[str]) -> None:
        """See `Objective.check_domains`; also learns which domains there are to cycle through."""
        super().check_domains(names)
        self.domains = tuple(names)

    def routes(self, segment: Segment) -> Iterable[Route]:
        """See `Objective.routes`."""
        if segment.matched:
            return []
        if not self.domains:
            raise ConfigError(
                "A Cycle must know the workspace's domains: call check_domains(names) first."
            )
        (start,) = segment.group
        stop = 1 if self.detach else None
        taught = {None: (), "there": (1,), "back": (2,)}[self.teacher]
        return self.within_budget(
            [
                Route((start,), start, via=(other,), detach_after=stop, teacher=taught)
                for other in self.domains
                if other != start
                and start not in self.exclude
                and f"{start} -> {other}" not in self.exclude
            ]
        )
