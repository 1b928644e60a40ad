"""Real training runs in forked children that are killed, and what is found afterwards.

    python tests/reliability/crash.py kills [--times 100] [--points 100]
    python tests/reliability/crash.py resumes [--chains 20]
    python tests/reliability/crash.py full [--points 60]

A run is `run_experiment`: latents are stored, 40 steps with checkpoints, a log, a workspace that
replaces an older one, an evaluation and a report. Children are forked from a process that has
imported everything and has one thread; each is killed by SIGKILL, at a random time or at a named
point of what it writes. Then the folder is looked through, and the same run is started again.
Prints what was counted as JSON.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import errno
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before they are loaded

import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from points import Points
from run_files import things, write_csv
from spread import spread

from globalworkspace import folders
from globalworkspace.data.shards import read_shard_entry, shard_file
from globalworkspace.errors import CheckpointError, StorageError
from globalworkspace.experiment import run_experiment
from globalworkspace.files import digest_file
from globalworkspace.registry import Registration, get_registry
from globalworkspace.run_folder import load_run
from globalworkspace.training import checkpoint, run, run_state

STEPS, EVERY = 40, 5


def config(home, shards):
    """Dropout, shuffling, matched and unmatched rows, accumulation, a schedule and averages."""
    numbers = {"kind": "script-numbers"}
    return {
        "data": {
            "kind": "table",
            "path": str(home / "things.csv"),
            "match": {"count": 30, "seed": 1},
        },
        "domains": {
            "place": numbers | {"column": ["x", "y"]},
            "look": numbers | {"column": ["size", "age"]},
        },
        "workspace": {"dim": 4, "hidden_dim": 8, "dropout": 0.2},
        "recipe": "paper",
        "encoding": {"shard_rows": 16} if shards else {},
        "training": {
            "steps": STEPS,
            "batch_size": 8,
            "unmatched_batch_size": 6,
            "accumulate": 2,
            "ema": 0.9,
            "validate_every": 7,
            "log_every": 3,
            "checkpoint_every": EVERY,
            "device": "cpu",
        },
    }


def register():
    """The domain kind that `config` names."""
    get_registry().registrations.append(
        Registration(
            category="domain",
            kind="script-numbers",
            owner="script",
            target="script_domains:Numbers",
            summary="",
            distribution="a script",
            version="0",
        )
    )


def train(home, name, shards):
    run_experiment(config(home, shards), home / name, progress=False)


# ---- children


def forked(work, kill_after=None):
    """Run `work` in a child; how it ended (0, or minus the signal), and what it reported."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        try:
            work(lambda step: os.write(write, f"{step}\n".encode()))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(write)
    if kill_after is not None:
        time.sleep(kill_after)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with os.fdopen(read) as stream:
        reported = [int(line) for line in stream.read().split()]
    _, status = os.waitpid(pid, 0)
    return (-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)), reported


def reporting(tell):
    """Tell of each checkpoint, once its writer says that it is saved."""
    write = checkpoint.write_checkpoint

    def told(folder, step, *rest):
        write(folder, step, *rest)
        tell(step)

    checkpoint.write_checkpoint = run_state.checkpoint.write_checkpoint = told


# ---- what is found


def state_digest(folder):
    return [digest_file(folder / name) for name in ("state.safetensors", "state.json")]


def outcome(folder):
    """What a finished run leaves that must be the same, byte by byte."""
    files = ["metrics.jsonl", "workspace/model.safetensors", "workspace/config.json"]
    files += [f"checkpoints/step-{STEPS:09d}/{n}" for n in ("state.safetensors", "state.json")]
    return {name: (folder / name).read_bytes() for name in files}


def without_drawings():
    """Leave the drawings out of reports: they write nothing, and take as long as the training."""
    drawing = {"map", "dimensions", "robustness", "curves"}
    kinds = get_registry().registrations
    kinds[:] = [k for k in kinds if k.category != "report-section" or k.kind not in drawing]


