"""Jobs that are each done once."""

import json
import operator
import subprocess
import sys
import time
from pathlib import Path

import pytest

from globalworkspace.errors import DataError
from globalworkspace.label_efficiency.grid import Grid, _best_choice
from globalworkspace.label_efficiency.jobs import read_lines, run_jobs

TAKE_OUTCOME = operator.methodcaller("pop", "outcome")  # fails where there is none


def test_a_failed_job_leaves_the_others_done(tmp_path):
    file = tmp_path / "lines.jsonl"
    jobs = {"a": {"outcome": {"value": 1}}, "b": {}, "c": {"outcome": {"value": 3}}}
    with pytest.raises(DataError, match="1 of 3 jobs failed, the first: .*KeyError"):
        run_jobs(jobs, TAKE_OUTCOME, file, workers=2, progress=False)
    assert {key: line["value"] for key, line in read_lines(file).items()} == {"a": 1, "c": 3}
    jobs["b"] = {"outcome": {"value": 2}}
    lines = run_jobs(jobs, TAKE_OUTCOME, file, workers=2, progress=False)
    assert [line["value"] for line in lines] == [1, 2, 3]
    assert len(file.read_text().splitlines()) == 3


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are looked up in /proc")
def test_a_killed_parent_leaves_no_worker_behind(tmp_path):
    script = """
import time
from globalworkspace.label_efficiency.jobs import run_jobs

def work(job):
    time.sleep(60)

if __name__ == "__main__":
    jobs = {"a": {}, "b": {}}
    run_jobs(jobs, work, "lines.jsonl", start=print, start_args=("up",), workers=2, progress=False)
"""
    (tmp_path / "script.py").write_text(script)
    parent = subprocess.Popen(
        [sys.executable, "-u", "script.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert [parent.stdout.readline(), parent.stdout.readline()] == ["up\n", "up\n"]
    workers = children(parent.pid)
    assert len(workers) >= 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < end:
        time.sleep(0.1)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_a_killed_worker_is_told_at_once_and_what_was_done_is_kept(tmp_path):
    script = """
import os, signal, sys
from globalworkspace.label_efficiency.jobs import run_jobs

def work(job):
    if job["dies"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"value": 1}

if __name__ == "__main__":
    jobs = {name: {"name": name, "dies": name == sys.argv[1]} for name in "abc"}
    run_jobs(jobs, work, "lines.jsonl", workers=1, progress=False)
"""
    (tmp_path / "script.py").write_text(script)

    def run(dying):
        command = [sys.executable, "script.py", dying]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    died = run("b")
    assert died.returncode == 1 and "DataError: 2 of 3 jobs failed, the first: {'name': 'b'" in (
        died.stderr
    )
    assert "died: killed, or for want of memory" in died.stderr
    assert list(read_lines(tmp_path / "lines.jsonl")) == ["a"]
    assert run("nobody").returncode == 0
    assert list(read_lines(tmp_path / "lines.jsonl")) == ["a", "b", "c"]


def children(pid):
    """Process numbers of a process's children."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in tasks for child in file.read_text().split()]


def test_nothing_starts_where_all_is_done(tmp_path):
    file = tmp_path / "lines.jsonl"
    file.write_text(json.dumps({"key": "a", "value": 1}) + "\n")
    (line,) = run_jobs({"a": {}}, TAKE_OUTCOME, file, progress=False)
    assert line["value"] == 1


def test_a_line_that_was_cut_off_is_left_out_and_closed(tmp_path):
    file = tmp_path / "lines.jsonl"
    file.write_text('{"key": "a", "value": 1}\n{"key": "b", "va')
    assert list(read_lines(file)) == ["a"]
    with file.open("a") as stream:
        stream.write('{"key": "c"}\n')
    assert list(read_lines(file)) == ["a", "c"]
    assert read_lines(tmp_path / "none.jsonl") == {}


def test_where_nothing_was_tuned_the_nearest_choice_is_taken():
    grid = Grid(pairs=(50, 300, 2000), recipes=("supervised",), tune_at=(100, 1000), steps=90)
    jobs = Grid(
        pairs=(50,), recipes=("supervised",), tune_at=(100, 1000), steps=90, tuning_steps=30
    ).tuning()
    assert {(job["pairs"], job["steps"]) for job in jobs} == {(100, 30), (1000, 30)}
    tuned = [
        {**job, "validation": abs(job["choice"] - (1 if job["pairs"] == 100 else 3))}
        for job in grid.tuning()
    ]
    cells = [cell for cell in grid.cells() if cell.get("recipe") and cell["seed"] == 0]
    assert [_best_choice(tuned, cell) for cell in cells] == [1, 1, 3]
