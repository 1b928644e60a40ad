"""Sampled families are unbiased estimates of the whole ones, and cost what was asked for."""

import pytest
import torch
from core_domains import make_batch, small_workspace

from globalworkspace import routes as routes_module
from globalworkspace.data.sampler import Batch, Segment
from globalworkspace.errors import ConfigError
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.fused import Fused
from globalworkspace.objectives.translation import Translation
from globalworkspace.training.orchestrator import LossOrchestrator

NAMES = ("left", "right", "third")
EXACT = {"rtol": 1e-12, "atol": 1e-12}


@pytest.fixture
def workspace():
    return small_workspace((4, 6, 3), fusion="mean").double().train()


def batch_of(workspace, group, rows=12):
    return make_batch(workspace, [(group, rows)], torch.Generator().manual_seed(0))


def rolled(batch, by):
    """The same rows in another order, as another draw would give them."""
    latents = {name: values.roll(by, dims=0) for name, values in batch.latents.items()}
    return Batch(batch.segments, latents, tuple(rows.roll(by) for rows in batch.rows))


def loss(workspace, objective, batch, step=0):
    return LossOrchestrator(workspace, [objective])(batch, step).total.detach()


@pytest.mark.parametrize("budget", [1, 2, 3])
@pytest.mark.parametrize("family", [Translation, Cycle, Fused])
def test_the_mean_over_all_orders_of_rows_is_the_whole_family(workspace, family, budget):
    group = ("left",) if family is Cycle else NAMES
    batch = batch_of(workspace, group)
    whole = loss(workspace, family(), batch)
    sampled = torch.stack(
        [loss(workspace, family(budget=budget), rolled(batch, by)) for by in range(12)]
    )
    torch.testing.assert_close(sampled.mean(), whole, **EXACT)
    routes = len([*family().routes(batch.segments[0])]) if family is not Cycle else 2
    assert (sampled.std() > 1e-3) == (budget < routes)


@pytest.mark.parametrize("family", [Translation, Fused])
def test_sampled_subsets_are_an_unbiased_estimate_of_every_subset(workspace, family, monkeypatch):
    batch = batch_of(workspace, NAMES)
    every = loss(workspace, family(subsets="every"), batch)
    found = []
    for subset in (1, 2, 3):  # of the two domains that are drawn from, each equally likely

        def drawn(sources, rows, generator, subset=subset):
            return torch.tensor([[bool(subset >> bit & 1)] * rows for bit in range(sources)])

        monkeypatch.setattr(routes_module, "_drawn_sources", drawn)
        found.append(loss(workspace, family(subsets="sampled"), batch))
    torch.testing.assert_close(torch.stack(found).mean(), every, **EXACT)
    assert torch.stack(found).std() > 1e-3


def test_the_estimate_scatters_around_every_subset_as_its_error_says(workspace):
    batch = batch_of(workspace, NAMES, rows=60)
    every = float(loss(workspace, Translation(subsets="every"), batch))
    draws = torch.stack(
        [loss(workspace, Translation(subsets="sampled", budget=1), batch, s) for s in range(200)]
    )
    orders = torch.stack(
        [
            loss(workspace, Translation(subsets="sampled", budget=1), rolled(batch, s), s)
            for s in range(600)
        ]
    )
    assert draws.std() > 0  # another draw in every step
    error = orders.std() / len(orders) ** 0.5
    assert abs(float(orders.mean()) - every) < 4 * float(error)


def test_pairs_are_drawn_anew_and_all_alike(workspace):
    batch = batch_of(workspace, NAMES)
    whole = loss(workspace, Contrastive(), batch)
    values = torch.stack([loss(workspace, Contrastive(budget=1), batch, s) for s in range(300)])
    assert len(values.unique()) == 3  # two of three pairs each time
    error = values.std() / len(values) ** 0.5
    assert abs(float(values.mean() - whole)) < 4 * float(error)
    torch.testing.assert_close(loss(workspace, Contrastive(budget=2), batch), whole, **EXACT)


@pytest.mark.parametrize("budget", [1, 2, 5])
@pytest.mark.parametrize("count", [4, 8, 16])
def test_a_row_walks_no_more_than_its_budget_however_many_domains_there_are(count, budget):
    group = tuple(f"d{i}" for i in range(count))
    segment = Segment(group, 240)
    for objective in (
        Translation(budget=budget),
        Fused(budget=budget, subsets="sampled"),
        Translation(subsets="sampled", budget=budget),
    ):
        walked = sum(len(range(240)[route.rows_of(segment)]) for route in objective.routes(segment))
        assert walked <= 240 * budget + len([*objective.routes(segment)])
    assert len([*Translation(subsets="sampled").routes(segment)]) == count


@pytest.mark.parametrize("family", [Translation, Cycle, Fused, Contrastive])
@pytest.mark.parametrize("budget", [0, -1, 1.5])
def test_a_budget_is_a_whole_number(family, budget):
    with pytest.raises(ConfigError, match=f"budget={budget}"):
        family(budget=budget)


@pytest.mark.parametrize("family", [Translation, Fused])
def test_subsets_are_named(family):
    with pytest.raises(ConfigError, match='subsets="some" is unknown; write "whole", "every"'):
        family(subsets="some")