class Lab:
    """One reference run for each way of storing latents, and counts of what differs from it."""

    def __init__(self, home):
        self.home, self.counts = home, collections.Counter()
        write_csv(things(120), home / "things.csv")
        tqdm.monitor_interval = 0  # else a bar that is not even shown starts a thread
        without_drawings()
        train(home, "warm", True)  # what a first run imports, no child has to
        threads = len(os.listdir("/proc/self/task"))
        assert threads == 1, f"{threads} threads: their locks would be copied into the children"
        self.reference, self.states, self.seconds, self.names = {}, {}, {}, {}
        for shards in (False, True):
            name = f"reference-{shards}"

            def work(tell, name=name, shards=shards):
                checkpoint.prune_checkpoints = lambda folder, keep=2: None
                train(home, name, shards)

            def named(tell, shards=shards):
                points = Points()
                train(home, "run", shards)
                (home / "names.json").write_text(json.dumps(points.names))

            began = time.monotonic()
            assert forked(work)[0] == 0
            self.seconds[shards] = time.monotonic() - began
            folder = home / name
            self.reference[shards] = outcome(folder)
            self.states[shards] = {
                p.name: state_digest(p) for p in (folder / "checkpoints").iterdir()
            }
            self.fresh("run", shards)
            assert forked(named)[0] == 0
            self.names[shards] = json.loads((home / "names.json").read_text())

    def fresh(self, name, shards):
        """A run folder with an older workspace in it."""
        folder = self.home / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.home / f"reference-{shards}" / "workspace", folder / "workspace")
        return folder

    def look_through(self, folder, shards, saved):
        """Count what a kill has spoilt; `saved`: the steps that were told to be saved."""
        newest = checkpoint.newest_checkpoint(folder / "checkpoints")
        step = 0 if newest is None else checkpoint.step_of(newest)
        self.counts["lost"] += step < max(saved, default=0)
        for entry in (folder / "checkpoints").glob("step-*"):
            sound = self._try(folders.verify_folder, entry)
            if sound and state_digest(entry) != self.states[shards][entry.name]:
                self.counts["mixed"] += 1
        self._try(load_run, folder)
        for entry in (folder / "latents").glob("[!.]*"):
            if entry.name.endswith("-by-16"):
                for noted in entry.glob("shard-*.json"):
                    index = int(noted.stem[6:])
                    found = read_shard_entry(entry, index)
                    whole = found and found["sha256"] == digest_file(shard_file(entry, index))
                    self.counts["unreadable"] += not whole
            else:
                self._try(folders.verify_folder, entry)

    def _try(self, read, folder):
        try:
            read(folder)
        except CheckpointError:
            traceback.print_exc()
            self.counts["unreadable"] += 1
            return False
        return True

    def go_on(self, folder, shards):
        """Run the same again, and compare what is left in the end."""
        ended, _ = forked(lambda tell: train(self.home, folder.name, shards))
        same = ended == 0 and outcome(folder) == self.reference[shards]
        leftovers = [p for p in folder.rglob(".*") if p.name.endswith((".writing", ".replaced"))]
        self.counts["different"] += not same or bool(leftovers)

    def killed(self, name, shards, *, at=None, after=None, scratch=None):
        """One run that is killed, looked through, and gone on with."""
        folder = self.fresh(name, shards)

        def work(tell):
            if scratch is not None:
                os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
            reporting(tell)
            if at is not None:
                Points(at)
            train(self.home, name, shards)

        ended, saved = forked(work, after)
        self.counts["kills"] += ended == -signal.SIGKILL
        self.look_through(folder, shards, saved)
        self.go_on(folder, shards)
        shutil.rmtree(folder)


