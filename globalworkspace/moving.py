"""Tensors on their way to a device."""

from __future__ import annotations

import torch
from torch import Tensor


def onto(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on `device`; the CPU does not wait until a GPU gets to it.

    From ordinary memory a copy to a GPU begins when the GPU has done all it was given before, and
    the CPU waits for that. From pinned memory it does not.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
