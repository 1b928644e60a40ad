"""Workspaces of distributions are trained, stopped, resumed, captured, saved and loaded."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from globalworkspace_mmvm import MixturePrior, StandardPrior

from globalworkspace import GlobalWorkspace, Trainer, TrainerConfig
from globalworkspace.cli import main
from globalworkspace.export import translation_module
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.fused import Fused
from globalworkspace.training import captured

SETTINGS = {
    "steps": 12,
    "batch_size": 17,  # which two processes do not share evenly
    "unmatched_batch_size": 9,
    "checkpoint_every": 4,
    "validate_every": 6,
    "log_every": 1,
    "device": "cpu",
    "progress": False,
}


def families(estimator="mixture"):
    """Objectives that walk codes on every way there is."""
    return [
        DemiCycle(1.0),
        Fused(0.5, subsets="sampled"),
        Cycle(0.2),
        Contrastive(0.1),
        MixturePrior(0.1, estimator=estimator, alpha=0.2),
        StandardPrior(0.01),
    ]


def trained(workspace, table, objectives=None, run_dir=None, **changed):
    """The history and the weights after training."""
    training, validation = table.hold_out(0.2)
    trainer = Trainer(TrainerConfig(**(SETTINGS | changed)), objectives or families())
    result = trainer.fit(workspace, training, validation, latents=True, run_dir=run_dir)
    return result.history, workspace.state_dict()


def test_a_resumed_training_is_the_uninterrupted_one(tmp_path, gaussian_workspace, rows):
    make, table = lambda: gaussian_workspace("mopoe", dropout=0.2), rows().match(60)
    history, whole = trained(make(), table, run_dir=tmp_path)
    shutil.rmtree(tmp_path / "checkpoints" / "step-000000012")
    again, resumed = trained(make(), table, run_dir=tmp_path)
    assert again[-1]["loss"] == history[-1]["loss"]
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    started = [json.loads(x) for x in (tmp_path / "timings.jsonl").read_text().splitlines()]
    assert [line["step"] for line in started if "started" in line] == [0, 8]


def test_samples_are_drawn_in_training_and_not_in_validation(gaussian_workspace, rows):
    workspace, table = gaussian_workspace(), rows()
    before = torch.get_rng_state()
    history, _ = trained(workspace, table, [DemiCycle(1.0), MixturePrior(0.1)])
    assert torch.equal(before, torch.get_rng_state())
    noisy = [entry["families"]["demi_cycle"] for entry in history if "families" in entry]
    held_out = [e["validation_families"]["demi_cycle"] for e in history if "validation" in e]
    assert held_out[-1] < noisy[-1]  # a unit of noise beside small means is hard to see through
    inputs = {"a": table["a"].cells}
    one, same = (workspace.translate(inputs, to="b", latents=True) for _ in range(2))
    assert torch.equal(one, same)


def captured_and_plain(table, make, objectives):
    (plain, _), (fast, _) = (
        trained(make(), table, objectives, compile=compiled) for compiled in (False, True)
    )
    for before, after in zip(plain, fast, strict=True):
        assert after["families"] == pytest.approx(before["families"], rel=1e-4, abs=1e-5)


def test_a_captured_training_is_the_plain_one(monkeypatch, caplog, gaussian_workspace, rows):
    monkeypatch.setattr(captured, "COMPILE", lambda graph: graph)
    objectives = [DemiCycle(1.0), MixturePrior(0.1, estimator="mixture", alpha=0.2)]
    captured_and_plain(rows(names="ab"), lambda: gaussian_workspace(names="ab"), objectives)
    assert "compile=True" not in caplog.text  # no word of a failure


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["pairwise", "mixture"])
def test_a_captured_training_of_all_ways_is_the_plain_one(
    estimator, monkeypatch, caplog, gaussian_workspace, rows
):
    monkeypatch.setattr(captured, "COMPILE", lambda graph: graph)
    table = rows().match(60)
    captured_and_plain(table, lambda: gaussian_workspace("mopoe"), families(estimator))
    assert "compile=True" not in caplog.text


def test_a_loaded_workspace_is_the_saved_one(tmp_path, gaussian_workspace, rows):
    workspace, table = gaussian_workspace("product"), rows()
    trained(workspace, table)
    workspace.save_pretrained(tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert "posteriors" in json.dumps(config) and "gaussian-mlp" in json.dumps(config)
    loaded = GlobalWorkspace.from_pretrained(tmp_path / "saved", domains=workspace.domains)
    assert loaded.fusion.config() == {"aggregate": "product"}
    inputs = {name: table[name].cells for name in "ab"}
    one, other = (w.encode(inputs, latents=True) for w in (workspace, loaded))
    assert torch.equal(one.code, other.code) and torch.equal(one.logvar, other.logvar)
    outputs = [w.broadcast(one, latents=True) for w in (workspace, loaded)]
    assert all(torch.equal(outputs[0][name], outputs[1][name]) for name in "abc")


def test_a_path_as_a_plain_module_gives_the_same(gaussian_workspace, rows):
    workspace, table = gaussian_workspace("average"), rows()
    inputs = {name: table[name].cells for name in "ab"}
    path = translation_module(workspace, ["a", "b"], "c")
    torch.testing.assert_close(
        path(*inputs.values()), workspace.translate(inputs, to="c", latents=True)
    )


CONFIG = """\
[data]
kind = "table"
path = "rows.csv"

