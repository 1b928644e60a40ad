"""The regulariser in both forms: values by hand, limits, symmetries, gradients to both sides."""

import math

import pytest
import torch
from globalworkspace_mmvm.divergence import kl, kl_to_standard, mixture, pairwise
from torch.distributions import MultivariateNormal, Normal, kl_divergence

ALPHAS = (0.0, 0.3, 1.0)


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def gaussians(domains=3, rows=5, dim=4, seed=0):
    """Means and log variances (M, B, W)."""
    return normal(domains, rows, dim, seed=seed), 0.5 * normal(domains, rows, dim, seed=seed + 1)


def expected_mixture(means, logvars, alpha=0.0, samples=20_000, seed=7):
    """The mean of many estimates: (M, B)."""
    wide = [x.repeat_interleave(samples, dim=1) for x in (means, logvars)]
    noise = normal(*wide[0].shape, seed=seed)
    return mixture(*wide, noise, alpha).unflatten(1, (-1, samples)).mean(dim=2)


def both(means, logvars, alpha=0.0, samples=64):
    """Either form's sum over domains, of the same samples each time it is called: name -> (B,)."""
    found = pairwise(means, logvars, alpha)
    estimated = expected_mixture(means, logvars, alpha, samples)
    return {"pairwise": found.sum(dim=0), "mixture": estimated.sum(dim=0)}


# ---- one divergence


def test_a_divergence_worked_out_by_hand():
    mean, other, wide = torch.tensor([[1.0]]), torch.tensor([[0.0]]), torch.tensor([[math.log(4)]])
    found = float(kl(mean, wide, other, torch.zeros(1, 1)))
    assert found == pytest.approx(0.5 * (4 + 1 - 1 - math.log(4)))
    # the other way round it is another one: arguments may not be swapped
    found = float(kl(other, torch.zeros(1, 1), mean, wide))
    assert found == pytest.approx(0.5 * (0.25 + 0.25 - 1 + math.log(4)))


def test_divergences_are_those_of_torch():
    means, logvars = gaussians(2)
    first, second = (Normal(m, (0.5 * v).exp()) for m, v in zip(means, logvars, strict=True))
    expected = kl_divergence(first, second).sum(dim=1)
    torch.testing.assert_close(kl(means[0], logvars[0], means[1], logvars[1]), expected)
    standard = kl_divergence(first, Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(kl_to_standard(means[0], logvars[0]), standard)


def test_variances_as_far_apart_as_they_get_are_finite():
    logvars = torch.tensor([10.0, -10.0])[:, None, None].expand(2, 1, 8)
    means = torch.tensor([30.0, -30.0])[:, None, None].expand(2, 1, 8)
    noise = normal(2, 1, 8).float()
    assert pairwise(means, logvars, 0.5).isfinite().all()
    assert mixture(means, logvars, noise, 0.5).isfinite().all()


# ---- closed forms and bounds


def test_it_is_zero_if_all_posteriors_are_equal_and_only_then():
    means, logvars = (x.expand(3, -1, -1) for x in gaussians(1))
    noise = normal(3, 5, 4)
    assert pairwise(means, logvars).abs().max() < 1e-12
    assert mixture(means, logvars, noise).abs().max() < 1e-12
    for changed in (0, 1):
        given = [means.clone(), logvars.clone()]
        given[changed][1, :, 2] += 0.3
        assert (pairwise(*given) > 1e-3).all()
        assert (expected_mixture(*given).sum(dim=0) > 1e-3).all()


def test_two_of_equal_variance_are_their_squared_distance_over_twice_the_variance():
    variance, means = 0.7, normal(2, 6, 3)
    logvars = torch.full_like(means, math.log(variance))
    expected = (means[0] - means[1]).square().sum(dim=1) / (2 * variance)
    torch.testing.assert_close(pairwise(means, logvars).sum(dim=0), expected)


@pytest.mark.parametrize(
    "apart, exact, code",
    [(0, 0, 0), (0.5, 0.24, 0.5), (1, 0.76, 2), (2, 1.86, 8), (4, 3.06, 32), (8, 3.295, 128)],
)
def test_three_unit_gaussians_on_a_line_have_the_known_values(apart, exact, code):
    means = torch.zeros(3, 1, 2, dtype=torch.float64)
    means[:, 0, 0] = apart * torch.arange(3)
    logvars = torch.zeros_like(means)
    assert float(pairwise(means, logvars).sum()) == pytest.approx(code)
    found = float(expected_mixture(means, logvars, samples=30_000).sum())
    assert found == pytest.approx(exact, abs=0.02)
    assert found <= 3 * math.log(3) + 1e-9


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("seed", range(3))
def test_the_pairwise_form_bounds_that_of_the_mixture_which_bounds_zero(alpha, seed):
    means, logvars = gaussians(seed=10 * seed)
    upper = pairwise(means, logvars, alpha)
    lower = expected_mixture(means, logvars, alpha)
    slack = 0.05 * (1 + upper)  # of the estimate
    assert (upper >= lower - slack).all() and (lower >= -slack).all()
    if alpha < 1:
        assert (lower <= math.log(3 / (1 - alpha)) + 1e-9).all()


def test_one_sample_never_exceeds_the_logarithm_of_the_number_of_domains():
    means, logvars = gaussians(rows=400)
    assert mixture(20 * means, logvars, normal(3, 400, 4)).max() <= math.log(3) + 1e-9


def test_the_share_one_gives_independent_vaes():
    means, logvars = gaussians()
    expected = kl_to_standard(means, logvars)
    torch.testing.assert_close(pairwise(means, logvars, 1.0), expected)
    found = expected_mixture(means, logvars, 1.0, samples=30_000)
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.05)


