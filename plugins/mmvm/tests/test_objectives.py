"""The objectives on walked rows: their values, which rows they judge, what they must not mix."""

import attrs
import pytest
import torch
from globalworkspace_mmvm import MixturePrior, StandardPrior
from globalworkspace_mmvm.divergence import kl_to_standard, mixture, pairwise

from globalworkspace import GlobalWorkspace, LatentSpec, Route
from globalworkspace.data.sampler import Batch, Segment
from globalworkspace.errors import ConfigError
from globalworkspace.given_latents import GivenLatents
from globalworkspace.objectives.base import Context
from globalworkspace.objectives.schedules import Schedule
from globalworkspace.randomness import Chance
from globalworkspace.route import Walk
from globalworkspace.routes import RoutePlan
from globalworkspace.testing import ObjectiveConformance

GROUPS = (("a", "b", "c"), ("a", "b"), ("a",), ("b",))
SIZES = (5, 4, 3, 2)


def batch_of(workspace, groups=GROUPS, sizes=SIZES, seed=0):
    """Rows of each group; those of a domain are the same however many others are there."""
    segments = tuple(Segment(group, size) for group, size in zip(groups, sizes, strict=True))
    latents = {}
    for index, name in enumerate(workspace.domains):
        generator = torch.Generator().manual_seed(seed + index)
        pieces = [
            torch.randn(size, workspace.spec(name).dim, generator=generator)
            for group, size in zip(groups, sizes, strict=True)
            if name in group
        ]
        if pieces:
            latents[name] = torch.cat(pieces)
    return Batch(segments, latents, tuple(torch.arange(s.size) for s in segments))


def walked_by(workspace, objective, batch, step=0, chance=True):
    """What the batch's rows walked for an objective, and its context."""
    plan = RoutePlan(batch.segments, [list(objective.routes(s)) for s in batch.segments])
    torch.manual_seed(step)
    walked = plan.walk(workspace, batch, Chance(0, step) if chance else None)
    specs = {name: workspace.spec(name) for name in workspace.domains}
    return walked, Context(specs=specs, step=step, seed=0)


def losses(workspace, objective, batch, **options):
    return objective.loss(*walked_by(workspace, objective, batch, **options))


def posteriors(workspace, batch, index, names):
    """Means and log variances (M, B, W) of the rows of a segment."""
    found = []
    for name in names:
        held = [i for i, s in enumerate(batch.segments) if name in s.group]
        pieces = batch.latents[name].split([batch.segments[i].size for i in held])
        found.append(workspace.encoder(name)(pieces[held.index(index)])[:, : 2 * workspace.dim])
    return torch.stack(found).split(workspace.dim, dim=2)


# ---- the mixture prior


def test_matched_rows_give_the_pairwise_form_of_their_own_domains(gaussian_workspace):
    workspace = gaussian_workspace()
    batch = batch_of(workspace)
    found = losses(workspace, MixturePrior(), batch)
    three = pairwise(*posteriors(workspace, batch, 0, "abc"))
    two = pairwise(*posteriors(workspace, batch, 1, "ab"))
    assert list(found) == ["a", "b", "c"]
    torch.testing.assert_close(found["a"], torch.cat([three[0], two[0]]))
    torch.testing.assert_close(found["c"], three[2])


def test_unmatched_rows_count_by_the_standard_normals_share(gaussian_workspace):
    workspace = gaussian_workspace()
    batch = batch_of(workspace)
    found = losses(workspace, MixturePrior(alpha=0.25), batch)
    alone = kl_to_standard(*posteriors(workspace, batch, 2, "a"))[0]
    assert len(found["a"]) == 5 + 4 + 3 and len(found["c"]) == 5
    torch.testing.assert_close(found["a"][-3:], 0.25 * alone)
    matched = pairwise(*posteriors(workspace, batch, 0, "abc"), 0.25)
    torch.testing.assert_close(found["a"][:5], matched[0])
    # without a share they are not even walked
    assert not list(MixturePrior().routes(Segment(("a",), 3)))
    annealed = MixturePrior(alpha={"start": 1.0, "end": 0.0, "steps": 10})
    assert list(annealed.routes(Segment(("a",), 3))) == [Route(("a",))]


@pytest.mark.parametrize("estimator", ["pairwise", "mixture"])
def test_the_share_one_gives_independent_vaes_on_all_rows(estimator, gaussian_workspace):
    workspace = gaussian_workspace()
    batch = batch_of(workspace)
    found = losses(workspace, MixturePrior(alpha=1.0), batch)
    alone = [kl_to_standard(*posteriors(workspace, batch, i, "a"))[0] for i in (0, 1, 2)]
    torch.testing.assert_close(found["a"], torch.cat(alone))


