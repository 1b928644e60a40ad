"""Random numbers as a pure function of a seed and what they are for."""

from __future__ import annotations

import hashlib

import torch


def derived_seed(*keys: object) -> int:
    """A 63-bit seed from any printable keys; equal keys give the same seed on every machine."""
    digest = hashlib.blake2b("\0".join(map(str, keys)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def derived_generator(*keys: object) -> torch.Generator:
    """A CPU generator seeded from the keys."""
    return torch.Generator().manual_seed(derived_seed(*keys))
