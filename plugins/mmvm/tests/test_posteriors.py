"""States that are distributions: each aggregate by hand, its chance, and rows without a domain."""

import math

import pytest
import torch
from globalworkspace_mmvm import Posteriors
from globalworkspace_mmvm.posterior import Posterior, posterior_of

from globalworkspace.errors import ConfigError
from globalworkspace.fusion import State

AGGREGATES = ("identity", "product", "mixture", "mopoe", "average")


def code(mean, variance, rows=1, noise=None):
    """A code of one dimension."""
    parts = [torch.full((rows, 1), float(mean)), torch.full((rows, 1), math.log(variance))]
    return torch.cat(parts if noise is None else [*parts, noise], dim=1)


def codes(domains=3, rows=6, dim=2, seed=0, noise=False):
    generator = torch.Generator().manual_seed(seed)
    columns = (3 if noise else 2) * dim
    return {name: torch.randn(rows, columns, generator=generator) for name in "abcd"[:domains]}


def plain(aggregate, dim=1):
    return Posteriors(dim, "none", aggregate)


def mean_and_variance(state):
    return state.code[:, 0].tolist(), state.logvar.exp()[:, 0].tolist()


# ---- by hand


@pytest.mark.parametrize(
    "aggregate, mean, variance",
    [
        ("product", 2.0, 1 / 3),  # precisions 1 and 2 weight the means 0 and 3
        ("mopoe", 2.0, 1 / 3),  # without chance that of all
        ("average", 1.5, 0.75),
        ("mixture", 1.5, 0.75 + 1.5**2),  # both means lie 1.5 from the middle
        ("identity", 1.5, 0.75 + 1.5**2),
    ],
)
def test_two_posteriors_fused_by_hand(aggregate, mean, variance):
    state = plain(aggregate).fuse({"a": code(0, 1), "b": code(3, 0.5)})
    means, variances = mean_and_variance(state)
    assert means == pytest.approx([mean]) and variances == pytest.approx([variance])


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_one_domain_keeps_its_own_posterior(aggregate):
    fusion, given = plain(aggregate, 2), codes()
    for state in (fusion.fuse({"a": given["a"]}), fusion.finish(given["a"])):
        assert torch.equal(state.code, given["a"][:, :2])
        assert torch.equal(state.logvar, given["a"][:, 2:])
        assert torch.equal(state.before, given["a"])


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_the_order_of_domains_does_not_matter(aggregate):
    fusion, given = plain(aggregate, 2), codes()
    one, other = fusion.fuse(given), fusion.fuse(dict(reversed(given.items())))
    torch.testing.assert_close(one.code, other.code)
    torch.testing.assert_close(one.logvar, other.logvar)


@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("chance", [False, True])
def test_a_domain_that_a_row_lacks_says_nothing(aggregate, chance):
    fusion, given = plain(aggregate, 2), codes(noise=True)

    def fused(**changed):
        generator = torch.Generator().manual_seed(3) if chance else None
        held = {name: x.clone().requires_grad_() for name, x in {**given, **changed}.items()}
        state = fusion.fuse(held, {"b": torch.arange(6) >= 3}, generator)
        state.code.sum().backward()
        return state, [x.grad for x in held.values()]

    without = given["b"].clone()
    without[:3] = 1e3
    (one, _), (other, gradients) = fused(), fused(b=without)
    assert torch.equal(one.code, other.code) and torch.equal(one.logvar, other.logvar)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert not gradients[1][:3].any()
    if not chance:
        rows = {name: x[:3] for name, x in given.items() if name != "b"}
        torch.testing.assert_close(one.code[:3], fusion.fuse(rows).code)


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_only_one_of_the_present_domains_is_that_domain(aggregate):
    given = codes(2)
    here = {"a": torch.zeros(6, dtype=torch.bool)}
    state = plain(aggregate, 2).fuse(given, here, torch.Generator().manual_seed(0))
    torch.testing.assert_close(state.code, given["b"][:, :2])
    torch.testing.assert_close(state.logvar, given["b"][:, 2:])


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_a_row_without_any_domain_is_finite(aggregate):
    given = codes(2)
    nowhere = {name: torch.arange(6) > 0 for name in given}
    for generator in (None, torch.Generator().manual_seed(0)):
        state = plain(aggregate, 2).fuse(given, nowhere, generator)
        assert not state.code[0].any()
        assert state.code.isfinite().all()


# ---- chance


