"""Kills, interrupts and damages runs of one library; run by reliability_peers.py.

    PYTHON_WITH_LIBRARY reliability_steps.py '{"library": "lightning", "kills": 32, "damaged": 150}'

Runs are forked from a process that has imported everything and has one thread. Prints a JSON line.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before they are loaded

import torch
from reliability_libraries import LIBRARIES
from reliability_points import Points

sys.path.insert(0, str(Path(__file__).parents[2] / "reliability"))
from spread import spread  # noqa: E402

INTERRUPTED = (3, 5, 6, 8, 10, 11, 14, 16, 18, 21, 24, 27, 29, 32, 35, 38)
"""Steps after which a run is killed; those of a checkpoint come before it is saved."""
DAMAGES = {"cut short": 50, "one bit flipped": 50, "a block of zeros": 30, "two files swapped": 20}


# ---- children


def forked(work) -> tuple[int, dict]:
    """Run `work(tell)` in a child; how it ended (0, or minus the signal), and what it told."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        signal.alarm(120)
        if "RELIABILITY_LOUD" not in os.environ:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.dup2(2, 1)

        def tell(**what):
            _write(write, (json.dumps(what) + "\n").encode())

        try:
            work(tell)
        except BaseException as error:
            traceback.print_exc()
            tell(error=type(error).__name__)
            os._exit(1)
        os._exit(0)
    os.close(write)
    told: dict = {}
    with os.fdopen(read) as stream:
        for line in stream:
            told |= json.loads(line)
    _, status = os.waitpid(pid, 0)
    return (-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)), told


_write = os.write


class Watch:
    """Tells where a run began and what it held then; can kill it or end it after a step.

    With `every`, tells of each step what weights and optimiser are after it.
    """

    def __init__(self, tell, kill_after=None, one_step=False, every=False):
        self.tell, self.kill_after, self.one_step, self.every = tell, kill_after, one_step, every
        self.step = 0

    def began(self, step, state):
        self.step = step
        self.tell(began=step, held=[digest(part) for part in state()])
        self.note(step, state)

    def stepped(self, step, state):
        self.step = step
        if self.one_step:
            os._exit(0)
        if step == self.kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
        self.note(step, state)

    def note(self, step, state):
        if self.every:
            self.tell(**{f"step {step}": [digest(part) for part in state()[:2]]})


def digest(value) -> str:
    """A fingerprint of tensors and plain values, nested."""
    found = hashlib.sha256()

    def feed(value):
        if isinstance(value, torch.Tensor):
            found.update(f"{value.dtype}{tuple(value.shape)}".encode())
            found.update(value.detach().contiguous().numpy().tobytes())
        elif isinstance(value, dict):
            for key in sorted(value, key=str):
                found.update(f"{key}:".encode())
                feed(value[key])
        elif isinstance(value, (list, tuple)):
            for part in value:
                found.update(b",")
                feed(part)
        else:
            found.update(re.sub(r"0x[0-9a-f]+", "", repr(value)).encode())

    feed(value)
    return found.hexdigest()[:16]


# ---- what is counted


