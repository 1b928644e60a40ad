"""States that are distributions: a posterior for each domain, or one for several together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from globalworkspace.errors import ConfigError, did_you_mean
from globalworkspace.fusion import Fusion, State, uniform_weights
from globalworkspace.moving import onto
from globalworkspace_mmvm.posterior import Posterior, posterior_in

Aggregate = Literal["identity", "product", "mixture", "mopoe", "average"]


class Posteriors(Fusion):
    """The posterior of a row from those of its domains.

    The state's `code` is a sample where the encoders are in training, else the mean; `logvar` is
    the posterior's, before the activation; `before` holds the code that was given, or that of the
    fused posterior (see `posterior`), 2 W columns or 3 W. A state from one domain is that domain's
    own posterior, whatever the others hold.

    Args:
        dim: Workspace size W.
        activation: Of the sample; divergences are those of the Gaussians before it. `"none"` is
            the papers'.
        aggregate: What a state from several domains is.

            * `"identity"`: no domain's posterior is changed by another (the MMVM VAE). Where one
              for all of them is asked for, it is the Gaussian with the mean and variance of
              their mixture, which is the MMVM's prior.
            * `"product"`: of the Gaussians, without a prior expert (MVAE, arXiv 1802.05335).
            * `"mixture"`: one domain's posterior, drawn anew for each row (MMVAE, arXiv
              1911.03393). Without chance as `"identity"`.
            * `"mopoe"`: the product of a non-empty subset of the domains, each equally likely
              (arXiv 2105.02470). Without chance the product of all.
            * `"average"`: a Gaussian with the mean of the means and the mean of the variances.

    Raises:
        ConfigError: On an unknown setting.
    """

    def __init__(
        self, dim: int, activation: str = "tanh", aggregate: Aggregate = "identity"
    ) -> None:
        super().__init__(dim, activation)
        known = get_args(Aggregate)
        if aggregate not in known:
            raise ConfigError(
                f'aggregate="{aggregate}" is unknown; known: {", ".join(known)}.'
                f"{did_you_mean(str(aggregate), known)}"
            )
        self.aggregate = aggregate

    def config(self) -> dict[str, Any]:
        """See `Fusion.config`."""
        return {"aggregate": self.aggregate}

    def select(self, codes: Tensor, present: Tensor, generator: torch.Generator | None) -> Tensor:
        """Equal weights over the domains that take part: the drawn ones, else all present.

        Args:
            codes: (n, B, ...), of which only dtype and device count.
            present: (n, B) bool.
            generator: Source of chance for `"mixture"` and `"mopoe"`.

        Returns:
            (n, B).
        """
        chosen = present
        if generator is not None and self.aggregate == "mixture":
            draw = onto(torch.rand(present.shape, generator=generator), codes.device)
            first = draw.masked_fill(~present, -1.0).argmax(dim=0, keepdim=True)
            chosen = present & torch.zeros_like(present).scatter_(0, first, True)
        elif generator is not None and self.aggregate == "mopoe":
            draw = onto(torch.rand(present.shape[1], generator=generator), codes.device)
            chosen = _subset(present, draw)
        return uniform_weights(chosen).to(codes.dtype)

    def fuse(
        self,
        codes: Mapping[str, Tensor],
        present: Mapping[str, Tensor] | None = None,
        generator: torch.Generator | None = None,
    ) -> State:
        """One state per row from the posteriors of its domains; see `Fusion.fuse`.

        Args:
            codes: Domain -> (B, 2 W) or (B, 3 W).
            present: Domain -> (B,) bool; domains not named are present in every row.
            generator: Source of chance for what is drawn.

        Raises:
            ConfigError: If the codes are no distributions.
        """
        given = [posterior_in(code, self.dim) for code in codes.values()]
        if len(given) == 1 and not present:
            return self._state(given[0])
        means = torch.stack([posterior.mean for posterior in given])
        here = torch.ones(means.shape[:2], dtype=torch.bool, device=means.device)
        if present:
            rows = [present.get(name, here[0]).to(here.device) for name in codes]
            here = torch.stack(rows).bool()
        weights = self.select(means, here, generator)[:, :, None]
        # what is not there counts as N(0, I) with weight 0, so that no NaN of it comes through
        means = means.masked_fill(weights == 0, 0.0)
        logvars = torch.stack([p.logvar for p in given]).masked_fill(weights == 0, 0.0)
        drawn = generator is not None and self.aggregate == "mixture"
        if drawn or self.aggregate in ("product", "mopoe"):
            mean, logvar = product(means, logvars, weights > 0)
        elif self.aggregate == "average":
            mean, logvar = average(means, logvars, weights)
        else:
            mean, logvar = moments(means, logvars, weights)
        return self._state(Posterior(mean, logvar, _shared_noise(given, weights)))

    def finish(self, before: Tensor) -> State:
        """The state of one domain's codes (B, 2 W) or (B, 3 W)."""
        return self._state(posterior_in(before, self.dim))

    def _state(self, posterior: Posterior) -> State:
        sample = posterior.sample()
        code = torch.tanh(sample) if self.activation == "tanh" else sample
        return State(code, posterior.code(), posterior.logvar)