def test_a_mixture_draws_one_domain_for_each_row():
    given = {"a": code(-1, 1, rows=4000), "b": code(2, 0.5, rows=4000)}
    state = plain("mixture").fuse(given, None, torch.Generator().manual_seed(0))
    first = state.code[:, 0] == -1
    assert ((state.code[:, 0] == 2) == ~first).all()
    torch.testing.assert_close(state.logvar[:, 0], torch.where(first, 0.0, math.log(0.5)))
    assert float(first.float().mean()) == pytest.approx(0.5, abs=0.03)


def test_mopoe_draws_every_subset_equally_often():
    rows = 14_000
    here = torch.ones(3, rows, dtype=torch.bool)
    here[2, rows // 2 :] = False
    fusion, generator = plain("mopoe"), torch.Generator().manual_seed(0)
    weights = fusion.select(torch.zeros(3, rows, 1), here, generator)
    torch.testing.assert_close(weights.sum(dim=0), torch.ones(rows))
    assert not weights[~here].any()
    chosen = (weights > 0).long()
    numbers = chosen[0] + 2 * chosen[1] + 4 * chosen[2]
    whole = numbers[: rows // 2].bincount(minlength=8) / (rows // 2)
    part = numbers[rows // 2 :].bincount(minlength=8) / (rows // 2)
    assert whole.tolist() == pytest.approx([0, *[1 / 7] * 7], abs=0.015)
    assert part.tolist() == pytest.approx([0, *[1 / 3] * 3, 0, 0, 0, 0], abs=0.02)


def test_a_drawn_subset_is_the_product_of_its_domains():
    given = codes(3, rows=200)
    fusion = plain("mopoe", 2)
    state = fusion.fuse(given, None, torch.Generator().manual_seed(0))
    weights = fusion.select(
        torch.zeros(3, 200, 1), torch.ones(3, 200) > 0, torch.Generator().manual_seed(0)
    )
    product = plain("product", 2)
    for row in range(200):
        part = {n: x[row : row + 1] for n, x in given.items() if weights["abc".index(n), row] > 0}
        torch.testing.assert_close(state.code[row : row + 1], product.fuse(part).code)


@pytest.mark.parametrize("aggregate", ["identity", "product", "average"])
def test_the_others_have_no_chance(aggregate):
    given = codes()
    one = plain(aggregate, 2).fuse(given, None, torch.Generator().manual_seed(0))
    assert torch.equal(one.code, plain(aggregate, 2).fuse(given).code)


# ---- samples


@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("chance", [False, True])
def test_samples_are_spread_as_the_posterior_says(aggregate, chance):
    rows, generator = 20_000, torch.Generator().manual_seed(0)
    noises = torch.randn(3, rows, 1, generator=generator)
    parameters = [(0.0, 1.0), (1.0, 0.25), (-2.0, 2.0)]
    given = {
        name: code(*both, rows=rows, noise=noise)
        for name, both, noise in zip("abc", parameters, noises, strict=True)
    }
    state = plain(aggregate).fuse(given, None, generator if chance else None)
    posterior = posterior_of(state)
    apart = (state.code - posterior.mean) / (0.5 * state.logvar).exp()
    assert float(apart.mean()) == pytest.approx(0, abs=0.03)
    assert float(apart.std()) == pytest.approx(1, abs=0.03)


def test_a_sample_passes_gradients_to_mean_and_variance():
    mean, logvar = torch.zeros(4, 2, requires_grad=True), torch.zeros(4, 2, requires_grad=True)
    noise = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    Posterior(mean, logvar, noise).sample().sum().backward()
    torch.testing.assert_close(mean.grad, torch.ones(4, 2))
    torch.testing.assert_close(logvar.grad, noise / 2)


def test_the_activation_bends_the_sample_and_not_the_posterior():
    given = codes(1, noise=True)["a"]
    state = Posteriors(2, "tanh").finish(given)
    torch.testing.assert_close(state.code, torch.tanh(Posteriors(2, "none").finish(given).code))
    posterior = posterior_of(state)
    assert torch.equal(posterior.mean, given[:, :2]) and torch.equal(state.logvar, given[:, 2:4])


def test_a_deterministic_state_counts_as_a_gaussian_of_variance_one():
    before = torch.randn(3, 2)
    posterior = posterior_of(State(torch.tanh(before), before))
    assert torch.equal(posterior.mean, before) and not posterior.logvar.any()


# ---- settings


def test_an_unknown_aggregate_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match='aggregate="produkt" is unknown; known: identity'):
        Posteriors(4, "none", "produkt")


def test_codes_that_are_no_distributions_are_refused():
    with pytest.raises(ConfigError, match='network "gaussian-mlp"'):
        plain("product", 2).fuse({"a": torch.zeros(3, 2), "b": torch.zeros(3, 2)})
