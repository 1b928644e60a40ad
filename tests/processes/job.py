"""What each process of a test runs, alone or under torchrun: python job.py OUT [kills]."""

import atexit
import json
import os
import signal
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from core_domains import small_table, small_workspace, two_views

from globalworkspace import Table, Trainer, TrainerConfig
from globalworkspace.augmentation import Noise
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.fused import Fused
from globalworkspace.objectives.translation import Translation
from globalworkspace.processes import current_processes
from globalworkspace.training import run as run_module

DIMS = (4, 6, 3)


def families():
    return [
        Translation(1),
        Contrastive(0.1, learn_scale=True),
        Contrastive(0.2).seen_through("noisy"),
        DemiCycle(1.0),
        Cycle(0.5),
        Cycle(0.3, detach=True),
        Fused(0.5, subsets="sampled", budget=2),
        Translation(0.3, subsets="sampled", budget=1),
        Cycle(0.2, budget=1),
        Cycle(0.4, detach=True, teacher="there"),
        Cycle(0.1, teacher="back"),
    ]


def settings(**changed):
    given = {
        "steps": 50,
        "batch_size": 21,  # which neither two nor four processes share evenly
        "unmatched_batch_size": 9,
        "log_every": 1,
        "validate_every": 25,
        "checkpoint_every": 5,
        "ema": 0.9,
        "device": "cpu",
        "progress": False,
    }
    return TrainerConfig(**(given | changed))


def trainer(**changed):
    return Trainer(settings(**changed), families(), augmentations={"noisy": Noise(0.1)})


def gradient():
    """The flat float64 gradient of one batch, and its loss, as every process has it."""
    torch.manual_seed(0)
    workspace = small_workspace(DIMS, dropout=0.2).double()
    table = small_table(dims=DIMS)
    kept = {}
    original = run_module.FlatAdamW.step

    def step(self, *arguments):
        original(self, *arguments)
        (kept["gradient"],) = (g.clone() for g in self.gradients())

    run_module.FlatAdamW.step = step
    try:
        result = trainer(steps=1, clip_norm=0).fit(workspace, table)
    finally:
        run_module.FlatAdamW.step = original
    return {
        "gradient": kept["gradient"],
        "loss": torch.tensor(result.history[0]["loss"], dtype=torch.float64),
    }


def curve():
    """Losses of 50 float32 steps and the weights after them."""
    workspace = small_workspace(DIMS, dropout=0.2)
    training, validation = small_table(dims=DIMS).hold_out()
    result = trainer().fit(workspace, training, validation)
    losses = [entry["loss"] for entry in result.history if "loss" in entry]
    return {"curve": torch.tensor(losses, dtype=torch.float64)} | weights(workspace)


def weights(workspace):
    return {f"weights.{n}": v.clone() for n, v in workspace.state_dict().items()}


def killed(folder, kills):
    """A run with checkpoints, in which a process is killed at the (step, rank) told, once each."""
    workspace = small_workspace(dropout=0.2)
    training, validation = Table.from_columns(two_views(60)).match(30).hold_out()
    me = current_processes()
    original = run_module.Run._step

    def step(run):
        mark = folder / f"killed-{run.step}"
        if [run.step, me.rank] in kills and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return original(run)

    run_module.Run._step = step
    config = settings(steps=30, checkpoint_every=4)
    Trainer(config, families()[:2]).fit(
        workspace, training, validation, run_dir=folder / "run", resume=True
    )
    return weights(workspace)


def group_threads():
    """The names of this process's threads that serve a gloo group; Linux tells them."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]


def note_the_group(folder):
    """Write down whether this process still holds its group, or threads of it, when it ends."""
    held = torch.distributed.is_initialized() or group_threads()
    state = "held" if held else "left"
    (folder / f"group-{os.environ['RANK']}").write_text(state)


def main():
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    atexit.register(note_the_group, folder)  # before the group is joined: called after its own
    me = current_processes()
    assert group_threads() or sys.platform != "linux"
    if len(sys.argv) > 2:
        found = killed(folder, json.loads(sys.argv[2]))
    else:
        found = gradient() | curve()
    torch.save(found, folder / f"found-{me.rank}.pt")


if __name__ == "__main__":
    main()
