"""Workspaces whose states are distributions."""

import pytest
import torch

from globalworkspace import GlobalWorkspace, LatentSpec, Table
from globalworkspace.given_latents import GivenLatents

DIMS = {"a": 4, "b": 3, "c": 5}


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """The networks are small: a second thread only waits for the first."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def gaussian_workspace():
    """Makes one: `gaussian_workspace("product", names="ab", dim=3)`."""

    def make(aggregate="identity", names="abc", **options):
        settings = {"dim": 3, "hidden_dim": 16, "activation": "none"} | options
        return GlobalWorkspace(
            {name: GivenLatents(LatentSpec.continuous(DIMS[name])) for name in names},
            networks=dict.fromkeys(names, "gaussian-mlp"),
            fusion="posteriors",
            fusion_options={"aggregate": aggregate},
            **settings,
        )

    return make


@pytest.fixture
def rows():
    """Makes a table: functions of 2 factors that all domains share and of 2 of their own."""

    def make(count=200, names="abc", seed=0):
        generator = torch.Generator().manual_seed(seed)
        shared = torch.randn(count, 2, generator=generator)
        cells = {}
        for name in names:
            factors = torch.cat([shared, torch.randn(count, 2, generator=generator)], dim=1)
            cells[name] = torch.tanh(factors @ torch.randn(4, DIMS[name], generator=generator))
        return Table.from_columns(cells)

    return make
