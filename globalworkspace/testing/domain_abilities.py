"""Checks of what a module may have beside `encode`: a decoder, a loss, renderings."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from globalworkspace.data.cells import digest_cells, num_cells, take_cells
from globalworkspace.domain import DomainModule, Prepares, Rendering, Renders, Trainable
from globalworkspace.errors import DataError
from globalworkspace.testing.checks import Check, CheckFailed, NotJudged, apart, global_seed
from globalworkspace.testing.subject import DomainSubject

_MEDIA_TYPE = re.compile(r"[a-z]+/[\w.+-]+\Z")
_GROWTH = 1.5
"""How much further the second trip through decode and encode may lead than the first."""


def decode_returns_one_item_per_row(subject: DomainSubject) -> None:
    """B latents give B items, for the whole batch and for one."""
    subject.need_steady()
    module = subject.decoder()
    latents = subject.latents(subject.module(), subject.cells())
    for rows in dict.fromkeys((len(latents), 1)):
        decoded = _decode(module, latents[:rows])
        try:
            number = num_cells("decoded", decoded)
        except DataError as error:
            raise CheckFailed(
                f"decode() returned a {type(decoded).__name__}: {error}",
                "a raw batch: a list, a tensor, or a mapping of columns.",
                "return what encode() takes.",
            ) from error
        if number != rows:
            raise CheckFailed(
                f"decode() of {rows} latents returned {number} items.",
                "one item per latent.",
                "keep the first dimension, also where it is 1.",
            )


def what_decode_returns_can_be_encoded(subject: DomainSubject) -> None:
    """Decoded items are cells again."""
    subject.need_steady()
    module = subject.decoder()
    latents = subject.latents(subject.module(), subject.cells())
    decoded = _decoded(module, latents)
    try:
        subject.latents(module, decoded)
    except NotJudged as reason:
        raise CheckFailed(
            f"What decode() returned cannot be encoded: {reason}.",
            "items of the same kind as the cells.",
            "return from decode() what encode() takes, within the range that it takes.",
        ) from reason


def decoding_twice_gives_the_same(subject: DomainSubject) -> None:
    """`decode` is a function of the latents."""
    subject.need_steady()
    module = subject.decoder()
    latents = subject.latents(subject.module(), subject.cells())
    found = []
    for seed in (1, 2):
        found.append(_decoded(module, latents, seed))
    digests = [digest_cells(items) for items in found]
    if None not in digests and digests[0] == digests[1]:
        return
    if None not in digests or apart(*(subject.latents(module, x) for x in found)):
        raise CheckFailed(
            "decode() of the same latents gave two results.",
            "the same items every time.",
            "answer with the likeliest item, or draw from a generator with a fixed seed.",
        )


def each_item_is_decoded_from_its_own_row(subject: DomainSubject) -> None:
    """In another order the latents give the same items, in that order."""
    subject.need_steady()
    module = subject.decoder()
    latents = subject.latents(subject.module(), subject.cells())
    order = torch.arange(len(latents)).roll(1)
    together = _encoded_one_by_one(subject, module, _decoded(module, latents))
    turned = _encoded_one_by_one(subject, module, _decoded(module, latents[order]))
    difference = apart(together[order], turned)
    if difference:
        raise CheckFailed(
            f"Decoded in another order, the items are others; their latents are {difference}.",
            "items that depend on their own latent.",
            "look for rows that are sorted and not put back, or statistics over the batch.",
        )


def decoding_and_encoding_again_leads_nowhere_else(subject: DomainSubject) -> None:
    """A second trip through `decode` and `encode` moves latents no further than the first."""
    subject.need_steady()
    module = subject.decoder()
    start = subject.latents(subject.module(), subject.cells())
    first = subject.latents(module, _decoded(module, start))
    second = subject.latents(module, _decoded(module, first))
    began, went_on = ((a - b).norm(dim=1).mean() for a, b in ((start, first), (first, second)))
    slack = 1e-3 * start.norm(dim=1).mean()
    if went_on > _GROWTH * began + slack:
        raise CheckFailed(
            f"Decoded and encoded again, latents move by {float(began):.3g} on average, and a "
            f"second time by {float(went_on):.3g}.",
            "trips that do not lead further and further away.",
            "see that encode() undoes the scaling and the range of decode().",
        )


def the_loss_is_one_finite_value_per_cell(subject: DomainSubject) -> None:
    """`unimodal_loss` gives named terms (B,), at the beginning, middle and end of a training."""
    module, cells = _in_training(subject)
    for progress in (0.0, 0.5, 1.0):
        terms = _loss(module, cells, progress)
        if not isinstance(terms, dict) or not terms:
            raise CheckFailed(
                f"unimodal_loss() returned {type(terms).__name__}.",
                "a dict of term -> (B,) values with one term or more.",
                'return {"name": values}.',
            )
        for name, values in terms.items():
            shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            if shape != (subject.size,):
                raise CheckFailed(
                    f'The term "{name}" of {subject.size} cells is {shape}.',
                    f"({subject.size},): one value per cell.",
                    "average over everything but the first dimension.",
                )
            if not values.isfinite().all():
                raise CheckFailed(
                    f'The term "{name}" is not finite at progress {progress:g}.',
                    "finite values.",
                    "look for a logarithm or a division by zero, also in annealing.",
                )


def the_loss_draws_from_its_generator_only(subject: DomainSubject) -> None:
    """In eval mode equal generators give equal losses, whatever the global generators hold."""
    module, cells = _in_training(subject)
    module.eval()
    found = []
    for seed in (1, 2):
        with global_seed(seed):
            found.append(_loss(module, cells, 0.5))
    for name, values in found[0].items():
        if apart(values, found[1][name]):
            raise CheckFailed(
                f'The term "{name}" differs between two calls with equal generators.',
                "a loss whose chance comes from the given generator.",
                "pass generator=generator to whatever draws; dropout follows the eval mode.",
            )


def the_loss_teaches_every_trainable_parameter(subject: DomainSubject) -> None:
    """Each of `trainable_parameters` gets a finite gradient."""
    module, cells = _in_training(subject)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    chosen = module.trainable_parameters()
    if not chosen or any(id(parameter) not in names for parameter in chosen):
        raise CheckFailed(
            "trainable_parameters() is empty or holds something that is no parameter of the "
            "module.",
            "parameters of the module.",
            "return some of list(self.parameters()).",
        )
    terms = _loss(module, cells, 1.0)
    total = torch.stack([values.float().mean() for values in terms.values()]).sum()
    if total.requires_grad:
        total.backward()
    untaught = [names[id(p)] for p in chosen if p.grad is None or not p.grad.isfinite().all()]
    if untaught or not any(p.grad is not None and p.grad.any() for p in chosen):
        raise CheckFailed(
            f"The loss gives no finite gradient to {', '.join(untaught[:3]) or 'any parameter'}.",
            "a gradient for each of trainable_parameters().",
            "look for no_grad, detach() or a conversion to NumPy in the loss; leave what is not "
            "trained out of trainable_parameters().",
        )


def prepare_returns_as_many_cells(subject: DomainSubject) -> None:
    """`prepare` gives one prepared cell per cell."""
    module = subject.module()
    if not isinstance(module, Prepares):
        raise NotJudged("it has no prepare()")
    number = num_cells("prepared", module.prepare(subject.cells()))
    if number != subject.size:
        raise CheckFailed(
            f"prepare() made {number} cells of {subject.size}.",
            "as many, in the same order.",
            "do not batch, filter or flatten the cells.",
        )


def renderings_show_every_item(subject: DomainSubject) -> None:
    """Cells, and decoded items, have a rendering each, with data and words."""
    module = subject.module()
    if not isinstance(module, Renders):
        raise NotJudged("it has no render()")
    _check_renderings("cells", module.render(subject.cells()), subject.size)
    try:
        decoder = subject.decoder()
        decoded = _decoded(decoder, subject.latents(subject.module(), subject.cells()))
    except NotJudged:
        return
    _check_renderings("decoded items", module.render(decoded), num_cells("decoded", decoded))


def _check_renderings(what: str, found: Any, number: int) -> None:
    if not isinstance(found, list) or len(found) != number:
        got = f"{len(found)} renderings" if hasattr(found, "__len__") else type(found).__name__
        raise CheckFailed(
            f"render() of {number} {what} returned {got}.",
            "a list of one Rendering per item.",
            "return [Rendering(media_type=..., data=..., alt=...) for each item].",
        )
    for index, rendering in enumerate(found):
        fault = _fault(rendering)
        if fault:
            raise CheckFailed(
                f"Rendering {index} of the {what} has {fault}.",
                'a media type such as "image/png", bytes, and the item in words.',
                "fill media_type, data and alt for every item.",
            )


def _fault(rendering: Any) -> str | None:
    if not isinstance(rendering, Rendering):
        return f"the wrong type {type(rendering).__name__}"
    if not _MEDIA_TYPE.match(rendering.media_type):
        return f"the media type {rendering.media_type!r}"
    if not isinstance(rendering.data, bytes) or not rendering.data:
        return "no data"
    if not isinstance(rendering.alt, str) or not rendering.alt.strip():
        return "no words (alt)"
    return None


def _decode(module: Any, latents: Tensor, seed: int = 1) -> Any:
    with torch.no_grad(), global_seed(seed):
        return module.decode(latents.clone())


def _decoded(module: Any, latents: Tensor, seed: int = 1) -> Any:
    decoded = _decode(module, latents, seed)
    try:
        number = num_cells("decoded", decoded)
    except DataError as error:
        raise NotJudged("decode() does not return a raw batch") from error
    if number != len(latents):
        raise NotJudged("decode() does not return one item per latent")
    return decoded


def _encoded_one_by_one(subject: DomainSubject, module: DomainModule, items: Any) -> Tensor:
    number = num_cells("decoded", items)
    rows = torch.arange(number).split(1)
    return torch.cat([subject.latents(module, take_cells(items, row)) for row in rows])


def _in_training(subject: DomainSubject) -> tuple[Any, Any]:
    """A copy as `fit-domain` trains it, and the cells as it gets them."""
    module = subject.module()
    if not isinstance(module, Trainable):
        raise NotJudged("it has no unimodal_loss()")
    cells = module.prepare(subject.cells()) if isinstance(module, Prepares) else subject.cells()
    for parameter in module.trainable_parameters():
        parameter.requires_grad_(True)
    module.train()
    return module, cells


def _loss(module: Any, cells: Any, progress: float) -> dict[str, Tensor]:
    found: dict[str, Tensor] = module.unimodal_loss(
        cells, progress, torch.Generator().manual_seed(0)
    )
    return found


ABILITIES: tuple[Check, ...] = (
    decode_returns_one_item_per_row,
    what_decode_returns_can_be_encoded,
    decoding_twice_gives_the_same,
    each_item_is_decoded_from_its_own_row,
    decoding_and_encoding_again_leads_nowhere_else,
    the_loss_is_one_finite_value_per_cell,
    the_loss_draws_from_its_generator_only,
    the_loss_teaches_every_trainable_parameter,
    prepare_returns_as_many_cells,
    renderings_show_every_item,
)
