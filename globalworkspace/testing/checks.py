"""What a check is: a function with a sentence for a name that says what is wrong, or nothing.

A check raises `CheckFailed`, or `NotJudged` where it has nothing to say: the module lacks the
capability, or breaks a more basic promise that another check is there for. So one fault shows as
one failure.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from globalworkspace.registry import Registration, get_registry

Check = Callable[[Any], None]
TOLERANCE = 1e-4
"""How far numbers that should be equal may be apart, as a share of the largest of them."""


class CheckFailed(AssertionError):
    """A promise that is not kept."""

    def __init__(self, wrong: str, expected: str, remedy: str) -> None:
        super().__init__(f"{wrong} Expected: {expected} What to do: {remedy}")
        self.wrong, self.expected, self.remedy = wrong, expected, remedy


class NotJudged(Exception):
    """A check that does not apply; the reason is its message."""


@attrs.frozen(kw_only=True)
class Failure:
    """One check that failed."""

    check: str
    """Its name, a sentence with underscores."""
    wrong: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.check}\n  {self.wrong}\n  Expected: {self.expected}\n  Do: {self.remedy}"


class ConformanceError(AssertionError):
    """All checks that failed, as `failures` and in the message."""

    def __init__(self, what: str, failures: Sequence[Failure], total: int) -> None:
        lines = "\n".join(map(str, failures))
        super().__init__(f"{what} fails {len(failures)} of {total} checks:\n{lines}")
        self.failures = tuple(failures)


def run_checks(checks: Sequence[Check], subject: Any, what: str) -> dict[str, str]:
    """Run every check.

    Returns:
        Name -> `"passed"`, or `"not judged: ..."` with the reason.

    Raises:
        ConformanceError: With every check that failed.
    """
    results, failures = {}, []
    for check in checks:
        name = check.__name__
        try:
            run_check(check, subject)
            results[name] = "passed"
        except NotJudged as reason:
            results[name] = f"not judged: {reason}"
        except CheckFailed as fault:
            failures.append(
                Failure(check=name, wrong=fault.wrong, expected=fault.expected, remedy=fault.remedy)
            )
        except Exception as error:  # whatever the judged code raises is a failure of this check
            failures.append(
                Failure(
                    check=name,
                    wrong=f"{type(error).__name__}: {error}",
                    expected="no error.",
                    remedy="see where it is raised; the error is the cause of this one.",
                )
            )
    if failures:
        raise ConformanceError(what, failures, len(checks))
    return results


def run_check(check: Check, subject: Any) -> None:
    """Run one check; global generators and gradient mode are then as they were."""
    enabled = torch.is_grad_enabled()
    try:
        with watched_randomness():
            check(subject)
    finally:
        torch.set_grad_enabled(enabled)


# ---- what several checks need


def apart(first: Tensor, second: Tensor) -> str | None:
    """How far two tensors are apart in words; None: equal within `TOLERANCE`."""
    if first.shape != second.shape:
        return f"shapes {tuple(first.shape)} and {tuple(second.shape)}"
    if not first.numel():
        return None
    first, second = first.detach().cpu().double(), second.detach().cpu().double()
    largest = torch.maximum(first.abs(), second.abs()).max()
    gap = (first - second).abs().max()
    if gap <= TOLERANCE * largest + 1e-7:
        return None
    return f"up to {float(gap):.3g} apart, where the largest value is {float(largest):.3g}"


def fail_if_apart(found: Tensor, wanted: Tensor, wrong: str, remedy: str) -> None:
    """Raise `CheckFailed` where two tensors are not equal within `TOLERANCE`."""
    difference = apart(found, wanted)
    if difference:
        raise CheckFailed(f"{wrong}: {difference}.", "the same, up to rounding.", remedy)


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """A copy of the state dict."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def changed_entries(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[str]:
    """Names that came, went, or whose values are no longer the same bits."""
    names = dict.fromkeys([*before, *after])
    return [
        name
        for name in names
        if name not in before
        or name not in after
        or before[name].shape != after[name].shape
        or not torch.equal(before[name].nan_to_num(), after[name].nan_to_num())
    ]


@contextmanager
def watched_randomness() -> Iterator[list[str]]:
    """Yield a list that holds, afterwards, which global generators were used; they are put back."""
    used: list[str] = []
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield used
    finally:
        if not torch.equal(before[0], torch.get_rng_state()):
            used.append("torch")
        numpy_now: Any = np.random.get_state()
        numpy_then: Any = before[1]
        if numpy_now[2] != numpy_then[2] or not np.array_equal(numpy_now[1], numpy_then[1]):
            used.append("numpy.random")
        if random.getstate() != before[2]:
            used.append("random")
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Run with every global generator seeded; they are put back afterwards."""
    with watched_randomness():
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        yield


def registration_of(category: str, target: Any) -> Registration | None:
    """The registration that names `target` (a class or a function), if an installed plugin does."""
    for entry in get_registry().registrations:
        module_name, _, attribute = entry.target.partition(":")
        if entry.category == category and (
            entry.target == f"{target.__module__}:{target.__qualname__}"
            or getattr(sys.modules.get(module_name), attribute, None) is target
        ):
            return entry
    return None


def check_light(plugin: str | None, category: str, target: Any) -> None:
    """Import the plugin's module in a process of its own and see what came with it."""
    if plugin is None:
        entry = registration_of(category, target)
        record = next((p for p in get_registry().plugins if entry and p.name == entry.owner), None)
        if record is None:
            raise NotJudged(f"no installed plugin registers {target.__qualname__}")
        plugin = record.module.partition(":")[0]
    heavy = ["torch", "numpy", target.__module__]
    code = (
        "import importlib, sys; importlib.import_module(sys.argv[1]); "
        "print(*[name for name in sys.argv[2:] if name in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code, plugin, *heavy],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise CheckFailed(
            f"The plugin module {plugin} cannot be imported on its own: {reason}.",
            "an import without error.",
            "import only globalworkspace.hookimpl there, and name the rest as dotted targets.",
        )
    if done.stdout.split():
        raise CheckFailed(
            f"Importing the plugin module {plugin} also imports {', '.join(done.stdout.split())}.",
            "a light module; targets are imported on first use.",
            "import only globalworkspace.hookimpl there, and name the rest as dotted targets.",
        )
