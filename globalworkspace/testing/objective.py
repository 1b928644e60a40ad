"""The checks of an objective's loss, and the function that runs all its checks without pytest."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import torch
from torch import Tensor

from globalworkspace.data.sampler import Segment
from globalworkspace.fusion import State
from globalworkspace.objectives.base import Objective
from globalworkspace.objectives.schedules import schedule_of
from globalworkspace.routes import Walked
from globalworkspace.testing.checks import (
    Check,
    CheckFailed,
    NotJudged,
    apart,
    check_light,
    run_checks,
)
from globalworkspace.testing.module_checks import check_follows
from globalworkspace.testing.objective_routes import ROUTES
from globalworkspace.testing.objective_subject import ObjectiveSubject, fault_of
from globalworkspace.testing.pretend_device import PretendDevice
from globalworkspace.testing.toys import TOY_DOMAINS
from globalworkspace.workspace import GlobalWorkspace


def its_loss_is_finite_rows_by_key(subject: ObjectiveSubject) -> None:
    """`loss` gives name -> (rows,) or (1,), floating-point and finite."""
    objective = subject.objective()
    walked, context = subject.walk(objective, subject.workspace(), subject.segments())
    if not walked.walks:
        raise NotJudged("it has no routes")
    found = objective.loss(walked, context)
    if not isinstance(found, dict) or not found:
        raise CheckFailed(
            f"loss() returned {found!r} for rows that have routes.",
            "a dict of key -> (rows,) values.",
            "return one entry per route, or one (1,) value for a term over the batch.",
        )
    for key, values in found.items():
        fault = fault_of(values)
        if fault:
            raise CheckFailed(
                f'loss()["{key}"] {fault}.',
                "a tensor (rows,), or (1,) for a term over the batch, of finite numbers.",
                "do not average over rows; give a scalar another dimension by value[None].",
            )


def its_loss_is_the_same_every_time(subject: ObjectiveSubject) -> None:
    """Chance comes from `context.seed` and `context.step`, so that a run can be resumed."""
    found = []
    for seed in (1, 2):
        found.append(subject.values(subject.objective(), subject.segments(), seed=seed))
    for key, values in found[0].items():
        if key not in found[1] or not torch.equal(values, found[1][key]):
            raise CheckFailed(
                f'loss()["{key}"] of the same walk, seed and step gave two results.',
                "a function of what was walked and of the context.",
                'draw from randomness.derived_generator(context.seed, "my purpose", context.step).',
            )


def its_loss_leaves_what_was_walked_as_it_was(subject: ObjectiveSubject) -> None:
    """Other families judge the same predictions and states."""
    objective = subject.objective()
    subject.values(objective, subject.segments())
    walked, context = subject.walk(objective, subject.workspace(), subject.segments())
    before = [tensor.detach().clone() for tensor in _walked_tensors(walked)]
    with torch.no_grad():
        objective.loss(walked, context)
    for was, now in zip(before, _walked_tensors(walked), strict=True):
        if not torch.equal(was, now):
            raise CheckFailed(
                "loss() changed what was walked.",
                "predictions, states and inputs that are only read.",
                "copy before working in place; methods that end in _ change their tensor.",
            )


def _walked_tensors(walked: Walked) -> list[Tensor]:
    states = [t for s in walked.states.values() for t in (s.code, s.before)]
    return [*walked.predictions.values(), *walked.inputs.values(), *states]


def gradients_reach_the_workspace_and_no_domain_module(subject: ObjectiveSubject) -> None:
    """The loss teaches encoders or decoders; the specialists stay frozen."""
    objective, workspace = subject.objective(), subject.workspace().train()
    subject.values(objective, subject.segments())
    walked, context = subject.walk(objective, workspace, subject.segments())
    total = torch.stack([v.mean() for v in objective.loss(walked, context).values()]).sum()
    if total.requires_grad:
        total.backward()
    grads = [p.grad for p in workspace.parameters() if p.grad is not None]
    if not any(grad.any() for grad in grads) or not all(grad.isfinite().all() for grad in grads):
        raise CheckFailed(
            "The loss gives the workspace's networks no gradient, or one that is not finite.",
            "a finite gradient.",
            "look for no_grad, detach(), a conversion to NumPy, or the root of zero.",
        )
    fed = [
        n for n, m in workspace.domains.items() if any(p.grad is not None for p in m.parameters())
    ]
    if fed:
        raise CheckFailed(
            f'The loss gives the domain module of "{fed[0]}" a gradient.',
            "frozen domain modules.",
            "work on walked.inputs, not on modules.",
        )


def its_own_parameters_learn(subject: ObjectiveSubject) -> None:
    """Parameters of the objective that want a gradient get one."""
    objective = subject.objective()
    names = [name for name, p in objective.named_parameters() if p.requires_grad]
    if not names:
        raise NotJudged("it has no parameters that learn")
    found = subject.values(objective, subject.segments())
    total = torch.stack([v.mean() for v in found.values()]).sum()
    if not total.requires_grad:
        raise NotJudged("its loss has no gradient")
    total.backward()
    untaught = [n for n, p in objective.named_parameters() if p.requires_grad and p.grad is None]
    if untaught:
        raise CheckFailed(
            f"The parameters {', '.join(untaught[:3])} take no part in the loss.",
            "a gradient for each, because they join the optimiser.",
            "use them in loss(), or build them with requires_grad=False.",
        )


def its_weight_is_left_to_the_training(subject: ObjectiveSubject) -> None:
    """`loss` is the same whatever the weight: the sum of families multiplies by it."""
    found = []
    for weight in (1.0, 7.0):
        objective = subject.objective()
        objective.weight = schedule_of(weight)
        found.append(subject.values(objective, subject.segments()))
    for key, values in found[0].items():
        if apart(values, found[1][key]):
            raise CheckFailed(
                f'loss()["{key}"] depends on the weight.',
                "values before their weight.",
                "leave self.weight out of loss(); it would count twice.",
            )


def rows_of_one_group_count_the_same_in_one_segment_or_two(subject: ObjectiveSubject) -> None:
    """Rows that can walk a route are pooled, however the batch is cut."""
    whole, cut = subject.segments(), []
    for segment in whole:
        cut += [Segment(segment.group, 2), Segment(segment.group, segment.size - 2)]
    found = [
        subject.values(subject.objective(), segments, chance=False) for segments in (whole, cut)
    ]
    for key, values in found[0].items():
        if key not in found[1] or apart(values.mean(), found[1][key].mean()):
            raise CheckFailed(
                f'loss()["{key}"] changes when a segment is cut in two.',
                "the mean over all rows that walked the route.",
                "concatenate the rows of all segments under one key, as RowObjective does.",
            )


def it_is_absent_where_it_has_no_routes(subject: ObjectiveSubject) -> None:
    """Rows without a route of this family give an empty dict, not zero and no error."""
    objective = subject.objective()
    idle = [s for s in subject.segments() if not subject.routes(objective, s)]
    if not idle or len(idle) == len(subject.segments()):
        raise NotJudged("every group has a route, or none")
    walked, context = subject.walk(objective, subject.workspace(), idle)
    try:
        found = objective.loss(walked, context)
    except Exception as error:
        found = {f"{type(error).__name__}: {error}": torch.zeros(0)}
    if found:
        raise CheckFailed(
            f"Where no row has a route, loss() gives {', '.join(map(str, found))}.",
            "an empty dict: the family is reported as absent.",
            "collect what was walked first, and return {} if there is nothing.",
        )


def one_row_of_a_group_is_enough(subject: ObjectiveSubject) -> None:
    """Segments of one row give finite values, or leave the key out."""
    subject.values(subject.objective(), subject.segments())
    objective = subject.objective()
    walked, context = subject.walk(
        objective, subject.workspace(), subject.segments(1)[: len(subject.domains) + 1]
    )
    found = objective.loss(walked, context)
    for key, values in found.items():
        fault = fault_of(values)
        if fault:
            raise CheckFailed(
                f'With one row of each group loss()["{key}"] {fault}.',
                "finite values, or no such key.",
                "leave out statistics over rows where there is only one.",
            )


def its_loss_follows_the_workspace_to_another_device(subject: ObjectiveSubject) -> None:
    """No tensor stays on the CPU when the walk lies on a device; the device is a pretended one."""
    objective = subject.objective()
    subject.values(objective, subject.segments())
    walked, context = subject.walk(objective, subject.workspace(), subject.segments())

    def moved(device: PretendDevice) -> None:
        device.place(objective)
        objective.loss(_moved(walked, device), context)

    check_follows(
        moved,
        "that every tensor lies where the walk lies.",
        "register constants with register_buffer(), and make new tensors like walked ones.",
    )


def _moved(walked: Walked, device: PretendDevice) -> Walked:
    def state(given: State) -> State:
        changed = {
            field.name: device.move(value)
            for field in attrs.fields(State)
            if isinstance(value := getattr(given, field.name), Tensor)
        }
        return attrs.evolve(given, **changed)

    return attrs.evolve(
        walked,
        states={walk: state(s) for walk, s in walked.states.items()},
        predictions={walk: device.move(v) for walk, v in walked.predictions.items()},
        inputs={key: device.move(v) for key, v in walked.inputs.items()},
    )


def the_plugin_module_is_light(subject: ObjectiveSubject) -> None:
    """Importing the module that registers the kind imports neither torch nor the kind."""
    check_light(subject.plugin, "objective", type(subject.original))


OBJECTIVE_CHECKS: tuple[Check, ...] = (
    *ROUTES,
    its_loss_is_finite_rows_by_key,
    its_loss_is_the_same_every_time,
    its_loss_leaves_what_was_walked_as_it_was,
    gradients_reach_the_workspace_and_no_domain_module,
    its_own_parameters_learn,
    its_weight_is_left_to_the_training,
    rows_of_one_group_count_the_same_in_one_segment_or_two,
    it_is_absent_where_it_has_no_routes,
    one_row_of_a_group_is_enough,
    its_loss_follows_the_workspace_to_another_device,
    the_plugin_module_is_light,
)


def check_objective(
    objective: Objective,
    *,
    domains: Sequence[str] = TOY_DOMAINS,
    workspace: GlobalWorkspace | None = None,
    plugin: str | None = None,
) -> dict[str, str]:
    """Run every check on an objective, in a small workspace.

    Args:
        objective: The objective; it is not changed.
        domains: Names of the domains of the kit's own workspace, two or more.
        workspace: A workspace to use instead, for an objective that knows its domains.
        plugin: Dotted name of the plugin module that registers the class; found by itself where the
            plugin is installed.

    Returns:
        Check -> `"passed"`, or `"not judged: ..."`.

    Raises:
        ConformanceError: With all checks that failed, each with what was wrong, what was expected
            and what to do.
    """
    names = tuple(domains if workspace is None else workspace.domains)
    subject = ObjectiveSubject(objective, names, plugin, workspace)
    return run_checks(OBJECTIVE_CHECKS, subject, type(objective).__name__)
