import json
import sys
import tomllib

import pytest
from run_files import CONFIG, things, write_config, write_csv

from globalworkspace.cli import main
from globalworkspace.commands.encode import worker_of
from globalworkspace.data import encoding
from globalworkspace.errors import ConfigError
from globalworkspace.experiment import run_experiment

SHARDED = CONFIG + "\n[encoding]\nshard_rows = 8\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, script_kinds):
    monkeypatch.chdir(tmp_path)
    write_csv(things())
    for name, text in (("plain.toml", CONFIG), ("sharded.toml", SHARDED)):
        (tmp_path / name).write_text(text)
    return tmp_path


def forbid_encoding(monkeypatch):
    def encode_items(*_, **__):
        raise AssertionError("cells were encoded again")

    monkeypatch.setattr(encoding, "encode_items", encode_items)


@pytest.mark.parametrize("name", ["plain", "sharded"])
def test_train_finds_what_encode_made(name, monkeypatch, capsys):
    assert main(["encode", f"{name}.toml", "--out", "run", "--quiet"]) == 0
    assert "All latents are in run/latents" in capsys.readouterr().out
    forbid_encoding(monkeypatch)
    assert main(["train", f"{name}.toml", "--out", "run", "--quiet"]) == 0


def test_workers_share_the_files(monkeypatch, capsys):
    for worker in (1, 0):
        assert main(["encode", "sharded.toml", "--out", "run", "--worker", f"{worker}/2"]) == 0
    printed = capsys.readouterr().out
    assert "Worker 1 of 2 is done; others are not yet." in printed
    assert printed.rstrip().endswith("All latents are in run/latents.")
    forbid_encoding(monkeypatch)
    assert main(["train", "sharded.toml", "--out", "run", "--quiet"]) == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_ray_starts_the_workers(monkeypatch, capsys):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else Ray writes a token into the home folder
    ray = pytest.importorskip("ray")  # its workers know no kind that this test registers
    write_config(*2 * [('"script-numbers"', '"attributes"')], file="sharded.toml")
    with open("sharded.toml", "a") as file:
        file.write("\n[encoding]\nshard_rows = 8\n")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        assert main(["encode", "sharded.toml", "--out", "run", "--quiet", "--ray", "2"]) == 0
    finally:
        ray.shutdown()
    assert capsys.readouterr().out.rstrip().endswith("All latents are in run/latents.")
    forbid_encoding(monkeypatch)
    assert main(["train", "sharded.toml", "--out", "run", "--quiet"]) == 0


def test_a_machine_without_ray_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray.data", None)
    assert main(["encode", "sharded.toml", "--ray", "2"]) == 2
    assert 'pip install "globalworkspace[ray]"' in capsys.readouterr().err
    assert main(["encode", "sharded.toml", "--ray", "none"]) == 2
    assert "at least 1" in capsys.readouterr().err


def test_training_from_files_does_as_well_as_from_memory(folder):
    errors = {}
    for name, text in (("plain", CONFIG), ("sharded", SHARDED)):
        config = tomllib.loads(text.replace("steps = 6", "steps = 200"))
        made = run_experiment(config, folder / name, progress=False)
        errors[name] = made.evaluation["translation"]["place -> look"]
    assert errors["sharded"] < max(2 * errors["plain"], 0.1)
    saved = json.loads((folder / "sharded/config.json").read_text())
    assert saved["encoding"] == {"shard_rows": 8}


def test_several_workers_need_files_to_share(capsys):
    assert main(["encode", "plain.toml", "--worker", "0/2"]) == 2
    assert "shard_rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [
        (None, {}, (0, 1)),
        ("3/16", {"RANK": "0", "WORLD_SIZE": "2"}, (3, 16)),
        (None, {"RANK": "1", "WORLD_SIZE": "2"}, (1, 2)),
        (None, {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_COUNT": "8"}, (5, 8)),
        (None, {"SLURM_PROCID": "2", "SLURM_NTASKS": "4"}, (2, 4)),
        (None, {"RANK": "1"}, (0, 1)),
    ],
)
def test_launchers_say_which_worker_this_is(given, environment, expected):
    assert worker_of(given, environment) == expected


@pytest.mark.parametrize("given", ["4/4", "-1/4", "one", "1", "0/0"])
def test_what_is_no_worker_is_refused(given):
    with pytest.raises(ConfigError, match="write K/N"):
        worker_of(given, {})
