"""Networks whose encoder gives a distribution: a mean and a log variance for each dimension."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from globalworkspace.errors import ConfigError
from globalworkspace.latents import LatentSpec
from globalworkspace.networks import MLP, rows_here

MOST_LOGVAR = 10.0
"""Log variances lie between -10 and 10, so that no ratio of two variances overflows."""


class GaussianNetworks:
    """Network kind `gaussian-mlp`: the core's `mlp`, with an encoder of twice the columns.

    For the fusion `posteriors`, which knows what the columns mean.
    """

    @staticmethod
    def encoder(spec: LatentSpec, dim: int, **sizes: Any) -> nn.Module:
        """Standard latents (B, spec.dim) -> codes (B, 2 dim), in training (B, 3 dim).

        See `posterior`; `sizes` are those of `globalworkspace.networks.MLP`.
        """
        return GaussianEncoder(MLP(spec.dim, 2 * dim, **sizes))

    @staticmethod
    def decoder(spec: LatentSpec, dim: int, **sizes: Any) -> nn.Module:
        """States (B, dim) -> raw predictions (B, spec.dim)."""
        return StateDecoder(MLP(dim, spec.dim, **sizes), dim)


class GaussianEncoder(nn.Module):
    """Reads a network's output as mean and log variance; draws noise beside them in training.

    The noise is drawn as dropout is: by torch's generator, which a training step seeds, and for
    the rows of all processes that share the batch, so that it is the same however they do.

    Args:
        network: (B, A) -> (B, 2 W).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, latents: Tensor) -> Tensor:
        """(B, A) -> mean, log variance and, in training, noise: (B, 2 W) or (B, 3 W)."""
        mean, spread = self.network(latents).chunk(2, dim=1)
        parts = [mean, MOST_LOGVAR * (spread / MOST_LOGVAR).tanh()]
        if self.training:
            whole, index = rows_here(len(mean))
            noise = mean.new_empty(whole, mean.shape[1]).normal_()
            parts.append(noise if index is None else noise[index])
        return torch.cat(parts, dim=1)


class StateDecoder(nn.Module):
    """A network that says what is missing if it is fed codes instead of states.

    Args:
        network: (B, W) -> (B, A).
        dim: W.
    """

    def __init__(self, network: nn.Module, dim: int) -> None:
        super().__init__()
        self.network, self.dim = network, dim

    def forward(self, states: Tensor) -> Tensor:
        """(B, W) -> (B, A).

        Raises:
            ConfigError: If the states have another size, as those of the core's fusions have.
        """
        if states.shape[1] != self.dim:
            raise ConfigError(
                f'The network "gaussian-mlp" was given states of {states.shape[1]} columns; '
                f"{self.dim} are expected. Its codes hold mean and log variance, which only the "
                'fusion "posteriors" understands: fusion = "posteriors" in [workspace].'
            )
        predictions: Tensor = self.network(states)
        return predictions