def test_the_mixture_is_estimated_from_the_samples_that_are_decoded(gaussian_workspace):
    workspace = gaussian_workspace().train()
    batch, objective = batch_of(workspace), MixturePrior(estimator="mixture")
    walked, context = walked_by(workspace, objective, batch, step=3)
    states = [walked.states[Walk(Route((name,)), 0)] for name in "abc"]
    means, logvars, noise = torch.stack([s.before for s in states]).split(3, dim=2)
    samples = torch.stack([s.code for s in states])
    torch.testing.assert_close(samples, means + (0.5 * logvars).exp() * noise)
    found = objective.loss(walked, context)
    torch.testing.assert_close(found["c"], mixture(means, logvars, noise)[2])


def test_held_out_rows_are_judged_by_the_same_noise_at_the_same_step(gaussian_workspace):
    workspace, objective = gaussian_workspace(), MixturePrior(estimator="mixture")
    batch = batch_of(workspace)
    one, same, other = (losses(workspace, objective, batch, step=s) for s in (3, 3, 4))
    assert torch.equal(one["a"], same["a"]) and not torch.equal(one["a"], other["a"])


def test_noise_that_the_objective_draws_is_the_same_however_processes_share_the_rows():
    workspace = GlobalWorkspace(
        {name: GivenLatents(LatentSpec.continuous(3)) for name in "ab"}, dim=2, activation="none"
    )
    objective = MixturePrior(estimator="mixture")
    whole = batch_of(workspace, [("a", "b")], [7])
    expected = losses(workspace, objective, whole)["b"]
    for start, stop in ((0, 3), (3, 7)):
        part = Batch(
            (Segment(("a", "b"), stop - start, 7, start),),
            {name: x[start:stop] for name, x in whole.latents.items()},
            (torch.arange(start, stop),),
        )
        found = losses(workspace, objective, part)["b"]
        torch.testing.assert_close(found, expected[start:stop])


def test_deterministic_states_are_drawn_together_by_their_squared_distance():
    workspace = GlobalWorkspace(
        {name: GivenLatents(LatentSpec.continuous(3)) for name in "ab"}, dim=2, hidden_dim=8
    )
    batch = batch_of(workspace, [("a", "b")], [6])
    found = losses(workspace, MixturePrior(), batch)
    codes = [workspace.encoder(name)(batch.latents[name]) for name in "ab"]
    distance = (codes[0] - codes[1]).square().sum(dim=1)
    torch.testing.assert_close(found["a"] + found["b"], distance / 2)


def test_the_share_follows_its_schedule(gaussian_workspace):
    workspace = gaussian_workspace()
    batch = batch_of(workspace)
    annealed = MixturePrior(alpha=Schedule(1.0, 0.0, steps=10))
    for step, alpha in ((0, 1.0), (5, 0.5), (10, 0.0), (99, 0.0)):
        found = losses(workspace, annealed, batch, step=step)
        three = pairwise(*posteriors(workspace, batch, 0, "abc"), alpha)
        torch.testing.assert_close(found["c"], three[2])


def test_only_a_share_that_changes_looks_at_the_step(gaussian_workspace):
    """What does not can be captured as one function of tensors, the step being unknown."""
    workspace = gaussian_workspace()
    batch, annealed = batch_of(workspace), MixturePrior(alpha=Schedule(1.0, 0.0, steps=10))
    for objective in (MixturePrior(alpha=0.3), annealed):
        walked, context = walked_by(workspace, objective, batch)
        context = attrs.evolve(context, step=object())
        if objective is annealed:
            with pytest.raises(TypeError):
                objective.loss(walked, context)
        else:
            assert objective.loss(walked, context)


def test_an_excluded_domain_is_in_nobodys_prior(gaussian_workspace):
    workspace = gaussian_workspace()
    batch = batch_of(workspace)
    found = losses(workspace, MixturePrior(exclude=["b"], alpha=0.5), batch)
    assert list(found) == ["a", "c"]
    two = pairwise(*posteriors(workspace, batch, 0, "ac"), 0.5)
    torch.testing.assert_close(found["c"], two[1])
    alone = 0.5 * kl_to_standard(*posteriors(workspace, batch, 1, "a"))[0]
    torch.testing.assert_close(found["a"][5:9], alone)


