"""Checks of an objective's name, routes and exclusions."""

from __future__ import annotations

import copy

from globalworkspace.errors import ConfigError
from globalworkspace.objectives.base import Objective
from globalworkspace.testing.checks import Check, CheckFailed, NotJudged
from globalworkspace.testing.objective_subject import ObjectiveSubject, stray_route


def it_is_an_objective_with_a_name_and_a_weight(subject: ObjectiveSubject) -> None:
    """A subclass of `Objective` that says what its family is called."""
    objective = subject.original
    name = getattr(objective, "name", None)
    if not isinstance(objective, Objective) or not (isinstance(name, str) and name.strip()):
        raise CheckFailed(
            f"{type(objective).__name__} has the name {name!r}.",
            "a subclass of globalworkspace.Objective with a name.",
            'set name = "my_family" on the class.',
        )
    if not hasattr(objective, "weight") or not hasattr(objective, "exclude"):
        raise CheckFailed(
            f"{type(objective).__name__} has no weight or no exclusions.",
            "both, from Objective.__init__.",
            "call super().__init__(weight, exclude=exclude).",
        )


def its_routes_lead_between_domains_that_are_there(subject: ObjectiveSubject) -> None:
    """Routes begin in the row's own domains and end in a domain or in the workspace."""
    objective = subject.objective()
    for segment in subject.segments():
        stray = stray_route(list(objective.routes(segment)), segment, subject.domains)
        if stray is not None:
            raise CheckFailed(
                f"Rows of {', '.join(segment.group)} shall walk {stray}.",
                "globalworkspace.Route objects from domains of the row to known domains.",
                "take sources from segment.group, and other domains from check_domains(names).",
            )


def its_routes_are_the_same_every_time(subject: ObjectiveSubject) -> None:
    """`routes` is a function of the segment: a plan is made once per layout."""
    objective = subject.objective()
    for segment in subject.segments():
        if list(objective.routes(segment)) != list(objective.routes(segment)):
            raise CheckFailed(
                f"Two calls of routes() for {', '.join(segment.group)} differ.",
                "the same routes in the same order.",
                "put chance into loss(), derived from context.seed and context.step.",
            )


def an_excluded_domain_begins_and_ends_no_route(subject: ObjectiveSubject) -> None:
    """`exclude=["photo"]` leaves out what begins or ends there."""
    for name in subject.domains:
        objective = subject.objective([name])
        for segment in subject.segments():
            for route in subject.routes(objective, segment):
                if name in route.sources or name == route.target:
                    raise CheckFailed(
                        f'With exclude=["{name}"] rows walk {route}.',
                        "no route that begins or ends there.",
                        "yield a route only if self.allows(*domains along it).",
                    )


def an_excluded_direction_is_not_walked(subject: ObjectiveSubject) -> None:
    """`exclude=["photo -> caption"]` leaves out what first goes from one to the other."""
    if not subject.original.has_directions:
        raise NotJudged("its routes have no directions")
    for source in subject.domains:
        for target in subject.domains:
            if source == target:
                continue
            objective = subject.objective([f"{source} -> {target}"])
            for segment in subject.segments():
                for route in subject.routes(objective, segment):
                    first = [*route.via, route.target][0]
                    if source in route.sources and first == target:
                        raise CheckFailed(
                            f'With exclude=["{source} -> {target}"] rows walk {route}.',
                            "no route that first goes that way.",
                            "yield a route only if self.allows(*domains along it), or set "
                            "has_directions = False.",
                        )


def an_unknown_exclusion_is_refused(subject: ObjectiveSubject) -> None:
    """A misspelt domain in `exclude` is an error, not a family that goes on."""
    objective = copy.deepcopy(subject.original)
    objective.exclude = ("no-such-domain",)
    try:
        objective.check_domains(subject.domains)
    except ConfigError:
        return
    raise CheckFailed(
        "check_domains() accepted the exclusion of a domain that is not there.",
        "a ConfigError.",
        "call super().check_domains(names) in your own.",
    )


def it_has_something_to_do(subject: ObjectiveSubject) -> None:
    """With rows of every group there is a loss."""
    objective = subject.objective()
    if not any(subject.routes(objective, segment) for segment in subject.segments()):
        raise CheckFailed(
            f"No group of {', '.join(subject.domains)} has a route.",
            "a route for some group.",
            "yield routes from routes(segment); see segment.group and segment.matched.",
        )


ROUTES: tuple[Check, ...] = (
    it_is_an_objective_with_a_name_and_a_weight,
    its_routes_lead_between_domains_that_are_there,
    its_routes_are_the_same_every_time,
    an_excluded_domain_begins_and_ends_no_route,
    an_excluded_direction_is_not_walked,
    an_unknown_exclusion_is_refused,
    it_has_something_to_do,
)