def product(means: Tensor, logvars: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """The normalised product of Gaussians: precisions add up, and weight the means.

    Args:
        means: (n, B, W).
        logvars: (n, B, W).
        chosen: (n, B, 1) bool, which take part; a row without any gives N(0, I).

    Returns:
        Mean and log variance, (B, W) each.
    """
    chosen = chosen.expand_as(means)
    logvars = logvars.masked_fill(~chosen & chosen.any(dim=0), float("inf"))
    precision = (-logvars).logsumexp(dim=0)
    shares = (-logvars).softmax(dim=0)
    # a mean that takes no part has the share 0, and is 0 itself
    alone = ~chosen.any(dim=0)
    return (shares * means).sum(dim=0), (-precision).masked_fill(alone, 0.0)


def average(means: Tensor, logvars: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The Gaussian with the mean of the means and the mean of the variances.

    Args:
        means: (n, B, W).
        logvars: (n, B, W).
        weights: (n, B, 1), which sum to 1 over n.

    Returns:
        Mean and log variance, (B, W) each.
    """
    variance = (weights * logvars.exp()).sum(dim=0)
    return (weights * means).sum(dim=0), variance.log()


def moments(means: Tensor, logvars: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The Gaussian with the mean and the variance of a mixture: as `average`, and their spread.

    Args:
        means: (n, B, W).
        logvars: (n, B, W).
        weights: (n, B, 1), which sum to 1 over n.

    Returns:
        Mean and log variance, (B, W) each.
    """
    mean = (weights * means).sum(dim=0)
    spread = (means - mean).square()
    return mean, (weights * (logvars.exp() + spread)).sum(dim=0).log()


def _shared_noise(given: list[Posterior], weights: Tensor) -> Tensor | None:
    """Standard normal noise (B, W) from that of the domains that take part; None: no sample.

    A domain whose network is frozen brings no noise: it counts as its mean.
    """
    if all(posterior.noise is None for posterior in given):
        return None
    noises = [torch.zeros_like(p.mean) if p.noise is None else p.noise for p in given]
    total = torch.stack(noises).masked_fill(weights == 0, 0.0).sum(dim=0)
    return total / (weights > 0).sum(dim=0).clamp(min=1).to(total.dtype).sqrt()


def _subset(present: Tensor, draw: Tensor) -> Tensor:
    """A non-empty subset of the domains of each row, each equally likely.

    Args:
        present: (n, B) bool.
        draw: (B,), uniform in [0, 1).

    Returns:
        (n, B) bool; empty where nothing is present.
    """
    count = present.sum(dim=0)
    number = 1 + (draw.double() * (2**count - 1)).long()
    place = (present.long().cumsum(dim=0) - 1).clamp(min=0)
    return present & ((number >> place) % 2 == 1)