@pytest.mark.parametrize("estimator", ["pairwise", "mixture"])
def test_every_encoder_learns_from_one_domains_own_term(estimator, gaussian_workspace):
    workspace = gaussian_workspace().train()
    batch = batch_of(workspace)
    found = losses(workspace, MixturePrior(estimator=estimator), batch)
    found["c"].mean().backward()
    for name in "abc":
        gradients = [p.grad for p in workspace.encoder(name).parameters()]
        assert all(g is not None and g.isfinite().all() for g in gradients)
        assert any(g.abs().max() > 1e-6 for g in gradients), name


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"estimator": "monte-carlo"}, 'estimator="monte-carlo" is unknown'),
        ({"alpha": 1.2}, r"alpha=1.2 must lie in \[0, 1\]"),
        ({"alpha": -0.1}, "alpha=-0.1 is no share"),
        ({"alpha": {"start": 1.0}}, "is no share"),
        ({"alpha": "all"}, "alpha='all' is no share"),
        ({"alpha": {"start": 0.0, "end": 2.0, "steps": 5}}, "must lie in"),
    ],
)
def test_a_setting_that_is_no_share_or_form_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        MixturePrior(**settings)


# ---- a missing domain


def states_of(workspace, objective, groups):
    batch = batch_of(workspace, groups, [5])
    walked, _ = walked_by(workspace, objective, batch)
    return {walk.route: state for walk, state in walked.states.items()}


def test_dropping_a_domain_changes_no_other_posterior_of_the_mixture_prior(gaussian_workspace):
    workspace = gaussian_workspace("identity")
    whole, part = (
        states_of(workspace, MixturePrior(), [group]) for group in (("a", "b", "c"), ("a", "b"))
    )
    assert set(part) == {Route(("a",)), Route(("b",))}
    for route, state in part.items():
        assert torch.equal(state.code, whole[route].code)
        assert torch.equal(state.logvar, whole[route].logvar)


@pytest.mark.parametrize("aggregate", ["product", "average", "mixture", "mopoe"])
def test_dropping_a_domain_changes_the_posterior_of_the_joint_models(aggregate, gaussian_workspace):
    workspace = gaussian_workspace(aggregate)
    whole, part = (
        states_of(workspace, StandardPrior(), [group]) for group in (("a", "b", "c"), ("a", "b"))
    )
    (one,), (other,) = whole.values(), part.values()
    assert (one.code - other.code).abs().max() > 1e-3


# ---- the standard prior


def test_the_standard_prior_judges_the_posterior_of_all_domains_of_a_row(gaussian_workspace):
    workspace = gaussian_workspace("product")
    batch = batch_of(workspace)
    found = losses(workspace, StandardPrior(), batch)
    assert list(found) == ["a + b + c", "a + b", "a", "b"]
    means, logvars = posteriors(workspace, batch, 1, "ab")
    precision = (-logvars).exp()
    mean = (precision * means).sum(dim=0) / precision.sum(dim=0)
    expected = kl_to_standard(mean, -precision.sum(dim=0).log())
    torch.testing.assert_close(found["a + b"], expected)
    alone = kl_to_standard(*posteriors(workspace, batch, 2, "a"))[0]
    torch.testing.assert_close(found["a"], alone)


def test_of_a_mixture_the_drawn_domains_estimate_the_mean_over_domains(gaussian_workspace):
    workspace = gaussian_workspace("mixture")
    batch = batch_of(workspace, [("a", "b", "c")], [1])
    many = attrs.evolve(
        batch,
        segments=(Segment(("a", "b", "c"), 9000),),
        latents={name: x.expand(9000, -1) for name, x in batch.latents.items()},
        rows=(torch.arange(9000),),
    )
    found = losses(workspace, StandardPrior(), many)["a + b + c"].detach()
    expected = kl_to_standard(*posteriors(workspace, batch, 0, "abc")).mean().detach()
    assert float(found.mean()) == pytest.approx(float(expected), rel=0.05)


# ---- the kit


class TestMixturePrior(ObjectiveConformance):
    plugin = "globalworkspace_mmvm.plugin"

    @pytest.fixture(params=["pairwise", "mixture"])
    def objective(self, request):
        return MixturePrior(0.1, estimator=request.param, alpha=0.2)


class TestMixturePriorOfDistributions(TestMixturePrior):
    @pytest.fixture
    def workspace(self, gaussian_workspace):
        return gaussian_workspace()


class TestAnnealedMixturePrior(ObjectiveConformance):
    @pytest.fixture
    def objective(self):
        return MixturePrior({"start": 0.0, "end": 1.0, "steps": 9}, alpha=Schedule(1.0, 0.0, 9))


class TestMixturePriorAlone(ObjectiveConformance):
    """Without the standard normal, unmatched rows have no route."""

    @pytest.fixture
    def objective(self):
        return MixturePrior()


class TestStandardPrior(ObjectiveConformance):
    plugin = "globalworkspace_mmvm.plugin"

    @pytest.fixture
    def objective(self):
        return StandardPrior(0.1)


class TestStandardPriorOfDistributions(TestStandardPrior):
    @pytest.fixture(params=["product", "mopoe"])
    def workspace(self, request, gaussian_workspace):
        return gaussian_workspace(request.param)
