"""Several processes take the step that one would take; launches cost seconds and are shared."""

import subprocess
import sys
from pathlib import Path

import job
import pytest
import torch

from globalworkspace.errors import ConfigError
from globalworkspace.processes import Processes, own_gpu
from globalworkspace.training.device import pick_device

HERE = Path(__file__).parent
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone"]


def launch(count, folder, *arguments, restarts=0):
    command = [*LAUNCH, f"--nproc-per-node={count}", f"--max-restarts={restarts}"]
    done = subprocess.run(
        [*command, str(HERE / "job.py"), str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    ends = [(folder / f"group-{rank}").read_text() for rank in range(count)]
    assert ends == ["left"] * count
    return [torch.load(folder / f"found-{r}.pt", weights_only=True) for r in range(count)]


@pytest.fixture(scope="module")
def alone():
    return job.gradient() | job.curve()


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def together(request, tmp_path_factory):
    return launch(request.param, tmp_path_factory.mktemp("together"))


def test_the_gradient_is_that_of_one_process_on_the_whole_batch(alone, together):
    assert alone["gradient"].dtype == torch.float64
    assert alone["gradient"].abs().max() > 1e-3
    for found in together:
        difference = (found["gradient"] - alone["gradient"]).abs().max()
        assert difference <= 1e-12
        assert abs(found["loss"] - alone["loss"]) <= 1e-12


def test_fifty_steps_have_the_losses_of_one_process(alone, together):
    assert len(alone["curve"]) == 50
    for found in together:
        torch.testing.assert_close(found["curve"], alone["curve"], rtol=1e-5, atol=1e-5)


def test_every_process_ends_with_the_same_weights(together):
    first, *others = together
    names = [name for name in first if name.startswith("weights.")]
    assert names
    for found in others:
        assert all(torch.equal(found[name], first[name]) for name in names)


@pytest.mark.slow
def test_killed_processes_are_started_again_and_end_as_if_nothing_had_happened(tmp_path):
    folders = [tmp_path / "whole", tmp_path / "killed"]
    for folder in folders:
        folder.mkdir()
    whole = launch(2, folders[0], "[]")
    killed = launch(2, folders[1], "[[3, 0], [11, 1], [24, 0]]", restarts=3)
    assert len(list(folders[1].glob("killed-*"))) == 3
    for before, after in zip(whole, killed, strict=True):
        assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("rows", [0, 1, 5, 8, 21])
@pytest.mark.parametrize("size", [1, 2, 4, 7])
def test_shares_cover_all_rows_once(rows, size):
    shares = [Processes(rank, size).share(rows) for rank in range(size)]
    taken = [row for share in shares for row in range(rows)[share]]
    assert taken == list(range(rows))
    counts = Processes(0, size).counts(rows)
    assert counts == [share.stop - share.start for share in shares]
    assert max(counts) - min(counts) <= 1


def test_one_process_alone_needs_no_one():
    alone, values = Processes(), torch.ones(3)
    assert alone.first and alone.agree(0.5) == 0.5
    assert alone.add(values) is values and alone.gather(values, [3]) is values
    alone.wait()
    with alone.first_before_others():
        pass


@pytest.mark.parametrize(
    ("gpus", "told", "own"),
    [
        (0, {}, None),
        (1, {}, 0),
        (2, {"LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1"}, 1),
        (1, {"LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "0"}, None),
        (1, {"LOCAL_RANK": "1"}, None),
    ],
)
def test_each_process_has_a_gpu_of_its_own_or_none_has(gpus, told, own, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: None)  # there may be no GPU here
    for name in ("LOCAL_WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert own_gpu() == own
    assert pick_device("cpu").type == "cpu"
    if gpus and own is None:
        with pytest.raises(ConfigError, match=r"2 processes .* 1 GPU.*device=.cpu"):
            pick_device("auto")
    elif gpus:
        assert pick_device("auto").type == "cuda"
