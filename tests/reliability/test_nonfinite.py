"""NaN and infinity: never in the weights, never in a checkpoint, and what is said of them."""

import json
import logging

import pytest
import torch
from core_domains import small_table, small_workspace
from safetensors.torch import load_file

from globalworkspace import Trainer, TrainerConfig
from globalworkspace.errors import ConfigError, DataError
from globalworkspace.objectives.base import Objective
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.translation import Translation
from globalworkspace.training.run import Run


def settings(**changed):
    given = {"steps": 30, "batch_size": 16, "unmatched_batch_size": 8, "log_every": 5, "ema": 0.9}
    given |= {"checkpoint_every": 6, "validate_every": 10, "device": "cpu", "progress": False}
    return TrainerConfig(**(given | changed))


class Spoilt(Objective):
    """Gives NaN, or an infinite gradient, at the draws told."""

    name = "spoilt"

    def __init__(self, steps, how="nan"):
        super().__init__(1.0)
        self.steps, self.how = steps, how

    def routes(self, segment):
        return []

    def loss(self, walked, context):
        weight = self.owner.decoder("left").output.bias.sum()
        if context.step not in self.steps:
            return {"left": (0.0 * weight)[None]}
        if self.how == "gradient":
            return {"left": (0.0 * (weight - weight).sqrt())[None]}
        return {"left": (weight * float(self.how))[None]}


def run(folder=None, objectives=None, table=None, **changed):
    workspace = small_workspace()
    for objective in objectives or []:
        object.__setattr__(objective, "owner", workspace)
    families = [Translation(), DemiCycle(), *(objectives or [])]
    table = small_table() if table is None else table
    training, validation = table.hold_out()
    result = Trainer(settings(**changed), families).fit(
        workspace, training, validation, run_dir=folder, resume=False
    )
    return workspace, result


def finite(workspace):
    return all(value.isfinite().all() for value in workspace.state_dict().values())


@pytest.mark.parametrize("how", ["nan", "inf", "gradient"])
def test_raise_names_step_family_and_key(tmp_path, how):
    with pytest.raises(DataError, match="at step 14") as caught:
        run(tmp_path, [Spoilt({13}, how)])
    said = str(caught.value)
    if how == "gradient":
        assert "gradient is not finite in workspace.decoders.domain_left" in said
    else:
        assert "spoilt (left)" in said and "translation" not in said
    assert 'nonfinite = "skip"' in said


def test_nothing_that_is_not_finite_is_in_a_checkpoint(tmp_path):
    with pytest.raises(DataError):
        run(tmp_path, [Spoilt({13})], log_every=30, checkpoint_every=6)
    found = sorted((tmp_path / "checkpoints").iterdir())
    assert [f.name for f in found] == ["step-000000006", "step-000000012"]
    for folder in found:
        for name, value in load_file(folder / "state.safetensors").items():
            assert value.isfinite().all(), name


def test_the_step_is_not_taken():
    """Weights stay as they are from the bad step on, until the run looks."""
    kept = {}

    def watched(self):
        report = original(self)
        kept[self.step] = self.workspace.encoder("left").input.weight.detach().clone()
        return report

    original = Run._step
    with pytest.MonkeyPatch.context() as patch, pytest.raises(DataError):
        patch.setattr(Run, "_step", watched)
        run(None, [Spoilt({11})], log_every=5, checkpoint_every=30)
    assert not torch.equal(kept[9], kept[10])
    assert torch.equal(kept[10], kept[11]) and torch.equal(kept[10], kept[14])


