"""The contract of an objective: which routes it needs walked, and how their ends are judged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self, get_args

import attrs
from torch import Tensor, nn

from globalworkspace.data.sampler import Segment
from globalworkspace.errors import ConfigError
from globalworkspace.latents import LatentSpec
from globalworkspace.objectives.schedules import Schedule, Weight, schedule_of
from globalworkspace.processes import Processes
from globalworkspace.route import Route, Walk
from globalworkspace.routes import Walked, joined


@attrs.frozen(eq=False, kw_only=True)
class Context:
    """What an objective may know beside the walked routes."""

    specs: Mapping[str, LatentSpec]
    """Domain -> what its standard latents are made of."""
    step: int
    seed: int
    part_weights: Mapping[str, Mapping[str, float]] = attrs.field(factory=dict)
    """Domain -> part -> weight of each component in row losses."""
    processes: Processes = attrs.field(factory=Processes)
    """Those that train together; each walks its share of the batch's rows."""


class Objective(nn.Module, ABC):
    """A loss family with a weight; may own parameters, which join the optimiser.

    Args:
        weight: A number (int or float), or a schedule over steps.
        exclude: What the family leaves out: a domain (`"attributes"`: every route that begins or
            ends there) or a direction (`"attributes -> photo"`: routes that first go from one to
            the other).

    Raises:
        ConfigError: If the weight is negative or no number.
    """

    name: str
    """The family's name in logs; set by each class."""
    view: str | None = None
    """Name of the augmentation through which this family sees its rows; None: as they are."""
    has_directions = True
    """Whether its routes go from one domain to another, so that a direction can be excluded."""
    over_batch = False
    """Whether its values are terms over the batch of all processes. Each process then returns its
    share, and the shares add up; else values belong to rows, and are averaged over those of all."""

    def __init__(self, weight: Weight = 1.0, *, exclude: Sequence[str] = ()) -> None:
        super().__init__()
        self.weight: Schedule = schedule_of(weight)
        if isinstance(exclude, str):
            raise ConfigError(f'exclude="{exclude}" must be a list, as ["{exclude}"].')
        self.exclude = tuple(_normal(text) for text in exclude)

    @abstractmethod
    def routes(self, segment: Segment) -> Iterable[Route]:
        """The routes that the rows of `segment` shall walk for this family."""

    @abstractmethod
    def loss(self, walked: Walked, context: Context) -> dict[str, Tensor]:
        """What is averaged into the family.

        Returns:
            Key (a route, a pair of domains) -> (rows,) values over all rows that count for it, or a
            single value (1,) for a term over the whole batch. The family is the mean over keys of
            the mean over rows. Empty: the family is absent.

        Held-out rows are judged by it too, in eval mode and without gradient: a family that
        remembers rows does so in training mode only.
        """

    def seen_through(self, view: str | None) -> Self:
        """Let this family see its rows through the named augmentation; returns the family."""
        self.view = view
        return self

    def check_domains(self, names: Sequence[str]) -> None:
        """Raise a `ConfigError` if `exclude` names a domain that is not there."""
        for text in self.exclude:
            if "->" in text and not self.has_directions:
                raise ConfigError(
                    f'{self.name}: exclude names the direction "{text}", and this family has none. '
                    "Name a domain."
                )
            for name in text.split(" -> "):
                if name not in names:
                    raise ConfigError(
                        f'{self.name}: exclude names the domain "{name}"; the workspace has '
                        f"{', '.join(names)}."
                    )

    def allows(self, *path: str) -> bool:
        """Whether a route along these domains is not excluded."""
        return not (
            path[0] in self.exclude
            or path[-1] in self.exclude
            or any(f"{a} -> {b}" in self.exclude for a, b in zip(path, path[1:], strict=False))
        )

    def extra_repr(self) -> str:
        """Weight and exclusions, for `print`."""
        return f"weight={self.weight}" + (f", exclude={list(self.exclude)}" if self.exclude else "")


