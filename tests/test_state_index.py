import sys

import pytest
import torch
from core_domains import Vector
from torch.nn import functional as F

from globalworkspace import GlobalWorkspace, state_index
from globalworkspace.errors import ConfigError
from globalworkspace.state_index import StateIndex, states_of


@pytest.fixture
def states():
    return F.normalize(torch.randn(3000, 16, generator=torch.Generator().manual_seed(0)), dim=1)


@pytest.fixture
def asked():
    return torch.randn(40, 16, generator=torch.Generator().manual_seed(1))


def test_an_exact_search_is_that_of_all_cosines(states, asked, monkeypatch):
    monkeypatch.setattr(state_index, "_CHUNK", 700)
    values, places = StateIndex(states, exact=True).search(asked, 5)
    expected = (F.normalize(asked, dim=1) @ states.T).topk(5, dim=1)
    assert torch.equal(places, expected.indices)
    torch.testing.assert_close(values, expected.values)


def test_more_than_there_are_is_all_of_them(states, asked):
    values, places = StateIndex(states[:3]).search(asked, 10)
    assert values.shape == places.shape == (40, 3)
    assert torch.equal(places.sort(dim=1).values[0], torch.arange(3))


def test_cells_hold_almost_all_that_an_exact_search_finds():
    pytest.importorskip("faiss")
    generator = torch.Generator().manual_seed(3)
    spread = torch.randn(20_000, 4, generator=generator) @ torch.randn(4, 16, generator=generator)
    states = F.normalize(spread + 0.2 * torch.randn(20_000, 16, generator=generator), dim=1)
    asked = states[:40] + 0.05 * torch.randn(40, 16, generator=generator)
    cells, exact = StateIndex(states, exact=False), StateIndex(states)
    assert exact.exact and not cells.exact
    (values, places), (truth, right) = cells.search(asked, 10), exact.search(asked, 10)
    shared = [len({*a} & {*b}) for a, b in zip(places.tolist(), right.tolist(), strict=True)]
    assert sum(shared) / 400 > 0.97
    torch.testing.assert_close(values[:, 0], truth[:, 0], atol=1e-5, rtol=0)


def test_a_large_collection_gets_cells_by_itself(states, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr(state_index, "LARGE", 1000)
    assert not StateIndex(states).exact and StateIndex(states[:999]).exact


def test_without_faiss_everything_is_exact_unless_cells_are_asked_for(states, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(state_index, "LARGE", 10)
    assert StateIndex(states).exact
    with pytest.raises(ConfigError, match=r"globalworkspace\[index\]"):
        StateIndex(states, exact=False)


def test_states_are_those_of_the_workspace_chunk_by_chunk(monkeypatch):
    monkeypatch.setattr(state_index, "_CHUNK", 7)
    workspace = GlobalWorkspace({"a": Vector(3), "b": Vector(2)}, dim=4)
    latents = torch.randn(20, 3)
    expected = F.normalize(workspace.encode({"a": latents}, latents=True).code, dim=1)
    torch.testing.assert_close(states_of(workspace, "a", latents), expected)