def kills(home, times, points, seed=0):
    """Kill at random times and at named points; counts, and how often at which point."""
    lab, generator = Lab(home), random.Random(seed)
    places = collections.Counter()
    elsewhere = Path(tempfile.mkdtemp(dir="/dev/shm")) if Path("/dev/shm").is_dir() else home
    try:
        number = 0
        while lab.counts["kills"] < times and number < 3 * times:  # some come after the end
            shards = bool(number % 2)
            after = generator.uniform(0.05, 0.95) * lab.seconds[shards]
            scratch = elsewhere if number % 4 < 2 else None
            before = lab.counts["kills"]
            lab.killed("run", shards, after=after, scratch=scratch)
            if lab.counts["kills"] == before:  # runs are faster now than the first one was
                lab.seconds[shards] *= 0.9
            number += 1
        for shards in (False, True):
            names = lab.names[shards]
            number = points // 2 + (points % 2 if shards else 0)
            for index, at in enumerate(spread(names, number, generator)):
                scratch = elsewhere if index % 2 else None
                before = lab.counts["kills"]
                lab.killed("run", shards, at=at, scratch=scratch)
                places[names[at]] += lab.counts["kills"] - before
    finally:
        if elsewhere != home:
            shutil.rmtree(elsewhere)
    return (
        {"kills": 0, "lost": 0, "unreadable": 0, "mixed": 0, "different": 0}
        | dict(lab.counts)
        | {"points": dict(sorted(places.items()))}
    )


def resumes(home, chains, seed=0):
    """Interrupt at every step, and several times in a row; how many runs end differently."""
    lab, generator = Lab(home), random.Random(seed)
    plans = [[k] for k in range(STEPS)]
    plans += [sorted(generator.sample(range(STEPS), 3)) for _ in range(chains)]
    different = 0
    for number, plan in enumerate(plans):
        shards = bool(number % 2)
        folder = lab.fresh("run", shards)
        for at in plan:

            def work(tell, at=at, shards=shards):
                step = run.Run._step

                def killed(self):
                    if self.step == at:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return step(self)

                run.Run._step = killed
                train(home, "run", shards)

            ended, _ = forked(work)
            assert ended == -signal.SIGKILL, (plan, at, ended)
        before = lab.counts["different"]
        lab.go_on(folder, shards)
        different += lab.counts["different"] - before
    return {"points": STEPS, "chains": chains, "different": different}


def full(home, points, seed=0):
    """Refuse to write from a point on: no space, read-only, no right to; what comes of it."""
    lab, generator = Lab(home), random.Random(seed)
    counts = collections.Counter()
    for at in spread(lab.names[False], points, generator):
        for code in (errno.ENOSPC, errno.EROFS, errno.EACCES):
            folder = lab.fresh("run", False)
            note = home / "said.txt"
            note.unlink(missing_ok=True)

            def work(tell, at=at, code=code, note=note):
                reporting(tell)
                write = Path.write_text
                Points(at, code)
                try:
                    train(home, "run", False)
                except StorageError as error:
                    assert error.errno == code
                    write(note, str(error))

            ended, saved = forked(work)
            said = note.read_text() if note.exists() else ""
            counts["refused"] += 1
            clear = ended == 0 and str(folder) in said and "bytes are needed" in said
            if not clear:
                print(f"{lab.names[False][at]}: ended {ended}, said {said!r}", file=sys.stderr)
            counts["unclear"] += not clear
            lab.look_through(folder, False, saved)
            lab.go_on(folder, False)
            shutil.rmtree(folder)
    return (
        dict(counts) | {"lost": 0, "unreadable": 0, "mixed": 0, "different": 0} | dict(lab.counts)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["kills", "resumes", "full"])
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--chains", type=int, default=20)
    args = parser.parse_args()
    torch.set_num_threads(1)
    register()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        if args.what == "kills":
            print(json.dumps(kills(home, args.times, args.points)))
        elif args.what == "full":
            print(json.dumps(full(home, args.points)))
        else:
            print(json.dumps(resumes(home, args.chains)))


if __name__ == "__main__":
    main()
