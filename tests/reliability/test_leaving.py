"""SIGTERM and Ctrl-C: a checkpoint at the end of the step, an exit code, and a way on."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from run_files import things, write_csv

from globalworkspace.training.checkpoint import newest_checkpoint, step_of

HERE = Path(__file__).parent
COMMAND = """\
import sys
sys.path[:0] = [{here!r}, {tests!r}]
from crash import register
register()
from globalworkspace.cli import main
sys.exit(main(sys.argv[1:]))
"""


def start(folder, seconds):
    """The slow training, after some steps."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "leaving.py"), str(folder), str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    seen = [process.stdout.readline() for _ in range(3)]
    assert all(seen), process.stderr.read()
    return process, int(seen[-1])


def end(process, number, seen):
    """Send a signal; the last step that was done, and what was said."""
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return int(out.split()[-1]) if out.split() else seen, err


@pytest.mark.parametrize(
    ("number", "codes"), [(signal.SIGTERM, {143}), (signal.SIGINT, {130, -signal.SIGINT})]
)
def test_a_script_saves_its_step_and_leaves(tmp_path, number, codes):
    process, seen = start(tmp_path, 0.05)
    step, err = end(process, number, seen)
    assert process.returncode in codes, err
    assert step_of(newest_checkpoint(tmp_path / "checkpoints")) == step
    assert f"Stopped after step {step} of 100000" in err and str(tmp_path) in err
    assert "Run the same again" in err and "saving after this step" in err


def test_it_goes_on_at_the_step_after(tmp_path):
    process, seen = start(tmp_path, 0.01)
    first, _ = end(process, signal.SIGTERM, seen)
    process, seen = start(tmp_path, 0.01)
    second, _ = end(process, signal.SIGTERM, seen)
    assert second == step_of(newest_checkpoint(tmp_path / "checkpoints")) > first
    lines = [json.loads(x) for x in (tmp_path / "timings.jsonl").read_text().splitlines()]
    begun = [line["step"] for line in lines if "started" in line]
    assert begun == [0, first]


def test_a_second_signal_leaves_at_once(tmp_path):
    end(*start(tmp_path, 0.0)[:1], signal.SIGTERM, 0)
    before = newest_checkpoint(tmp_path / "checkpoints")
    process = subprocess.Popen(
        [sys.executable, str(HERE / "leaving.py"), str(tmp_path), "60"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline()  # in the middle of a step of a minute
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143 and time.monotonic() - began < 20
    process.stdout.close()
    assert newest_checkpoint(tmp_path / "checkpoints") == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_command_says_how_to_go_on(tmp_path, number, code):
    from crash import config

    write_csv(things(60), tmp_path / "things.csv")
    settings = config(tmp_path, False)
    settings["training"] |= {"steps": 1_000_000}
    (tmp_path / "run.toml").write_text(_toml(settings))
    words = ["train", "run.toml", "--out", "run", "--quiet"]
    script = COMMAND.format(here=str(HERE), tests=str(HERE.parent))
    process = subprocess.Popen(
        [sys.executable, "-c", script, *words],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(tmp_path.glob("run/checkpoints/step-*")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    step = step_of(newest_checkpoint(tmp_path / "run/checkpoints"))
    assert f"Stopped after step {step} of 1000000" in err and "Traceback" not in err
    assert not (tmp_path / "run/evaluation.json").exists()


def _toml(settings):
    """TOML of nested settings; JSON's values are TOML's."""
    lines, tables = [], []
    for name, value in settings.items():
        if name == "domains":
            tables += [(f"domains.{key}", inner) for key, inner in value.items()]
        elif isinstance(value, dict):
            inner = {k: v for k, v in value.items() if not isinstance(v, dict)}
            tables.append((name, inner))
            tables += [(f"{name}.{k}", v) for k, v in value.items() if isinstance(v, dict)]
        else:
            lines.append(f"{name} = {json.dumps(value)}")
    for name, inner in tables:
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in inner.items())]
    return "\n".join(lines)
