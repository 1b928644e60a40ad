"""On a GPU a training is what it is on a CPU, waits for nothing, and is launched as one graph."""

import logging
import warnings

import pytest
import torch
from core_domains import every_family, small_table, small_workspace

from globalworkspace import GlobalWorkspace, LatentSpec, Table, TrainerConfig
from globalworkspace.augmentation import Noise
from globalworkspace.data.sampler import BatchSampler
from globalworkspace.given_latents import GivenLatents
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.fused import Fused
from globalworkspace.objectives.translation import Translation
from globalworkspace.processes import Processes
from globalworkspace.standard_table import standardize_table
from globalworkspace.training import captured
from globalworkspace.training.callbacks import Callback
from globalworkspace.training.run import Run
from globalworkspace.training.trainer import Trainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]
NOTHING_CAPTURED = lambda *_: None  # noqa: E731
DIMS = (4, 6, 3)
FUSIONS = ["random-softmax", "single", "mean", "attention"]


@pytest.fixture
def call_by_call(monkeypatch):
    """Nothing is captured."""
    monkeypatch.setattr(captured.CapturedStep, "__call__", NOTHING_CAPTURED)


def prepared(
    device, objectives=None, fusion="random-softmax", dropout=0.0, callbacks=(), **changed
):
    workspace = small_workspace(DIMS, fusion=fusion, dropout=dropout)
    settings = {"steps": 8, "batch_size": 16, "unmatched_batch_size": 8, "log_every": 1}
    settings |= {"precision": "fp32", "device": device, "progress": False} | changed
    trainer = Trainer(
        TrainerConfig(**settings),
        objectives or every_family(),
        augmentations={"noisy": Noise(0.1)},
        callbacks=callbacks,
    )
    return trainer, workspace


def trained(device, run_dir=None, validation=None, **changed):
    trainer, workspace = prepared(device, **changed)
    table = small_table(dims=DIMS)
    result = trainer.fit(workspace, table, validation, run_dir=run_dir)
    return result, {name: value.cpu() for name, value in workspace.state_dict().items()}


def assert_close(one, other, rtol, atol):
    (result, weights), (again, weights_again) = one, other
    assert len(result.history) == len(again.history) > 0
    for before, after in zip(result.history, again.history, strict=True):
        assert before["order"] == after["order"]
        assert after["terms"].keys() == before["terms"].keys()
        for family, terms in before["terms"].items():
            assert after["terms"][family] == pytest.approx(terms, rel=rtol, abs=atol)
    for name, value in weights.items():
        torch.testing.assert_close(weights_again[name], value, rtol=rtol, atol=atol)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_gpu_trains_as_a_cpu_does(fusion, caplog):
    on_gpu = trained("cuda", fusion=fusion)
    assert_close(trained("cpu", fusion=fusion), on_gpu, rtol=1e-3, atol=2e-4)
    assert "call by call" not in caplog.text


def test_a_recorded_step_is_the_one_launched_call_by_call(monkeypatch):
    settings = {"dropout": 0.2, "accumulate": 2, "steps": 12}
    recorded = trained("cuda", **settings)
    monkeypatch.setattr(captured.CapturedStep, "__call__", NOTHING_CAPTURED)
    assert_close(trained("cuda", **settings), recorded, rtol=1e-4, atol=1e-5)


def test_the_step_is_recorded_and_replayed(monkeypatch):
    counts = {"made": 0, "replayed": 0}
    made, replayed = captured._Replayed.__init__, captured._Replayed.__call__

    def make(self, *arguments):
        counts["made"] += 1
        made(self, *arguments)

    def replay(self, *inputs):
        counts["replayed"] += 1
        return replayed(self, *inputs)

    monkeypatch.setattr(captured._Replayed, "__init__", make)
    monkeypatch.setattr(captured._Replayed, "__call__", replay)
    trained("cuda")
    assert counts == {"made": 1, "replayed": 8}  # seven steps, and a first try


class BreakAtSix(Callback):
    def step_done(self, training):
        if training.step == 6:
            raise RuntimeError("pulled the plug")


def test_training_continues_where_it_stopped(tmp_path):
    settings = {"dropout": 0.2, "checkpoint_every": 4}
    _, whole = trained("cuda", run_dir=tmp_path / "whole", **settings)
    with pytest.raises(RuntimeError, match="the plug"):
        trained("cuda", run_dir=tmp_path / "parts", callbacks=[BreakAtSix()], **settings)
    _, resumed = trained("cuda", run_dir=tmp_path / "parts", **settings)
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=0)


