"""All checks of an evaluation, and the function that runs them without pytest."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import attrs
import torch

from globalworkspace.data.cells import digest_cells
from globalworkspace.data.table import Table
from globalworkspace.errors import ConfigError
from globalworkspace.evaluation.base import Evaluation, HeldOut
from globalworkspace.testing.checks import (
    Check,
    CheckFailed,
    NotJudged,
    changed_entries,
    check_light,
    global_seed,
    run_checks,
    state_of,
)
from globalworkspace.testing.module_checks import check_draws_nothing, check_follows
from globalworkspace.testing.pretend_device import PretendDevice
from globalworkspace.testing.toys import (
    TOY_DOMAINS,
    toy_held_out,
    toy_workspace,
    with_gaps,
)
from globalworkspace.workspace import GlobalWorkspace


@attrs.frozen(eq=False)
class EvaluationSubject:
    """What the checks of an evaluation get."""

    evaluation: Evaluation
    domains: tuple[str, ...] = TOY_DOMAINS
    plugin: str | None = None
    given: tuple[GlobalWorkspace, HeldOut] | None = None
    """A workspace and rows to judge by, instead of toys."""

    def workspace(self) -> GlobalWorkspace:
        """A new one in eval mode, always the same."""
        return toy_workspace(self.domains) if self.given is None else copy.deepcopy(self.given[0])

    def held_out(self, workspace: GlobalWorkspace) -> HeldOut:
        """Rows to judge it by, always the same."""
        return toy_held_out(workspace) if self.given is None else copy.deepcopy(self.given[1])

    def figures(self, workspace: GlobalWorkspace, held_out: HeldOut) -> str:
        """The figures as JSON, where they are as they should be."""
        try:
            found = self.evaluation(workspace, held_out)
        except Exception as error:
            raise NotJudged(f"it raises {type(error).__name__}: {error}") from error
        fault = _fault(found)
        if fault:
            raise NotJudged(fault)
        return json.dumps(found)


def it_returns_json_able_figures(subject: EvaluationSubject) -> None:
    """A dict of named, finite figures that a run can write down."""
    workspace = subject.workspace()
    fault = _fault(subject.evaluation(workspace, subject.held_out(workspace)))
    if fault:
        raise CheckFailed(
            f"The evaluation's result {fault}.",
            "a dict of name -> finite number, or of dicts and lists of them.",
            "turn tensors into numbers by float(), and leave out what cannot be judged.",
        )


def _fault(found: Any) -> str | None:
    if not isinstance(found, dict) or not found:
        return f"is {found!r}, no dict with figures"
    if not all(isinstance(name, str) for name in found):
        return "has names that are no strings"
    try:
        json.dumps(found, allow_nan=False)
    except (TypeError, ValueError) as error:
        return f"cannot be written as JSON: {error}"
    return None


def the_figures_are_the_same_every_time(subject: EvaluationSubject) -> None:
    """Chance, if there is any, comes from a seed of its own."""
    found = []
    for seed in (1, 2):
        workspace = subject.workspace()
        with global_seed(seed):
            found.append(subject.figures(workspace, subject.held_out(workspace)))
    if found[0] != found[1]:
        raise CheckFailed(
            "Two evaluations of one workspace gave other figures.",
            "figures that are a function of workspace, rows and options.",
            "draw from a torch.Generator with a seed that is an option.",
        )


def it_leaves_the_global_generators_alone(subject: EvaluationSubject) -> None:
    """Nothing is drawn from torch's, NumPy's or Python's global generator."""
    workspace = subject.workspace()
    held_out = subject.held_out(workspace)
    check_draws_nothing(
        partial(subject.figures, workspace, held_out),
        "The evaluation drew",
        "none: training goes on after it, with the same chance as without.",
        "pass generator=torch.Generator().manual_seed(...) to whatever draws.",
    )


def it_leaves_the_weights_as_they_were(subject: EvaluationSubject) -> None:
    """Workspace and domain modules hold the same bits before and after."""
    workspace = subject.workspace()
    before = {name: state_of(part) for name, part in _parts(workspace).items()}
    subject.figures(workspace, subject.held_out(workspace))
    for name, part in _parts(workspace).items():
        changed = changed_entries(before[name], state_of(part))
        if changed:
            raise CheckFailed(
                f"The evaluation changed {', '.join(changed[:3])} of {name}.",
                "weights that stay as they were.",
                "train a probe on a copy, or on latents of its own.",
            )


def it_leaves_the_modes_as_they_were(subject: EvaluationSubject) -> None:
    """Training mode, frozen parts and gradient mode are the same before and after."""
    workspace = subject.workspace()
    before = _modes(workspace)
    subject.figures(workspace, subject.held_out(workspace))
    enabled = torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    if not enabled or _modes(workspace) != before:
        raise CheckFailed(
            "The evaluation left gradients switched off, or parts of the workspace in another "
            "mode.",
            "eval mode, requires_grad and gradient mode as they were.",
            "leave train(), eval() and requires_grad_() to the caller; use @torch.no_grad().",
        )


