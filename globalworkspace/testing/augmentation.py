"""All checks of an augmentation, and the function that runs them without pytest."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial

import attrs
import torch
from torch import Tensor

from globalworkspace.augmentation import Augmentation
from globalworkspace.latents import LatentSpec
from globalworkspace.testing.checks import (
    Check,
    CheckFailed,
    NotJudged,
    check_light,
    global_seed,
    run_checks,
)
from globalworkspace.testing.module_checks import (
    check_draws_nothing,
    check_follows,
    check_only_reads,
)

ROWS = 12
TOY_SPECS: Mapping[str, LatentSpec] = {
    "left": LatentSpec.continuous(6),
    "right": LatentSpec.continuous(4),
}
"""What the latents are made of that an augmentation is tried on."""
_REMEDY_CHANCE = "draw from the generator that apply() is given: torch.randn(..., generator=...)."

Rows = dict[str, Tensor]


@attrs.frozen(eq=False)
class AugmentationSubject:
    """What the checks of an augmentation get."""

    augmentation: Augmentation
    specs: Mapping[str, LatentSpec] = TOY_SPECS
    plugin: str | None = None

    def rows(self, number: int = ROWS, dtype: torch.dtype = torch.float32) -> Rows:
        """Standard latents of some rows, always the same."""
        chance = torch.Generator().manual_seed(0)
        found = {}
        for name, spec in self.specs.items():
            drawn = torch.randn(number, spec.dim, generator=chance, dtype=torch.float64)
            found[name] = spec.activate(drawn).to(dtype)
        return found

    def view(self, rows: Rows, seed: int = 1) -> Rows:
        """The view of some rows, by a copy of the augmentation."""
        return copy.deepcopy(self.augmentation).apply(
            rows, {name: self.specs[name] for name in rows}, torch.Generator().manual_seed(seed)
        )

    def sound_view(self, rows: Rows, seed: int = 1) -> Rows:
        """The same, not judged where another check says what is wrong."""
        try:
            found = self.view(rows, seed)
        except Exception as error:
            raise NotJudged(f"it raises {type(error).__name__}: {error}") from error
        if _fault(rows, found):
            raise NotJudged("its view has other domains, shapes or dtypes")
        if not all(values.isfinite().all() for values in found.values()):
            raise NotJudged("its view is not finite")
        return found


def _fault(rows: Rows, view: object) -> str | None:
    """What is wrong with a view's domains, shapes and dtypes."""
    if not isinstance(view, dict) or set(view) != set(rows):
        got = sorted(view) if isinstance(view, dict) else type(view).__name__
        return f"apply() gave {got} for the domains {sorted(rows)}."
    for name, values in rows.items():
        if not isinstance(view[name], Tensor):
            return f'apply() gave {type(view[name]).__name__} for "{name}".'
        if view[name].shape != values.shape or view[name].dtype != values.dtype:
            found = f"{tuple(view[name].shape)} {view[name].dtype}"
            return f'apply() gave {found} for "{name}": {tuple(values.shape)} {values.dtype}.'
    return None


def it_is_an_augmentation_that_says_its_targets(subject: AugmentationSubject) -> None:
    """A subclass of `Augmentation` that says if predictions are of clean latents or of its view."""
    augmentation = subject.augmentation
    targets = getattr(augmentation, "targets", None)
    if not isinstance(augmentation, Augmentation) or targets not in ("clean", "view"):
        raise CheckFailed(
            f"{type(augmentation).__qualname__} has targets={targets!r}.",
            'a subclass of Augmentation with targets "clean" or "view".',
            'write targets = "view" if predictions are of what the view shows.',
        )


def its_view_has_the_same_domains_shapes_and_dtypes(subject: AugmentationSubject) -> None:
    """Every domain that it is given, as large and as precise as it was, and no other."""
    for dtype in (torch.float32, torch.float64):
        rows = subject.rows(dtype=dtype)
        fault = _fault(rows, subject.view(rows))
        if fault:
            raise CheckFailed(
                fault,
                "latents as they were given, changed in their values alone.",
                "return a tensor for every domain; draw in its dtype, or convert to it.",
            )


def its_view_is_finite(subject: AugmentationSubject) -> None:
    """No value of the view is NaN or infinite."""
    rows = subject.rows()
    view = subject.view(rows)
    if _fault(rows, view):
        raise NotJudged("its view has other domains, shapes or dtypes")
    for name, values in view.items():
        if not values.isfinite().all():
            raise CheckFailed(
                f'The view of "{name}" holds values that are not finite.',
                "finite latents.",
                "look for a division by a deviation that may be 0, or a logarithm.",
            )


def its_view_is_the_same_for_the_same_generator(subject: AugmentationSubject) -> None:
    """All chance comes from the generator, so that a training can be resumed."""
    rows = subject.rows()
    first = subject.sound_view(rows)
    with global_seed(5):
        second = subject.sound_view(rows)
    for name, values in first.items():
        if not torch.equal(values, second[name]):
            raise CheckFailed(
                f'Two generators of one seed gave two views of "{name}".',
                "a function of the latents and of the generator.",
                _REMEDY_CHANCE,
            )


