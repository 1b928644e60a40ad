"""Prototypical networks (Snell et al. 2017, arXiv 1703.05175): a class is the mean of its support.

p(class n | q) = softmax_n( -|| f(q) - mean_k f(s_nk) ||^2 )
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def prototype_logits(support: Tensor, queries: Tensor) -> Tensor:
    """Negative squared distances of queries to the means of the supports.

    Args:
        support: (E, ways, shots, W) embeddings.
        queries: (E, ways, queries, W) embeddings; way w holds the queries whose class is w.

    Returns:
        (E, ways, queries, ways); the last axis is over classes. Gradients flow to both.
    """
    prototypes = support.mean(dim=2)
    apart = queries[:, :, :, None, :] - prototypes[:, None, None, :, :]
    return -apart.square().sum(dim=4)


def prototypical_loss(support: Tensor, queries: Tensor) -> Tensor:
    """Cross-entropy of the queries' classes, a mean over queries and episodes.

    Args:
        support: (E, ways, shots, W).
        queries: (E, ways, queries, W).

    Returns:
        Scalar; gradients flow to both.
    """
    logits = prototype_logits(support, queries)
    return F.cross_entropy(logits.flatten(0, 2), _classes(logits).flatten())


def episode_accuracy(support: Tensor, queries: Tensor) -> Tensor:
    """The share of queries whose own prototype is the nearest, episode by episode.

    Args:
        support: (E, ways, shots, W).
        queries: (E, ways, queries, W).

    Returns:
        (E,) float64.
    """
    logits = prototype_logits(support, queries)
    return (logits.argmax(dim=3) == _classes(logits)).double().mean(dim=(1, 2))


def _classes(logits: Tensor) -> Tensor:
    """(E, ways, queries): the true way of each query."""
    ways = torch.arange(logits.shape[1], device=logits.device)
    return ways[None, :, None].expand(logits.shape[:3])
