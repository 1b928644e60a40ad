"""What a saved folder says of itself, looked at before anything is built from it.

A digest tells damage, not intent: a folder from a stranger may say anything. Its settings must be
of the form that saving gives them, and what it says to build must be of the size of the weights
that it holds, so that a few bytes cannot ask for terabytes.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.nn.parameter import is_lazy

from globalworkspace.errors import CheckpointError
from globalworkspace.folders import load_json
from globalworkspace.latents import LatentSpec, Standardizer
from globalworkspace.workspace import DOMAIN_NAME

Module = TypeVar("Module", bound=nn.Module)

_MORE, _FEW = 16, 1 << 20
"""Dead dimensions and some buffers are not saved: somewhat more is built than a file holds."""
_ENTRY, _PIECES = 16, 10_000
"""The fewest bytes that naming a tensor takes, and how many modules need none."""
_MANY = 100_000
"""More modules and tensors than any network has."""
_DOMAIN = {"kind": (str, type(None)), "config": dict, "stores_weights": bool}
_WORKSPACE = {"workspace": dict, "domains": dict}
_SETTINGS = {
    "dim": int,
    "hidden_dim": int,
    "num_layers": int,
    "dropout": (int, float),
    "networks": dict,
    "fusion": str,
    "fusion_options": dict,
    "activation": str,
    "topology": str,
    "seed": int,
}
_PLACE = {"latent": list, "standardized": bool}


def read_domain_config(file: Path) -> dict[str, Any]:
    """What a saved domain says of itself.

    Raises:
        CheckpointError: If it is not of the form that `save_domain` gives it.
    """
    return _checked(load_json(file), _DOMAIN, file, "")


def read_workspace_config(file: Path) -> dict[str, Any]:
    """What a saved workspace says of itself.

    Raises:
        CheckpointError: If it is not of the form that `save_pretrained` gives it.
    """
    config = _checked(load_json(file), _WORKSPACE, file, "")
    settings = _checked(config["workspace"], _SETTINGS, file, "workspace.")
    for name, choice in settings["networks"].items():
        _checked(choice, {"kind": str}, file, f"workspace.networks.{name}.")
    if not config["domains"]:
        raise CheckpointError(f'"{file}" names no domain. Use another copy.')
    for name, place in config["domains"].items():
        if not DOMAIN_NAME.match(name):
            raise CheckpointError(f'"{file}" names a domain {name!r}, which none can have.')
        _checked(place, _PLACE, file, f"domains.{name}.")
        if place.get("network") is not None:
            _checked(place["network"], {"kind": str}, file, f"domains.{name}.network.")
    if config.get("fusion") is not None:
        _checked(config["fusion"], {"kind": str}, file, "fusion.")
    return config


def read_spec(parts: Any, file: Path) -> LatentSpec:
    """A saved latent spec.

    Raises:
        CheckpointError: If it is none.
    """
    try:
        return LatentSpec.from_json(parts)
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f'"{file}" holds no usable latent: {error}. Use another copy.'
        ) from error


def read_standardizer(
    spec: LatentSpec, weights: Mapping[str, Tensor], stem: str, file: Path
) -> Standardizer:
    """The saved statistics of a domain.

    Args:
        spec: Of the domain's latents (B, D).
        weights: All of the workspace, by name.
        stem: What their names begin with.
        file: Where they come from.

    Raises:
        CheckpointError: If one is missing, is not of shape (D,) or is no statistic.
    """
    parts = {}
    for key in ("mean", "std", "alive"):
        value = weights.get(stem + key)
        if value is None or value.shape != (spec.dim,):
            given = "nothing" if value is None else f"a shape of {tuple(value.shape)}"
            raise CheckpointError(
                f'"{file}" gives {given} for {stem}{key}, which has {spec.dim} numbers. '
                "Use another copy."
            )
        parts[key] = value
    alive = parts["alive"]
    if not (
        parts["mean"].float().isfinite().all()
        and (parts["std"].float() > 0).all()
        and alive.dtype == torch.bool
        and (alive.view(torch.uint8) <= 1).all()  # other bytes are neither true nor false
    ):
        raise CheckpointError(
            f'"{file}" holds a mean that is no number, a std that is not above 0, or an alive that '
            f"is neither true nor false, in {stem[:-1]}. Use another copy."
        )
    return Standardizer(spec, **parts)


def refuse_far_larger(weights: Path, build: Callable[[], nn.Module]) -> None:
    """Raise a `CheckpointError` if what `build` makes is far larger than the file of its weights.

    It is built without memory, and no further than what the file could hold. What cannot be built
    so is not looked at.
    """
    held = _bytes_of(weights)
    try:
        with (
            torch.device("meta"),
            _built_within(held // _ENTRY + _PIECES, _MORE * held + _FEW, weights),
        ):
            build()
    except CheckpointError:
        raise
    except Exception:  # a constructor that needs real numbers; building it in earnest will tell
        return


def built_unless_endless(weights: Path, build: Callable[[], Module]) -> Module:
    """What `build` makes; a `CheckpointError` if that never ends.

    Of weights that are kept elsewhere no file tells how many there may be.
    """
    with _built_within(_MANY, sys.maxsize, weights):
        return build()


def refuse_numbers(weights: Path, wanted: int) -> None:
    """Raise a `CheckpointError` if a config asks for far more numbers than the file holds bytes."""
    if wanted > _MORE * _bytes_of(weights) + _FEW:
        raise _far_larger(weights, f"{wanted:,} numbers")


@contextlib.contextmanager
def _built_within(pieces: int, numbers: int, weights: Path) -> Iterator[None]:
    """Raise once this thread has built more modules, parameters and buffers than `pieces`.

    Or than hold so many numbers. A config may ask for so many layers that counting them afterwards
    would be too late.
    """
    thread, made, refusal = threading.get_ident(), [0, 0], None

    def count(_module: nn.Module, _name: str, piece: Any) -> None:
        nonlocal refusal
        if threading.get_ident() != thread or piece is None:
            return
        made[0] += 1
        if isinstance(piece, Tensor) and not is_lazy(piece):
            made[1] += piece.numel()
        if made[0] > pieces or made[1] > numbers:
            wanted = f"{made[1]:,} numbers in {made[0]:,} modules and tensors, or more"
            refusal = _far_larger(weights, wanted)
            raise refusal

    hooks = [
        register(count)
        for register in (
            register_module_module_registration_hook,
            register_module_parameter_registration_hook,
            register_module_buffer_registration_hook,
        )
    ]
    try:
        yield
    except Exception:
        if refusal is None:
            raise
    finally:
        for hook in hooks:
            hook.remove()
    if refusal is not None:  # also where a constructor made another error of it
        raise refusal


def _bytes_of(weights: Path) -> int:
    return weights.stat().st_size if weights.is_file() else 0


def _far_larger(weights: Path, wanted: str) -> CheckpointError:
    return CheckpointError(
        f'The config beside "{weights}" asks for {wanted}, and the file has '
        f"{_bytes_of(weights):,} bytes. Use another copy."
    )


def _checked(value: Any, form: Mapping[str, Any], file: Path, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CheckpointError(f'"{file}" does not hold settings ({where or "the whole"}).')
    for name, kind in form.items():
        if name not in value or not isinstance(value[name], kind):
            given = repr(value[name])[:60] if name in value else "nothing"
            raise CheckpointError(
                f'"{file}" gives {given} for {where}{name}. Use another copy, or the '
                "globalworkspace that saved it."
            )
    return value
