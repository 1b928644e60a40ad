"""Checks of what a workspace does with a domain module: freeze it, move it, learn over it."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import torch
from torch import Tensor

from globalworkspace.data.sampler import Batch, Segment
from globalworkspace.domain import Decodes, DomainModule, Prepares, Trainable
from globalworkspace.errors import DomainError
from globalworkspace.latents import LatentSpec, Part, unpack_sequence
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.translation import Translation
from globalworkspace.testing.checks import (
    Check,
    CheckFailed,
    NotJudged,
    apart,
    changed_entries,
    state_of,
)
from globalworkspace.testing.pretend_device import DeviceMix, PretendDevice
from globalworkspace.testing.subject import DomainSubject
from globalworkspace.training.orchestrator import LossOrchestrator
from globalworkspace.workspace import GlobalWorkspace

PERTURBATIONS = 100
EXACT_LOSS = 1e-3


def freezing_reaches_every_part(subject: DomainSubject) -> None:
    """A frozen module is in eval mode and none of its parameters wants a gradient."""
    module = subject.module()
    training = [type(part).__name__ for part in module.modules() if part.training]
    wanting = [name for name, p in module.named_parameters() if p.requires_grad]
    if training or wanting:
        raise CheckFailed(
            f"After freezing, {', '.join(training[:3]) or 'no part'} is still in training mode and "
            f"{', '.join(wanting[:3]) or 'no parameter'} still wants gradients.",
            "eval() and requires_grad_(False) that reach every part.",
            "do not override train(), eval() or requires_grad_(), or call super() there.",
        )


def a_frozen_module_encodes_without_gradient(subject: DomainSubject) -> None:
    """The latents of a frozen module need no gradient, also outside of `no_grad`."""
    with torch.enable_grad():
        found = subject.module().encode(subject.cells())
    if isinstance(found, Tensor) and found.requires_grad:
        raise CheckFailed(
            "The latents of the frozen module still carry a gradient.",
            "latents that need none.",
            "register every tensor that learns as a parameter (nn.Parameter, nn.ModuleList), or "
            "put @torch.no_grad() on encode().",
        )


def training_a_workspace_over_it_leaves_it_as_it_was(subject: DomainSubject) -> None:
    """Two steps of a workspace give its parameters no gradient and change none of its weights."""
    module = subject.module()
    before = state_of(module)
    subject.latents(module, subject.cells())
    if changed_entries(before, state_of(module)):
        raise NotJudged("encode() changes the module by itself")
    workspace = GlobalWorkspace({"tested": module, "partner": _Partner()}, dim=4, hidden_dim=8)
    with torch.enable_grad():
        _two_steps(workspace, subject.cells())
    changed = changed_entries(before, state_of(module))
    fed = [name for name, p in module.named_parameters() if p.grad is not None]
    if changed or fed:
        raise CheckFailed(
            f"After two steps of a workspace, {', '.join(fed[:3]) or 'no parameter'} has a "
            f"gradient and {', '.join(changed[:3]) or 'no weight'} is another.",
            "a frozen module that takes no part in the training.",
            "do not call backward() or set requires_grad inside encode().",
        )


class _Partner(DomainModule):
    """Another domain for the workspace: two numbers."""

    latent = LatentSpec.continuous(2)

    def encode(self, raw: Any) -> Tensor:
        return torch.as_tensor(raw, dtype=torch.float32)

    def config(self) -> dict[str, Any]:
        return {}


def _two_steps(workspace: GlobalWorkspace, cells: Any) -> None:
    modules = workspace.domains
    generator = torch.Generator().manual_seed(0)
    families = [Translation(), Contrastive(), DemiCycle(), Cycle()]
    orchestrator = LossOrchestrator(workspace, families)
    optimizer = torch.optim.SGD(workspace.parameters(), lr=1e-3)
    for step in range(2):
        tested = modules["tested"].encode(cells).detach()
        latents = {"tested": tested, "partner": torch.randn(len(tested), 2, generator=generator)}
        if step == 0:
            with warnings.catch_warnings(), contextlib.suppress(DomainError):
                warnings.simplefilter("ignore", UserWarning)  # a handful of rows, some all equal
                workspace.fit_standardizers(latents)
            optimizer = torch.optim.SGD(workspace.parameters(), lr=1e-3)
        standard = {
            name: workspace.standardizer(name).standardize(values.to(workspace.dtype))
            for name, values in latents.items()
        }
        segments = tuple(
            Segment(group, len(tested)) for group in (("tested", "partner"), ("tested",))
        )
        doubled = {
            "tested": torch.cat([standard["tested"]] * 2),
            "partner": standard["partner"],
        }
        rows = (torch.arange(len(tested)),) * 2
        optimizer.zero_grad()
        orchestrator(Batch(segments, doubled, rows), step).total.backward()
        optimizer.step()


def everything_follows_the_module_to_another_device(subject: DomainSubject) -> None:
    """No tensor stays on the CPU when the module moves, in `encode`, `decode` and the loss.

    On the machine's accelerator if it has one, and on a pretended one everywhere.
    """
    subject.need_steady()
    try:
        _pretend(subject)
    except DeviceMix as mix:
        raise CheckFailed(
            f"On a device, {mix}.",
            "that every tensor lies where the module's weights lie.",
            "register constants with register_buffer(), make new tensors with device= of a weight, "
            "move the cells with .to(), and draw with the generator on its own device.",
        ) from mix
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is not None:
        _move(subject, accelerator)


def _move(subject: DomainSubject, accelerator: torch.device) -> None:
    module = subject.module()
    wanted = subject.latents(module, subject.cells())
    try:
        found = module.to(accelerator).encode(subject.cells()).cpu()
    except RuntimeError as error:
        raise CheckFailed(
            f"On {accelerator} encode() raises: {error}.",
            "latents as on the CPU.",
            "move the cells to the device of a weight, and register constants as buffers.",
        ) from error
    if (wanted - found).abs().max() > 1e-2 * wanted.abs().max():
        raise CheckFailed(
            f"On {accelerator} the latents are others: {apart(wanted, found)}.",
            "the same up to rounding.",
            "look for tensors that are made anew on each device.",
        )


def _pretend(subject: DomainSubject) -> None:
    module = subject.module()
    decoder = subject.decoder() if isinstance(module, Decodes) else None
    cells = subject.cells()
    prepared = module.prepare(subject.cells()) if isinstance(module, Prepares) else subject.cells()
    latents = subject.latents(module, subject.cells())
    with PretendDevice() as device, torch.no_grad():
        device.place(module)
        module.encode(cells)
        if isinstance(module, Trainable):
            module.unimodal_loss(prepared, 0.5, torch.Generator().manual_seed(0))
        if decoder is not None:
            device.place(decoder)
            decoder.decode(device.move(latents))


def an_exact_prediction_has_the_least_loss(subject: DomainSubject) -> None:
    """The loss of an exactly right prediction is under 1e-3 and under that of 100 others."""
    spec = subject.spec
    latents = subject.latents(subject.module(), subject.cells()).double().cpu()
    if not len(latents):
        raise NotJudged("the batch is empty")
    exact = spec.loss(spec.exact_prediction(latents), latents)
    if not exact.abs().max() < EXACT_LOSS:
        row = int(exact.abs().argmax())
        raise CheckFailed(
            f"The loss of an exactly right prediction is {float(exact[row]):.3g} for cell {row}"
            f"{_culprit(spec, latents)}.",
            f"less than {EXACT_LOSS:g} from 0.",
            "encode a category as one-hot, an angle as (cos, sin), and a mask as 0 or 1.",
        )
    generator = torch.Generator().manual_seed(0)
    for _ in range(PERTURBATIONS):
        other = spec.loss(spec.exact_prediction(_perturbed(spec, latents, generator)), latents)
        if not (other > exact).all():
            row = int((~(other > exact)).nonzero()[0, 0])
            raise CheckFailed(
                f"A wrong prediction for cell {row} has loss {float(other[row]):.3g}, the right "
                f"one {float(exact[row]):.3g}.",
                "the least loss for the right prediction.",
                "see that every column of the latent is compared, each as its part says.",
            )


def _culprit(spec: LatentSpec, latents: Tensor) -> str:
    """The part whose own loss is too large, in words."""
    for part, columns in zip(spec.parts, spec.split(latents).values(), strict=True):
        alone = LatentSpec((part,))
        loss = alone.loss(alone.exact_prediction(columns), columns).abs()
        if not loss.max() < EXACT_LOSS:
            shown = ", ".join(f"{x:.3g}" for x in columns[int(loss.argmax())][:6].tolist())
            return f' (part "{part.name}", {part.kind}, holds {shown})'
    return ""


def _perturbed(spec: LatentSpec, latents: Tensor, generator: torch.Generator) -> Tensor:
    """Other latents (B, D), valid and different from these in every row; one part is changed."""
    able = [part for part in spec.parts if part.kind != "categorical" or part.size > 1]
    if not able:
        raise NotJudged("the latent has one class only")
    chosen = able[int(torch.randint(len(able), (), generator=generator))]
    pieces = spec.split(latents)
    return torch.cat(
        [
            _other(part, pieces[part.name], generator) if part is chosen else pieces[part.name]
            for part in spec.parts
        ],
        dim=1,
    )


def _other(part: Part, columns: Tensor, generator: torch.Generator) -> Tensor:
    rows = len(columns)
    if part.kind == "continuous":
        scale = columns.std(dim=0, correction=0) + 0.1 * columns.abs().mean(dim=0) + 1e-3
        return columns + scale * torch.randn(columns.shape, generator=generator, dtype=torch.double)
    if part.kind == "categorical":
        shift = torch.randint(1, part.size, (rows,), generator=generator)
        classes = (columns.argmax(dim=1) + shift) % part.size
        return torch.nn.functional.one_hot(classes, part.size).double()
    if part.kind == "circular":
        turn = 0.3 + (2 * torch.pi - 0.6) * torch.rand(
            rows, part.size, generator=generator, dtype=torch.double
        )
        x, y = columns.unflatten(1, (part.size, 2)).unbind(dim=2)
        turned = (x * turn.cos() - y * turn.sin(), x * turn.sin() + y * turn.cos())
        return torch.stack(turned, dim=2).flatten(1)
    values, mask = (piece.clone() for piece in unpack_sequence(columns, part.size))
    values += torch.randn(values.shape, generator=generator, dtype=torch.double) * mask[:, :, None]
    where = torch.randint(part.length, (rows,), generator=generator)
    mask[torch.arange(rows), where] = 1 - mask[torch.arange(rows), where]
    return torch.cat([values, mask[:, :, None]], dim=2).flatten(1)


FREEZING: tuple[Check, ...] = (
    freezing_reaches_every_part,
    a_frozen_module_encodes_without_gradient,
    training_a_workspace_over_it_leaves_it_as_it_was,
    everything_follows_the_module_to_another_device,
    an_exact_prediction_has_the_least_loss,
)
