"""Interrupts, kills and damages runs of other trainers, in the harness that ours goes through.

    python tests/benchmarks/reliability_peers.py --lightning-python PATH --accelerate-python PATH \
--multivae-python PATH

Small runs of 40 optimiser steps with shuffled rows, AdamW and a schedule, saved every five steps
and gone on with by the same script, as the library documents it. Lightning and Accelerate train a
two-layer network with dropout and two batches to a step; MultiVae its JMVAE, in eight epochs of
five steps; ours a workspace with dropout and two batches to a step. Everything is counted in this
harness, with one process on a CPU; other models, settings and file systems may give other counts.

Each PATH is a Python with that library, and with torchdata for the resumable loaders of the first
two. What is not given stays as it was recorded. Ours is always run. Writes
docs/results/reliability-peers.json and .md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from results_page import RESULTS, head, keep, measured, paragraph

NAME = "reliability-peers"
STEPS = Path(__file__).parent / "peers" / "reliability_steps.py"
LIBRARIES = ("globalworkspace", "lightning", "accelerate", "multivae")
KILLS, DAMAGED = 32, 150
COMMAND = (
    "python tests/benchmarks/reliability_peers.py --lightning-python PATH "
    "--accelerate-python PATH --multivae-python PATH"
)
NOTES = """
What was done:

- **Interrupted**: killed by SIGKILL after the step (after 3, 5, 6, 8, 10, 11, 14, 16, 18, 21, 24,
  27, 29, 32, 35 and 38, each time a new run; where the step has a checkpoint, before it is saved),
  then started again and run to its end. Two are before the first checkpoint and begin anew. The
  weights at the end are compared with those of an undisturbed run, byte by byte; two undisturbed
  runs end with the same bytes in every column. "Without dropout" and "resumable loader"
  (`StatefulDataLoader` of torchdata {torchdata}) are the same 16 interruptions with that change
  alone.
- **Mixed**: when it went on, a run held the weights of one step and the optimiser of another,
  found by comparing both with every step of the undisturbed run.
- **Killed while saving**: a real SIGKILL at a point inside of a save: after a folder is made, after
  a file is opened, when half of it is written, after it is written, before and after a renaming,
  before a sync. What PyTorch and safetensors write is written and cut to its half just before the
  kill, under the name that it has while it is written. Points of each name are drawn about equally
  often, from all eight saves; the share that is refused follows from where the points lie, not from
  how often a kill would hit a save. Half of the runs have their temporary folder (`TMPDIR`) on
  another file system. "Refused" is a run that, started again, ended with an error; then the newest
  checkpoint was deleted, and it was started once more.
- **Damaged**: copies of the checkpoint of step 20, in one file of which one thing was done: cut
  short, one bit flipped, a block of zeros; or two of its files swapped (not for Lightning, whose
  checkpoint is one file). Then the run was started again and watched to its first step. "Accepted"
  is a run that took that step from the damaged checkpoint without an error. What it had loaded
  (weights, optimiser, counters, schedule; for Accelerate the random states, for MultiVae the
  settings) is compared with what the sound one gives.

How each library saves and goes on, as it documents it:

- **globalworkspace**: `Trainer(config).fit(workspace, table, run_dir=...)`, the same call again.
- **Lightning**: `ModelCheckpoint(save_last=True, save_top_k=-1, every_n_train_steps=5)`,
  `fit(..., ckpt_path="last")`, the same seed set first. Its checkpoint has no random state. Without
  a resumable loader it warns that the loader is not resumable.
- **Accelerate**: `save_state()` and `load_state()` with `automatic_checkpoint_naming`, a counter of
  steps by `register_for_checkpointing`, `use_seedable_sampler`, `set_epoch`, `skip_first_batches`
  (with a resumable loader `use_stateful_dataloader` instead), and the number of the next checkpoint
  set by hand.
- **MultiVae**: `BaseTrainerConfig(steps_saving=1)`, that is every epoch, and
  `BaseTrainer(..., checkpoint=...)` with the folder of the highest epoch. A checkpoint holds the
  best weights so far with the present optimiser, and the seed is set anew where a run goes on.

