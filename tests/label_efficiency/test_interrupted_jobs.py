"""Ctrl-C ends a grid and its workers at once, and what is done is kept."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

SCRIPT = """
import sys, time
from globalworkspace.label_efficiency.jobs import run_jobs

def work(job):
    open(f"begun-{job['n']}", "w").close()
    time.sleep(job["seconds"])
    return {"done": True}

if __name__ == "__main__":
    jobs = {str(n): {"n": n, "seconds": 0 if n == 0 else 300} for n in range(6)}
    run_jobs(jobs, work, "lines.jsonl", workers=2, progress=False)
"""


def wait_for(condition, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
@pytest.mark.parametrize("to", ["group", "parent"])
def test_ctrl_c_ends_the_workers_and_keeps_what_is_done(tmp_path, to):
    (tmp_path / "script.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        begun = [tmp_path / f"begun-{n}" for n in (0, 1, 2)]
        assert wait_for(lambda: all(file.exists() for file in begun), 90)
        lines = tmp_path / "lines.jsonl"
        assert wait_for(lambda: lines.read_text().strip(), 30)
        if to == "group":
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, said = process.communicate(timeout=60)
        assert time.monotonic() - began < 30
        assert "KeyboardInterrupt" in said
        assert [json.loads(line)["n"] for line in lines.read_text().splitlines()] == [0]
        assert wait_for(lambda: not alive(process.pid), 10), "no worker is left"
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def alive(group):
    """Whether a process of the group still runs."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