class Lab:
    """Runs of one library in one folder, and what an undisturbed run holds at every step."""

    def __init__(self, library, home: Path, elsewhere: Path) -> None:
        self.library, self.home, self.elsewhere = library, home, elsewhere
        self.folder = home / "run"
        library.train(self.fresh(), Watch(lambda **what: None))  # what a first run imports
        assert threading.active_count() == 1, "their locks would be copied into the children"
        self.fresh()
        ended, told = self.go(every=True)
        assert ended == 0, told
        self.table = {int(k[5:]): v for k, v in told.items() if k.startswith("step ")}

    def fresh(self) -> Path:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        return self.folder

    def go(self, variant="plain", **options):
        """Start the run, or go on with it; how it ended, and what it told."""

        def work(tell):
            tempfile.tempdir = str(self.home)
            weights = self.library.train(self.folder, Watch(tell, **options), variant)
            torch.save(dict(weights), self.home / "weights.pt")
            tell(ended=digest(dict(weights)))

        return forked(work)

    def weights(self):
        return torch.load(self.home / "weights.pt")

    def exact(self, variant):
        """Interrupt after some steps, go on; how many end with other weights, and how far off."""
        ends = []
        for _ in range(2):
            self.fresh()
            ended, told = self.go(variant)
            assert ended == 0, (variant, told)
            ends.append(told["ended"])
        if ends[0] != ends[1]:
            return {"repeatable": False}
        reference, different, largest, failed, mixed = self.weights(), [], 0.0, 0, 0
        for step in INTERRUPTED:
            self.fresh()
            ended, told = self.go(variant, kill_after=step)
            assert ended == -signal.SIGKILL, (variant, step, ended, told)
            ended, told = self.go(variant)
            mixed += variant == "plain" and ended == 0 and self.whole(told) != "went on"
            if ended:
                print(variant, step, told, file=sys.stderr)
                failed += 1
            elif told["ended"] != ends[0]:
                different.append(step)
                found = self.weights()
                gaps = [(found[n] - w).abs().max() for n, w in reference.items() if w.numel()]
                largest = max(largest, float(max(gaps)))
        return {
            "repeatable": True,
            "interrupted": len(INTERRUPTED),
            "failed": failed,
            "mixed": mixed,
            "different": len(different),
            "at": different,
            "largest": largest,
        }

    def saves(self, at=None, scratch=None):
        """A run that counts its points, or dies at one of them."""

        def work(tell):
            tempfile.tempdir = str(scratch or self.home)
            watch = Watch(tell)
            points = Points(*self.library.saving(), self.home, tell, watch, at)
            self.library.train(self.folder, watch)
            (self.home / "names.json").write_text(json.dumps(points.names))

        self.fresh()
        return forked(work)

    def kills(self, number, generator):
        """Kill inside of saves, with temporary files on the same file system and on another."""
        outcomes = ("went on", "lost", "mixed", "unknown", "refused", "freed by deleting")
        counts = dict.fromkeys(("kills", *outcomes, "refused, elsewhere"), 0)
        places: dict[str, collections.Counter] = {}
        errors: collections.Counter = collections.Counter()
        for where, scratch in (("same", self.home), ("another", self.elsewhere)):
            ended, told = self.saves(scratch=scratch)
            assert ended == 0, told
            names = json.loads((self.home / "names.json").read_text())
            for at in spread(names, number // 2, generator):
                ended, killed = self.saves(at, scratch)
                assert ended == -signal.SIGKILL, (names[at], ended, killed)
                outcome, error = self.outcome(killed.get("saved", 0), counts)
                counts["kills"] += 1
                counts[outcome] += 1
                counts["refused, elsewhere"] += outcome == "refused" and where == "another"
                errors[error] += error is not None
                name = f"{names[at]}" + (" (temporary files elsewhere)" if where != "same" else "")
                places.setdefault(name, collections.Counter())[outcome] += 1
        return counts | {
            "errors": {k: v for k, v in errors.items() if k},
            "points": {name: dict(found) for name, found in sorted(places.items())},
        }

    def outcome(self, saved, counts):
        """Go on after a kill; what came of it, and the error if it was refused."""
        ended, told = self.go()
        if ended:
            newest = self.library.newest(self.folder)
            if newest is not None:
                shutil.rmtree(newest) if newest.is_dir() else newest.unlink()
            counts["freed by deleting"] += self.go()[0] == 0
            return "refused", told.get("error", f"signal {-ended}")
        counts["lost"] += told["began"] < saved
        return self.whole(told), None

    def whole(self, told):
        """Whether a run began with weights and optimiser of the same step of an undisturbed run."""
        weights, optimizer = (
            {step for step, held in self.table.items() if held[part] == told["held"][part]}
            for part in (0, 1)
        )
        if not weights or not optimizer:
            return "unknown"
        return "went on" if weights & optimizer else "mixed"

    def damages(self, number, generator):
        """Damage the newest checkpoint of a run; how many copies of it are gone on from."""
        self.fresh()
        assert self.go(kill_after=23)[0] == -signal.SIGKILL
        sound = self.home / "sound"
        shutil.copytree(self.folder, sound)
        _, told = self.go(one_step=True)
        held, before = told["held"], self.table[told["began"] - 5]
        several = self.library.newest(self.folder).is_dir()
        counts: dict[str, collections.Counter] = {}
        errors: collections.Counter = collections.Counter()
        total = sum(DAMAGES.values())
        for name, share in DAMAGES.items():
            if name == "two files swapped" and not several:
                continue
            for _ in range(share * number // total):
                outcome, error = self.damaged(sound, name, generator, held, before)
                counts.setdefault(name, collections.Counter())[outcome] += 1
                errors[error] += error is not None
        all_ = sum(counts.values(), collections.Counter())
        return {
            "copies": sum(all_.values()),
            "refused": all_["refused"],
            "passed over": all_["passed over"],
            "accepted": sum(n for k, n in all_.items() if k.startswith("accepted")),
            "tensors": all_["accepted, tensors differ"],
            "other": all_["accepted, other values differ"],
            "same": all_["accepted, nothing differs"],
            "by_damage": {name: dict(found) for name, found in counts.items()},
            "errors": {k: v for k, v in errors.items() if k},
        }

    def damaged(self, sound, name, generator, held, before):
        """One damaged copy: what loading it came to, and the error if it was refused."""
        shutil.rmtree(self.folder)
        shutil.copytree(sound, self.folder)
        newest = self.library.newest(self.folder)
        files = sorted(f for f in newest.rglob("*") if f.is_file()) if newest.is_dir() else [newest]
        contents = {file: file.read_bytes() for file in files}
        while all(file.read_bytes() == content for file, content in contents.items()):
            damage(name, files, generator)
        ended, told = self.go(one_step=True)
        if ended:
            return "refused", told.get("error", f"signal {-ended}")
        if told["held"] == held:
            return "accepted, nothing differs", None
        if told["held"][:2] == before:
            return "passed over", None
        tensors = told["held"][:2] != held[:2]
        return f"accepted, {'tensors' if tensors else 'other values'} differ", None


def damage(name, files, generator) -> None:
    """Do one thing to one of the files."""
    file = generator.choice(files)
    content = bytearray(file.read_bytes())
    if name == "cut short":
        content = content[: generator.randrange(len(content))]
    elif name == "one bit flipped":
        content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    elif name == "a block of zeros":
        start, size = generator.randrange(len(content)), generator.choice([1, 16, 512])
        content[start : start + size] = bytes(len(content[start : start + size]))
    else:
        other = generator.choice([f for f in files if f != file])
        before = other.read_bytes()
        other.write_bytes(content)
        content = bytearray(before)
    file.write_bytes(content)


def main() -> None:
    """Count, and print the counts."""
    job = json.loads(sys.argv[1])
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with contextlib.suppress(ImportError):
        from tqdm import tqdm

        tqdm.monitor_interval = 0  # else a bar starts a thread
    library = LIBRARIES[job["library"]]()
    resumable = len(library.variants) > 1 and find_spec("torchdata") is not None
    variants = [v for v in library.variants if resumable or "resumable" not in v]
    began, generator = time.monotonic(), random.Random(0)
    elsewhere = Path(tempfile.mkdtemp(dir="/dev/shm"))
    loud = sys.stdout
    with tempfile.TemporaryDirectory() as folder:
        assert os.stat(folder).st_dev != elsewhere.stat().st_dev, "both are on one file system"
        try:
            with open(os.devnull, "w") as quiet, contextlib.redirect_stdout(quiet):
                lab = Lab(library, Path(folder).resolve(), elsewhere)
                found = {
                    "title": library.title,
                    "version": library.version(),
                    "torch": torch.__version__.split("+")[0],
                    "torchdata": version("torchdata").split("+")[0] if resumable else None,
                    "exact": {variant: lab.exact(variant) for variant in variants},
                    "kills": lab.kills(job["kills"], generator),
                    "damage": lab.damages(job["damaged"], generator),
                }
        finally:
            shutil.rmtree(elsewhere)
    found["seconds"] = round(time.monotonic() - began)
    print(json.dumps(found), file=loud)


if __name__ == "__main__":
    main()
