"""Weights that change over training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs

from globalworkspace.errors import ConfigError


@attrs.frozen
class Schedule:
    """From `start` to `end`, linearly between the steps `begin` and `begin + steps`.

    Args:
        start: Value up to step `begin`.
        end: Value afterwards.
        steps: Length of the change; 0: `end` from `begin` on.
        begin: Step at which the change begins.
    """

    start: float
    end: float
    steps: int = 0
    begin: int = 0

    def __attrs_post_init__(self) -> None:
        for name in ("start", "end"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                raise ConfigError(
                    f"A weight must be a finite number of at least 0; {name} is {value}."
                )
        if self.steps < 0 or self.begin < 0:
            raise ConfigError("A schedule's steps and begin must be at least 0.")

    def at(self, step: int) -> float:
        """The value at `step`."""
        if step < self.begin:
            return self.start
        if step >= self.begin + self.steps:
            return self.end
        return self.start + (self.end - self.start) * (step - self.begin) / self.steps

    def __str__(self) -> str:
        return (
            f"{self.end:g}"
            if self.start == self.end
            else f"{self.start:g}..{self.end:g} over {self.steps}"
        )


Weight = int | float | Schedule | Mapping[str, Any]


def schedule_of(weight: Weight) -> Schedule:
    """A number, a schedule, or its settings from a config file, as a schedule.

    Raises:
        ConfigError: If it is none of these.
    """
    if isinstance(weight, Schedule):
        return weight
    if isinstance(weight, bool) or not isinstance(weight, (int, float, Mapping)):
        raise ConfigError(f"A weight is a number or a schedule; got {weight!r}.")
    if isinstance(weight, Mapping):
        unknown = set(weight) - {"start", "end", "steps", "begin"}
        if unknown or not {"start", "end"} <= set(weight):
            raise ConfigError(
                f"A weight schedule has start, end, steps and begin; got {dict(weight)}."
            )
        return Schedule(**weight)
    return Schedule(float(weight), float(weight))
