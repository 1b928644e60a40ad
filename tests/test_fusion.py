import pytest
import torch

from globalworkspace.errors import ConfigError
from globalworkspace.fusion import Fusion, KeyQueryAttention, Mean, RandomSoftmax, SingleDomain

ALL = [SingleDomain, Mean, RandomSoftmax, KeyQueryAttention]


def codes_and_presence(rows=50, n=3, dim=4):
    generator = torch.Generator().manual_seed(0)
    present = torch.rand(n, rows, generator=generator) < 0.6
    present[0, ~present.any(0)] = True
    codes = torch.randn(n, rows, dim, generator=generator)
    return codes.masked_fill(~present[:, :, None], 0.0), present


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("random", [True, False])
def test_weights_sum_to_one_over_the_present_domains(kind, random):
    codes, present = codes_and_presence()
    weights = kind(4).select(codes, present, chance() if random else None)
    torch.testing.assert_close(weights.sum(0), torch.ones(50))
    assert (weights >= 0).all()
    assert (weights[~present] == 0).all()


@pytest.mark.parametrize("kind", ALL)
def test_selection_is_a_function_of_its_generator(kind):
    codes, present = codes_and_presence()
    fusion = kind(4)
    first, again = (fusion.select(codes, present, chance(3)) for _ in range(2))
    assert torch.equal(first, again)


def test_single_takes_one_domain_and_each_equally_often():
    codes, _ = codes_and_presence(3000)
    weights = SingleDomain(4).select(codes, torch.ones(3, 3000, dtype=torch.bool), chance())
    assert ((weights == 0) | (weights == 1)).all()
    torch.testing.assert_close(weights.mean(1), torch.full((3,), 1 / 3), atol=0.04, rtol=0)


def test_random_softmax_goes_from_one_domain_to_the_mean_with_its_temperature():
    codes, _ = codes_and_presence(100)
    present = torch.ones(3, 100, dtype=torch.bool)
    cold = RandomSoftmax(4, temperature=1e-4).select(codes, present, chance())
    hot = RandomSoftmax(4, temperature=1e4).select(codes, present, chance())
    assert (cold.max(0).values > 0.9).float().mean() > 0.95
    torch.testing.assert_close(hot, torch.full_like(hot, 1 / 3), atol=1e-3, rtol=0)


def test_random_softmax_by_hand():
    draw = torch.rand(2, 1, generator=chance(5)) / 0.2
    present = torch.ones(2, 1, dtype=torch.bool)
    weights = RandomSoftmax(4).select(torch.zeros(2, 1, 4), present, chance(5))
    torch.testing.assert_close(weights[0, 0], torch.sigmoid(draw[0, 0] - draw[1, 0]))


def test_attention_does_not_depend_on_the_order_of_the_domains():
    codes, present = codes_and_presence()
    fusion = KeyQueryAttention(4, num_steps=2)
    order = [2, 0, 1]
    forward = fusion.select(codes, present, None)
    permuted = fusion.select(codes[order], present[order], None)
    torch.testing.assert_close(forward[order], permuted)


def test_attention_works_on_a_batch_of_one_row():
    codes, present = codes_and_presence(1)
    assert KeyQueryAttention(4).select(codes, present, None).shape == (3, 1)


def test_the_state_is_the_activation_of_the_weighted_sum():
    first, second = torch.randn(5, 4), torch.randn(5, 4)
    state = Mean(4).fuse({"a": first, "b": second})
    torch.testing.assert_close(state.before, (first + second) / 2)
    torch.testing.assert_close(state.code, torch.tanh((first + second) / 2))
    wrong = (torch.tanh(first) + torch.tanh(second)) / 2  # activated before it is fused
    assert not torch.allclose(state.code, wrong, atol=1e-3)
    assert torch.equal(Mean(4, "none").fuse({"a": first}).code, first)
    assert len(state) == 5


def test_a_missing_domain_does_not_count():
    first, second = torch.randn(3, 4), torch.full((3, 4), float("nan"))
    here = torch.tensor([False, False, False])
    state = Mean(4).fuse({"a": first, "b": second}, {"b": here})
    torch.testing.assert_close(state.before, first)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="temperature"):
        RandomSoftmax(4, temperature=0)
    with pytest.raises(ConfigError, match='activation="relu" is unknown; known: tanh, none'):
        Mean(4, "relu")
    with pytest.raises(ConfigError, match="head_dim=16 and num_steps=0 must be at least 1"):
        KeyQueryAttention(4, num_steps=0)


@pytest.mark.parametrize("kind", ALL)
def test_config_builds_the_same_fusion(kind):
    fusion = kind(4, "none")
    assert isinstance(kind(4, "none", **fusion.config()), Fusion)
