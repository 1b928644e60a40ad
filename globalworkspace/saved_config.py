"""What a saved folder says of itself, looked at before anything is built from it.

A digest tells damage, not intent: a folder from a stranger may say anything. Its settings must be
of the form that saving gives them, and what it says to build must be of the size of the weights
that it holds, so that a few bytes cannot ask for terabytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from globalworkspace.errors import CheckpointError
from globalworkspace.folders import load_json
from globalworkspace.latents import LatentSpec
from globalworkspace.workspace import DOMAIN_NAME

_MORE, _FEW = 16, 1 << 20
"""Dead dimensions and some buffers are not saved: somewhat more is built than a file holds."""
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


def refuse_far_larger(weights: Path, build: Callable[[], nn.Module]) -> None:
    """Raise a `CheckpointError` if what `build` makes is far larger than the file of its weights.

    It is built without memory. What cannot be built so is not looked at.
    """
    try:
        with torch.device("meta"):
            wanted = sum(value.numel() for value in build().state_dict().values())
    except Exception:  # a constructor that needs real numbers; building it in earnest will tell
        return
    refuse_numbers(weights, wanted)


def refuse_numbers(weights: Path, wanted: int) -> None:
    """Raise a `CheckpointError` if a config asks for far more numbers than the file holds bytes."""
    held = weights.stat().st_size if weights.is_file() else 0
    if wanted > _MORE * held + _FEW:
        raise CheckpointError(
            f'The config beside "{weights}" asks for {wanted:,} numbers, and the file has {held:,} '
            "bytes. Use another copy."
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
