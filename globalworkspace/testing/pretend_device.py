"""A device that is not there: finds tensors that would stay behind on the CPU.

Most plugins are tested on machines without an accelerator, where a tensor that never follows its
module goes unnoticed. Inside `PretendDevice` the tensors of a module count as lying on another
device, and so does everything computed from them or moved to their device; an operation that mixes
them with tensors left on the CPU raises `DeviceMix`, as it would on an accelerator.

What it cannot see: code that asks for a device by another way than a tensor's `device`, kernels
that a device lacks, and what C extensions or NumPy do with memory they were handed.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

DEVICE = torch.device("cpu", 1)
"""What tensors on the pretend device report; its type is `cpu`, so that no other branch is taken"""

_CPU = torch.device("cpu")
_READS = ("numpy", "__array__", "__dlpack__")
_MOVES = ("to", "cuda", "cpu")
_ACROSS = ("copy_", "__setitem__")
_HERE = Path(__file__).parent


class DeviceMix(RuntimeError):
    """An operation that fails on an accelerator; the message says which, and where."""


class PretendDevice(TorchFunctionMode):
    """Inside it, what was passed to `place` lies on a device of its own."""

    def place(self, module: nn.Module) -> None:
        """Move a module's parameters and buffers there; use a copy, they cannot come back."""
        for tensor in [*module.parameters(), *module.buffers()]:
            _mark(tensor, True)

    def move(self, tensor: Tensor) -> Tensor:
        """The tensor (a view of it) on the pretend device."""
        return _mark(tensor.view_as(tensor), True)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run `func`, having checked where its tensors lie."""
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", str(func))
        if func == Tensor.device.__get__:
            return DEVICE if _placed(args[0]) else _CPU
        tensors = list(_tensors((args, kwargs)))
        if name in _READS and any(map(_placed, tensors)):
            raise DeviceMix(f"{name}() of a tensor that lies on a device{_where()}")
        there = any(map(_placed, tensors))
        if name in _MOVES:
            there = _destination(name, args, kwargs, there)
            if name == "cuda":
                func, kwargs = Tensor.to, {"device": _CPU}
        else:
            if name in _ACROSS:
                there = _placed(args[0])
            elif "device" in kwargs:
                there = _is_pretend(kwargs["device"])
            else:
                _check_mix(name, args, tensors)
            if there and isinstance(kwargs.get("generator"), torch.Generator):
                raise DeviceMix(f"{name}() draws on a device from a generator on the CPU{_where()}")
        result = func(*_real(args), **_real(kwargs))
        inputs = {id(tensor): _placed(tensor) for tensor in tensors}
        return _marked(result, there, inputs)


def _check_mix(name: str, args: tuple[Any, ...], tensors: list[Tensor]) -> None:
    if name == "__getitem__":  # a tensor on a device takes indices from the CPU, not the reverse
        if not _placed(args[0]) and any(map(_placed, tensors)):
            raise DeviceMix(f"a tensor on the CPU is indexed by one on a device{_where()}")
        return
    if any(map(_placed, tensors)) and any(t.dim() and not _placed(t) for t in tensors):
        raise DeviceMix(f"{name}() mixes a tensor on a device with one on the CPU{_where()}")


def _destination(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], there: bool) -> bool:
    """Where `to`, `cuda` or `cpu` brings its tensor."""
    if name == "cpu":
        return False
    if name == "cuda":
        raise DeviceMix(f"cuda() moves a tensor to a device that nobody asked for{_where()}")
    for value in [*args[1:], *kwargs.values()]:
        if isinstance(value, Tensor):
            return _placed(value)
        if isinstance(value, (torch.device, str)):
            return _is_pretend(value)
    return there


def _is_pretend(device: Any) -> bool:
    """Whether a `device` argument names the pretend device; a hard-coded real one is an error."""
    if device is None:
        return False
    device = torch.device(device)
    if device.type not in ("cpu", "meta"):
        raise DeviceMix(f'the device "{device}" is written into the code{_where()}')
    return bool(device == DEVICE)


def _real(value: Any) -> Any:
    """Arguments with the pretend device replaced by the CPU."""
    if isinstance(value, torch.device):
        return _CPU if value == DEVICE else value
    if type(value) in (tuple, list):
        return type(value)(_real(item) for item in value)
    if type(value) is dict:
        return {key: _real(item) for key, item in value.items()}
    return value


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))


def _marked(result: Any, there: bool, inputs: Mapping[int, bool]) -> Any:
    """The result with its tensors marked; one that is an argument keeps where that lies."""
    if isinstance(result, Tensor):
        if id(result) in inputs:
            if inputs[id(result)] == there:
                return result
            result = result.view_as(result)
        return _mark(result, there)
    if isinstance(result, Iterable) and not isinstance(result, (str, bytes)):
        for tensor in _tensors(result):
            if id(tensor) not in inputs:
                _mark(tensor, there)
    return result


def _placed(tensor: Tensor) -> bool:
    return bool(getattr(tensor, "_pretend_device", False))


def _mark(tensor: Tensor, there: bool) -> Tensor:
    if there or _placed(tensor):
        tensor._pretend_device = there  # type: ignore[attr-defined]
    return tensor


def _where() -> str:
    """The line of the module's own code that asked, for messages."""
    torch_home = Path(torch.__file__).parent
    for frame in reversed(traceback.extract_stack()):
        file = Path(frame.filename)
        if _HERE not in file.parents and torch_home not in file.parents and file.exists():
            return f" ({file.name}, line {frame.lineno}: {frame.line})"
    return ""
