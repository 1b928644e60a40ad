"""All checks of a kind of networks, and the function that runs them without pytest."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from globalworkspace.errors import ConfigError
from globalworkspace.latents import LatentSpec
from globalworkspace.networks import rows_among
from globalworkspace.testing.checks import (
    Check,
    CheckFailed,
    NotJudged,
    check_light,
    fail_if_apart,
    global_seed,
    run_checks,
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
from globalworkspace.testing.network_subject import (
    ROWS,
    SIDES,
    TOY_DIM,
    TOY_SPEC,
    NetworkSubject,
    output,
)
from globalworkspace.testing.pretend_device import PretendDevice

_OTHERS: tuple[Mapping[str, Any], ...] = (
    {"hidden_dim": 32},
    {"num_layers": 1},
    {"num_layers": 3},
    {"dropout": 0.3},
    {"linear_path": True},
)


def it_makes_an_encoder_and_a_decoder(subject: NetworkSubject) -> None:
    """Static methods `encoder` and `decoder` that make modules."""
    for side in SIDES:
        if not callable(getattr(subject.network, side, None)):
            wrong = f"{subject.network!r} has no {side}()"
        else:
            try:
                made = subject.build(side)
            except Exception as error:
                raise NotJudged(f"{side}() raises {type(error).__name__}: {error}") from error
            if isinstance(made, nn.Module):
                continue
            wrong = f"{side}() makes a {type(made).__name__}"
        raise CheckFailed(
            f"{wrong}.",
            "a class with the static methods encoder and decoder, each making an nn.Module.",
            "write @staticmethod above def encoder(spec, dim, **sizes), likewise decoder.",
        )


def it_takes_the_sizes_that_a_workspace_gives(subject: NetworkSubject) -> None:
    """`hidden_dim`, `num_layers`, `dropout` and `linear_path`; what cannot be is a ConfigError."""
    for side in SIDES:
        if not callable(getattr(subject.network, side, None)):
            raise NotJudged(f"it has no {side}()")
        for sizes in ({}, *_OTHERS):
            try:
                subject.build(side, sizes)
            except Exception as error:
                if sizes and isinstance(error, ConfigError):
                    continue
                shown = ", ".join(f"{k}={v}" for k, v in subject.given(sizes).items())
                raise CheckFailed(
                    f"{side}() with {shown} raises {type(error).__name__}: {error}",
                    "a network, or a ConfigError where it has no linear path, for example.",
                    "take all four sizes as keywords; give the kit a latent and sizes that fit.",
                ) from error


def its_encoder_gives_codes_of_the_size_of_the_workspace(subject: NetworkSubject) -> None:
    """Standard latents (B, spec.dim) become codes (B, dim) or (B, n dim): mean and variance."""
    _fits(subject, "encoder", "codes (rows, dim), or a whole multiple of dim.")


def its_decoder_gives_raw_predictions_of_the_latent(subject: NetworkSubject) -> None:
    """States (B, dim) become raw predictions (B, spec.dim)."""
    _fits(subject, "decoder", "raw predictions (rows, spec.dim).")


def _fits(subject: NetworkSubject, side: str, expected: str) -> None:
    module = subject.made(side)
    for training in (False, True):
        for dtype in (torch.float32, torch.float64):
            rows = subject.rows(side, dtype=dtype)
            fault = subject.fault(side, output(module.train(training), rows), rows)
            if fault:
                raise CheckFailed(
                    f"The {side} {fault}.",
                    expected,
                    "end in a layer of that size; make new tensors with dtype= of a weight.",
                )


def one_row_or_none_is_enough(subject: NetworkSubject) -> None:
    """Batches of one row and of none have outputs, in training, too."""
    for side in SIDES:
        module = subject.made(side)
        subject.sound(side, module, subject.rows(side))
        for number in (1, 0):
            for training in (False, True):
                rows = subject.rows(side, number)
                try:
                    fault = subject.fault(side, output(module.train(training), rows), rows)
                except Exception as error:
                    fault = f"raises {type(error).__name__}: {error}"
                if fault:
                    raise CheckFailed(
                        f"For {number} rows the {side} {fault}.",
                        "an output for each row, however many there are.",
                        "name the dimension in squeeze(), use no batch norm, and flatten(1) rather "
                        "than reshape(len(rows), -1).",
                    )


def its_outputs_are_finite(subject: NetworkSubject) -> None:
    """Neither latents nor predictions that are encoded again give NaN or infinity."""
    raw = torch.randn(ROWS, subject.spec.dim, generator=torch.Generator().manual_seed(1))
    predictions = {"encoder": [subject.spec.activate(raw)]}
    for side in SIDES:
        module = subject.made(side)
        for rows in (subject.rows(side), *predictions.get(side, [])):
            found = output(module, rows)
            if subject.fault(side, found, rows):
                raise NotJudged(f"the {side} gives other shapes or dtypes")
            if not found.isfinite().all():
                raise CheckFailed(
                    f"The {side} gives values that are not finite.",
                    "finite outputs.",
                    "look for a division by a deviation or a mask that may be 0, or a logarithm.",
                )


def each_row_depends_on_itself_alone(subject: NetworkSubject) -> None:
    """In eval mode rows alone, or in another order, get the outputs that they get together."""
    for side in SIDES:
        module, rows = subject.made(side), subject.rows(side)
        wanted = subject.sound(side, module, rows)
        for index in (*torch.arange(ROWS).split(5), torch.arange(ROWS).flip(0)):
            fail_if_apart(
                output(module, rows[index]),
                wanted[index],
                f"Rows {index.tolist()} alone, the {side} gives something else",
                "look for statistics or attention over rows; normalise over columns.",
            )


def its_outputs_are_the_same_every_time(subject: NetworkSubject) -> None:
    """In eval mode there is no chance, and nothing is remembered."""
    for side in SIDES:
        module, rows = subject.made(side), subject.rows(side)
        found = []
        for elsewhere in (1, 2):
            with global_seed(elsewhere):
                found.append(module(rows.clone()))
            subject.need_finite(side, found[-1], rows)
        fail_if_apart(
            found[0],
            found[1],
            f"In eval mode the {side} gives two outputs for the same rows",
            "ask self.training before drawing, and keep no counters.",
        )


def it_leaves_the_global_generators_alone(subject: NetworkSubject) -> None:
    """In eval mode nothing is drawn from torch's, NumPy's or Python's global generator."""
    for side in SIDES:
        module, rows = subject.made(side), subject.rows(side)
        subject.sound(side, module, rows)
        remedy = "ask self.training before drawing, as globalworkspace.networks.Dropout does."
        check_draws_nothing(partial(output, module, rows), "It draws", GENERATORS_STAY, remedy)


