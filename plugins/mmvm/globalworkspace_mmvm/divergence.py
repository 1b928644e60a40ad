"""How far the posteriors of one row lie apart: the MMVM's regulariser, in both its forms.

Shapes: M domains, B rows, W dimensions. Logarithms are natural, divergences are sums over
dimensions, nothing is averaged over rows. Gradients flow to both sides of every divergence: the
prior of a domain is made of posteriors that are learnt, too.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def kl(mean: Tensor, logvar: Tensor, other_mean: Tensor, other_logvar: Tensor) -> Tensor:
    """KL(N(mean, exp(logvar)) || N(other_mean, exp(other_logvar))), (..., W) each -> (...)."""
    ratio = (logvar - other_logvar).exp()
    distance = (mean - other_mean).square() * (-other_logvar).exp()
    return 0.5 * (ratio + distance - 1 - logvar + other_logvar).sum(dim=-1)


def kl_to_standard(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp(logvar)) || N(0, I)), (..., W) -> (...)."""
    return 0.5 * (logvar.exp() + mean.square() - 1 - logvar).sum(dim=-1)


def pairwise(means: Tensor, logvars: Tensor, alpha: float = 0.0) -> Tensor:
    """The closed form that the authors' code has (github.com/thomassutter/mmvmvae).

        R_m = (1 - alpha) / M * sum_n KL(q_m || q_n) + alpha * KL(q_m || N(0, I))

    `alpha = 0`: the other posteriors alone; 1: independent VAEs; 1 / (M + 1): the standard normal
    is one more expert among M. By convexity it is at least what `mixture` estimates.

    Args:
        means: (M, B, W).
        logvars: (M, B, W).
        alpha: Share of the standard normal.

    Returns:
        (M, B); the paper's regulariser is the sum over M.
    """
    apart = kl(means[:, None], logvars[:, None], means[None], logvars[None]).mean(dim=1)
    return (1 - alpha) * apart + alpha * kl_to_standard(means, logvars)


def mixture(means: Tensor, logvars: Tensor, noise: Tensor, alpha: float = 0.0) -> Tensor:
    """The paper's own formula (arXiv 2403.05300), estimated from a sample of each posterior.

        R_m = KL(q_m || (1 - alpha) / M * sum_n q_n + alpha * N(0, I))

    At `alpha = 0` its sum over M is M times the Jensen-Shannon divergence, M log M at most: the
    gradient fades where posteriors lie far apart. The estimate of one sample may be negative; it
    never exceeds log(M / (1 - alpha)).

    Args:
        means: (M, B, W).
        logvars: (M, B, W).
        noise: (M, B, W), standard normal: what the samples are made of.
        alpha: Share of the standard normal.

    Returns:
        (M, B).
    """
    samples = means + (0.5 * logvars).exp() * noise
    experts = _log_density(samples[:, None], means[None], logvars[None])
    own = experts.diagonal(dim1=0, dim2=1).T
    priors = []
    if alpha < 1:
        priors.append(experts.logsumexp(dim=1) + math.log((1 - alpha) / len(means)))
    if alpha > 0:
        standard = _log_density(samples, torch.zeros_like(means), torch.zeros_like(logvars))
        priors.append(standard + math.log(alpha))
    return own - torch.stack(priors).logsumexp(dim=0)


def _log_density(values: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    """(..., W) -> (...), without the constant that all Gaussians of W dimensions share."""
    return -0.5 * ((values - mean).square() * (-logvar).exp() + logvar).sum(dim=-1)
