"""All checks of a fusion, and the function that runs them without pytest."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import attrs
import torch
from torch import Tensor

from globalworkspace.fusion import ACTIVATIONS, Fusion, State
from globalworkspace.testing.checks import (
    Check,
    CheckFailed,
    NotJudged,
    check_light,
    fail_if_apart,
    global_seed,
    run_checks,
)
from globalworkspace.testing.domain_saving import config_is_json_able
from globalworkspace.testing.fusion_subject import (
    ROWS,
    FusionSubject,
    generator_of,
    parts_of,
)
from globalworkspace.testing.module_checks import (
    BUFFERS,
    GENERATORS_STAY,
    WHERE_GIVEN,
    check_draws_nothing,
    check_first_weights,
    check_follows,
    check_only_reads,
    check_parameters_learn,
    gradients_of,
)
from globalworkspace.testing.pretend_device import PretendDevice

_CHANCE = (None, 1)
"""Seeds: without a generator, and with one."""
_REMEDY_CHANCE = "draw from the generator that it is given, and from none if there is none."
_REMEDY_ROWS = "look for statistics over rows; a row's weights are a function of its own codes."


def _taken(tensors: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    return {name: values[rows] for name, values in tensors.items()}


def _same(found: State, wanted: State, wrong: str, remedy: str) -> None:
    """Fail where two states differ."""
    one, other, none = parts_of(found), parts_of(wanted), torch.empty(0)
    for name in one | other:
        fail_if_apart(one.get(name, none), other.get(name, none), f"{wrong}, {name}", remedy)


def it_is_a_fusion_with_a_size_and_an_activation(subject: FusionSubject) -> None:
    """A subclass of `Fusion` that keeps the `dim` and `activation` that it was given."""
    fusion = subject.original
    dim, activation = getattr(fusion, "dim", None), getattr(fusion, "activation", None)
    if not (isinstance(fusion, Fusion) and isinstance(dim, int) and activation in ACTIVATIONS):
        raise CheckFailed(
            f"{type(fusion).__qualname__} has dim={dim!r} and activation={activation!r}.",
            f"a subclass of Fusion with a whole dim and one of {', '.join(ACTIVATIONS)}.",
            "call super().__init__(dim, activation).",
        )


def its_state_has_the_rows_of_the_codes_and_the_size_of_the_workspace(
    subject: FusionSubject,
) -> None:
    """`code` is (B, W), `before` as wide as the codes, `logvar` None or (B, W), in their dtype."""
    for dtype in (torch.float32, torch.float64):
        codes = subject.codes(dtype=dtype)
        one, two = (dict(list(codes.items())[:number]) for number in (1, 2))
        for given, present in ((one, None), (two, None), (codes, None), (codes, subject.gaps())):
            for seed in _CHANCE:
                fault = subject.fault(subject.fuse(given, present, seed), given)
                if fault:
                    raise CheckFailed(
                        f"The state of {len(given)} domains {fault}.",
                        "one state of W dimensions for each row, as precise as the codes.",
                        "sum over domains, not over rows; convert weights by .to(codes.dtype).",
                    )


def one_row_or_none_is_enough(subject: FusionSubject) -> None:
    """A batch of one row has a state, and one of no rows an empty one."""
    subject.sound(subject.codes())
    for number in (1, 0):
        codes = subject.codes(number)
        for seed in _CHANCE:
            try:
                fault = subject.fault(subject.fuse(codes, None, seed), codes)
            except Exception as error:
                fault = f"raises {type(error).__name__}: {error}"
            if fault:
                raise CheckFailed(
                    f"The state of {number} rows {fault}.",
                    "a state for each row, however many there are.",
                    "name the dimension in squeeze(), and take no statistics over rows.",
                )


def its_state_is_finite(subject: FusionSubject) -> None:
    """No value of a state is NaN or infinite."""
    for seed in _CHANCE:
        codes = subject.codes()
        state = subject.fuse(codes, subject.gaps(), seed)
        if subject.fault(state, codes):
            raise NotJudged("its state has other shapes or dtypes")
        for name, values in parts_of(state).items():
            if not values.isfinite().all():
                raise CheckFailed(
                    f"{name} of a state holds values that are not finite.",
                    "finite states.",
                    "look for a logarithm or a division by 0 where a domain is missing.",
                )


def its_weights_are_shares_of_the_domains_that_are_there(subject: FusionSubject) -> None:
    """`select` gives (n, B) weights, 0 for a missing domain, that sum to 1 in each row."""
    for seed in _CHANCE:
        _, fault = subject.weights(seed)
        if fault:
            raise CheckFailed(
                f"The weights {fault}.",
                "shares (domains, rows) of what is present.",
                "fill scores with -inf where not present, then take the softmax over domains.",
            )


def what_a_missing_domain_holds_does_not_matter(subject: FusionSubject) -> None:
    """Where a row lacks a domain, its code there may be anything, NaN too."""
    codes, present = subject.codes(), subject.gaps()
    for seed in _CHANCE:
        wanted = subject.sound(codes, present, seed)
        for value in (1e3, float("inf"), float("nan")):
            other = {n: c.masked_fill(~present[n][:, None], value) for n, c in codes.items()}
            _same(
                subject.fuse(other, present, seed),
                wanted,
                f"With {value} where a domain is missing the state is another",
                "fill codes with 0 where not present before multiplying: 0 times NaN is NaN.",
            )


def each_row_counts_by_itself(subject: FusionSubject) -> None:
    """Rows fused in parts, or in another order, get the states that they get together."""
    codes, present = subject.codes(), subject.gaps()
    wanted = subject.sound(codes, present)
    for rows in (torch.arange(5), torch.arange(5, ROWS), torch.arange(ROWS).flip(0)):
        found = subject.fuse(_taken(codes, rows), _taken(present, rows))
        expected = State(**_taken(parts_of(wanted), rows))
        wrong = f"Rows {rows.tolist()} fused alone differ"
        _same(found, expected, wrong, _REMEDY_ROWS)


def with_chance_too_each_row_counts_by_itself(subject: FusionSubject) -> None:
    """What is drawn for a row is the same whatever others hold: to a process they may be zeros."""
    codes, mine = subject.codes(), slice(4, 7)
    try:
        each_row_counts_by_itself(subject)
    except CheckFailed as fault:
        raise NotJudged("rows do not count by themselves without chance either") from fault
    others = torch.ones(ROWS, 1, dtype=torch.bool)
    others[mine] = False
    hidden = {name: code.masked_fill(others, 0.0) for name, code in codes.items()}
    for present in (None, subject.gaps()):
        _same(
            subject.fuse(hidden, present, 1)[mine],
            subject.sound(codes, present, 1)[mine],
            "With the same generator and zeros in the other rows, a row's state is another",
            "draw once for all rows, of a size that does not depend on what codes hold.",
        )


def the_order_of_the_domains_does_not_matter(subject: FusionSubject) -> None:
    """Without chance the codes are a set: who translates may name domains in any order."""
    codes = subject.codes()
    names = list(codes)
    for present in (None, subject.gaps()):
        wanted = subject.sound(codes, present)
        for order in (names[::-1], [*names[1:], names[0]]):
            _same(
                subject.fuse({name: codes[name] for name in order}, present),
                wanted,
                f"In the order {', '.join(order)} the state is another",
                "let weights depend on what codes hold, not on their places.",
            )


def one_domain_alone_is_finished_as_it_is(subject: FusionSubject) -> None:
    """`fuse` of one domain is `finish` of its codes: retrieval compares such states."""
    for name, code in subject.codes().items():
        for seed in _CHANCE:
            _same(
                subject.sound({name: code}, None, seed),
                subject.fusion().finish(code.clone()),
                f'fuse() of "{name}" alone and finish() of its codes differ',
                "put what is done to every state into finish().",
            )


def a_row_with_one_domain_is_as_if_there_were_no_others(subject: FusionSubject) -> None:
    """Domains that a row lacks do not weaken the one that it has."""
    codes, present = subject.codes(), subject.gaps()
    only = torch.stack(list(present.values())).sum(dim=0) == 1
    for seed in _CHANCE:
        subject.sound_weights(seed)
        state = subject.sound(codes, present, seed)
        for name, code in codes.items():
            rows = only & present[name]
            fail_if_apart(
                state.code[rows],
                subject.fusion().finish(code[rows].clone()).code,
                f'Rows that have "{name}" alone differ from finish() of its codes',
                "divide by what is present, not by the number of domains.",
            )


def what_a_state_keeps_can_be_fused_again(subject: FusionSubject) -> None:
    """`before` is a code again: routes fuse the states of single domains by it."""
    codes = subject.codes()
    wanted = subject.sound(codes)
    kept = {n: subject.fusion().finish(code.clone()).before for n, code in codes.items()}
    for again, what in (
        (subject.fuse(kept), "Fusing what single states keep differs from fusing their codes"),
        (subject.fusion().finish(wanted.before), "Finishing what a fused state keeps differs"),
    ):
        remedy = "return State(activated, before) from finish(), before as the codes are."
        _same(again, wanted, what, remedy)


def without_a_generator_its_state_is_the_same_every_time(subject: FusionSubject) -> None:
    """In eval mode there is no chance without a generator, and nothing is remembered."""
    _every_time(subject, None, "Without a generator, in eval mode,")


def its_state_is_the_same_for_the_same_generator(subject: FusionSubject) -> None:
    """All chance comes from the generator, so that a training can be resumed."""
    _every_time(subject, 1, "With two generators of one seed")


def _every_time(subject: FusionSubject, seed: int | None, when: str) -> None:
    codes, present, fusion = subject.codes(), subject.gaps(), subject.fusion()
    found = []
    for elsewhere in (1, 2):
        with global_seed(elsewhere):
            copies = {name: code.clone() for name, code in codes.items()}
            found.append(fusion.fuse(copies, present, generator_of(seed)))
        subject.need_finite(found[-1], codes)
    _same(found[0], found[1], f"{when} the same codes gave two states", _REMEDY_CHANCE)


def it_leaves_the_global_generators_alone(subject: FusionSubject) -> None:
    """Nothing is drawn from torch's, NumPy's or Python's global generator."""
    codes = subject.codes()
    for seed in _CHANCE:
        subject.sound(codes, None, seed)
        call = partial(subject.fuse, codes, None, seed)
        check_draws_nothing(call, "It draws", GENERATORS_STAY, _REMEDY_CHANCE)


