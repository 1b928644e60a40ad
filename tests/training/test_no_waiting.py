"""Between two log lines nothing waits for the device: no value of a tensor is read in a step."""

import pytest
import torch
from core_domains import small_table, small_workspace, two_views

from globalworkspace import Table, TrainerConfig
from globalworkspace.augmentation import Noise
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.fused import Fused
from globalworkspace.objectives.translation import Translation
from globalworkspace.processes import Processes
from globalworkspace.standard_table import standardize_table
from globalworkspace.training.run import Run
from globalworkspace.training.trainer import Trainer

READS = ("item", "tolist", "numpy", "__float__", "__int__", "__bool__", "__index__", "nonzero")


def ready_run(fusion="random-softmax"):
    """A run after its first step, in which plans and flat weights are made."""
    workspace = small_workspace((4, 6, 3), dropout=0.1, fusion=fusion)
    table = small_table(dims=(4, 6, 3))
    latents = {n: workspace.domains[n].encode(table[n].cells) for n in table}
    workspace.fit_standardizers(latents)
    families = [
        Translation(1.0, subsets="sampled", budget=2),
        Contrastive(0.1, learn_scale=True),
        Contrastive(0.1, budget=1).seen_through("noisy"),
        DemiCycle(1.0),
        Cycle(0.3, detach=True, budget=1),
        Fused(0.3),
    ]
    config = TrainerConfig(
        batch_size=16, unmatched_batch_size=8, progress=False, device="cpu", accumulate=2
    )
    trainer = Trainer(config, families, augmentations={"noisy": Noise(0.1)})
    standard = standardize_table(workspace, table)
    run = Run(
        trainer,
        trainer.objectives,
        workspace,
        standard,
        None,
        None,
        torch.device("cpu"),
        Processes(),
    )
    workspace.train()
    run._step()
    run.step += 1
    return run


def forbid(monkeypatch):
    def read(self, *arguments):
        raise AssertionError("a tensor's value was read in a step")

    for name in READS:
        monkeypatch.setattr(torch.Tensor, name, read)


@pytest.mark.parametrize("fusion", ["random-softmax", "single", "mean", "attention"])
def test_a_step_reads_no_value(fusion, monkeypatch):
    run = ready_run(fusion)
    with monkeypatch.context() as patched:
        forbid(patched)
        report = run._step()
    assert report.total.isfinite()


def test_a_hidden_read_would_be_noticed(monkeypatch):
    run = ready_run()
    original = Translation.loss

    def loss(self, walked, context):
        values = original(self, walked, context)
        float(next(iter(values.values())).detach().mean())
        return values

    monkeypatch.setattr(Translation, "loss", loss)
    with monkeypatch.context() as patched, pytest.raises(AssertionError, match="read in a step"):
        forbid(patched)
        run._step()


def test_losses_are_read_when_they_are_logged_and_not_before(monkeypatch):
    reads = []
    original = torch.Tensor.__float__
    monkeypatch.setattr(torch.Tensor, "__float__", lambda t: reads.append(1) or original(t))
    counts = {}
    for every in (2, 10):
        reads.clear()
        config = TrainerConfig(
            steps=10, log_every=every, batch_size=16, progress=False, device="cpu", ema=0
        )
        Trainer(config, [Translation(), DemiCycle()]).fit(
            small_workspace(), Table.from_columns(two_views(60)).match(30)
        )
        counts[every] = len(reads)
    assert counts[2] == 5 * counts[10] > 0
