"""The evaluation kind `integration`, in a run and by itself."""

import functools
import json

import numpy as np
import pytest
import torch
from globalworkspace_probes.integration import simulate_sites
from globalworkspace_probes.integration.evaluation import integration

from globalworkspace import GlobalWorkspace, LatentSpec, Table
from globalworkspace.components import build_evaluations
from globalworkspace.errors import DataError, WorkspaceError
from globalworkspace.evaluation.base import HeldOut
from globalworkspace.given_latents import GivenLatents
from globalworkspace.testing import check_evaluation

QUICK = {"resamples": 30}


@pytest.fixture
def drawn():
    return simulate_sites(0, sites=2, events=300)


@pytest.fixture
def workspace(drawn):
    domains = {name: GivenLatents(LatentSpec.continuous(8)) for name in drawn.tracks}
    return GlobalWorkspace(domains, dim=12, hidden_dim=16)


@pytest.fixture
def events(drawn):
    table = Table.from_columns({name: track.float() for name, track in drawn.tracks.items()})
    return HeldOut(raw=table, latents=table)


@pytest.fixture
def file(drawn, tmp_path):
    path = tmp_path / "responses.npz"
    names = [f"{kind} {k}" for k, kind in enumerate(drawn.kinds)]
    np.savez(path, responses=drawn.responses.numpy(), sites=names)
    return str(path)


def test_it_counts_sites_per_gate_and_names_the_flagged_ones(workspace, events, file):
    found = integration(workspace, events, responses=file, untrained=True, **QUICK)
    assert found["events"] == 300 and found["sites"] == 12
    assert list(found["passed"]) == ["unimodal", "concat", "mispaired", "additive", "untrained"]
    assert len(found["flagged_sites"]) == found["flagged"]
    json.dumps(found, allow_nan=False)


def test_it_keeps_the_contract_of_an_evaluation(workspace, events, file):
    asked = functools.partial(integration, responses=file, untrained=True, **QUICK)
    plugin = "globalworkspace_probes.plugin"
    results = check_evaluation(asked, workspace=workspace, held_out=events, plugin=plugin)
    assert set(results.values()) == {"passed"}


def test_rows_in_any_order_find_their_own_responses(workspace, events, file):
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    mixed = HeldOut(raw=events.raw.select(order), latents=events.latents.select(order))
    asked = functools.partial(integration, responses=file, gates=["concat"], **QUICK)
    assert asked(workspace, mixed) == asked(workspace, events)
    half = order[:150]
    some = HeldOut(raw=events.raw.select(half), latents=events.latents.select(half))
    assert asked(workspace, some, block=7)["events"] == 150


def test_a_row_without_response_is_refused(workspace, events, drawn, tmp_path):
    np.savez(tmp_path / "short.npz", responses=drawn.responses[:, :200].numpy())
    with pytest.raises(DataError, match="responses to 200 events, and row 299 is among"):
        integration(workspace, events, responses=str(tmp_path / "short.npz"))


def test_domains_may_be_chosen_and_unknown_ones_are_refused(workspace, events, file):
    with pytest.raises(DataError, match='no domain "film"'):
        integration(workspace, events, responses=file, domains=["vision", "film"])
    with pytest.raises(DataError, match="two domains or more"):
        integration(workspace, events, responses=file, domains=["vision"])


def test_the_workspace_of_another_run_is_the_architecture_matched_pair(
    workspace, events, file, tmp_path, monkeypatch
):
    asked = functools.partial(integration, responses=file, unmatched=str(tmp_path), **QUICK)
    with pytest.raises(WorkspaceError, match="no trained workspace"):
        asked(workspace, events)
    other = GlobalWorkspace(workspace.domains, dim=12, hidden_dim=16, seed=5)
    monkeypatch.setattr("globalworkspace_probes.integration.evaluation.load_run", lambda _: other)
    assert "unmatched" in asked(workspace, events)["passed"]


def test_a_config_asks_for_it_by_its_kind(workspace, events, file):
    entry = {"kind": "integration", "responses": file, "gates": ["concat"], **QUICK}
    built = build_evaluations([entry])
    assert built["integration"](workspace, events)["passed"].keys() == {"concat"}
    with pytest.raises(WorkspaceError, match='no setting "respones"'):
        build_evaluations([{"kind": "integration", "respones": file}])
