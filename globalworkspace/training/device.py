"""Which device a training runs on."""

from __future__ import annotations

import torch

from globalworkspace.errors import ConfigError


def pick_device(name: str) -> torch.device:
    """The torch device that a `device` setting means.

    Raises:
        ConfigError: If it cannot be used.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f'The device "{name}" cannot be used: {str(error).splitlines()[0]}. Try "auto" or '
            '"cpu".'
        ) from None
    return device
