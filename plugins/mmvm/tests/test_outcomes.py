"""What training must arrive at: a known optimum, and imputation that others do not reach."""

import math
import statistics

import pytest
import torch
from globalworkspace_mmvm import MixturePrior, StandardPrior
from torch.nn import functional as F

from globalworkspace import GlobalWorkspace, LatentSpec, Table, Trainer, TrainerConfig
from globalworkspace.evaluation.translation import normalized_error, predict
from globalworkspace.given_latents import GivenLatents
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.fused import Fused
from globalworkspace.standard_table import standardize_table


def trained(cells, objectives, *, dim, aggregate="identity", steps=400, **options):
    """A workspace of distributions over two domains, trained on complete rows."""
    workspace = GlobalWorkspace(
        {n: GivenLatents(LatentSpec.continuous(x.shape[1])) for n, x in cells.items()},
        dim=dim,
        networks=dict.fromkeys(cells, "gaussian-mlp"),
        fusion="posteriors",
        fusion_options={"aggregate": aggregate},
        activation="none",
        **options,
    )
    config = TrainerConfig(
        steps=steps,
        batch_size=128,
        unmatched_batch_size=128,
        learning_rate=1e-2,
        weight_decay=0.0,
        ema=0.98,
        device="cpu",
        progress=False,
    )
    Trainer(config, objectives).fit(workspace, Table.from_columns(cells), latents=True)
    return workspace


def imputation(workspace, cells):
    """R² of a domain from the mean of the other's posterior, of both directions."""
    table = standardize_table(workspace, Table.from_columns(cells))
    rows = torch.arange(len(table))
    errors = [
        normalized_error(predict(workspace, table, (a,), b, rows), table[b].take(rows)).mean()
        for a, b in (("a", "b"), ("b", "a"))
    ]
    return 1 - statistics.fmean(map(float, errors))


@torch.no_grad()
def reconstruction(workspace, cells, *, sampled=False, joint=False):
    """Normalised error of the domains from their own posteriors, or from that of the row."""
    table = standardize_table(workspace, Table.from_columns(cells))
    truths = {name: table[name].cells for name in table}
    workspace.train(sampled)
    torch.manual_seed(99)  # the cells are of seed 0, and noise must know nothing of them
    codes = {name: workspace.encoder(name)(x) for name, x in truths.items()}
    errors = []
    for name, truth in truths.items():
        fused = codes if joint else {name: codes[name]}
        state = workspace.fusion.fuse(fused, generator=torch.Generator().manual_seed(0))
        errors.append(normalized_error(workspace.decoder(name)(state.code), truth).mean())
    workspace.eval()
    return statistics.fmean(map(float, errors))


