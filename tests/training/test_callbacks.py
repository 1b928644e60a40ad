import pytest
import torch
from core_domains import small_table, small_workspace

from globalworkspace import Callback, GlobalWorkspace, Trainer, TrainerConfig
from globalworkspace.errors import ConfigError
from globalworkspace.training.callbacks import EarlyStop, Snapshots


class Listener(Callback):
    def __init__(self):
        self.heard = []

    def started(self, training):
        self.heard.append(("started", training.step))

    def step_done(self, training):
        self.heard.append(("step_done", training.step))

    def evaluated(self, training):
        assert not training.workspace.training
        assert "validation" in training.history[-1]
        self.heard.append(("evaluated", training.step))

    def finished(self, training):
        self.heard.append(("finished", training.step))


def fit(callbacks, steps=30, run_dir=None, resume=False, workspace=None, **options):
    workspace = workspace or small_workspace()
    table, held_out = small_table().hold_out(0.5)
    settings = {"validate_every": 10, "checkpoint_every": 10, "progress": False, "device": "cpu"}
    trainer = Trainer(TrainerConfig(steps=steps, **(settings | options)), callbacks=callbacks)
    result = trainer.fit(workspace, table, held_out, latents=True, run_dir=run_dir, resume=resume)
    return workspace, result


def test_a_callback_hears_every_event_in_order():
    listener = Listener()
    fit([listener], steps=20)
    steps = [("step_done", n) for n in range(1, 21)]
    assert listener.heard == [
        ("started", 0),
        *steps[:10],
        ("evaluated", 10),
        *steps[10:],
        ("evaluated", 20),
        ("finished", 20),
    ]


def test_listening_changes_nothing():
    plain, _ = fit([])
    heard, _ = fit([Listener()])
    for one, other in zip(plain.parameters(), heard.parameters(), strict=True):
        assert torch.equal(one, other)


def test_early_stop_ends_the_run_says_why_and_keeps_the_best_weights():
    # a learning rate that ruins the weights after the first validations
    workspace, result = fit([EarlyStop(20)], steps=400, learning_rate=5.0, warmup=0.9)
    last = result.history[-1]["step"]
    assert last < 400
    assert result.stopped.startswith(f"no smaller validation error since step {result.best_step}")
    assert last - result.best_step >= 20
    assert not workspace.training


def test_a_run_that_was_stopped_stays_stopped_when_resumed(tmp_path):
    class AtTen(Callback):
        def step_done(self, training):
            if training.step == 10:
                training.stop("ten are enough")

    first, result = fit([AtTen()], run_dir=tmp_path)
    assert result.stopped == "ten are enough"
    again, result = fit([AtTen()], run_dir=tmp_path, resume=True)
    assert result.stopped == "ten are enough"
    assert result.history[-1]["step"] == 10
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_snapshots_are_workspaces_of_their_step(tmp_path):
    workspace, _ = fit([Snapshots(20)], steps=40, run_dir=tmp_path, validate_every=20)
    folders = sorted(f.name for f in (tmp_path / "snapshots").iterdir())
    assert folders == ["step-000000020", "step-000000040"]
    kept = GlobalWorkspace.from_pretrained(
        tmp_path / "snapshots" / folders[0], domains=workspace.domains
    )
    assert kept.dim == workspace.dim


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyStop(0), "patience=0"),
        (lambda: Snapshots(0), "every=0"),
        (lambda: fit([Snapshots(5)]), "needs a run folder"),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
