"""What each process of a test runs, alone or under torchrun: python processes_job.py FILE."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

import test_training as tests
from conftest import DIMS

from globalworkspace import GlobalWorkspace, LatentSpec, Table
from globalworkspace.given_latents import GivenLatents
from globalworkspace.processes import current_processes

if __name__ == "__main__":
    torch.set_num_threads(1)
    chance = torch.Generator().manual_seed(0)
    cells = {name: torch.randn(200, size, generator=chance) for name, size in DIMS.items()}
    workspace = GlobalWorkspace(
        {name: GivenLatents(LatentSpec.continuous(size)) for name, size in DIMS.items()},
        dim=3,
        hidden_dim=16,
        networks=dict.fromkeys(DIMS, "gaussian-mlp"),
        fusion="posteriors",
        fusion_options={"aggregate": "mopoe"},
        activation="none",
    )
    history, weights = tests.trained(workspace, Table.from_columns(cells).match(80))
    if current_processes().first:
        losses = [entry["loss"] for entry in history if "loss" in entry]
        torch.save({"losses": torch.tensor(losses), "weights": weights}, sys.argv[1])
    current_processes().wait()  # so that they leave their group together
