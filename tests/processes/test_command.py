"""`torchrun -m globalworkspace train`: the launcher is all that changes."""

import json
import os
import subprocess
import sys

import pytest
from safetensors.torch import load_file

CONFIG = """
[data]
kind = "table"
path = "things.csv"

[domains.left]
kind = "attributes"
column = ["a", "b"]

[domains.right]
kind = "attributes"
column = ["c", "d"]

[encoding]
shard_rows = 32

[training]
steps = 40
batch_size = 16
unmatched_batch_size = 8
device = "cpu"
checkpoint_every = 10
"""
"""Two domains of table columns, each row with both."""


def train(folder, *launcher):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, "-m", "globalworkspace", "train", "config.toml", "--out", "run"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout, json.loads((folder / "run/evaluation.json").read_text())


@pytest.mark.slow
def test_two_processes_write_the_run_of_one(tmp_path):
    rows = ["a,b,c,d"]
    rows += [f"{i % 7},{i % 5},{i % 7 + i % 5},{i % 7 - i % 5}" for i in range(120)]
    found = []
    for name, launcher in {
        "one": [sys.executable],
        "two": [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node=2",
        ],
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "things.csv").write_text("\n".join(rows))
        (folder / "config.toml").write_text(CONFIG)
        found.append((folder, *train(folder, *launcher)))
    (one, printed, alone), (two, also_printed, together) = found
    shards = [sorted(p.name for p in f.rglob("shard-*.safetensors")) for f in (one, two)]
    assert shards[0] == shards[1] and len(shards[0]) > 4
    for direction, error in alone["translation"].items():
        assert together["translation"][direction] == pytest.approx(error, rel=1e-3)
    assert "left -> right" in printed
    assert also_printed.count("left -> right") == 1  # the first process alone speaks
    first, second = (
        load_file(next((f / "run/workspace").glob("*.safetensors"))) for f in (one, two)
    )
    for key, value in first.items():
        assert (value.double() - second[key].double()).abs().max() < 1e-3, key
    lines = [
        [json.loads(line) for line in (f / "run/metrics.jsonl").read_text().splitlines()]
        for f in (one, two)
    ]
    assert [entry["step"] for entry in lines[0]] == [entry["step"] for entry in lines[1]]