def what_it_was_asked_before_does_not_matter(subject: AugmentationSubject) -> None:
    """It remembers nothing: a training that goes on after an interruption builds it anew."""
    rows = subject.rows()
    subject.sound_view(rows)
    used = copy.deepcopy(subject.augmentation)
    found = []
    for _ in range(2):
        found.append(used.apply(rows, subject.specs, torch.Generator().manual_seed(1)))
    for name, values in found[0].items():
        if not torch.equal(values, found[1][name]):
            raise CheckFailed(
                f'Asked a second time, with a new generator of the same seed, "{name}" differs.',
                "the same view.",
                "keep no state in the augmentation; what changes over a training is not its part.",
            )


def it_leaves_the_global_generators_alone(subject: AugmentationSubject) -> None:
    """Nothing is drawn from torch's, NumPy's or Python's global generator."""
    call = partial(subject.sound_view, subject.rows())
    expected = "chance from the generator that it is given."
    check_draws_nothing(call, "apply() draws", expected, _REMEDY_CHANCE)


def it_leaves_the_latents_as_they_were(subject: AugmentationSubject) -> None:
    """Other objectives of the step see the same rows clean."""
    rows = subject.rows()
    check_only_reads(rows, partial(subject.sound_view, rows))


def one_row_is_enough(subject: AugmentationSubject) -> None:
    """A group of one row has a view, too."""
    rows = subject.rows(1)
    subject.sound_view(subject.rows())
    try:
        found = subject.view(rows)
        fault = _fault(rows, found)
        if fault is None and not all(values.isfinite().all() for values in found.values()):
            fault = "The view of one row is not finite."
    except Exception as error:
        fault = f"apply() of one row raises {type(error).__name__}: {error}."
    if fault:
        raise CheckFailed(
            fault,
            "a view: batches have groups of any size.",
            "leave a row as it is where there is no other to take from.",
        )


def one_domain_is_enough(subject: AugmentationSubject) -> None:
    """It sees those domains of a group that a route walks, which may be a single one."""
    subject.sound_view(subject.rows())
    for name, values in subject.rows().items():
        try:
            fault = _fault({name: values}, subject.view({name: values}))
        except Exception as error:
            fault = f'apply() of "{name}" alone raises {type(error).__name__}: {error}.'
        if fault:
            raise CheckFailed(
                fault,
                "a view of the domains that are given.",
                "go through the latents that are there, and name no domain.",
            )


def its_view_follows_the_latents_to_another_device(subject: AugmentationSubject) -> None:
    """What it draws on the CPU goes to where the latents lie; the device is a pretended one."""
    rows = subject.rows()
    subject.sound_view(rows)
    check_follows(
        lambda device: subject.view({name: device.move(x) for name, x in rows.items()}),
        "that whatever is drawn is moved to the latents.",
        "draw on the CPU, where the generator is, and call .to(latents.device).",
    )


def the_plugin_module_is_light(subject: AugmentationSubject) -> None:
    """Importing the module that registers the kind imports neither torch nor the kind."""
    check_light(subject.plugin, "augmentation", type(subject.augmentation))


AUGMENTATION_CHECKS: tuple[Check, ...] = (
    it_is_an_augmentation_that_says_its_targets,
    its_view_has_the_same_domains_shapes_and_dtypes,
    its_view_is_finite,
    its_view_is_the_same_for_the_same_generator,
    what_it_was_asked_before_does_not_matter,
    it_leaves_the_global_generators_alone,
    it_leaves_the_latents_as_they_were,
    one_row_is_enough,
    one_domain_is_enough,
    its_view_follows_the_latents_to_another_device,
    the_plugin_module_is_light,
)


def check_augmentation(
    augmentation: Augmentation,
    *,
    specs: Mapping[str, LatentSpec] = TOY_SPECS,
    plugin: str | None = None,
) -> dict[str, str]:
    """Run every check on an augmentation, with a dozen rows of two domains.

    Args:
        augmentation: What to judge.
        specs: Domain -> what the latents are made of, for one that needs others than the kit's
            continuous ones.
        plugin: Dotted name of the plugin module that registers it; found by itself where the plugin
            is installed.

    Returns:
        Check -> `"passed"`, or `"not judged: ..."`.

    Raises:
        ConformanceError: With all checks that failed, each with what was wrong, what was expected
            and what to do.

    Example:
        >>> from globalworkspace.augmentation import Noise
        >>> check_augmentation(Noise(0.1))["its_view_is_finite"]
        'passed'
    """
    subject = AugmentationSubject(augmentation, specs, plugin)
    return run_checks(AUGMENTATION_CHECKS, subject, type(augmentation).__qualname__)
