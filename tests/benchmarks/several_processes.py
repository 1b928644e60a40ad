"""One process or several: the same gradient, the same losses, the same weights after crashes.

    python tests/benchmarks/several_processes.py

Two and four processes (gloo) against one, on the training of tests/processes/job.py: three domains,
every loss family, dropout, a batch that no number of processes divides. Then, five times, a run
with checkpoints in which a random process is killed (SIGKILL) at three random steps, under
--max-restarts=3, against the run that is left alone.

Writes docs/results/several-processes.{md,json}, and ddp_gradient_max_abs_difference and
elastic_digest_equal of claims.json.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from claims import record
from results_page import head, keep, paragraph
from torch import Tensor

ROOT = Path(__file__).parents[2]
JOB = ROOT / "tests" / "processes" / "job.py"
STEPS = 30
"""Of the run in which processes are killed, see job.py."""
COMMAND = "python tests/benchmarks/several_processes.py"


def launched(count: int, *arguments: str, restarts: int = 0) -> list[dict[str, Tensor]]:
    """What each of `count` processes found."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(JOB), folder, *arguments]
        if count > 1:
            command[1:1] = ["-m", "torch.distributed.run", "--standalone"]
            command[4:4] = [f"--nproc-per-node={count}", f"--max-restarts={restarts}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{command} failed:\n{done.stderr[-2000:]}")
        wanted = len(json.loads(arguments[0])) if arguments else 0
        if len(list(Path(folder).glob("killed-*"))) != wanted:
            raise SystemExit(f"{command}: not every process was killed that should have been.")
        return [
            torch.load(Path(folder) / f"found-{rank}.pt", weights_only=True)
            for rank in range(count)
        ]


def digest(weights: dict[str, Tensor]) -> str:
    """SHA-256 of all weights."""
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(name.encode() + weights[name].numpy().tobytes())
    return found.hexdigest()


def kills(seed: int, count: int) -> list[list[int]]:
    """Three (step, rank), drawn at random."""
    chance = random.Random(seed)
    return [[step, chance.randrange(count)] for step in sorted(chance.sample(range(1, STEPS), 3))]


def page(saved: dict[str, Any]) -> str:
    """docs/results/several-processes.md."""
    lines = [
        *head("One process or several", COMMAND, paragraph(__doc__)),
        "| processes | largest difference of the float64 gradient | of 50 float32 losses |",
        "|---|---|---|",
    ]
    for count, found in saved["agreement"].items():
        lines.append(f"| {count} | {found['gradient']:.1e} | {found['losses']:.1e} |")
    lines += [
        "",
        "| processes | killed (step, rank) | weights of the run left alone |",
        "|---|---|---|",
    ]
    for run in saved["restarts"]:
        killed = ", ".join(f"({step}, {rank})" for step, rank in run["kills"])
        lines.append(f"| {run['processes']} | {killed} | {'equal' if run['equal'] else 'other'} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print and record."""
    (alone,) = launched(1)
    saved: dict[str, Any] = {"agreement": {}, "restarts": []}
    for count in (2, 4):
        together = launched(count)
        saved["agreement"][count] = {
            what: max(float((found[name] - alone[name]).abs().max()) for found in together)
            for what, name in (("gradient", "gradient"), ("losses", "curve"))
        }
    whole = {count: digest(launched(count, "[]")[0]) for count in (2, 4)}
    for seed, count in enumerate((2, 2, 2, 4, 4)):
        drawn = kills(seed, count)
        after = launched(count, json.dumps(drawn), restarts=3)
        equal = {digest(weights) for weights in after} == {whole[count]}
        saved["restarts"].append({"processes": count, "kills": drawn, "equal": equal})
    print(page(saved))
    keep("several-processes", saved, page(saved))
    differences = [found["gradient"] for found in saved["agreement"].values()]
    record(
        "ddp_gradient_max_abs_difference",
        max(differences),
        min(differences),
        max(differences),
        "1",
        len(differences),
        COMMAND,
    )
    equal = [float(run["equal"]) for run in saved["restarts"]]
    record("elastic_digest_equal", min(equal), min(equal), max(equal), "1", len(equal), COMMAND)


if __name__ == "__main__":
    main()
