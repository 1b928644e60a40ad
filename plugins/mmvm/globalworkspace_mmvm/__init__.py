"""MMVM VAE (Sutter et al. 2024): each domain a posterior of its own, drawn to their mixture."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from globalworkspace_mmvm.fusion import Posteriors as Posteriors
    from globalworkspace_mmvm.mixture_prior import MixturePrior as MixturePrior
    from globalworkspace_mmvm.networks import GaussianNetworks as GaussianNetworks
    from globalworkspace_mmvm.standard_prior import StandardPrior as StandardPrior

_HOMES = {
    "GaussianNetworks": "networks",
    "MixturePrior": "mixture_prior",
    "Posteriors": "fusion",
    "StandardPrior": "standard_prior",
}
__all__ = ["GaussianNetworks", "MixturePrior", "Posteriors", "StandardPrior"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