def it_leaves_the_codes_as_they_were(subject: FusionSubject) -> None:
    """Other routes fuse the same codes."""
    codes, present = subject.codes(), subject.gaps()
    subject.sound(codes, present)
    check_only_reads(codes, lambda: subject.fusion().fuse(codes, present))


def gradients_reach_the_codes_that_take_part(subject: FusionSubject) -> None:
    """Without chance, every domain of a row with a share in its state learns from it."""
    codes, present = subject.codes(), subject.gaps()
    subject.sound(codes, present)
    weights = subject.sound_weights(None)
    grads = gradients_of(codes, lambda **leaves: subject.fuse(leaves, present).code)
    for share, (name, grad) in zip(weights, grads.items(), strict=True):
        if not grad.isfinite().all() or not grad[share > 0].any(dim=1).all():
            raise CheckFailed(
                f'The codes of "{name}" get no gradient in some rows, or one that is not finite.',
                "a finite gradient wherever the domain takes part.",
                "look for no_grad, detach(), rounding, or the root of zero.",
            )


def its_own_parameters_learn(subject: FusionSubject) -> None:
    """Parameters of the fusion that want a gradient get one."""
    codes, present, fusion = subject.codes(), subject.gaps(), subject.fusion()
    subject.sound(codes, present)
    check_parameters_learn(fusion, lambda: fusion.fuse(codes, present).code)


