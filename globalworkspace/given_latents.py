"""A domain whose latents are there already: what training needs of a frozen specialist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from globalworkspace.domain import DomainModule
from globalworkspace.latents import LatentSpec


class GivenLatents(DomainModule):
    """Takes latents (B, D) as they come, and gives them back.

    Args:
        latent: What they are made of.
    """

    def __init__(self, latent: LatentSpec) -> None:
        super().__init__()
        self.latent = latent

    def encode(self, raw: Any) -> Tensor:
        """(B, D) -> (B, D)."""
        return torch.as_tensor(raw)

    def decode(self, latents: Tensor) -> Tensor:
        """(B, D) -> (B, D)."""
        return latents

    def config(self) -> dict[str, Any]:
        """See `DomainModule.config`."""
        return {"latent": self.latent.to_json()}

    @classmethod
    def of(cls, domains: Mapping[str, DomainModule]) -> dict[str, DomainModule]:
        """Stand-ins for domains whose data is encoded."""
        return {name: cls(module.latent) for name, module in domains.items()}
