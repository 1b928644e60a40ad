"""Prototypical networks: values by hand, what distances do not see, gradients."""

from __future__ import annotations

import math

import pytest
import torch
from globalworkspace_probes.few_shot.prototypes import (
    episode_accuracy,
    prototype_logits,
    prototypical_loss,
)
from torch import Tensor

SUPPORT = torch.tensor([[[[0.0, 0.0], [2.0, 0.0]], [[5.0, 1.0], [5.0, -1.0]]]])
"""One episode, two ways, two shots: prototypes (1, 0) and (5, 0)."""
QUERIES = torch.tensor([[[[2.0, 0.0]], [[2.5, 0.0]]]])
"""A query of each way; the second is nearer to the wrong prototype."""


def test_logits_are_negative_squared_distances_to_the_means_of_the_supports() -> None:
    logits = prototype_logits(SUPPORT, QUERIES)
    assert logits.shape == (1, 2, 1, 2)
    torch.testing.assert_close(logits[0, :, 0], torch.tensor([[-1.0, -9.0], [-2.25, -6.25]]))


def test_the_loss_is_that_computed_by_hand() -> None:
    first, second = math.log(1 + math.exp(-8)), math.log(1 + math.exp(4))
    assert float(prototypical_loss(SUPPORT, QUERIES)) == pytest.approx((first + second) / 2)


def test_accuracy_counts_the_queries_whose_own_prototype_is_nearest() -> None:
    both = torch.cat([SUPPORT, SUPPORT]), torch.cat([QUERIES, SUPPORT.mean(dim=2, keepdim=True)])
    assert episode_accuracy(*both).tolist() == [0.5, 1.0]


def episode(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    support = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    return support, torch.randn(2, 3, 2, 5, generator=generator, dtype=torch.float64)


def test_a_common_shift_and_the_order_of_shots_do_not_matter() -> None:
    support, queries = episode()
    expected = prototypical_loss(support, queries)
    torch.testing.assert_close(prototypical_loss(support + 3, queries + 3), expected)
    torch.testing.assert_close(prototypical_loss(support[:, :, [2, 0, 3, 1]], queries), expected)


def test_embeddings_that_are_all_alike_cost_the_logarithm_of_the_ways() -> None:
    alike = torch.ones(1, 3, 2, 4)
    assert float(prototypical_loss(alike, alike)) == pytest.approx(math.log(3))


def test_gradients_are_right() -> None:
    support, queries = (values.requires_grad_() for values in episode())
    assert torch.autograd.gradcheck(prototypical_loss, (support, queries))


def test_distances_that_are_not_squared_are_another_loss() -> None:
    support, queries = episode()
    prototypes = support.mean(dim=2)
    apart = queries[:, :, :, None, :] - prototypes[:, None, None, :, :]
    wrong = -apart.norm(dim=4)
    assert not torch.allclose(prototype_logits(support, queries), wrong, rtol=0.1)