def building_it_twice_from_one_seed_gives_the_same_weights(subject: FusionSubject) -> None:
    """First weights are a function of the config and of torch's global seed."""
    try:
        subject.rebuilt()
    except Exception as error:
        raise NotJudged(f"it cannot be built again: {error}") from error
    check_first_weights(subject.rebuilt)


def config_and_weights_build_the_same_fusion(subject: FusionSubject) -> None:
    """`dim`, `activation`, `config()` and the state dict bring back the same states."""
    codes = subject.codes()
    with global_seed(2):
        again = subject.rebuilt()
    again.load_state_dict(subject.fusion().state_dict())
    for seed in _CHANCE:
        wanted = subject.sound(codes, None, seed)
        _same(
            attrs.evolve(subject, original=again).fuse(codes, None, seed),
            wanted,
            "The states of a fusion that was built again and given the weights differ",
            "return every setting from config(), and register what is learnt as a parameter.",
        )


def its_state_follows_the_codes_to_another_device(subject: FusionSubject) -> None:
    """Weights and what is drawn go to where the codes lie; the device is a pretended one."""
    codes, present = subject.codes(), subject.gaps()
    for seed in _CHANCE:
        subject.sound(codes, present, seed)

        def moved(device: PretendDevice, seed: int | None = seed) -> None:
            fusion = subject.fusion()
            device.place(fusion)
            there, masks = ({n: device.move(x) for n, x in m.items()} for m in (codes, present))
            fusion.fuse(there, masks, generator_of(seed))

        check_follows(moved, WHERE_GIVEN, BUFFERS)