def test_rows_with_unusable_latents_are_named(monkeypatch):
    from globalworkspace.data import sampler as module

    original = module.BatchSampler.batch

    def batch(self, step):
        found = original(self, step)
        if step == 7:
            found.latents["right"][[2, 5]] = torch.nan
            self.bad = {int(torch.cat([r for r in found.rows])[i]) for i in (2, 5)}
            kept.append(self)
        return found

    kept = []
    monkeypatch.setattr(module.BatchSampler, "batch", batch)
    with pytest.raises(
        DataError, match='latents of domain "right" are not finite in row'
    ) as caught:
        run()
    said = str(caught.value)
    rows = {int(word) for word in said.split("in row ")[1].split(".")[0].split(", ")}
    origin = kept[0].table.origin.tolist()
    held = [s for s in kept[0].segments if "right" in s.group]
    assert len(rows) == 2 and rows <= set(origin) and held
    assert "Mend these rows" in said and "translation" in said


def test_skip_passes_over_such_steps_and_counts_them(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        workspace, result = run(tmp_path, [Spoilt({3, 4, 12})], nonfinite="skip")
    assert finite(workspace)
    counts = [entry.get("skipped") for entry in result.history if "loss" in entry]
    assert counts == [2, 2, 3, 3, 3, 3]
    assert "2 steps before step 5 were not finite and skipped" in caplog.text
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == result.history
    assert "NaN" not in "".join(lines) and "Infinity" not in "".join(lines)


def test_a_skipped_step_leaves_weights_and_moments_as_they_were(tmp_path):
    same = {"schedule": "constant", "warmup": 0.0, "ema": 0.0, "keep": "last"}
    skipped, _ = run(tmp_path / "a", [Spoilt({29})], nonfinite="skip", **same)
    shorter, _ = run(tmp_path / "b", [Spoilt({29})], nonfinite="skip", steps=29, **same)
    for name, value in skipped.state_dict().items():
        assert torch.equal(value, shorter.state_dict()[name]), name
    ends = [max((tmp_path / f / "checkpoints").iterdir()) for f in "ab"]
    moments, other = (load_file(end / "state.safetensors") for end in ends)
    for name in moments:
        if name.startswith("optimizer"):
            assert torch.equal(moments[name], other[name]), name


def test_skipping_everything_gives_up():
    with pytest.raises(DataError, match="The loss is nan at step"):
        run(None, [Spoilt(set(range(10, 300)))], nonfinite="skip", steps=300)


def test_rollback_goes_back_and_draws_other_batches(tmp_path, monkeypatch, caplog):
    from globalworkspace.data import sampler as module

    original = module.BatchSampler.batch

    def batch(self, step):
        found = original(self, step)
        if step == 15:  # one batch that is bad, wherever it is drawn
            found.latents["left"][0] = torch.inf
        return found

    monkeypatch.setattr(module.BatchSampler, "batch", batch)
    with caplog.at_level(logging.WARNING):
        workspace, result = run(tmp_path, nonfinite="rollback")
    assert finite(workspace) and "back to step 12, to other batches" in caplog.text
    steps = [entry["step"] for entry in result.history]
    assert steps == sorted(set(steps)) and steps[-1] == 30
    assert result.history[-1]["rolled_back"] == 1
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == result.history
    state = json.loads((tmp_path / "checkpoints/step-000000030/state.json").read_text())
    assert state["passed_over"] == 4  # the batches of steps 12 to 15


def test_rollback_before_the_first_checkpoint_goes_back_to_the_first_weights(tmp_path, monkeypatch):
    from globalworkspace.data import sampler as module

    original = module.BatchSampler.batch

    def batch(self, step):
        found = original(self, step)
        if step == 2:
            found.latents["left"][0] = torch.inf
        return found

    monkeypatch.setattr(module.BatchSampler, "batch", batch)
    workspace, result = run(tmp_path, nonfinite="rollback")
    assert finite(workspace) and result.history[-1]["rolled_back"] == 1


def test_rollback_gives_up_where_it_does_not_help(tmp_path):
    with pytest.raises(DataError, match="The loss is nan at step 14"):
        run(tmp_path, [Spoilt({13})], nonfinite="rollback")
    with pytest.raises(ConfigError, match="needs a run folder"):
        run(None, nonfinite="rollback")
