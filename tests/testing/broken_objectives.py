"""Objectives that each break one promise; `BROKEN_OBJECTIVES` names the check made for it."""

import torch
from torch import nn

from globalworkspace import Route
from globalworkspace.objectives.base import Objective, RowObjective
from globalworkspace.objectives.info_nce import info_nce
from globalworkspace.route import Walk


class Sound(RowObjective):
    """Every domain of a matched row to every other; it has a parameter of its own."""

    name = "sound"

    def __init__(self, weight=1.0, *, exclude=()):
        super().__init__(weight, exclude=exclude)
        self.softness = nn.Parameter(torch.tensor(0.5))

    def routes(self, segment):
        for source in segment.group:
            for target in segment.group:
                if source != target and self.allows(source, target):
                    yield Route((source,), target)

    def loss(self, walked, context):
        values = super().loss(walked, context)
        return {key: rows + self.softness * rows.square() for key, rows in values.items()}


class Nameless(Sound):
    name = ""


class WalksElsewhere(Sound):
    def routes(self, segment):
        yield from super().routes(segment)
        yield Route(segment.group[:1], "elsewhere")


class BeginsElsewhere(Sound):
    def routes(self, segment):
        yield from super().routes(segment)
        if self.allows("left", "right"):
            yield Route(("left",), "right")


class RoutesByChance(Sound):
    calls = 0

    def routes(self, segment):
        routes = list(super().routes(segment))
        RoutesByChance.calls += 1
        return routes if RoutesByChance.calls % 2 else routes[::-1]


class IgnoresExclusions(Sound):
    def allows(self, *path):
        return not any(f"{a} -> {b}" in self.exclude for a, b in zip(path, path[1:], strict=False))


class IgnoresDirections(Sound):
    def allows(self, *path):
        return not set(path) & set(self.exclude)


class AcceptsEveryExclusion(Sound):
    def check_domains(self, names):
        pass


class NeverThere(Sound):
    def routes(self, segment):
        return []


class AveragesRows(Sound):
    def loss(self, walked, context):
        return {key: rows.mean() for key, rows in super().loss(walked, context).items()}


class DividesByZero(Sound):
    def loss(self, walked, context):
        return {key: rows / 0 for key, rows in super().loss(walked, context).items()}


class LosesByChance(Sound):
    def loss(self, walked, context):
        values = super().loss(walked, context)
        return {key: rows * torch.rand(()).to(rows) for key, rows in values.items()}


class NormalisesInPlace(Sound):
    """Changes the data of the predictions behind autograd's back."""

    def loss(self, walked, context):
        values = super().loss(walked, context)
        for prediction in walked.predictions.values():
            prediction.data.sub_(prediction.data.mean(dim=0))
        return values


class TeachesNothing(Sound):
    def loss(self, walked, context):
        values = RowObjective.loss(self, walked, context)
        return {key: rows.detach() * (1 + self.softness) for key, rows in values.items()}


class KeepsAnIdleParameter(Sound):
    def __init__(self, weight=1.0, *, exclude=()):
        super().__init__(weight, exclude=exclude)
        self.idle = nn.Parameter(torch.zeros(2))


class WeighsItself(Sound):
    def loss(self, walked, context):
        weight = self.weight.at(context.step)
        return {key: weight * rows for key, rows in super().loss(walked, context).items()}


class ContrastsEachSegmentAlone(Objective):
    """Rows are compared with those of their own segment only."""

    name = "alone"

    def routes(self, segment):
        if segment.matched:
            for name in segment.group[:2]:
                if self.allows(*segment.group[:2]):
                    yield Route((name,))

    def loss(self, walked, context):
        found = {}
        for index, segment in enumerate(walked.segments):
            if segment.matched and segment.size > 1 and self.allows(*segment.group[:2]):
                first, second = (
                    walked.states[Walk(Route((name,)), index)].code for name in segment.group[:2]
                )
                key = " <-> ".join(segment.group[:2])
                found.setdefault(key, []).append(info_nce(first, second, torch.tensor(5.0))[None])
        return {key: torch.cat(values) for key, values in found.items()}


class IsZeroWithoutRoutes(Sound):
    def loss(self, walked, context):
        return super().loss(walked, context) or {"nothing": torch.zeros(1)}


class NeedsTwoRows(Sound):
    """Divides by the degrees of freedom, of which a single row has none."""

    def loss(self, walked, context):
        values = super().loss(walked, context)
        return {key: rows / torch.tensor(len(rows) - 1.0) for key, rows in values.items()}


class StaysOnTheCPU(Sound):
    def loss(self, walked, context):
        values = super().loss(walked, context)
        return {key: rows + torch.zeros(len(rows)) for key, rows in values.items()}


BROKEN_OBJECTIVES = {
    Nameless: "it_is_an_objective_with_a_name_and_a_weight",
    WalksElsewhere: "its_routes_lead_between_domains_that_are_there",
    BeginsElsewhere: "its_routes_lead_between_domains_that_are_there",
    RoutesByChance: "its_routes_are_the_same_every_time",
    IgnoresExclusions: "an_excluded_domain_begins_and_ends_no_route",
    IgnoresDirections: "an_excluded_direction_is_not_walked",
    AcceptsEveryExclusion: "an_unknown_exclusion_is_refused",
    NeverThere: "it_has_something_to_do",
    AveragesRows: "its_loss_is_finite_rows_by_key",
    DividesByZero: "its_loss_is_finite_rows_by_key",
    LosesByChance: "its_loss_is_the_same_every_time",
    NormalisesInPlace: "its_loss_leaves_what_was_walked_as_it_was",
    TeachesNothing: "gradients_reach_the_workspace_and_no_domain_module",
    KeepsAnIdleParameter: "its_own_parameters_learn",
    WeighsItself: "its_weight_is_left_to_the_training",
    ContrastsEachSegmentAlone: "rows_of_one_group_count_the_same_in_one_segment_or_two",
    IsZeroWithoutRoutes: "it_is_absent_where_it_has_no_routes",
    NeedsTwoRows: "one_row_of_a_group_is_enough",
    StaysOnTheCPU: "its_loss_follows_the_workspace_to_another_device",
}