def it_leaves_the_rows_as_they_were(subject: NetworkSubject) -> None:
    """Latents and states are only read."""
    for side, given in (("encoder", "latents"), ("decoder", "states")):
        module, rows = subject.made(side), subject.rows(side)
        subject.sound(side, module, rows)
        check_only_reads({given: rows}, partial(module, rows))


def sharing_the_rows_among_processes_changes_nothing(subject: NetworkSubject) -> None:
    """In training, a share of the rows gets what the same rows get in the whole batch."""
    try:
        each_row_depends_on_itself_alone(subject)
    except CheckFailed as fault:
        raise NotJudged("rows depend on others in eval mode, too") from fault
    for side in SIDES:
        rows, other = subject.rows(side), {"dropout": 0.5}
        try:
            subject.build(side, other)
        except ConfigError:  # it has none
            other = {}
        module = subject.made(side, other).train()
        with global_seed(2):
            whole = output(module, rows)
        for mine in (torch.arange(0, ROWS, 3), torch.arange(5, ROWS)):
            with global_seed(2), rows_among(ROWS, mine):
                found = output(module, rows[mine])
            fail_if_apart(
                found,
                whole[mine],
                f"In training, with one seed, the {side} gives a share of the rows something else",
                "use globalworkspace.networks.Dropout; other noise is drawn for the whole batch, "
                "see networks.rows_here().",
            )


