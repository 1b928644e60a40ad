"""From a batch to one number: walk all routes together, reduce, sum weighted families.

A family is the mean over its keys (a route, a pair of domains) of the mean over rows, rows of all
groups that can walk the route pooled; the total is the weighted *sum* of the families. A family
with nothing to do is absent from the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import attrs
import torch
from torch import Tensor, nn

from globalworkspace.augmentation import Augmentation, apply_checked
from globalworkspace.data.sampler import Batch, Segment
from globalworkspace.errors import ConfigError
from globalworkspace.latents import LatentSpec
from globalworkspace.objectives.base import Context, Objective
from globalworkspace.processes import Processes
from globalworkspace.randomness import Chance
from globalworkspace.routes import Networks, RoutePlan, Walked, latents_per_segment
from globalworkspace.workspace import GlobalWorkspace

Views = Mapping[tuple[int, str | None], Mapping[str, Tensor]]
"""(segment, view) -> domain -> the latents (B, A) that the view shows."""


@attrs.frozen(eq=False)
class LossReport:
    """The parts of a step's loss; tensors, so that nothing waits for the device unread."""

    total: Tensor
    """Scalar: sum of weight x family. Gradients flow."""
    families: Mapping[str, Tensor]
    """Family -> scalar, before its weight."""
    terms: Mapping[str, Mapping[str, Tensor]]
    """Family -> key -> scalar mean over rows (detached)."""

    def detached(self) -> LossReport:
        """The same numbers, which keep nothing of the way that led to them."""
        families = {name: value.detach() for name, value in self.families.items()}
        return LossReport(self.total.detach(), families, self.terms)

    def added_up(self, processes: Processes) -> LossReport:
        """The report of the whole batch from the shares of all processes, without gradient."""
        if processes.size == 1:
            return self
        scalars = [self.total, *self.families.values()]
        scalars += [value for values in self.terms.values() for value in values.values()]
        summed = iter(processes.add(torch.stack([s.detach().double() for s in scalars])))
        return LossReport(
            next(summed),
            {name: next(summed) for name in self.families},
            {name: {key: next(summed) for key in values} for name, values in self.terms.items()},
        )