def the_plugin_module_is_light(subject: FusionSubject) -> None:
    """Importing the module that registers the kind imports neither torch nor the kind."""
    check_light(subject.plugin, "fusion", type(subject.original))


FUSION_CHECKS: tuple[Check, ...] = (
    it_is_a_fusion_with_a_size_and_an_activation,
    its_state_has_the_rows_of_the_codes_and_the_size_of_the_workspace,
    one_row_or_none_is_enough,
    its_state_is_finite,
    its_weights_are_shares_of_the_domains_that_are_there,
    what_a_missing_domain_holds_does_not_matter,
    each_row_counts_by_itself,
    with_chance_too_each_row_counts_by_itself,
    the_order_of_the_domains_does_not_matter,
    one_domain_alone_is_finished_as_it_is,
    a_row_with_one_domain_is_as_if_there_were_no_others,
    what_a_state_keeps_can_be_fused_again,
    without_a_generator_its_state_is_the_same_every_time,
    its_state_is_the_same_for_the_same_generator,
    it_leaves_the_global_generators_alone,
    it_leaves_the_codes_as_they_were,
    gradients_reach_the_codes_that_take_part,
    its_own_parameters_learn,
    config_is_json_able,
    config_and_weights_build_the_same_fusion,
    building_it_twice_from_one_seed_gives_the_same_weights,
    its_state_follows_the_codes_to_another_device,
    the_plugin_module_is_light,
)


def check_fusion(
    fusion: Fusion, *, code_dim: int | None = None, plugin: str | None = None
) -> dict[str, str]:
    """Run every check on a fusion, with a dozen rows of three domains.

    Args:
        fusion: What to judge; it is not changed.
        code_dim: Columns of a domain's code, where they are not W.
        plugin: Dotted name of the plugin module that registers it; found by itself where the plugin
            is installed.

    Returns:
        Check -> `"passed"`, or `"not judged: ..."`.

    Raises:
        ConformanceError: With all checks that failed, each with what was wrong, what was expected
            and what to do.

    Example:
        >>> from globalworkspace.fusion import Mean
        >>> check_fusion(Mean(4))["each_row_counts_by_itself"]
        'passed'
    """
    subject = FusionSubject(fusion, code_dim, plugin)
    return run_checks(FUSION_CHECKS, subject, type(fusion).__qualname__)
