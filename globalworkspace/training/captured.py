"""A step as one function: losses and gradient, captured once and compiled as a whole.

Compiling network by network leaves most of a small workspace's time where it is: in the calls
between the networks. Here the step is traced with its backward pass into one graph of tensor
operations, which torch.compile then turns into a few kernels.

What would differ from step to step comes in from outside: the batch, the families' weights, and the
generators of chance, which are seeded anew for each step. An objective that looks at the number of
the step (a contrastive loss with a budget draws its pairs by it) cannot be captured.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from globalworkspace.data.sampler import Batch
from globalworkspace.randomness import LastingChance
from globalworkspace.training.flat import FlatAdamW
from globalworkspace.training.orchestrator import LossOrchestrator, LossReport

log = logging.getLogger(__name__)
COMPILE: Callable[[Any], Any] = functools.partial(torch.compile, dynamic=False)
"""What makes kernels of a graph."""


class CapturedStep:
    """Computes the losses of a batch and adds its gradient to the optimiser's, compiled.

    Args:
        orchestrator: Whose losses.
        optimizer: Whose flat gradients.
        autocast: What the forward pass runs under.
    """

    def __init__(
        self,
        orchestrator: LossOrchestrator,
        optimizer: FlatAdamW,
        autocast: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self.orchestrator, self.optimizer, self.autocast = orchestrator, optimizer, autocast
        self._graph: _Graph | None = None
        self._failed = False
        if orchestrator.processes.size > 1:
            self._fall_back("several processes share it")

    def __call__(self, batch: Batch, step: int, draw: int, share: float) -> LossReport | None:
        """The losses of a batch; `share` times its gradient is added to the flat gradients.

        None, and nothing added, where the step has to be walked plainly: it cannot be captured, or
        not yet, as a first plain one has to find the weights that get a gradient.
        """
        if self._graph is None and not self._failed and self.optimizer.parameters():
            self._capture(batch, step, draw)
        if self._graph is None:
            return None
        report, gradients = self._graph(batch, step, draw)
        for flat, gradient in zip(self.optimizer.gradients(), gradients, strict=True):
            flat.add_(gradient, alpha=share)
        return report

    def forget(self) -> None:
        """Capture anew at the next step: the weights lie elsewhere now."""
        self._graph = None

    def _capture(self, batch: Batch, step: int, draw: int) -> None:
        """Make the graph, if that can be done; every batch of a training has the same layout."""
        log.info("capturing and compiling the step")
        devices = {latents.device for latents in batch.latents.values()}
        with torch.random.fork_rng(devices=[d for d in devices if d.type == "cuda"]):
            try:
                graph = _Graph(self, batch, step, draw)
            except _StepLookedAt:
                return self._fall_back("an objective looks at the number of the step")
            except Exception as error:  # tracing may fail in any way; training goes on without it
                return self._fall_back(_first_line(error))
            try:
                graph(batch, step, draw)
            except Exception as error:  # no C++ compiler, say
                self._failed = True
                log.warning(
                    "compile=True: torch.compile failed (%s); training goes on uncompiled.",
                    _first_line(error),
                )
                return
        self._graph = graph

    def _fall_back(self, reason: str) -> None:
        self._failed = True
        log.warning(
            "compile=True: the step cannot be compiled as a whole (%s); its networks are, one by "
            "one.",
            reason,
        )
        workspace: Any = self.orchestrator.workspace
        for network in [*workspace.encoders.values(), *workspace.decoders.values()]:
            network.compile()


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


class _Graph:
    """The captured step."""

    def __init__(self, owner: CapturedStep, batch: Batch, step: int, draw: int) -> None:
        from torch.fx.experimental.proxy_tensor import make_fx

        self.orchestrator = owner.orchestrator
        self.chance = LastingChance(self.orchestrator.seed, draw)
        blocks = owner.optimizer.parameters()

        def run(weights: Tensor, *latents: Tensor) -> tuple[Any, ...]:
            given = Batch(batch.segments, dict(zip(batch.latents, latents, strict=True)), ())
            unknown: Any = _UnknownStep()
            with owner.autocast():
                report = self.orchestrator.report(given, unknown, self.chance, weights)
            parameters = [parameter for block in blocks for parameter in block]
            found = iter(torch.autograd.grad(report.total, parameters, materialize_grads=True))
            flat = [torch.cat([next(found).reshape(-1) for _ in block]) for block in blocks]
            families = {name: value.detach() for name, value in report.families.items()}
            return flat, report.total.detach(), families, report.terms

        graph = make_fx(run)(self._weights(batch, step), *batch.latents.values())
        self.draws = _draws_as_inputs(graph)
        self.compiled = COMPILE(graph)

    @torch.no_grad()
    def __call__(self, batch: Batch, step: int, draw: int) -> tuple[LossReport, list[Tensor]]:
        """The losses, without gradient, and the flat gradients."""
        self.chance.move(draw)
        drawn = [draw(*args, **kwargs) for draw, args, kwargs in self.draws]
        gradients, *losses = self.compiled(
            self._weights(batch, step), *batch.latents.values(), *drawn
        )
        return LossReport(*losses), gradients

    def _weights(self, batch: Batch, step: int) -> Tensor:
        return next(iter(batch.latents.values())).new_tensor(self.orchestrator.weights(step))


def _draws_as_inputs(graph: torch.fx.GraphModule) -> list[tuple[Any, Any, Any]]:
    """Take what is drawn from a generator out of the graph, as inputs after those it has.

    Returns:
        (function, args, kwargs) of each draw, in order.
    """
    nodes = graph.graph.nodes
    held = {node: getattr(graph, str(node.target)) for node in nodes if node.op == "get_attr"}
    generators = {node: g for node, g in held.items() if isinstance(g, torch.Generator)}
    draws = []
    last = [node for node in nodes if node.op == "placeholder"][-1]
    for node in list(nodes):
        given = node.all_input_nodes
        if not any(x in generators for x in given):
            continue
        if not all(x in generators for x in given):
            raise ValueError(f"{node.target} draws from a generator by what it is given")
        args = tuple(generators.get(x, x) for x in node.args)
        kwargs = {name: generators.get(x, x) for name, x in node.kwargs.items()}
        draws.append((node.target, args, kwargs))
        with graph.graph.inserting_after(last):
            last = graph.graph.placeholder(f"drawn_{len(draws)}")
        node.replace_all_uses_with(last)
        graph.graph.erase_node(node)
    for node in generators:
        graph.graph.erase_node(node)
    graph.recompile()
    return draws


class _StepLookedAt(Exception):
    pass


class _UnknownStep:
    """Stands for the number of the step: whatever follows from it would be captured for good."""

    def _looked_at(self, *_: Any) -> Any:
        raise _StepLookedAt

    __str__ = __repr__ = __format__ = __hash__ = __bool__ = _looked_at
    __int__ = __index__ = __float__ = _looked_at
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _looked_at
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _looked_at
    __truediv__ = __rtruediv__ = __floordiv__ = __mod__ = _looked_at
