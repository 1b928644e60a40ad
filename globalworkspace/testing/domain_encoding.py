"""Checks of `encode`: what comes back, of what it may depend, and what it must leave alone."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from globalworkspace.data.cells import digest_cells
from globalworkspace.latents import LatentSpec, unpack_sequence
from globalworkspace.testing.checks import (
    Check,
    CheckFailed,
    NotJudged,
    apart,
    changed_entries,
    global_seed,
    state_of,
)
from globalworkspace.testing.module_checks import check_draws_nothing
from globalworkspace.testing.subject import DomainSubject


def the_latent_is_a_spec(subject: DomainSubject) -> None:
    """`latent` says what the codes are made of."""
    spec = getattr(subject.original, "latent", None)
    if not isinstance(spec, LatentSpec):
        raise CheckFailed(
            f"{subject.name}.latent is {spec!r}.",
            "a LatentSpec.",
            "set latent = LatentSpec.continuous(dim), or LatentSpec((Part(...), ...)).",
        )


def encode_returns_one_row_per_cell(subject: DomainSubject) -> None:
    """The latents are a tensor (B, latent.dim)."""
    wanted = (subject.size, subject.spec.dim)
    found = subject.module().encode(subject.cells())
    got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
    if got != wanted:
        raise CheckFailed(
            f"encode() of {subject.size} cells returned {got}.",
            f"a tensor of shape {wanted}: (cells, latent.dim).",
            "return one row per cell, or correct `latent`.",
        )


def encode_returns_floating_point_numbers(subject: DomainSubject) -> None:
    """Latents are of a floating-point dtype."""
    found = subject.module().encode(subject.cells())
    if isinstance(found, Tensor) and not found.is_floating_point():
        raise CheckFailed(
            f"encode() returned {found.dtype}.",
            "a floating-point dtype.",
            "end encode() with .float().",
        )


def encode_returns_finite_numbers(subject: DomainSubject) -> None:
    """No latent is NaN or infinite."""
    found = subject.module().encode(subject.cells())
    if not isinstance(found, Tensor) or found.isfinite().all():
        return
    bad = int((~found.isfinite().reshape(len(found), -1).all(dim=1)).nonzero()[0, 0])
    raise CheckFailed(
        f"encode() returned NaN or infinity for cell {bad} of the batch.",
        "finite numbers.",
        "look for a division by zero or a logarithm of zero, or refuse the cell by a DomainError.",
    )


def encode_of_no_cells_returns_no_rows(subject: DomainSubject) -> None:
    """A batch of 0 gives latents (0, latent.dim)."""
    _expect_rows(subject, 0, "begin with an empty tensor (0, latent.dim), or concatenate onto one.")


def encode_of_one_cell_returns_one_row(subject: DomainSubject) -> None:
    """A batch of 1 gives latents (1, latent.dim)."""
    _expect_rows(subject, 1, "look for a squeeze() without a dimension, or a batch statistic.")


def _expect_rows(subject: DomainSubject, number: int, remedy: str) -> None:
    subject.latents(subject.module(), subject.cells())
    wanted = (number, subject.spec.dim)
    try:
        found = subject.module().encode(subject.pick(list(range(number))))
    except Exception as error:
        raise CheckFailed(
            f"encode() of a batch of {number} raised {type(error).__name__}: {error}.",
            f"latents of shape {wanted}.",
            remedy,
        ) from error
    if tuple(found.shape) != wanted:
        raise CheckFailed(
            f"encode() of a batch of {number} returned shape {tuple(found.shape)}.",
            f"{wanted}.",
            remedy,
        )


def each_row_depends_on_its_own_cell_only(subject: DomainSubject) -> None:
    """Cells encoded one by one, or in another order, get the latents they get together."""
    subject.need_steady()
    module, size = subject.module(), subject.size
    together = subject.latents(module, subject.cells())
    alone = torch.cat([subject.latents(module, subject.pick([i])) for i in range(size)])
    reverse = torch.arange(size).flip(0)
    turned = subject.latents(module, subject.pick(reverse)).flip(0)
    for what, found in (("one by one", alone), ("in reverse order", turned)):
        difference = apart(together, found)
        if difference:
            raise CheckFailed(
                f"Latents of cells encoded {what} differ from those of the batch: {difference}.",
                "latents of a cell that do not depend on its neighbours.",
                "look for statistics over the batch, padding that is not masked, or sorted rows "
                "that are not put back.",
            )


def encoding_twice_gives_the_same(subject: DomainSubject) -> None:
    """In eval mode the same batch gives the same bits."""
    module = subject.module()
    with global_seed(1):
        first = subject.latents(module, subject.cells())
    with global_seed(1):
        second = subject.latents(module, subject.cells())
    if not torch.equal(first, second):
        raise CheckFailed(
            f"encode() of one batch gave two results: {apart(first, second) or 'other bits'}.",
            "the same latents every time.",
            "draw nothing in encode(): return the mean of a posterior, leave out augmentations, "
            "and let dropout follow the eval mode.",
        )


def what_was_encoded_before_does_not_matter(subject: DomainSubject) -> None:
    """Latents are no function of earlier calls."""
    subject.need_steady()
    fresh, used = subject.module(), subject.module()
    wanted = subject.latents(fresh, subject.cells())
    subject.latents(used, subject.others())
    found = subject.latents(used, subject.cells())
    difference = apart(wanted, found)
    if difference:
        raise CheckFailed(
            f"After another batch was encoded, latents are {difference}.",
            "latents that depend on cell, config and weights alone.",
            "take settings from the constructor or complete_config(), not from the first batch.",
        )


def encode_leaves_the_global_generators_alone(subject: DomainSubject) -> None:
    """Nothing is drawn from torch's, NumPy's or Python's global generator."""
    module, cells = subject.module(), subject.cells()
    check_draws_nothing(
        partial(subject.latents, module, cells),
        "encode() drew",
        "no draw, or one from a torch.Generator of its own.",
        "pass generator=torch.Generator().manual_seed(...) to whatever draws.",
    )


