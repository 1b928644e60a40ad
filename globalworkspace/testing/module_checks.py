"""Checks that are the same for several kinds of parts, but for what is said of a fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from globalworkspace.testing.checks import (
    CheckFailed,
    NotJudged,
    changed_entries,
    global_seed,
    state_of,
    watched_randomness,
)
from globalworkspace.testing.pretend_device import DeviceMix, PretendDevice

Given = TypeVar("Given")


def check_first_weights(build: Callable[[], nn.Module]) -> None:
    """Build a module twice from one seed and compare the weights."""
    states = []
    for _ in range(2):
        with global_seed(1):
            states.append(state_of(build()))
    if not states[0]:
        raise NotJudged("it has no weights")
    changed = changed_entries(*states)
    if changed:
        raise CheckFailed(
            f"Built twice from one seed, {', '.join(changed[:3])} differ.",
            "the same first weights.",
            "draw them from torch's global generator, or from one whose seed is a setting.",
        )


def check_draws_nothing(call: Callable[[], object], wrong: str, expected: str, remedy: str) -> None:
    """Call, and see that no global generator was used; `wrong` says who drew."""
    with watched_randomness() as used:
        call()
    if used:
        raise CheckFailed(
            f"{wrong} from the global generator of {', '.join(used)}.", expected, remedy
        )


GENERATORS_STAY = "that global generators are left as they were."
WHERE_GIVEN = "that every tensor lies where the weights and what is given lie."
BUFFERS = (
    "register constants as buffers, make new tensors with device= of a given one, and move what is "
    "drawn on the CPU, where the generator is."
)


def twice(call: Callable[[], Given], need_sound: Callable[[Given], None], who: str) -> list[Given]:
    """What two calls give; not judged where another check says what is wrong with it."""
    found = []
    for elsewhere in (1, 2):
        try:
            with global_seed(elsewhere):
                found.append(call())
        except Exception as error:
            raise NotJudged(f"{who} raises {type(error).__name__}: {error}") from error
        need_sound(found[-1])
    return found


def check_only_reads(given: Mapping[str, Tensor], call: Callable[[], object]) -> None:
    """Call, and see that the given tensors hold what they held."""
    before = {name: values.clone() for name, values in given.items()}
    with torch.no_grad():
        call()
    changed = changed_entries(before, given)
    if changed:
        raise CheckFailed(
            f"It changed the {', '.join(changed)} that it was given.",
            "tensors that are only read: other routes of the step read them, too.",
            "copy before working in place; methods that end in _ change their tensor.",
        )


def check_parameters_learn(module: nn.Module, call: Callable[[], Tensor]) -> None:
    """See that what the call gives teaches each parameter that wants a gradient."""
    names = [name for name, p in module.named_parameters() if p.requires_grad]
    if not names:
        raise NotJudged("it has no parameters that learn")
    with torch.enable_grad():
        total = _weighed(call())
        if not total.requires_grad:
            raise NotJudged("what it gives has no gradient")
        total.backward()
    grads = {name: p.grad for name, p in module.named_parameters() if p.requires_grad}
    untaught = [n for n, grad in grads.items() if grad is None or not grad.isfinite().all()]
    if untaught:
        raise CheckFailed(
            f"The parameters {', '.join(untaught[:3])} get no finite gradient.",
            "one for each, because they join the optimiser.",
            "use them, or build them with requires_grad=False.",
        )


def check_follows(call: Callable[[PretendDevice], object], expected: str, remedy: str) -> None:
    """Call inside of a pretended device, to which the call moves what it needs."""
    try:
        with PretendDevice() as device:
            call(device)
    except DeviceMix as mix:
        raise CheckFailed(f"On a device, {mix}.", expected, remedy) from mix


def gradients_of(given: Mapping[str, Tensor], call: Callable[..., Tensor]) -> dict[str, Tensor]:
    """The gradient that each tensor gets from what `call(**given)` gives; 0 if none."""
    leaves = {name: values.clone().requires_grad_() for name, values in given.items()}
    with torch.enable_grad():
        total = _weighed(call(**leaves))
        if total.requires_grad:
            total.backward()
    return {n: torch.zeros_like(x) if x.grad is None else x.grad for n, x in leaves.items()}


def _weighed(values: Tensor) -> Tensor:
    """A sum of all values, each with a weight of its own: something to differentiate."""
    chance = torch.Generator().manual_seed(0)
    return (values * torch.randn(values.shape, generator=chance).to(values)).sum()