def it_leaves_no_gradient_behind(subject: EvaluationSubject) -> None:
    """No parameter has a gradient afterwards: the next step of a training would add to it."""
    workspace = subject.workspace()
    subject.figures(workspace, subject.held_out(workspace))
    fed = [
        f"{name}.{weight}"
        for name, part in _parts(workspace).items()
        for weight, parameter in part.named_parameters()
        if parameter.grad is not None
    ]
    if fed:
        raise CheckFailed(
            f"After the evaluation {', '.join(fed[:3])} has a gradient.",
            "none.",
            "put @torch.no_grad() on it, or use torch.autograd.grad for gradients of inputs.",
        )


def it_leaves_the_rows_as_they_were(subject: EvaluationSubject) -> None:
    """Raw cells and latents are only read."""
    workspace = subject.workspace()
    held_out = subject.held_out(workspace)
    before = _digests(held_out)
    subject.figures(workspace, held_out)
    if _digests(held_out) != before:
        raise CheckFailed(
            "The evaluation changed the held-out rows.",
            "rows that are only read: the next evaluation judges by them.",
            "copy before working in place; methods that end in _ change their tensor.",
        )


def a_domain_may_be_missing_in_some_rows(subject: EvaluationSubject) -> None:
    """Held-out rows need not have every domain."""
    workspace = subject.workspace()
    subject.figures(workspace, subject.held_out(workspace))
    held_out = with_gaps(subject.held_out(workspace))
    try:
        fault = _fault(subject.evaluation(workspace, held_out))
    except Exception as error:
        fault = f"raised {type(error).__name__}: {error}"
    if fault:
        raise CheckFailed(
            f"With a domain missing in some rows the evaluation {fault}.",
            "figures over the rows that have the domains in question.",
            "take rows where column.present is true for each of them.",
        )


def it_follows_the_workspace_to_another_device(subject: EvaluationSubject) -> None:
    """Latents go to the workspace's device; the device is a pretended one."""
    workspace = subject.workspace()
    held_out = subject.held_out(workspace)
    subject.figures(workspace, held_out)

    def moved(device: PretendDevice) -> None:
        for part in _parts(workspace).values():
            device.place(part)
        subject.evaluation(workspace, held_out)

    check_follows(
        moved,
        "that latents are moved to where the workspace lies.",
        "call .to(workspace.device) on what comes from a table.",
    )


def the_plugin_module_is_light(subject: EvaluationSubject) -> None:
    """Importing the module that registers the kind imports neither torch nor the kind."""
    bare: Any = subject.evaluation
    while isinstance(bare, functools.partial):
        bare = bare.func
    if not hasattr(bare, "__qualname__"):
        raise NotJudged("it is no function")
    check_light(subject.plugin, "evaluation", bare)


def _parts(workspace: GlobalWorkspace) -> dict[str, torch.nn.Module]:
    modules = {f'the domain module "{name}"': m for name, m in workspace.domains.items()}
    return {"the workspace": workspace, **modules}


def _modes(workspace: GlobalWorkspace) -> list[bool]:
    return [
        flag
        for part in _parts(workspace).values()
        for flag in (
            *(module.training for module in part.modules()),
            *(parameter.requires_grad for parameter in part.parameters()),
        )
    ]


def _digests(held_out: HeldOut) -> list[str | None]:
    def columns(table: Table) -> list[Any]:
        return [[table[n].cells, table[n].first, table[n].count] for n in table]

    return [digest_cells(columns(table)) for table in (held_out.raw, held_out.latents)]


EVALUATION_CHECKS: tuple[Check, ...] = (
    it_returns_json_able_figures,
    the_figures_are_the_same_every_time,
    it_leaves_the_global_generators_alone,
    it_leaves_the_weights_as_they_were,
    it_leaves_the_modes_as_they_were,
    it_leaves_no_gradient_behind,
    it_leaves_the_rows_as_they_were,
    a_domain_may_be_missing_in_some_rows,
    it_follows_the_workspace_to_another_device,
    the_plugin_module_is_light,
)


def given(
    workspace: GlobalWorkspace | None, held_out: HeldOut | None
) -> tuple[GlobalWorkspace, HeldOut] | None:
    """Both or neither."""
    if workspace is None and held_out is None:
        return None
    if workspace is None or held_out is None:
        raise ConfigError(
            "An evaluation is checked in a workspace and on rows that belong together. Give both "
            "workspace and held_out, or neither."
        )
    return workspace, held_out


def check_evaluation(
    evaluation: Evaluation,
    *,
    domains: Sequence[str] = TOY_DOMAINS,
    workspace: GlobalWorkspace | None = None,
    held_out: HeldOut | None = None,
    plugin: str | None = None,
) -> dict[str, str]:
    """Run every check on an evaluation, in a small untrained workspace.

    Args:
        evaluation: A callable `(workspace, held_out) -> dict`; fill options in by
            `functools.partial`.
        domains: Names of the domains of the kit's own workspace, two or more.
        workspace: A workspace to use instead, for an evaluation that knows its domains.
        held_out: With it: the rows to judge by, a dozen or more.
        plugin: Dotted name of the plugin module that registers it; found by itself where the plugin
            is installed.

    Returns:
        Check -> `"passed"`, or `"not judged: ..."`.

    Raises:
        ConfigError: If only one of `workspace` and `held_out` is given.
        ConformanceError: With all checks that failed, each with what was wrong, what was expected
            and what to do.
    """
    subject = EvaluationSubject(evaluation, tuple(domains), plugin, given(workspace, held_out))
    name = getattr(evaluation, "__qualname__", repr(evaluation))
    return run_checks(EVALUATION_CHECKS, subject, name)
