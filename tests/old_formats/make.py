"""What this version saves, small: a run, a workspace, stored latents, latents in shards.

    python tests/old_formats/make.py tests/old_formats/format-N

Run it before the format of any of them changes; test_old_formats.py reads all of them from then on.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parents[1]))

from core_domains import small_workspace

from globalworkspace import LatentStore, Table, Trainer, TrainerConfig
from globalworkspace.data.shards import finish_shards, write_shards
from globalworkspace.objectives.translation import Translation

KEY, ROWS, DIM, SHARD = "k" * 64, 20, 4, 8
CONFIG = {"steps": 4, "checkpoint_every": 2, "batch_size": 8, "device": "cpu", "progress": False}


def latents():
    """(ROWS, DIM), the same on every machine."""
    return torch.arange(ROWS * DIM, dtype=torch.float32).view(ROWS, DIM) / 10


def train(folder, steps=4):
    """Train in `folder`, on from what is there; the workspace and the result."""
    workspace = small_workspace((4, 6), hidden_dim=4, num_layers=1)
    config = TrainerConfig(**(CONFIG | {"steps": steps, "schedule": "constant"}))
    columns = load_file(Path(__file__).parent / "columns.safetensors")  # bits differ by machine
    table = Table.from_columns(columns).match(20, seed=0)
    result = Trainer(config, [Translation()]).fit(workspace, table, run_dir=folder)
    return workspace, result


def main(home):
    """Save one of each below `home`."""
    workspace, _ = train(home / "run")
    workspace.save_pretrained(home / "workspace")
    LatentStore(home / "store").put(KEY, latents(), "left")
    write_shards(home / "shards", KEY, ROWS, SHARD, lambda rows: latents()[rows])
    assert finish_shards(home / "shards", KEY, ROWS, DIM, SHARD)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