def test_reconstruction_and_weight_are_a_gaussian_likelihood_and_beta():
    """`demi_cycle + weight * mmvm` is the paper's loss, but for a constant and a factor."""
    columns, beta, variance = 5, 0.7, 0.4
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(6, columns, generator=generator)
    spec = LatentSpec.continuous(columns)
    divergences = torch.rand(2, 6, generator=generator)

    def ours(guesses):
        weight = beta * 2 * variance / columns  # as `MixturePrior` has it, the other way round
        row_losses = torch.stack([spec.loss(guess, truth) for guess in guesses])
        return (row_losses + weight * divergences).mean(dim=0)

    def paper(guesses):
        likelihoods = torch.stack(
            [
                F.gaussian_nll_loss(
                    g, truth, torch.full_like(g, variance), full=True, reduction="none"
                ).sum(dim=1)
                for g in guesses
            ]
        )
        return (likelihoods + beta * divergences).sum(dim=0)

    first, second = (torch.randn(2, 6, columns, generator=generator) for _ in range(2))
    factor = 2 * columns / (2 * variance)  # two domains
    torch.testing.assert_close(
        paper(first) - paper(second), factor * (ours(first) - ours(second)), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("weight", [0.1, 0.6])
def test_two_linear_gaussian_domains_arrive_at_their_optimum(weight):
    """x = sqrt(1 - p) s + sqrt(p) e for both domains, s shared, p the private share.

    With z ~ N(a x, v) and a linear decoder the loss has its minimum where the error is
    k = sqrt(p weight / 2) (with samples), and the decoder shrinks by d = 1 - k; so imputation from
    the mean has R² = 2 d (1 - p) - d². The prior pulls twice as hard as a detached one, whose k
    is sqrt(p weight / 4).
    """
    private, generator = 0.3, torch.Generator().manual_seed(0)
    shared = math.sqrt(1 - private) * torch.randn(4000, 1, generator=generator)
    cells = {
        name: shared + math.sqrt(private) * torch.randn(4000, 1, generator=generator)
        for name in "ab"
    }
    workspace = trained(
        cells,
        [DemiCycle(1.0), MixturePrior(weight)],
        dim=1,
        hidden_dim=16,
        num_layers=1,
        linear_path=True,
    )
    error = math.sqrt(private * weight / 2)
    assert reconstruction(workspace, cells, sampled=True) == pytest.approx(error, rel=0.08)
    shrunk = 1 - error
    expected = 2 * shrunk * (1 - private) - shrunk**2
    assert imputation(workspace, cells) == pytest.approx(expected, abs=0.03)


def nonlinear(seed):
    """2,500 rows of two domains: 3 factors that both share and 3 of its own each."""
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(2500, 3, generator=generator)
    found = {}
    for name in "ab":
        factors = torch.cat([shared, torch.randn(2500, 3, generator=generator)], dim=1)
        hidden = torch.tanh(factors @ torch.randn(6, 24, generator=generator) / math.sqrt(6))
        found[name] = hidden @ torch.randn(24, 10, generator=generator) / math.sqrt(24)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_imputation_beats_independent_vaes_and_what_joint_ones_reach_at_its_error(seed):
    cells = nonlinear(seed)
    training, test = (
        {n: x[rows] for n, x in cells.items()} for rows in (slice(1500), slice(1500, None))
    )
    chance = torch.Generator().manual_seed(seed)
    shuffled = training | {"b": training["b"][torch.randperm(1500, generator=chance)]}
    options = {"dim": 6, "hidden_dim": 64, "seed": seed}

    def curve(objectives, betas, aggregate="identity"):
        """(error, R²) at each beta."""
        points = []
        for beta in betas:
            made = trained(training, objectives(2 * beta / 10), aggregate=aggregate, **options)
            joint = aggregate != "identity"
            points.append((reconstruction(made, test, joint=joint), imputation(made, test)))
        return points

    betas = (0.1, 0.3, 1.0)
    ours = curve(lambda weight: [DemiCycle(1.0), MixturePrior(weight)], betas)
    independent = curve(lambda w: [DemiCycle(1.0), MixturePrior(w, alpha=1.0)], betas)
    best = max(r2 for _, r2 in ours)
    assert best > 0.25 > 0.1 > max(r2 for _, r2 in independent)
    joint = {
        kind: curve(lambda w: [Fused(1.0), StandardPrior(w)], (0.03, *betas), kind)
        for kind in ("product", "mixture")
    }
    reached = [
        r2 - max(other for e, other in joint["product"] if e <= error)
        for error, r2 in ours
        if any(e <= error for e, _ in joint["product"])
    ]
    assert reached and max(reached) > 0.05
    # what a mixture draws has to reconstruct both domains: it keeps less of each
    assert min(e for e, _ in joint["mixture"]) > min(e for e, r2 in ours if r2 > 0.2)
    unaligned = trained(training, [DemiCycle(1.0)], **options)
    assert imputation(unaligned, test) < 0.1
    broken = trained(shuffled, [DemiCycle(1.0), MixturePrior(2 * 0.3 / 10)], **options)
    assert imputation(broken, test) < 0.05
