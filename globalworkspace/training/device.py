"""Which device a training runs on."""

from __future__ import annotations

import torch

from globalworkspace.errors import ConfigError
from globalworkspace.processes import own_gpu, started_here


def pick_device(name: str) -> torch.device:
    """The torch device that a `device` setting means.

    Raises:
        ConfigError: If it cannot be used, or several processes would have to share a GPU.
    """
    try:
        device = _preferred() if name == "auto" else torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f'The device "{name}" cannot be used: {str(error).splitlines()[0]}. Try "auto" or '
            '"cpu".'
        ) from None
    if device.type == "cuda" and own_gpu() is None:
        raise ConfigError(
            f"{started_here()} processes were started on a machine with "
            f"{torch.cuda.device_count()} GPU. Start as many as it has GPUs "
            '(torchrun --nproc-per-node), or set device="cpu".'
        )
    return device


def _preferred() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