def described(objective: Objective) -> dict[str, Any]:
    """An objective's class and plain settings, JSON-able: what makes it another one."""
    plain = (str, int, float, bool, tuple, type(None), Schedule)
    settings = {name: v for name, v in vars(objective).items() if isinstance(v, plain)}
    return {"class": type(objective).__name__} | {
        name: str(value) if not isinstance(value, Schedule) else attrs.asdict(value)
        for name, value in settings.items()
        if not name.startswith("_")
    }


Subsets = Literal["whole", "every", "sampled"]
"""Which sets of domains a family fuses: all there are, every subset, or one drawn for each row."""


def checked_subsets(name: str, subsets: Subsets) -> Subsets:
    """Raise a `ConfigError` if a family's `subsets` is none of the three."""
    if subsets not in get_args(Subsets):
        raise ConfigError(
            f'{name}: subsets="{subsets}" is unknown; write '
            + ", ".join(f'"{known}"' for known in get_args(Subsets))
            + "."
        )
    return subsets


def checked_budget(name: str, budget: int | None, unit: str) -> int | None:
    """Raise a `ConfigError` if a family's budget is no whole number of at least 1."""
    if budget is not None and (not isinstance(budget, int) or budget < 1):
        raise ConfigError(
            f"{name}: budget={budget!r} must be a whole number of {unit}, at least 1, or None for "
            "all."
        )
    return budget


class RowObjective(Objective):
    """A family that compares the end of each route with what the row really holds, row by row.

    Args:
        weight: See `Objective`.
        exclude: See `Objective`.
        budget: How many of the family's routes a row walks on average, so that the cost of a step
            does not grow with the number of routes: each route is then walked by an equal stretch
            of the rows, which are drawn at random, and the family's expectation stays what it is.
            None: every row walks every route.

    Raises:
        ConfigError: If the budget is no whole number of at least 1.
    """

    def __init__(
        self, weight: Weight = 1.0, *, exclude: Sequence[str] = (), budget: int | None = None
    ) -> None:
        super().__init__(weight, exclude=exclude)
        self.budget = checked_budget(self.name, budget, "routes per row")
        self._known: dict[Segment, dict[Route, str]] = {}

    def check_domains(self, names: Sequence[str]) -> None:
        """See `Objective.check_domains`; also forgets the routes of an earlier training."""
        super().check_domains(names)
        self._known.clear()

    def within_budget(self, routes: Sequence[Route]) -> list[Route]:
        """The routes of one segment, each for as many of its rows as the budget allows."""
        parts = len(routes)
        if self.budget is None or parts <= self.budget:
            return list(routes)
        free = parts - self.budget
        return [
            attrs.evolve(route, stretch=(round(index * free / (parts - 1)), self.budget, parts))
            for index, route in enumerate(routes)
        ]

    def loss(self, walked: Walked, context: Context) -> dict[str, Tensor]:
        """See `Objective.loss`: one key per route, rows of all segments that walked it pooled."""
        pieces: dict[str, list[Tensor]] = {}
        for index, segment in enumerate(walked.segments):
            for route, key in self._keys(segment).items():
                assert route.target is not None
                values = walked.row_losses(
                    route.target, context.specs[route.target], context.part_weights
                )
                pieces.setdefault(key, []).append(values[Walk(route, index)])
        return {key: joined(rows) for key, rows in pieces.items()}

    def _keys(self, segment: Segment) -> dict[Route, str]:
        """Routes of a segment -> the keys of their losses; fixed by the layout: asked for once."""
        if segment not in self._known:
            self._known[segment] = {route: str(route) for route in self.routes(segment)}
        return self._known[segment]


def _normal(text: Any) -> str:
    if not isinstance(text, str):
        raise ConfigError(
            f'exclude holds {text!r}; write a domain, "photo", or a direction, "photo -> name".'
        )
    return " -> ".join(piece.strip() for piece in text.split("->"))