def ready_run(fusion, **changed):
    trainer, workspace = prepared("cuda", fusion=fusion, dropout=0.1, **changed)
    device = torch.device("cuda")
    table = small_table(dims=DIMS)
    latents = {n: workspace.domains[n].encode(table[n].cells) for n in table}
    workspace.fit_standardizers(latents)
    workspace.to(device)
    standard = standardize_table(workspace, table)
    run = Run(trainer, trainer.objectives, workspace, standard, None, None, device, Processes())
    workspace.train()
    for _ in range(3):
        run._step()
        run.step += 1
    return run


def without_waiting(run):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(3):
                report = run._step()
                run.step += 1
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert report.total.isfinite()


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_recorded_step_waits_for_nothing(fusion):
    run = ready_run(fusion)
    assert run.captured is not None and run.captured._graph is not None
    without_waiting(run)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_step_launched_call_by_call_waits_for_nothing(fusion, call_by_call):
    without_waiting(ready_run(fusion))


def test_a_step_with_a_budget_of_pairs_waits_for_nothing(caplog):
    with caplog.at_level(logging.WARNING):
        run = ready_run("single", objectives=[Contrastive(0.1, budget=1), Translation(1.0)])
    assert "call by call" in caplog.text and "number of the step" in caplog.text
    without_waiting(run)


def test_an_objective_that_reads_a_value_is_trained_all_the_same(caplog):
    class Reading(Translation):
        def loss(self, walked, context):
            values = super().loss(walked, context)
            float(next(iter(values.values())).detach().mean())
            return values

    with caplog.at_level(logging.WARNING):
        found = trained("cuda", objectives=[Reading(1.0)])
    assert "call by call" in caplog.text
    assert_close(trained("cuda", objectives=[Translation(1.0)]), found, rtol=1e-4, atol=1e-5)


def test_a_recording_that_breaks_leaves_nothing_behind(caplog):
    class Breaking(Translation):
        def loss(self, walked, context):
            if torch.cuda.is_current_stream_capturing():
                torch.cuda.synchronize()
            return super().loss(walked, context)

    stream = torch.cuda.current_stream()
    with caplog.at_level(logging.WARNING):
        found = trained("cuda", objectives=[Breaking(1.0)], dropout=0.2)
    assert "call by call" in caplog.text and torch.cuda.current_stream() == stream
    whole = trained("cuda", objectives=[Translation(1.0)], dropout=0.2)
    assert_close(whole, found, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # of the compiler's own imports
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_compiled_step_is_recorded_too(precision, caplog):
    few = [Translation(1.0), Contrastive(0.1), Fused(0.3)]
    plain = trained("cuda", objectives=few, precision=precision)
    compiled = trained("cuda", objectives=few, precision=precision, compile=True)
    close = 1e-3 if precision == "fp32" else 0.1
    assert_close(plain, compiled, rtol=close, atol=close / 5)
    assert "compile=True" not in caplog.text


def test_a_run_that_rolls_back_is_recorded_anew(tmp_path, monkeypatch, caplog):
    original = BatchSampler.batch

    def batch(self, step):
        found = original(self, step)
        if step == 7:
            next(iter(found.latents.values()))[0] = torch.inf
        return found

    monkeypatch.setattr(BatchSampler, "batch", batch)
    trainer, workspace = prepared("cuda", nonfinite="rollback", checkpoint_every=4, steps=12)
    with caplog.at_level(logging.WARNING):
        result = trainer.fit(workspace, small_table(dims=DIMS), run_dir=tmp_path)
    assert "back to step 4" in caplog.text and "call by call" not in caplog.text
    assert result.history[-1]["step"] == 12
    assert all(value.isfinite().all() for value in workspace.state_dict().values())


def test_latents_lie_on_the_device_and_validation_is_the_cpu_s():
    table = small_table(dims=DIMS)
    kept = Table(table.columns, table.origin)
    on_gpu = trained("cuda", validation=kept, validate_every=4)[0]
    on_cpu = trained("cpu", validation=kept, validate_every=4)[0]
    errors = [
        [entry["validation"]["translation"] for entry in result.history if "validation" in entry]
        for result in (on_gpu, on_cpu)
    ]
    assert errors[0] == pytest.approx(errors[1], rel=1e-3) and len(errors[0]) == 2


def test_a_table_of_a_million_rows_is_drawn_on_the_device():
    rows = 1_000_000
    table = Table.from_columns({name: torch.randn(rows, 8) for name in "ab"})
    workspace = GlobalWorkspace(
        {name: GivenLatents(LatentSpec.continuous(8)) for name in "ab"}, dim=6, hidden_dim=16
    )
    config = TrainerConfig(steps=20, batch_size=512, progress=False, device="cuda")
    before = torch.cuda.memory_allocated()
    Trainer(config).fit(workspace, table, latents=True)
    assert torch.cuda.max_memory_allocated() - before > rows * 16 * 4