The points of the kills, the kinds of damage and the errors are in `reliability-peers.json`.
"""


def exact(variant: str, what: str) -> Any:
    """A row about the runs that were interrupted; empty where a library has no such variant."""

    def cell(found: dict[str, Any]) -> str:
        counts = found["exact"].get(variant)
        if counts is None:
            return ""
        if not counts["repeatable"]:
            return "undisturbed runs differ"
        return f"{counts[what]:.2g}" if what == "largest" else str(counts[what])

    return cell


def count(part: str, what: str) -> Any:
    """A row about kills or damages."""
    return lambda found: str(found[part][what])


ROWS = (
    ("runs interrupted after a step", exact("plain", "interrupted")),
    ("- that could not go on", exact("plain", "failed")),
    ("- gone on mixed of two steps", exact("plain", "mixed")),
    ("- ended with other weights", exact("plain", "different")),
    ("- largest difference of a weight", exact("plain", "largest")),
    ("the same without dropout: other weights", exact("no dropout", "different")),
    ("with a resumable loader: other weights", exact("resumable loader", "different")),
    ("with both: other weights", exact("resumable loader, no dropout", "different")),
    ("runs killed while saving", count("kills", "kills")),
    ("- refused to go on", count("kills", "refused")),
    ("-- of these with temporary files elsewhere", count("kills", "refused, elsewhere")),
    ("-- went on once the newest was deleted", count("kills", "freed by deleting")),
    ("- gone on mixed of two steps", count("kills", "mixed")),
    ("- gone on from before the last finished save", count("kills", "lost")),
    ("- gone on to the end, whole", count("kills", "went on")),
    ("damaged copies of a checkpoint", count("damage", "copies")),
    ("- refused with an error", count("damage", "refused")),
    ("- passed over for the one before", count("damage", "passed over")),
    ("- accepted", count("damage", "accepted")),
    ("-- of these with other tensors", count("damage", "tensors")),
    ("-- with other settings, counts or random state", count("damage", "other")),
    ("-- with nothing of what is compared changed", count("damage", "same")),
)


def page(saved: dict[str, Any]) -> str:
    """What was counted, a column for each library."""
    columns = [saved[name] for name in LIBRARIES if name in saved]
    lines = head("Kills and damage: other trainers", COMMAND, paragraph(__doc__))
    lines += ["| in this harness | " + " | ".join(f"{c['title']} {c['version']}" for c in columns)]
    lines[-1] += " |"
    lines += ["|---" * (len(columns) + 1) + "|"]
    lines += [f"| {what} | {' | '.join(cell(c) for c in columns)} |" for what, cell in ROWS]
    torchdata = {c["torchdata"] for c in columns if c["torchdata"]}
    notes = NOTES.replace("{torchdata}", " and ".join(sorted(torchdata)) or "(not there)")
    torch = " and ".join(sorted({c["torch"] for c in columns}))
    return "\n".join(lines) + "\n" + notes + f"All with PyTorch {torch}.\n"


def main() -> None:
    """Run what is given, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in LIBRARIES[1:]:
        parser.add_argument(f"--{name}-python")
    args = parser.parse_args()
    file = RESULTS / f"{NAME}.json"
    saved = json.loads(file.read_text()) if file.exists() else {}
    pythons = {name: getattr(args, f"{name}_python", None) for name in LIBRARIES}
    pythons["globalworkspace"] = sys.executable
    for name, python in pythons.items():
        if python is None:
            continue
        print("running", name, flush=True)
        job = {"library": name, "kills": KILLS, "damaged": DAMAGED}
        saved[name] = measured([python, str(STEPS)], job)
        print(saved[name].pop("seconds"), "seconds", flush=True)
        assert not saved[name]["kills"]["unknown"], saved[name]["kills"]
        assert all(found["repeatable"] for found in saved[name]["exact"].values())
        keep(NAME, saved, page(saved))
    print(page(saved))


if __name__ == "__main__":
    main()