def gradients_reach_the_rows(subject: NetworkSubject) -> None:
    """What is encoded or decoded may be a translation, which learns through the network."""
    for side in SIDES:
        module, rows = subject.made(side), subject.rows(side)
        subject.sound(side, module, rows)
        grad = gradients_of({"rows": rows}, partial(output, module))["rows"]
        if not grad.isfinite().all() or not grad.any(dim=1).all():
            raise CheckFailed(
                f"The {side} gives some rows no gradient, or one that is not finite.",
                "a finite gradient for each row.",
                "look for no_grad, detach(), rounding, or the root of zero.",
            )


def its_parameters_learn(subject: NetworkSubject) -> None:
    """Every parameter that wants a gradient gets one."""
    for side in SIDES:
        module, rows = subject.made(side), subject.rows(side)
        subject.sound(side, module, rows)
        check_parameters_learn(module, partial(module, rows))


def building_it_twice_from_one_seed_gives_the_same_weights(subject: NetworkSubject) -> None:
    """First weights are a function of the sizes and of torch's global seed."""
    for side in SIDES:
        subject.made(side)
        check_first_weights(partial(subject.build, side))


def its_state_dict_holds_all_that_it_learns(subject: NetworkSubject) -> None:
    """A network of other first weights that is given the state dict is the same network."""
    for side in SIDES:
        module, again = subject.made(side), subject.made(side, seed=2)
        wanted = subject.sound(side, module, subject.rows(side))
        again.load_state_dict(module.state_dict())
        fail_if_apart(
            output(again, subject.rows(side)),
            wanted,
            f"Given the state dict of another, the {side} gives something else",
            "register what is learnt or drawn as a parameter or a buffer.",
        )


def its_networks_follow_the_rows_to_another_device(subject: NetworkSubject) -> None:
    """Nothing stays on the CPU when weights and rows move; the device is a pretended one."""
    for side in SIDES:
        module, rows = subject.made(side), subject.rows(side)
        subject.sound(side, module, rows)
        for training in (False, True):

            def moved(
                device: PretendDevice, module: nn.Module = module, rows: Tensor = rows
            ) -> None:
                there = copy.deepcopy(module)
                device.place(there)
                there(device.move(rows))

            module.train(training)
            check_follows(moved, WHERE_GIVEN, BUFFERS)


def the_plugin_module_is_light(subject: NetworkSubject) -> None:
    """Importing the module that registers the kind imports neither torch nor the kind."""
    check_light(subject.plugin, "network", subject.network)


NETWORK_CHECKS: tuple[Check, ...] = (
    it_makes_an_encoder_and_a_decoder,
    it_takes_the_sizes_that_a_workspace_gives,
    its_encoder_gives_codes_of_the_size_of_the_workspace,
    its_decoder_gives_raw_predictions_of_the_latent,
    one_row_or_none_is_enough,
    its_outputs_are_finite,
    each_row_depends_on_itself_alone,
    its_outputs_are_the_same_every_time,
    it_leaves_the_global_generators_alone,
    it_leaves_the_rows_as_they_were,
    sharing_the_rows_among_processes_changes_nothing,
    gradients_reach_the_rows,
    its_parameters_learn,
    building_it_twice_from_one_seed_gives_the_same_weights,
    its_state_dict_holds_all_that_it_learns,
    its_networks_follow_the_rows_to_another_device,
    the_plugin_module_is_light,
)


def check_network(
    network: Any,
    *,
    spec: LatentSpec = TOY_SPEC,
    dim: int = TOY_DIM,
    plugin: str | None = None,
    **sizes: Any,
) -> dict[str, str]:
    """Run every check on a kind of networks, with a dozen rows.

    Args:
        network: The class with `encoder` and `decoder`.
        spec: What the latents are made of, for a kind that does not serve all parts.
        dim: W.
        plugin: Dotted name of the plugin module that registers it; found by itself where the plugin
            is installed.
        sizes: Further settings of the kind, or other sizes than the kit's.

    Returns:
        Check -> `"passed"`, or `"not judged: ..."`.

    Raises:
        ConformanceError: With all checks that failed, each with what was wrong, what was expected
            and what to do.

    Example:
        >>> from globalworkspace.networks import MLPNetworks
        >>> check_network(MLPNetworks)["each_row_depends_on_itself_alone"]
        'passed'
    """
    subject = NetworkSubject(network, spec, dim, plugin, sizes)
    return run_checks(NETWORK_CHECKS, subject, getattr(network, "__qualname__", repr(network)))
