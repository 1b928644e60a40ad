"""Gaussians with independent dimensions, and how a code holds one.

A code of a network whose encoder gives distributions has 2 W columns: the mean and, beside it, the
log variance. In training it has 3 W, the last third being standard normal noise, which makes a
sample of the posterior a function of its code:

    z = mean + exp(logvar / 2) * noise

The encoder draws the noise, and not the fusion, because only there it is known which of the rows
of a batch that several processes share these are.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from globalworkspace.errors import ConfigError
from globalworkspace.fusion import State


@attrs.frozen(eq=False)
class Posterior:
    """A Gaussian for each of B rows, W dimensions."""

    mean: Tensor
    """(B, W)."""
    logvar: Tensor
    """(B, W)."""
    noise: Tensor | None = None
    """(B, W), standard normal, where a sample is wanted."""

    def sample(self) -> Tensor:
        """(B, W): a sample where there is noise, else the mean. Gradients flow to both."""
        if self.noise is None:
            return self.mean
        return self.mean + (0.5 * self.logvar).exp() * self.noise

    def code(self) -> Tensor:
        """The code (B, 2 W) or (B, 3 W) that holds it."""
        parts = [self.mean, self.logvar]
        return torch.cat(parts if self.noise is None else [*parts, self.noise], dim=1)


def posterior_in(code: Tensor, dim: int) -> Posterior:
    """What a code (B, 2 W) or (B, 3 W) holds.

    Raises:
        ConfigError: If it has other than 2 W or 3 W columns.
    """
    if code.shape[1] not in (2 * dim, 3 * dim):
        raise ConfigError(
            f'The fusion "posteriors" of size {dim} was given codes of {code.shape[1]} columns; '
            f"means and log variances, {2 * dim}, are expected. Give each domain the network "
            '"gaussian-mlp".'
        )
    mean, logvar, *noise = code.split(dim, dim=1)
    return Posterior(mean, logvar, *noise)


def posterior_of(state: State) -> Posterior:
    """The distribution of a state, in float32 or finer.

    A deterministic state is taken for the mean of a Gaussian of variance 1, before the activation.
    """
    before = state.before.to(torch.promote_types(state.before.dtype, torch.float32))
    if state.logvar is None:
        return Posterior(before, torch.zeros_like(before))
    return posterior_in(before, state.logvar.shape[1])
