"""Contrastive: states of one row lie close, those of different rows apart (InfoNCE)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from random import Random
from typing import Literal

import torch
from torch import Tensor, nn

from globalworkspace.data.sampler import Segment
from globalworkspace.errors import ConfigError
from globalworkspace.objectives.base import Context, Objective, checked_budget
from globalworkspace.objectives.info_nce import info_nce
from globalworkspace.objectives.schedules import Weight
from globalworkspace.randomness import derived_seed
from globalworkspace.route import Route, Walk
from globalworkspace.routes import Walked, joined

MAX_SCALE = 100.0


class Contrastive(Objective):
    """InfoNCE for every pair of domains of a matched row, groups of two and more alike.

    Args:
        weight: See `Objective`.
        exclude: See `Objective`.
        scale: The inverse temperature, 1 / 0.07 in the paper.
        learn_scale: Learn its logarithm, from `scale` on, up to 100.
        budget: Pairs that a domain takes part in on average, drawn anew for each step; None: every
            pair of a row's domains.
        on: `"state"`: after the fusion's activation (the paper's code); `"code"`: before it (the
            authors' later code).
    """

    name = "contrastive"
    over_batch = True

    def __init__(
        self,
        weight: Weight = 0.1,
        *,
        exclude: Sequence[str] = (),
        scale: float = 1 / 0.07,
        learn_scale: bool = False,
        on: Literal["state", "code"] = "state",
        budget: int | None = None,
    ) -> None:
        super().__init__(weight, exclude=exclude)
        self.budget = checked_budget(self.name, budget, "pairs per domain")
        if on not in ("state", "code"):
            raise ConfigError(f'contrastive: on="{on}" is unknown; write "state" or "code".')
        if not 0 < scale <= MAX_SCALE:
            raise ConfigError(f"contrastive: scale={scale} must lie in (0, {MAX_SCALE:g}].")
        self.on, self.max_scale = on, scale
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)), requires_grad=learn_scale)

    def routes(self, segment: Segment) -> Iterable[Route]:
        """See `Objective.routes`."""
        for name in dict.fromkeys(name for pair in self._pairs(segment) for name in pair):
            yield Route((name,))

    def loss(self, walked: Walked, context: Context) -> dict[str, Tensor]:
        """See `Objective.loss`: one value per pair of domains, over all rows that have both."""
        scale = self.log_scale.exp().clamp(max=MAX_SCALE)
        bound = MAX_SCALE if self.log_scale.requires_grad else self.max_scale
        processes = context.processes
        held: dict[tuple[str, str], list[int]] = {}
        for index, segment in enumerate(walked.segments):
            for pair in self._pairs(segment):
                held.setdefault(pair, []).append(index)
        alike: dict[tuple[int, ...], list[tuple[str, str]]] = {}
        for pair, segments in self._within_budget(held, context):
            alike.setdefault(tuple(segments), []).append(pair)
        values = {}
        for holding, pairs in alike.items():
            whole = [walked.segments[index].whole for index in holding]
            if sum(whole) < 2:
                continue
            points = {
                name: joined([self._points(walked, name, index) for index in holding])
                for name in dict.fromkeys(name for pair in pairs for name in pair)
            }
            first, second = (torch.stack([points[p[side]] for p in pairs]) for side in (0, 1))
            counts = [sum(rank) for rank in zip(*map(processes.counts, whole), strict=True)]
            losses = info_nce(
                first, second, scale, max_scale=bound, processes=processes, counts=counts
            )
            for pair, loss in zip(pairs, losses.split(1), strict=True):
                values[" <-> ".join(pair)] = loss
        return values

    def _within_budget(
        self, held: Mapping[tuple[str, str], list[int]], context: Context
    ) -> list[tuple[tuple[str, str], list[int]]]:
        """The pairs of this step: all, or as many as the budget allows, drawn at random."""
        pairs = list(held.items())
        names = {name for pair in held for name in pair}
        if self.budget is None or len(pairs) <= (wanted := -(-self.budget * len(names) // 2)):
            return pairs
        chance = Random(derived_seed(context.seed, context.step, "pairs", self.name))
        return [pairs[index] for index in sorted(chance.sample(range(len(pairs)), wanted))]

    def _pairs(self, segment: Segment) -> Iterable[tuple[str, str]]:
        for a, b in combinations(segment.group, 2):
            if self.allows(a, b) and self.allows(b, a):
                yield a, b

    def _points(self, walked: Walked, name: str, index: int) -> Tensor:
        state = walked.states[Walk(Route((name,)), index)]
        return state.code if self.on == "state" else state.before
