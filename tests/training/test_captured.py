"""A captured step is the plain step: same losses, same weights, same chance."""

import contextlib
import logging
import statistics

import pytest
import torch
from core_domains import every_family, small_table, small_workspace, two_views

from globalworkspace import Table, TrainerConfig
from globalworkspace.augmentation import Noise
from globalworkspace.data.sampler import Batch
from globalworkspace.evaluation.translation import translation_error
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.translation import Translation
from globalworkspace.processes import Processes
from globalworkspace.standard_table import standardize_table
from globalworkspace.training import captured
from globalworkspace.training.flat import FlatAdamW
from globalworkspace.training.orchestrator import LossOrchestrator
from globalworkspace.training.trainer import Trainer

DIMS = (4, 6, 3)


@pytest.fixture(autouse=True)
def without_code_generation(request, monkeypatch):
    """Captured all the same, and run operation by operation: compiling takes a minute."""
    if "slow" not in request.keywords:
        monkeypatch.setattr(captured, "COMPILE", lambda graph: graph)


def trained(
    compile, objectives=None, fusion="random-softmax", dropout=0.0, run_dir=None, **changed
):
    workspace = small_workspace(DIMS, fusion=fusion, dropout=dropout)
    settings = {"steps": 8, "batch_size": 16, "unmatched_batch_size": 8, "log_every": 1}
    config = TrainerConfig(**(settings | changed), device="cpu", progress=False, compile=compile)
    trainer = Trainer(config, objectives or every_family(), augmentations={"noisy": Noise(0.1)})
    result = trainer.fit(workspace, small_table(dims=DIMS), run_dir=run_dir, resume=bool(run_dir))
    return result.history, workspace.state_dict()


def assert_equal(one, other):
    (plain, weights), (fast, fast_weights) = one, other
    close = {"rel": 1e-4, "abs": 2e-5}
    assert len(plain) == len(fast) == 8
    for before, after in zip(plain, fast, strict=True):
        assert before["families"].keys() == after["families"].keys()
        for family, value in before["families"].items():
            assert after["families"][family] == pytest.approx(value, **close)
            assert after["terms"][family] == pytest.approx(before["terms"][family], **close)
    for name, value in weights.items():
        torch.testing.assert_close(fast_weights[name], value, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("fusion", ["random-softmax", "single", "mean", "attention"])
def test_a_captured_training_is_the_plain_one(fusion, caplog):
    assert_equal(trained(False, fusion=fusion), trained(True, fusion=fusion))
    assert "compile=True" not in caplog.text  # no word of a failure


def test_gradients_of_several_batches_are_averaged():
    assert_equal(trained(False, accumulate=3), trained(True, accumulate=3))


def test_dropout_is_the_same_chance_too():
    assert_equal(trained(False, dropout=0.3), trained(True, dropout=0.3))


@pytest.mark.slow
def test_a_compiled_training_is_the_plain_one(caplog):
    assert_equal(trained(False), trained(True))
    assert "compile=True" not in caplog.text  # no word of a failure


def _errors(**options):
    """Normalised test error of three seeds, of a training of 500 steps."""
    errors = []
    for seed in range(3):
        cells = two_views(2000, DIMS, seed)
        rows = Table.from_columns(cells)
        workspace = small_workspace(DIMS, hidden_dim=64, seed=seed)
        config = TrainerConfig(
            steps=500, batch_size=64, seed=seed, device="cpu", progress=False, **options
        )
        objectives = [Translation(1.0), Contrastive(0.1), DemiCycle(0.5), Cycle(0.5)]
        training = rows.select(range(1500)).match(300, seed=seed)
        Trainer(config, objectives).fit(workspace, training)
        test = standardize_table(workspace, rows.select(range(1500, 2000)))
        errors.append(statistics.fmean(translation_error(workspace, test).values()))
    return errors


@pytest.mark.slow
def test_what_makes_it_fast_trains_as_well():
    plain = _errors(precision="fp32")
    assert max(plain) < 0.5  # there is something to learn, and it is learnt
    for compiled in (False, True):
        fast = _errors(precision="bf16", compile=compiled)
        assert fast == pytest.approx(plain, rel=0.05)


def test_an_interrupted_captured_training_goes_on_as_it_would_have(tmp_path):
    _, whole = trained(True, dropout=0.2)
    trained(True, dropout=0.2, run_dir=tmp_path, checkpoint_every=4)
    for folder in (tmp_path / "checkpoints").iterdir():
        if not folder.name.endswith("4"):
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
    _, resumed = trained(True, dropout=0.2, run_dir=tmp_path, checkpoint_every=4)
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=0)


def test_what_depends_on_the_step_is_not_frozen_but_left_out(caplog, monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: None)
    objectives = [Translation(1.0), Contrastive(0.1, budget=1)]
    with caplog.at_level(logging.WARNING):
        found = trained(True, objectives)
    assert "an objective looks at the number of the step" in caplog.text
    assert_equal(trained(False, objectives), found)


def test_what_reads_a_value_is_left_out(caplog, monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: None)

    class Reading(Translation):
        def loss(self, walked, context):
            values = super().loss(walked, context)
            return {
                key: rows * min(float(rows.mean().detach()), 1.0) for key, rows in values.items()
            }

    with caplog.at_level(logging.WARNING):
        found = trained(True, [Reading(1.0)])
    assert "cannot be compiled as a whole" in caplog.text
    assert_equal(trained(False, [Reading(1.0)]), found)


def test_a_machine_that_cannot_compile_trains_all_the_same(caplog, monkeypatch):
    def compile(graph):
        def run(*_):
            raise RuntimeError("no compiler here\nand much more")

        return run

    monkeypatch.setattr(captured, "COMPILE", compile)
    with caplog.at_level(logging.WARNING):
        found = trained(True, [Translation(1.0)])
    assert "torch.compile failed (RuntimeError: no compiler here); training goes on" in caplog.text
    assert_equal(trained(False, [Translation(1.0)]), found)


def test_a_step_of_several_processes_is_not_captured(caplog, monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: None)
    workspace = small_workspace(DIMS)
    several = LossOrchestrator(workspace, [Translation(1.0)], processes=Processes(0, 2))
    optimizer = FlatAdamW(dict(workspace.named_parameters()), weight_decay=0, keep_average=False)
    with caplog.at_level(logging.WARNING):
        step = captured.CapturedStep(several, optimizer, contextlib.nullcontext, compiled=True)
    assert step(Batch((), {}, ()), 0, 0, 1.0) is None
    assert "several processes share it" in caplog.text
