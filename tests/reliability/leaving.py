"""A training that takes its time, for tests that send it signals: python leaving.py FOLDER."""

import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from core_domains import small_table, small_workspace

from globalworkspace import Callback, Trainer, TrainerConfig
from globalworkspace.objectives.translation import Translation


class Slow(Callback):
    """Makes a step last, and says that it began."""

    def step_done(self, training):
        print(training.step, flush=True)
        time.sleep(float(sys.argv[2]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    config = TrainerConfig(steps=100_000, device="cpu", progress=False)
    trainer = Trainer(config, [Translation()], callbacks=[Slow()])
    trainer.fit(small_workspace(), small_table(), run_dir=sys.argv[1])
