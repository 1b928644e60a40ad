"""Between two log lines nothing waits for the device: no value of a tensor is read in a step."""

import pytest
import torch
from core_domains import every_family, small_table, small_workspace, two_views

from globalworkspace import Table, TrainerConfig, routes
from globalworkspace.augmentation import Noise
from globalworkspace.data.sampler import Batch
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.fused import Fused
from globalworkspace.objectives.translation import Translation
from globalworkspace.processes import Processes
from globalworkspace.randomness import LastingChance
from globalworkspace.standard_table import standardize_table
from globalworkspace.testing.pretend_device import DEVICE, DeviceMix, PretendDevice
from globalworkspace.training.captured import _Draws
from globalworkspace.training.run import Run
from globalworkspace.training.trainer import Trainer

READS = ("item", "tolist", "numpy", "__float__", "__int__", "__bool__", "__index__", "nonzero")


def ready_run(fusion="random-softmax", families=None):
    """A run after its first step, in which plans and flat weights are made."""
    workspace = small_workspace((4, 6, 3), dropout=0.1, fusion=fusion)
    table = small_table(dims=(4, 6, 3))
    latents = {n: workspace.domains[n].encode(table[n].cells) for n in table}
    workspace.fit_standardizers(latents)
    families = families or [
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


def walk_elsewhere(run):
    """Losses and gradient as they are captured, on a pretended device."""
    batch = run.sampler.batch(1)
    with PretendDevice() as device:
        device.place(run.workspace)
        device.place(run.orchestrator)
        there = Batch(batch.segments, {n: device.move(x) for n, x in batch.latents.items()}, ())
        weights = device.move(torch.ones(len(run.orchestrator.names)))
        draws, chance = _Draws(DEVICE), LastingChance(0, 1)
        for answers in (lambda: [], draws.next):
            with draws.answered(answers()):
                report = run.orchestrator.report(there, 1, chance, weights)
        report.total.backward()
        return report.total.device


@pytest.mark.parametrize("fusion", ["random-softmax", "single", "mean", "attention"])
def test_all_that_a_captured_step_makes_lies_on_its_device(fusion):
    assert walk_elsewhere(ready_run(fusion, every_family())) == DEVICE


def test_what_lies_elsewhere_would_be_noticed(monkeypatch):
    def on_the_cpu(sources, rows, generator):
        subsets = torch.randint(1, 2**sources, (rows,), generator=generator)
        return subsets.bitwise_right_shift(torch.arange(sources)[:, None]).remainder_(2) == 1

    monkeypatch.setattr(routes, "_drawn_sources", on_the_cpu)
    with pytest.raises(DeviceMix, match="device"):
        walk_elsewhere(ready_run(families=every_family()))


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
