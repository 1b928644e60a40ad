"""The trained weights as one tensor: a step of the optimiser is one call, whatever their count.

A workspace has tens of small weight tensors per domain. AdamW, clipping, averaging and (between
processes) adding up gradients cost more in calls than in arithmetic; here each parameter becomes a
view of one flat tensor, and so does its gradient.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from globalworkspace.processes import Processes


class FlatAdamW:
    """AdamW on flat tensors, with gradient clipping and an average of the weights.

    A parameter joins with its first gradient, as an ordinary optimiser leaves those without one
    alone; from then on it takes part in every step. Matrices are decayed, vectors are not.

    Args:
        parameters: Name -> parameter, all on the device they train on.
        weight_decay: AdamW's.
        keep_average: Whether to keep an average of the weights.
        processes: Those whose gradients are added up before a step; their weights begin as those
            of the first.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        *,
        weight_decay: float,
        keep_average: bool,
        processes: Processes | None = None,
    ) -> None:
        self._waiting = dict(parameters)
        self._all = dict(parameters)
        self._blocks: list[_Block] = []
        self._followers: dict[str, nn.Parameter] = {}
        self.weight_decay, self.keep_average = weight_decay, keep_average
        self.processes = processes or Processes()
        for parameter in parameters.values():
            self.processes.copy_from_first(parameter.data)

    def follow(self, followers: Mapping[str, nn.Parameter]) -> None:
        """From now on each of these is the average of the parameter of the same name.

        Until that one has joined it keeps its value.
        """
        assert self.keep_average
        self._followers.update(followers)
        for block in self._blocks:
            block.show_average(self._followers)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for block in self._blocks:
            block.grads.zero_()
        for parameter in self._waiting.values():
            parameter.grad = None

    def parameters(self) -> list[list[nn.Parameter]]:
        """The parameters that have joined, in the order of each flat tensor."""
        return [[self._all[name] for name in block.names] for block in self._blocks]

    def gradients(self) -> list[Tensor]:
        """The flat gradients, one tensor unless parameters joined later; changed in place."""
        self._adopt([name for name, p in self._waiting.items() if p.grad is not None])
        return [block.grads for block in self._blocks]

    def named_gradients(self) -> Iterator[tuple[str, Tensor]]:
        """The name of each parameter that has a gradient, and that gradient."""
        for name, parameter in self._all.items():
            if parameter.grad is not None:
                yield name, parameter.grad

    def step(
        self,
        learning_rate: float,
        clip_norm: float = 0.0,
        hold: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        """Update the weights from the gradients there are.

        Args:
            learning_rate: Of this step.
            clip_norm: Largest norm of all gradients together; 0: no clipping.
            hold: Norm of all gradients together, a scalar -> 1 if nothing shall be updated, 0 if it
                shall; a float scalar on the device, so that nobody waits for it.
        """
        gradients = [self.processes.add(gradient) for gradient in self.gradients()]
        norm = torch.linalg.vector_norm(
            torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients])
        )
        held = None if hold is None else hold(norm)
        if clip_norm:
            factor = (clip_norm / (norm + 1e-6)).clamp(max=1.0)
            for gradient in gradients:
                gradient.mul_(factor)
        for block in self._blocks:
            block.step(learning_rate, held)

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Move the average towards the weights by 1 - `decay`."""
        for block in self._blocks:
            assert block.average is not None
            block.average.lerp_(block.values, 1 - decay)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """The parameters hold their averages inside; nothing changes where none is kept."""
        live = [block.values.clone() for block in self._blocks if block.average is not None]
        with torch.no_grad():
            if live:
                for block in self._blocks:
                    assert block.average is not None
                    block.values.copy_(block.average)
            try:
                yield
            finally:
                for block, values in zip(self._blocks, live, strict=False):
                    block.values.copy_(values)

    def release(self) -> None:
        """Give each parameter a tensor of its own again, and no gradient."""
        for parameter in self._all.values():
            parameter.data = parameter.data.clone()
            parameter.grad = None
        self._waiting, self._blocks = dict(self._all), []

    def state(self) -> tuple[dict[str, Tensor], list[list[str]]]:
        """What a checkpoint needs: flat tensors, and the names of the parameters in each."""
        tensors = {}
        for index, block in enumerate(self._blocks):
            if block.average is not None:
                tensors[f"{index}.average"] = block.average
            for part, stretch in enumerate(block.parts):
                for key, value in stretch.moments.items():
                    tensors[f"{index}.{part}.{key}"] = value
        return tensors, [block.names for block in self._blocks]

    def load(self, tensors: Mapping[str, Tensor], names: Sequence[Sequence[str]]) -> None:
        """Go on from `state`; the parameters themselves are loaded with their modules."""
        for members in names:
            self._adopt(members)
        for index, block in enumerate(self._blocks):
            if block.average is not None:
                block.average.copy_(tensors[f"{index}.average"])
            for part, stretch in enumerate(block.parts):
                for key, value in stretch.moments.items():
                    value.copy_(tensors[f"{index}.{part}.{key}"])

    def _adopt(self, names: Sequence[str]) -> None:
        """Move the named parameters into a flat tensor of their own (one per dtype)."""
        for dtype in dict.fromkeys(self._waiting[name].dtype for name in names):
            members = {n: self._waiting[n] for n in names if self._waiting[n].dtype == dtype}
            block = _Block(members, self.weight_decay, self.keep_average)
            block.show_average(self._followers)
            self._blocks.append(block)
        for name in names:
            del self._waiting[name]


class _Block:
    """Parameters as stretches of one tensor, those that are decayed first."""

    def __init__(
        self, members: Mapping[str, nn.Parameter], weight_decay: float, keep_average: bool
    ) -> None:
        ordered = sorted(members, key=lambda name: members[name].ndim < 2)
        parameters = [members[name] for name in ordered]
        self.names = ordered
        self.values = torch.cat([p.detach().reshape(-1) for p in parameters])
        self.grads = torch.cat(
            [
                torch.zeros_like(p).view(-1) if p.grad is None else p.grad.reshape(-1)
                for p in parameters
            ]
        )
        self.sizes = sizes = [p.numel() for p in parameters]
        for parameter, value, grad in zip(
            parameters, self.values.split(sizes), self.grads.split(sizes), strict=True
        ):
            parameter.data = value.view(parameter.shape)
            parameter.grad = grad.view(parameter.shape)
        decayed = sum(p.numel() for p in parameters if p.ndim >= 2)
        shares = [decayed, len(self.values) - decayed]
        self.parts = [
            _Stretch(value, grad, decay)
            for value, grad, decay in zip(
                self.values.split(shares),
                self.grads.split(shares),
                (weight_decay, 0.0),
                strict=True,
            )
            if len(value)
        ]
        self.average = self.values.clone() if keep_average else None

    def show_average(self, followers: Mapping[str, nn.Parameter]) -> None:
        """Make those of the followers that belong here views of the average."""
        if self.average is None:
            return
        for name, stretch in zip(self.names, self.average.split(self.sizes), strict=True):
            if name in followers:
                followers[name].data = stretch.view(followers[name].shape)

    @torch.no_grad()
    def step(self, learning_rate: float, held: Tensor | None) -> None:
        """AdamW's update; none where `held` is 1."""
        for part in self.parts:
            adamw(
                [part.values],
                [part.grads],
                [part.moments["exp_avg"]],
                [part.moments["exp_avg_sq"]],
                [],
                [part.moments["step"]],
                fused=True,
                found_inf=held,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=learning_rate,
                weight_decay=part.decay,
                eps=1e-8,
                maximize=False,
            )


class _Stretch:
    """Weights that share a decay, their gradients, and what AdamW remembers of them."""

    def __init__(self, values: Tensor, grads: Tensor, decay: float) -> None:
        self.values, self.grads, self.decay = values, grads, decay
        self.moments = {
            "step": torch.zeros((), dtype=torch.float32, device=values.device),
            "exp_avg": torch.zeros_like(values),
            "exp_avg_sq": torch.zeros_like(values),
        }


def named_parameters(**modules: nn.Module) -> dict[str, nn.Parameter]:
    """`prefix.name` -> each trainable parameter of the modules, each parameter once."""
    found: dict[str, nn.Parameter] = {}
    seen: set[Any] = set()
    for prefix, module in modules.items():
        for name, parameter in module.named_parameters():
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                found[f"{prefix}.{name}"] = parameter
    return found
