"""A step as one function: losses and gradient, captured once, then run without Python.

A small workspace's step is hundreds of small operations, and most of its time goes into calling
them. On a GPU the calls are recorded once, as a CUDA graph, and launched together from then on.
With `compile` the step is traced with its backward pass into one graph of tensor operations, which
torch.compile turns into a few kernels first. (Compiling network by network would leave most of the
time where it is: in the calls between the networks.)

What differs from step to step comes in from outside: the batch, the families' weights, and what is
drawn from generators, which are seeded anew for each step. An objective that looks at the number of
the step (a contrastive loss with a budget draws its pairs by it) cannot be captured.
"""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from globalworkspace.data.sampler import Batch
from globalworkspace.moving import onto
from globalworkspace.randomness import LastingChance
from globalworkspace.training.flat import FlatAdamW
from globalworkspace.training.orchestrator import LossOrchestrator, LossReport

log = logging.getLogger(__name__)
COMPILE: Callable[[Any], Any] = functools.partial(torch.compile, dynamic=False)
"""What makes kernels of a graph."""


class CapturedStep:
    """Computes the losses of a batch and adds its gradient to the optimiser's.

    Args:
        orchestrator: Whose losses.
        optimizer: Whose flat gradients.
        autocast: What the forward pass runs under.
        compiled: Whether it is compiled; if not, its operations are what they are, and only a GPU
            gains.
    """

    def __init__(
        self,
        orchestrator: LossOrchestrator,
        optimizer: FlatAdamW,
        autocast: Callable[[], AbstractContextManager[Any]],
        *,
        compiled: bool,
    ) -> None:
        self.orchestrator, self.optimizer, self.autocast = orchestrator, optimizer, autocast
        self.compiled = compiled
        self._graph: _Graph | None = None
        self._failed = False
        if orchestrator.processes.size > 1:
            self._fall_back("several processes share it")

    def __call__(self, batch: Batch, step: int, draw: int, share: float) -> LossReport | None:
        """The losses of a batch; `share` times its gradient is added to the flat gradients.

        The report holds until the next call. None, and nothing added, where the step has to be
        walked plainly: it cannot be captured, or not yet, as a first plain one has to find the
        weights that get a gradient.
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
        if self.compiled:
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
        if not self.compiled:
            level = logging.INFO if self.orchestrator.processes.size > 1 else logging.WARNING
            log.log(
                level, "the step is launched call by call, which takes a GPU far longer: %s", reason
            )
            return
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
        self.orchestrator = owner.orchestrator
        self.device = next(iter(batch.latents.values())).device
        self.chance = LastingChance(self.orchestrator.seed, draw)
        self.draws = _Draws(self.device)
        self._known_weights: tuple[list[float], Tensor] | None = None
        blocks = owner.optimizer.parameters()
        parameters = [parameter for block in blocks for parameter in block]
        names = list(batch.latents)

        def losses(weights: Tensor, *inputs: Tensor) -> LossReport:
            given = Batch(batch.segments, dict(zip(names, inputs, strict=False)), ())
            unknown: Any = _UnknownStep()
            with self.draws.answered(inputs[len(names) :]), owner.autocast():
                return self.orchestrator.report(given, unknown, self.chance, weights)

        def run(weights: Tensor, *inputs: Tensor) -> tuple[Any, ...]:
            report = losses(weights, *inputs)
            found = iter(torch.autograd.grad(report.total, parameters, materialize_grads=True))
            flat = [torch.cat([next(found).reshape(-1) for _ in block]) for block in blocks]
            told = report.detached()
            return flat, told.total, told.families, told.terms

        with torch.no_grad():
            losses(*self._inputs(batch, step))  # draws are noted
        self.run: Callable[..., Any] = run
        inputs = self._inputs(batch, step)
        if owner.compiled:
            from torch.fx.experimental.proxy_tensor import make_fx

            self.run = torch.no_grad()(COMPILE(make_fx(run)(*inputs)))
        if self.device.type == "cuda":
            with torch.cuda.device(self.device):  # which need not be the first of several
                self.run = _Replayed(self.run, inputs)

    def __call__(self, batch: Batch, step: int, draw: int) -> tuple[LossReport, list[Tensor]]:
        """The losses, without gradient, and the flat gradients."""
        self.chance.move(draw)
        gradients, *losses = self.run(*self._inputs(batch, step))
        return LossReport(*losses), gradients

    def _inputs(self, batch: Batch, step: int) -> list[Tensor]:
        """Families' weights, latents, and what is drawn."""
        weights = self.orchestrator.weights(step)
        if self._known_weights is None or self._known_weights[0] != weights:
            dtype = next(iter(batch.latents.values())).dtype
            self._known_weights = weights, onto(torch.tensor(weights, dtype=dtype), self.device)
        return [self._known_weights[1], *batch.latents.values(), *self.draws.next()]


class _Draws(TorchFunctionMode):
    """The calls inside that draw from a generator: noted once, then answered from outside."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.calls: list[tuple[Callable[..., Tensor], Sequence[Any], dict[str, Any]]] = []
        self._answers: Iterator[Tensor] | None = None

    def next(self) -> list[Tensor]:
        """What the noted calls draw now, in order, on the device."""
        return [onto(call(*args, **kwargs), self.device) for call, args, kwargs in self.calls]

    def answered(self, answers: Sequence[Tensor]) -> _Draws:
        """Inside, calls get these answers; the first time there are none, and calls are noted."""
        self._answers = iter(answers) if self.calls else None
        return self

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Every call of a torch function inside comes by here."""
        kwargs = kwargs or {}
        given = [*args, *kwargs.values()]
        if not any(isinstance(x, torch.Generator) for x in given):
            return func(*args, **kwargs)
        if any(isinstance(x, Tensor) for x in given):
            raise ValueError(f"{func.__name__} draws from a generator by what it is given")
        if self._answers is not None:
            return next(self._answers)
        self.calls.append((func, args, kwargs))
        return onto(func(*args, **kwargs), self.device)


class _Replayed:
    """A function of tensors as a CUDA graph: its operations are launched all at once.

    Args:
        function: Must not wait for the device.
        inputs: As it is going to be called with: these shapes, this device.
    """

    def __init__(self, function: Callable[..., Any], inputs: Sequence[Tensor]) -> None:
        self.inputs = [x.clone() for x in inputs]
        here = torch.cuda.current_stream()
        aside = torch.cuda.Stream()
        aside.wait_stream(here)
        with torch.cuda.stream(aside):  # what happens at a first call only must not be recorded
            function(*self.inputs)
            with _no_waiting():  # found before the recording, which it would break
                function(*self.inputs)
        here.wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(here), torch.cuda.graph(self.graph):
                self.outputs = function(*self.inputs)
        except Exception:
            chance = torch.cuda.default_generators[here.device.index]
            chance.graphsafe_set_state(chance.clone_state())  # which else waits for the recording
            raise

    def __call__(self, *inputs: Tensor) -> Any:
        """What the function gives; it lies where the last call's lay."""
        for mine, given in zip(self.inputs, inputs, strict=True):
            mine.copy_(given)
        self.graph.replay()
        return self.outputs


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Inside, whatever makes the CPU wait for the GPU raises a RuntimeError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls this mode a prototype
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)


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