[domains.place]
kind = "attributes"
column = ["x", "y"]

[domains.look]
kind = "attributes"
column = ["width", "height"]

[workspace]
dim = 4
hidden_dim = 8
activation = "none"
fusion = "posteriors"
fusion_options = {aggregate = "mopoe"}
networks = {place = "gaussian-mlp", look = "gaussian-mlp"}

[[objectives]]
kind = "demi_cycle"

[[objectives]]
kind = "fused"

[[objectives]]
kind = "mmvm"
weight = {start = 0.0, end = 0.1, steps = 4}
estimator = "mixture"
alpha = {start = 1.0, end = 0.1, steps = 4}

[[objectives]]
kind = "standard_prior"
weight = 0.01

[training]
steps = 6
batch_size = 8
unmatched_batch_size = 8
validate_every = 3
checkpoint_every = 2
device = "cpu"
"""


def test_a_config_trains_and_reports(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = [f"{k},{k * k % 7},{k + k % 3},{k - k % 3}" for k in range(40)]
    Path("rows.csv").write_text("\n".join(["x,y,width,height", *lines]) + "\n")
    Path("run.toml").write_text(CONFIG)
    assert main(["train", "run.toml", "--quiet"]) == 0, capsys.readouterr().err
    assert "place -> look" in capsys.readouterr().out
    metrics = [json.loads(x) for x in Path("runs/run/metrics.jsonl").read_text().splitlines()]
    assert set(metrics[-1]["families"]) == {"demi_cycle", "fused", "mmvm", "standard_prior"}
    loaded = GlobalWorkspace.from_pretrained("runs/run/workspace")
    assert loaded.fusion.aggregate == "mopoe"
    assert Path("runs/run/report.html").exists()
    # an unknown setting is named
    Path("run.toml").write_text(CONFIG.replace("estimator =", "estimate ="))
    assert main(["train", "run.toml", "--quiet", "--restart"]) == 2
    assert "estimate" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_train_as_one_does(tmp_path):
    job = str(Path(__file__).parent / "processes_job.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for words, name in (([], "alone.pt"), (launch, "together.pt")):
        done = subprocess.run(
            [sys.executable, *words, job, str(tmp_path / name)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    alone, together = (torch.load(tmp_path / n) for n in ("alone.pt", "together.pt"))
    torch.testing.assert_close(together["losses"], alone["losses"], rtol=1e-5, atol=1e-6)
    assert len(alone["losses"]) == SETTINGS["steps"]
    for name, value in alone["weights"].items():
        torch.testing.assert_close(together["weights"][name], value, rtol=1e-3, atol=1e-4)
