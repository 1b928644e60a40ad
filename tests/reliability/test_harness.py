"""The harnesses of this folder, some of each here and all of them behind -m slow."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def counted(script, *words, timeout=1200):
    done = subprocess.run(
        [sys.executable, str(HERE / script), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout), done.stderr


def sound(found, err):
    wrong = {k: found[k] for k in ("lost", "unreadable", "mixed", "different") if found[k]}
    assert not wrong, (wrong, err[-3000:])


def test_some_kills():
    found, err = counted("crash.py", "kills", "--times", 4, "--points", 8)
    sound(found, err)
    assert found["kills"] >= 10  # one that comes too late kills nothing


@pytest.mark.slow
def test_two_hundred_kills():
    found, err = counted("crash.py", "kills", "--times", 110, "--points", 110)
    sound(found, err)
    assert found["kills"] >= 200 and len(found["points"]) >= 20


@pytest.mark.slow
def test_a_run_that_is_interrupted_at_any_step_ends_the_same():
    found, err = counted("crash.py", "resumes")
    assert (found["points"], found["different"]) == (40, 0), err[-3000:]


def test_a_disk_that_refuses_now_and_then():
    found, err = counted("crash.py", "full", "--points", 4)
    sound(found, err)
    assert found["refused"] == 12 and found["unclear"] == 0


@pytest.mark.slow
def test_a_disk_that_refuses_anywhere():
    found, err = counted("crash.py", "full")
    sound(found, err)
    assert found["refused"] >= 60 and found["unclear"] == 0


def test_a_thousand_damages_are_refused():
    found, _ = counted("damage.py")
    assert found["corruptions"] == 1000
    assert (found["accepted"], found["unclear"]) == ([], [])
    assert len(found["by_damage"]) == 7 and len(found["by_kind"]) == 4
