"""The objective under test, and its routes walked in a small workspace."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import combinations

import attrs
from torch import Tensor

from globalworkspace.data.sampler import Segment
from globalworkspace.objectives.base import Context, Objective
from globalworkspace.randomness import Chance
from globalworkspace.route import Route
from globalworkspace.routes import RoutePlan, Walked
from globalworkspace.testing.checks import NotJudged, global_seed
from globalworkspace.testing.toys import TOY_DOMAINS, toy_batch, toy_rows, toy_workspace
from globalworkspace.training.teacher import Teacher
from globalworkspace.workspace import GlobalWorkspace

_ROWS = 6


@attrs.frozen(eq=False)
class ObjectiveSubject:
    """What the checks of an objective get."""

    original: Objective
    domains: tuple[str, ...] = TOY_DOMAINS
    plugin: str | None = None
    given: GlobalWorkspace | None = None
    """A workspace to walk in instead of one of toys."""

    def workspace(self) -> GlobalWorkspace:
        """A new one, always the same."""
        return toy_workspace(self.domains) if self.given is None else copy.deepcopy(self.given)

    def objective(self, exclude: Sequence[str] = ()) -> Objective:
        """A copy that knows the domains and leaves `exclude` out."""
        found = copy.deepcopy(self.original).seen_through(None)
        found.exclude = tuple(exclude) or found.exclude
        found.check_domains(self.domains)
        return found

    def segments(self, size: int = _ROWS) -> list[Segment]:
        """One of each group that there can be."""
        return [
            Segment(group, size)
            for length in range(1, len(self.domains) + 1)
            for group in combinations(self.domains, length)
        ]

    def routes(self, objective: Objective, segment: Segment) -> list[Route]:
        """Its routes, where they are as they should be."""
        try:
            found, again = list(objective.routes(segment)), list(objective.routes(segment))
        except Exception as error:
            raise NotJudged(f"routes() raises {type(error).__name__}: {error}") from error
        if found != again or stray_route(found, segment, self.domains):
            raise NotJudged("its routes are not as they should be")
        return found

    def walk(
        self,
        objective: Objective,
        workspace: GlobalWorkspace,
        segments: Sequence[Segment],
        *,
        chance: bool = True,
    ) -> tuple[Walked, Context]:
        """The objective's routes walked by a batch of that layout; always the same rows."""
        plan = RoutePlan(segments, [self.routes(objective, segment) for segment in segments])
        rows = toy_rows(workspace, sum(segment.size for segment in segments))
        walked = plan.walk(
            workspace,
            toy_batch(workspace, segments, rows),
            Chance(0, 0) if chance else None,
            teacher=Teacher(workspace) if plan.taught else None,
        )
        specs = {name: workspace.spec(name) for name in workspace.domains}
        return walked, Context(specs=specs, step=3, seed=0)

    def values(
        self,
        objective: Objective,
        segments: Sequence[Segment],
        *,
        chance: bool = True,
        seed: int = 1,
    ) -> dict[str, Tensor]:
        """Its loss on such a batch, where that is made of finite rows."""
        walked, context = self.walk(objective, self.workspace(), segments, chance=chance)
        try:
            with global_seed(seed):
                found = objective.loss(walked, context)
        except Exception as error:
            raise NotJudged(f"loss() raises {type(error).__name__}: {error}") from error
        if not isinstance(found, dict) or any(map(fault_of, found.values())):
            raise NotJudged("loss() does not return finite rows")
        if not found:
            raise NotJudged("it has nothing to do")
        return found


def stray_route(
    routes: Sequence[object], segment: Segment, domains: Sequence[str]
) -> object | None:
    """The first route that leads where rows of that segment cannot go."""
    for route in routes:
        if not isinstance(route, Route):
            return route
        steps = [*route.via, *([] if route.target is None else [route.target])]
        if not set(route.sources) <= set(segment.group) or not set(steps) <= set(domains):
            return route
    return None


def fault_of(values: object) -> str | None:
    """What is wrong with the values of a key, in words."""
    if not isinstance(values, Tensor):
        return f"is a {type(values).__name__}"
    if values.ndim != 1 or not len(values) or not values.is_floating_point():
        return f"has shape {tuple(values.shape)} and dtype {values.dtype}"
    return None if values.isfinite().all() else "is not finite"
