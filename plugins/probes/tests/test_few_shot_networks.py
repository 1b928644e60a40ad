"""Conditional batch norm: begins as no condition at all, and acts on each row by itself."""

from __future__ import annotations

import pytest
import torch
from globalworkspace_probes.few_shot.arms import Learner
from globalworkspace_probes.few_shot.auxiliary import OwnAuxiliary
from globalworkspace_probes.few_shot.networks import (
    BRIDGE_HIDDEN,
    Block,
    Bridge,
    Embedder,
    conditional_scale,
    matched_width,
    num_parameters,
)
from torch import Tensor, nn

D, WIDTH, FEATURES = 6, 8, 5


def rows(seed: int, number: int = 40, dim: int = D) -> Tensor:
    return 2 * torch.randn(number, dim, generator=torch.Generator().manual_seed(seed)) + 1


def pair(seed: int = 0) -> tuple[Embedder, Embedder, Bridge]:
    """An unconditioned and a conditioned embedder with the same first weights, and a bridge."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        plain = Embedder(D, WIDTH)
        torch.manual_seed(seed)
        conditioned = Embedder(D, WIDTH, conditioned=True)
        bridge = Bridge(FEATURES, conditioned.modulation_dim)
    return plain, conditioned, bridge


def settled(*networks: Embedder) -> None:
    """Let the batch norms see data, then judge."""
    for network in networks:
        network.train()
        for seed in range(3):
            network(rows(seed))
        network.eval()


def awake(bridge: Bridge) -> Bridge:
    """A bridge that no longer begins at zero."""
    nn.init.normal_(bridge.out.weight, generator=torch.Generator().manual_seed(1))
    return bridge


def test_a_bridge_that_was_never_trained_changes_no_bit_in_eval_mode() -> None:
    plain, conditioned, bridge = pair()
    settled(plain, conditioned)
    x, features = rows(9), rows(8, dim=FEATURES)
    modulation = bridge(features)
    assert (modulation == 0).all()
    assert torch.equal(conditioned(x, modulation), plain(x))
    assert torch.equal(conditioned(x, modulation), conditioned(x))


def test_a_scale_that_does_not_begin_at_one_is_noticed_by_that_check() -> None:
    plain, conditioned, _ = pair()
    settled(plain, conditioned)
    wrong = torch.zeros(40, conditioned.modulation_dim)
    wrong[:, :WIDTH] = -1.0  # gamma = d_gamma instead of 1 + d_gamma
    assert not torch.allclose(conditioned(rows(9), wrong), plain(rows(9)))


def test_a_bridge_with_one_weight_that_is_not_zero_is_noticed_by_that_check() -> None:
    plain, conditioned, bridge = pair()
    settled(plain, conditioned)
    nn.init.constant_(bridge.out.bias[:1], 0.1)
    modulation = bridge(rows(8, dim=FEATURES))
    assert not torch.equal(conditioned(rows(9), modulation), plain(rows(9)))


def test_scale_and_shift_are_those_computed_by_hand() -> None:
    normed = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    modulation = torch.tensor([[0.5, 0.0, 10.0, 20.0], [-1.0, 1.0, 0.0, 0.5]])
    expected = torch.tensor([[11.5, 22.0], [0.0, -1.5]])
    torch.testing.assert_close(conditional_scale(normed, modulation), expected)


def test_gradients_of_scale_and_shift_are_right() -> None:
    normed, modulation = (
        values.double().requires_grad_() for values in (rows(0, 4, 3), rows(1, 4, 6))
    )
    assert torch.autograd.gradcheck(conditional_scale, (normed, modulation))


def test_only_the_last_norm_of_a_block_is_conditioned() -> None:
    block = Block(D, WIDTH, conditioned=True)
    assert block.last_norm.weight is None and block.last_norm.bias is None
    assert block.first_norm.weight is not None
    assert Block(D, WIDTH, conditioned=False).last_norm.weight is not None


def test_each_block_is_modulated_by_its_own_part() -> None:
    _, conditioned, _ = pair()
    settled(conditioned)
    x = rows(9)
    outputs = []
    for part in range(4):  # d_gamma and beta of the first block, then of the second
        modulation = torch.zeros(40, 4 * WIDTH)
        modulation[:, part * WIDTH : (part + 1) * WIDTH] = 0.5
        outputs.append(conditioned(x, modulation))
    for first in range(4):
        for second in range(first):
            assert not torch.allclose(outputs[first], outputs[second])


def learner() -> Learner:
    """A conditioned learner whose bridge is awake and whose norms are settled, in eval mode."""
    _, conditioned, _ = pair()
    settled(conditioned)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        auxiliary = OwnAuxiliary(D, 2)
        bridge = awake(Bridge(auxiliary.head.in_features, conditioned.modulation_dim))
    return Learner(conditioned, bridge, auxiliary).eval()


def test_permuted_queries_give_permuted_outputs_and_supports_do_not_depend_on_queries() -> None:
    made, support, queries = learner(), rows(20, 10), rows(21, 15)
    order = torch.randperm(15, generator=torch.Generator().manual_seed(0))
    together = made(torch.cat([support, queries]))
    permuted = made(torch.cat([support, queries[order]]))
    torch.testing.assert_close(permuted[10:], together[10:][order])
    torch.testing.assert_close(permuted[:10], together[:10])
    others = made(torch.cat([support, rows(22, 15)]))
    torch.testing.assert_close(others[:10], together[:10])
    torch.testing.assert_close(made(support), together[:10])


def test_a_condition_per_episode_or_batch_norm_in_training_mode_fail_that_check() -> None:
    made, support = learner(), rows(20, 10)
    features = made.auxiliary.features
    made.auxiliary.features = lambda x: features(x).mean(dim=0, keepdim=True).expand(len(x), -1)
    outputs = [made(torch.cat([support, rows(seed, 15)]))[:10] for seed in (21, 22)]
    assert not torch.allclose(*outputs, atol=1e-3)
    trained = learner().train()
    outputs = [trained(torch.cat([support, rows(seed, 15)]))[:10] for seed in (21, 22)]
    assert not torch.allclose(*outputs, atol=1e-3)


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_the_matched_width_is_the_smallest_that_has_as_many_parameters(blocks: int) -> None:
    width = matched_width(D, blocks, 5000)
    assert num_parameters(Embedder(D, width, blocks)) >= 5000
    assert num_parameters(Embedder(D, width - 1, blocks)) < 5000


def test_parameters_are_counted_as_by_hand() -> None:
    shortcut, first, last = D * WIDTH + WIDTH, D * WIDTH, WIDTH * WIDTH
    assert num_parameters(Block(D, WIDTH, conditioned=True)) == shortcut + first + last + 2 * WIDTH
    assert num_parameters(Block(D, WIDTH, conditioned=False)) == shortcut + first + last + 4 * WIDTH
    hidden = (FEATURES + 1) * BRIDGE_HIDDEN
    assert num_parameters(Bridge(FEATURES, 7)) == hidden + (BRIDGE_HIDDEN + 1) * 7