class LossOrchestrator(nn.Module):
    """Computes the loss of a batch from any number of objectives.

    Args:
        workspace: What is trained.
        objectives: The loss families; two of one name are told apart by a number.
        seed: Of the selection's chance in fused routes.
        part_weights: Domain -> part -> weight of each component in row losses.
        augmentations: Name -> augmentation, for objectives that are `seen_through` that name.
        processes: Those that share the rows of each batch; losses are then this one's shares,
            which add up to those of the whole batch.

    Raises:
        ConfigError: If there is no objective, or one names an unknown domain or view.
    """

    def __init__(
        self,
        workspace: GlobalWorkspace,
        objectives: Sequence[Objective],
        *,
        seed: int = 0,
        part_weights: Mapping[str, Mapping[str, float]] | None = None,
        augmentations: Mapping[str, Augmentation] | None = None,
        processes: Processes | None = None,
    ) -> None:
        super().__init__()
        if not objectives:
            raise ConfigError("There is no objective to train with. Give at least one.")
        object.__setattr__(
            self, "workspace", workspace
        )  # not a sub-module: its parameters are saved with the workspace
        self.objectives = nn.ModuleList(objectives)
        self.seed, self.part_weights = seed, dict(part_weights or {})
        self.processes = processes or Processes()
        self._counts: dict[tuple[tuple[Segment, ...], str], list[float]] = {}
        self.augmentations = dict(augmentations or {})
        self.names = _unique_names(objectives)
        for objective in objectives:
            objective.check_domains(tuple(workspace.domains))
            if objective.view is not None and objective.view not in self.augmentations:
                raise ConfigError(
                    f'{objective.name}: the view "{objective.view}" is no augmentation of this '
                    f"training; it has {', '.join(self.augmentations) or 'none'}."
                )
        for name, weights in self.part_weights.items():
            known = workspace.spec(name).slices() if name in workspace.domains else {}
            unknown = [part for part in weights if part not in known]
            if unknown or not known:
                raise ConfigError(
                    f'part_weights names part {unknown[:1]} of domain "{name}"; the workspace has '
                    f"{ {n: list(workspace.spec(n).slices()) for n in workspace.domains} }."
                )
        self._plans: dict[tuple[Segment, ...], RoutePlan] = {}
        self._ends: dict[tuple[tuple[Segment, ...], int, str], tuple[str, ...]] = {}
        self.teacher: Networks | None = None
        """Whose weights make a route's `teacher` translations; the trainer sets it."""

    def forward(self, batch: Batch, step: int = 0, draw: int | None = None) -> LossReport:
        """The loss of one batch.

        Args:
            batch: Standard latents.
            step: For schedules, and for the chance in fused routes.
            draw: For that chance instead of `step`, where a step takes several batches.

        Raises:
            ConfigError: If every family is absent.
        """
        chance = Chance(self.seed, step if draw is None else draw)
        return self.report(batch, step, chance, self.weights(step))

    def weights(self, step: int) -> list[float]:
        """The families' weights at `step`."""
        return [objective.weight.at(step) for objective in cast(list[Objective], self.objectives)]

    def report(
        self, batch: Batch, step: int, chance: Chance, weights: Sequence[float] | Tensor
    ) -> LossReport:
        """`forward`, given where chance comes from and each family's weight."""
        families, terms = self.families(batch, step, chance)
        if not families:
            raise ConfigError(
                "No objective has anything to do in this batch: "
                f"its groups are {sorted({s.group for s in batch.segments})}, the objectives "
                f"{', '.join(self.names)}."
            )
        total: Tensor | None = None
        for name, weight in zip(self.names, weights, strict=True):
            if name in families:
                weighted = families[name] * weight
                total = weighted if total is None else total + weighted
        assert total is not None
        return LossReport(total, families, terms)

    def families(
        self, batch: Batch, step: int, chance: Chance | None = None
    ) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
        """Each family's loss before its weight, and its means per key: see `LossReport`.

        Args:
            batch: Standard latents.
            step: For objectives that depend on it.
            chance: Where chance comes from; None: there is none, every view shows the latents as
                they are.
        """
        plan = self.plan(batch.segments)
        workspace = cast(GlobalWorkspace, self.workspace)
        specs = {name: workspace.spec(name) for name in workspace.domains}
        views = self._views(batch, specs, chance)
        walked = plan.walk(
            workspace,
            batch,
            chance if workspace.training else None,
            views,
            self.processes,
            self.teacher,
        )
        context = Context(
            specs=specs,
            step=step,
            seed=self.seed,
            part_weights=self.part_weights,
            processes=self.processes,
        )
        families, terms = {}, {}
        for name, objective in zip(self.names, self.objectives, strict=True):
            assert isinstance(objective, Objective)
            values = objective.loss(self._seen(walked, objective.view, views), context)
            if not values:
                continue
            means = self._means(name, objective, values, batch.segments)
            families[name] = torch.stack(list(means.values())).mean()
            terms[name] = {key: mean.detach() for key, mean in means.items()}
        return families, terms

    def _means(
        self,
        name: str,
        objective: Objective,
        values: Mapping[str, Tensor],
        segments: tuple[Segment, ...],
    ) -> dict[str, Tensor]:
        """Key -> mean over its rows; with several processes this one's share of it."""
        if self.processes.size == 1:
            return {key: rows.mean() for key, rows in values.items()}
        if objective.over_batch:
            return {key: rows.sum() for key, rows in values.items()}
        if (segments, name) not in self._counts:  # fixed by the layout: asked for once
            mine = torch.tensor([float(len(rows)) for rows in values.values()])
            self._counts[segments, name] = self.processes.add(mine).tolist()
        counts = self._counts[segments, name]
        return {
            key: rows.sum() / count
            for (key, rows), count in zip(values.items(), counts, strict=True)
        }

    def plan(self, segments: tuple[Segment, ...]) -> RoutePlan:
        """The routes of all objectives for a batch layout, merged; made once per layout."""
        if segments not in self._plans:
            routes = [
                [
                    r if o.view is None else attrs.evolve(r, view=o.view)
                    for o in cast(list[Objective], self.objectives)
                    for r in o.routes(segment)
                ]
                for segment in segments
            ]
            self._plans[segments] = RoutePlan(segments, routes)
        return self._plans[segments]

    def _views(self, batch: Batch, specs: Mapping[str, LatentSpec], chance: Chance | None) -> Views:
        """What each view that an objective asks for shows of each segment: of what is walked."""
        wanted = dict.fromkeys(o.view for o in cast(list[Objective], self.objectives) if o.view)
        if not wanted:
            return {}
        inputs = latents_per_segment(batch.segments, batch.latents)
        views: dict[tuple[int, str | None], dict[str, Tensor]] = {}
        for index, segment in enumerate(batch.segments):
            counts, mine = (
                self.processes.counts(segment.whole),
                self.processes.share(segment.whole),
            )
            for view in wanted:
                used = self._used(batch.segments, index, view)
                views[index, view] = {name: inputs[index, name] for name in used}
                if not used or chance is None:
                    continue
                shown = apply_checked(
                    view,
                    self.augmentations[view],
                    {n: self.processes.gather(inputs[index, n], counts) for n in used},
                    specs,
                    chance.generator("view", view, index),
                )
                views[index, view] = {n: x[mine] for n, x in shown.items()}
        return views

    def _used(self, segments: tuple[Segment, ...], index: int, view: str) -> tuple[str, ...]:
        """Domains that routes of a view begin or end in, in the order of the segment."""
        if (segments, index, view) not in self._ends:
            routes = [
                walk.route
                for walk in self.plan(segments).walks
                if walk.segment == index and walk.route.view == view
            ]
            ends = {name for route in routes for name in (*route.sources, route.target)}
            group = segments[index].group
            self._ends[segments, index, view] = tuple(name for name in group if name in ends)
        return self._ends[segments, index, view]

    def _seen(self, walked: Walked, view: str | None, views: Views) -> Walked:
        """The walk as an objective of that view sees it."""
        if not views:
            return walked
        inputs = dict(walked.inputs)
        if view is not None and self.augmentations[view].targets == "view":
            inputs = {
                (i, name): views[i, view].get(name, values) for (i, name), values in inputs.items()
            }
        return walked.through(view, inputs)


def _unique_names(objectives: Sequence[Objective]) -> list[str]:
    names: list[str] = []
    for objective in objectives:
        taken = sum(
            name == objective.name or name.startswith(objective.name + "_#") for name in names
        )
        names.append(f"{objective.name}_#{taken + 1}" if taken else objective.name)
    return names