def encode_leaves_the_module_as_it_was(subject: DomainSubject) -> None:
    """Weights, buffers and the training flag are the same before and after."""
    module = subject.module()
    before, flags = state_of(module), [m.training for m in module.modules()]
    subject.latents(module, subject.cells())
    changed = changed_entries(before, state_of(module))
    if changed:
        raise CheckFailed(
            f"encode() changed {', '.join(changed[:3])}.",
            "a state dict that stays the same: latents are stored under its fingerprint.",
            "keep counters and caches in plain attributes, and running statistics for training.",
        )
    if flags != [m.training for m in module.modules()]:
        raise CheckFailed(
            "encode() switched the training mode.",
            "the mode as it was.",
            "leave eval() and train() to the caller.",
        )


def encode_leaves_the_batch_as_it_was(subject: DomainSubject) -> None:
    """The cells are only read."""
    module, cells = subject.module(), subject.cells()
    before = digest_cells(cells)
    if before is None:
        raise NotJudged("the cells hold something that cannot be digested")
    subject.latents(module, cells)
    if digest_cells(cells) != before:
        raise CheckFailed(
            "encode() changed the cells that it was given.",
            "cells that are only read: the table keeps them.",
            "copy before working in place; methods that end in _ change their tensor.",
        )


def different_cells_get_different_latents(subject: DomainSubject) -> None:
    """Latents say something about their cell."""
    module = subject.module()
    found = torch.cat(
        [subject.latents(module, subject.cells()), subject.latents(module, subject.others())]
    )
    if len(found) < 2:
        raise NotJudged("the batch holds a single cell")
    if not apart(found, found[:1].expand_as(found)):
        raise CheckFailed(
            f"All {len(found)} cells have the same latents.",
            "latents that depend on their cell.",
            "give a batch of different cells; if it is one, see what encode() does with them.",
        )


def padding_of_a_sequence_is_zero(subject: DomainSubject) -> None:
    """Positions of a sequence whose mask is 0 hold 0."""
    sequences = [part for part in subject.spec.parts if part.kind == "sequence"]
    if not sequences:
        raise NotJudged("no part of the latent is a sequence")
    columns = subject.spec.split(subject.latents(subject.module(), subject.cells()))
    for part in sequences:
        values, mask = unpack_sequence(columns[part.name], part.size)
        if values[mask == 0].any():
            raise CheckFailed(
                f'Part "{part.name}": positions whose mask is 0 hold other values than 0.',
                "0 there, so that equal sequences have equal latents.",
                "build the columns with globalworkspace.latents.pack_sequence(values, mask).",
            )


ENCODING: tuple[Check, ...] = (
    the_latent_is_a_spec,
    encode_returns_one_row_per_cell,
    encode_returns_floating_point_numbers,
    encode_returns_finite_numbers,
    encode_of_no_cells_returns_no_rows,
    encode_of_one_cell_returns_one_row,
    each_row_depends_on_its_own_cell_only,
    encoding_twice_gives_the_same,
    what_was_encoded_before_does_not_matter,
    encode_leaves_the_global_generators_alone,
    encode_leaves_the_module_as_it_was,
    encode_leaves_the_batch_as_it_was,
    different_cells_get_different_latents,
    padding_of_a_sequence_is_zero,
)