def test_the_share_of_one_more_expert_is_a_mean_over_posteriors_and_the_standard_normal():
    means, logvars = gaussians()
    experts = [*zip(means, logvars, strict=True), (torch.zeros(5, 4), torch.zeros(5, 4))]
    expected = torch.stack([kl(means, logvars, *expert) for expert in experts]).mean(dim=0)
    torch.testing.assert_close(pairwise(means, logvars, 1 / 4), expected)

    noise = normal(3, 5, 4, seed=3)
    samples = means + (0.5 * logvars).exp() * noise

    def log_density(values, mean, logvar):
        covariance = logvar.exp().diag_embed()
        return MultivariateNormal(mean.double(), covariance.double()).log_prob(values)

    known = torch.stack([log_density(samples, *expert) for expert in experts])
    prior = known.exp().mean(dim=0).log()
    own = log_density(samples, means, logvars)
    torch.testing.assert_close(mixture(means, logvars, noise, 1 / 4), own - prior)


# ---- symmetries


@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_order_of_domains_does_not_matter(alpha):
    means, logvars = gaussians()
    noise, order = normal(3, 5, 4, seed=3), torch.tensor([2, 0, 1])
    for form in (pairwise(means, logvars, alpha), mixture(means, logvars, noise, alpha)):
        assert form.shape == (3, 5)
    torch.testing.assert_close(
        pairwise(means[order], logvars[order], alpha), pairwise(means, logvars, alpha)[order]
    )
    torch.testing.assert_close(
        mixture(means[order], logvars[order], noise[order], alpha),
        mixture(means, logvars, noise, alpha)[order],
    )


def test_a_shift_of_all_posteriors_counts_only_where_the_standard_normal_does():
    means, logvars = gaussians()
    shifted = means + normal(1, 1, 4, seed=9)
    for alpha, counts in ((0.0, False), (0.5, True), (1.0, True)):
        before, after = both(means, logvars, alpha), both(shifted, logvars, alpha)
        for form in before:
            same = torch.allclose(before[form], after[form])
            assert same != counts, (form, alpha)


# ---- gradients


@pytest.mark.parametrize("alpha", ALPHAS)
def test_gradients_are_those_of_finite_differences(alpha):
    means, logvars = (x.requires_grad_() for x in gaussians(3, 2, 2))
    noise = normal(3, 2, 2, seed=3)
    assert torch.autograd.gradcheck(lambda m, v: pairwise(m, v, alpha), (means, logvars))
    assert torch.autograd.gradcheck(lambda m, v: mixture(m, v, noise, alpha), (means, logvars))


def teaches_both_sides(form):
    """Whether R of the first domain alone has a gradient for each of the others' posteriors."""
    given = [x.requires_grad_() for x in gaussians()]
    found = torch.autograd.grad(form(*given)[0].sum(), given)
    return all((gradient[1:].abs() > 1e-9).all() for gradient in found)


def detached(means, logvars):
    """What a stop-gradient on the prior's side would be."""
    prior = means.detach(), logvars.detach()
    apart = kl(means[:, None], logvars[:, None], prior[0][None], prior[1][None])
    return apart.mean(dim=1)


def test_gradients_reach_both_sides_of_every_pair():
    noise = normal(3, 5, 4, seed=3)
    assert teaches_both_sides(pairwise)
    assert teaches_both_sides(lambda means, logvars: mixture(means, logvars, noise))
    assert torch.equal(detached(*gaussians()), pairwise(*gaussians()))  # the value cannot tell
    with pytest.raises(RuntimeError, match="grad"):
        teaches_both_sides(lambda means, logvars: detached(means.detach(), logvars.detach()))
    assert not teaches_both_sides(detached)


def test_the_gradient_of_two_of_equal_variance_is_their_distance_over_the_variance():
    variance, means = 0.7, normal(2, 6, 3).requires_grad_()
    logvars = torch.full((2, 6, 3), math.log(variance), dtype=torch.float64)
    (found,) = torch.autograd.grad(pairwise(means, logvars).sum(), means)
    torch.testing.assert_close(found[0], (means[0] - means[1]).detach() / variance)
    (half,) = torch.autograd.grad(detached(means, logvars).sum(), means)
    torch.testing.assert_close(half, found / 2)  # a prior that is a given pulls half as hard


def test_the_mixtures_gradient_fades_far_apart_and_the_pairwise_one_grows():
    sizes = {"pairwise": [], "mixture": []}
    for apart in (2.0, 12.0):
        means = torch.zeros(2, 500, 1, dtype=torch.float64)
        means[1] = apart
        means.requires_grad_()
        noise = normal(2, 500, 1)
        logvars = torch.zeros(2, 500, 1, dtype=torch.float64)
        for name, values in (
            ("pairwise", pairwise(means, logvars)),
            ("mixture", mixture(means, logvars, noise)),
        ):
            (gradient,) = torch.autograd.grad(values.sum(), means)
            sizes[name].append(float(gradient.abs().mean()))
    assert sizes["pairwise"][1] == pytest.approx(6 * sizes["pairwise"][0])
    assert sizes["mixture"][1] < 1e-3 < 0.1 < sizes["mixture"][0]
