import io
import sys

import pytest
import torch
from core_domains import Vector

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig
from globalworkspace.bars import unwatched
from globalworkspace.training.metrics_log import bar_figures


class Screen(io.StringIO):
    def isatty(self):
        return True


def train(**settings):
    cells = torch.randn(30, 2)
    table = Table.from_columns({"a": cells, "b": cells.clone()})
    workspace = GlobalWorkspace({"a": Vector(2), "b": Vector(2)}, dim=2, hidden_dim=4)
    config = TrainerConfig(steps=60, log_every=10, batch_size=8, device="cpu", **settings)
    Trainer(config).fit(workspace, table, table)


@pytest.mark.parametrize("stream", [Screen, io.StringIO])
def test_bars_are_for_screens(stream, monkeypatch):
    told = stream()
    monkeypatch.setattr(sys, "stderr", told)
    train()
    shown = told.getvalue()
    if stream is Screen:
        assert "train: 100%" in shown and "60/60" in shown
        assert "translation=" in shown and "rows/s=" in shown
    else:
        assert shown == ""


def test_a_bar_that_is_not_wanted_is_on_no_screen(monkeypatch):
    told = Screen()
    monkeypatch.setattr(sys, "stderr", told)
    train(progress=False)
    assert told.getvalue() == ""


def test_a_notebook_watches(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert unwatched(True)
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert not unwatched(True) and unwatched(False)


def test_skipped_steps_stand_on_the_bar():
    entry = {"step": 3, "families": {"cycle": 0.25, "fused": None}, "skipped": 2}
    shown = bar_figures(entry, 10.0, 100)
    assert shown == {"cycle": "0.250", "fused": "not finite", "skipped": "2", "rows/s": "1,000"}
    assert "skipped" not in bar_figures({"step": 3, "families": {}}, None, 100)
