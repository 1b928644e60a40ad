import json
import logging

import pytest
import torch
from core_domains import Weighted, small_table, small_workspace, two_views

from globalworkspace import (
    DomainModule,
    GlobalWorkspace,
    LatentStore,
    Table,
    Trainer,
    TrainerConfig,
)
from globalworkspace.errors import ConfigError, DataError, DomainError
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.translation import Translation
from globalworkspace.standard_table import standardize_table
from globalworkspace.training.flat import _Block
from globalworkspace.training.run import Run

SETTINGS = {
    "steps": 24,
    "batch_size": 16,
    "unmatched_batch_size": 8,
    "validate_every": 5,
    "log_every": 3,
    "checkpoint_every": 6,
    "accumulate": 2,
    "clip_norm": 0.5,
    "ema": 0.9,
    "device": "cpu",
    "progress": False,
}


def settings(**changed):
    return TrainerConfig(**(SETTINGS | changed))


def objectives():
    return [Translation(1), Contrastive(0.1, learn_scale=True), DemiCycle(1.0), Cycle(0.5)]


def run(folder, config=None, **options):
    """One run with dropout, random fusion of three domains, and a learnt scale."""
    workspace = small_workspace((4, 6, 3), dropout=0.2)
    training, validation = small_table(dims=(4, 6, 3)).hold_out()
    result = Trainer(config or settings(), objectives()).fit(
        workspace, training, validation, run_dir=folder, **options
    )
    return workspace, result


def interrupt(monkeypatch, at, method="_step"):
    """Make the run raise when it comes to step `at`."""
    original = getattr(Run, method)

    def failing(self, *arguments):
        if self.step == at:
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(Run, method, failing)


def state_of(folder):
    from safetensors.torch import load_file

    newest = max((folder / "checkpoints").glob("step-*"))
    return load_file(newest / "state.safetensors"), json.loads((newest / "state.json").read_text())


@pytest.mark.parametrize(
    ("at", "method"), [(3, "_step"), (6, "_step"), (17, "_step"), (20, "_validate"), (12, "_save")]
)
def test_an_interrupted_run_goes_on_exactly_as_an_uninterrupted_one(
    tmp_path, monkeypatch, at, method
):
    whole_ws, whole = run(tmp_path / "whole")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        interrupt(patched, at, method)
        run(tmp_path / "cut")
    torch.rand(7)  # the process's generator has no say
    resumed_ws, resumed = run(tmp_path / "cut", resume=True)

    for name, value in whole_ws.state_dict().items():
        assert torch.equal(value, resumed_ws.state_dict()[name]), name
    tensors, state = state_of(tmp_path / "whole")
    other_tensors, other_state = state_of(tmp_path / "cut")
    assert tensors.keys() == other_tensors.keys()
    assert any(name.startswith("optimizer.") for name in tensors)
    assert all(torch.equal(tensors[name], other_tensors[name]) for name in tensors)
    assert state == other_state
    logs = [(tmp_path / f / "metrics.jsonl").read_bytes() for f in ("whole", "cut")]
    assert logs[0] == logs[1]
    assert whole.history == resumed.history
    assert (whole.best_step, whole.best_error) == (resumed.best_step, resumed.best_error)


def test_another_seed_or_another_dropout_stream_gives_another_run(tmp_path):
    first, _ = run(tmp_path / "a")
    other, _ = run(tmp_path / "b", settings(seed=1))
    key = "encoders.domain_left.input.weight"
    assert not torch.equal(first.state_dict()[key], other.state_dict()[key])


def test_resuming_without_a_checkpoint_starts_at_the_beginning(tmp_path):
    whole, _ = run(tmp_path / "a")
    resumed, _ = run(tmp_path / "b", resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])


def test_resuming_passes_over_a_damaged_checkpoint(tmp_path):
    whole, _ = run(tmp_path / "a")
    run(tmp_path / "b")
    newest = max((tmp_path / "b/checkpoints").glob("step-*"))
    (newest / "state.safetensors").write_bytes(b"damaged")
    resumed, _ = run(tmp_path / "b", resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])


def test_resuming_with_other_settings_names_them(tmp_path):
    run(tmp_path / "a")
    with pytest.raises(ConfigError, match="another batch_size, seed"):
        run(tmp_path / "a", settings(seed=5, batch_size=8), resume=True)


def test_a_fresh_run_does_not_mix_with_an_older_one_in_its_folder(tmp_path):
    run(tmp_path / "a", settings(steps=24))
    run(tmp_path / "a", settings(steps=6), resume=False)
    found = sorted(p.name for p in (tmp_path / "a/checkpoints").iterdir())
    assert found == ["step-000000006"]
    steps = [json.loads(x)["step"] for x in (tmp_path / "a/metrics.jsonl").read_text().splitlines()]
    assert max(steps) == 6


def test_the_log_has_every_family_term_and_validation(tmp_path):
    _, result = run(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == result.history
    assert [x["step"] for x in lines if "loss" in x] == [3, 6, 9, 12, 15, 18, 21, 24]
    assert [x["step"] for x in lines if "validation" in x] == [5, 10, 15, 20, 24]
    last = lines[-1]
    assert set(last["families"]) == {"translation", "contrastive", "demi_cycle", "cycle"}
    assert "left + right -> third" in last["terms"]["translation"]
    assert last["validation"]["translation"] > 0


def test_the_best_weights_are_kept_or_the_last(tmp_path):
    config = {"steps": 30, "validate_every": 1, "learning_rate": 0.3, "ema": 0.0, "clip_norm": 0}
    best_ws, best = run(None, settings(**config))
    last_ws, last = run(None, settings(**config, keep="last"))
    assert best.best_step == last.best_step
    assert best.best_error == min(h["validation"]["translation"] for h in best.history)
    assert best.best_step < 30
    key = "encoders.domain_left.input.weight"
    assert not torch.equal(best_ws.state_dict()[key], last_ws.state_dict()[key])
    assert not best_ws.training


def test_training_learns_what_belongs_together():
    columns = two_views(600)
    whole = Table.from_columns(columns)
    training, validation = whole.match(200).hold_out()
    workspace = small_workspace(dim=8, hidden_dim=32)
    config = settings(steps=200, batch_size=64, unmatched_batch_size=32, validate_every=50)
    result = Trainer(config).fit(workspace, training, validation)
    assert result.best_error < 0.5
    assert result.history[-1]["loss"] < result.history[0]["loss"]


def test_accumulation_averages_the_gradients_of_its_batches(monkeypatch):
    # clipping off, one step: the gradient of the mean of both batches
    workspace = small_workspace()
    table = small_table()
    trainer = Trainer(settings(steps=1, clip_norm=0, ema=0), [Translation()])
    seen = []
    original = _Block.step

    def spy(self, *arguments):
        seen.extend(part.grads.clone() for part in self.parts)
        return original(self, *arguments)

    monkeypatch.setattr(_Block, "step", spy)
    trainer.fit(workspace, table)
    again = small_workspace()
    grads = expected_gradients(again, table, trainer.config)
    matrices, vectors = (
        torch.cat([g.flatten() for g in grads if (g.ndim >= 2) == wanted])
        for wanted in (True, False)
    )
    torch.testing.assert_close(seen, [matrices, vectors], rtol=1e-4, atol=1e-6)


def expected_gradients(workspace, table, config):
    from globalworkspace import encode_table
    from globalworkspace.data.sampler import BatchSampler
    from globalworkspace.training.orchestrator import LossOrchestrator

    latents = encode_table(workspace.domains, table)
    workspace.fit_standardizers(
        {n: latents[n].cells for n in latents}  # every cell of the table is used
    )
    standard = standardize_table(workspace, latents)
    sampler = BatchSampler(standard, matched_rows=16, unmatched_rows=8, seed=config.seed)
    orchestrator = LossOrchestrator(workspace, [Translation()])
    total = sum(orchestrator(sampler.batch(part), 0).total for part in range(2)) / 2
    return torch.autograd.grad(total, list(workspace.parameters()))


def test_domain_modules_are_untouched_and_encode_once(tmp_path):
    modules = {"left": Weighted(4), "right": Weighted(6)}
    before = {n: m.fingerprint() for n, m in modules.items()}
    workspace = GlobalWorkspace(modules, dim=4, hidden_dim=8)
    store = LatentStore(tmp_path)
    Trainer(settings()).fit(workspace, small_table(), store=store)
    assert {n: m.fingerprint() for n, m in modules.items()} == before
    assert sum(m.encoded for m in modules.values()) == 300 + 60
    again = GlobalWorkspace(modules, dim=4, hidden_dim=8)
    Trainer(settings()).fit(again, small_table(), store=store)
    assert sum(m.encoded for m in modules.values()) == 300 + 60


def test_latents_may_be_given():
    workspace = small_workspace()
    Trainer(settings()).fit(workspace, small_table(), latents=True)
    assert workspace.standardized == {"left", "right"}


def test_alternatives_are_trained_on():
    from globalworkspace import Alternatives

    columns = two_views(60)
    right = [Alternatives([x.tolist(), (x + 0.1).tolist()]) for x in columns["right"]]
    Trainer(settings()).fit(
        small_workspace(), Table.from_columns({"left": columns["left"], "right": right})
    )


def nan_at(row):
    columns = two_views(50)
    columns["right"][row, 2] = float("nan")
    return Table.from_columns(columns)


class Integers(DomainModule):
    from globalworkspace import LatentSpec as _Spec

    latent = _Spec.continuous(4)

    def encode(self, raw):
        return torch.zeros(len(raw), 4, dtype=torch.int64)

    def config(self):
        return {}


@pytest.mark.parametrize(
    ("workspace", "data", "latents", "error", "message"),
    [
        (None, lambda: small_table(matched=0), False, DataError, "No row is matched .*300 rows"),
        (None, lambda: nan_at(17), False, DomainError, '"right" returned NaN .* row 17'),
        (None, lambda: nan_at(17), True, DataError, '"right": the latent of row 17 holds NaN'),
        ((5, 6), small_table, False, DomainError, r'"left" returned latents of shape \(\d+, 4\)'),
        ((5, 6), small_table, True, DataError, r'"left": latents \(items, 5\).* got \(300, 4\)'),
        (
            None,
            lambda: Table.from_columns({"left": [[0.0] * 4] * 3, "right": torch.rand(3, 6)}),
            True,
            DataError,
            '"left": latents .* got list',
        ),
        (
            None,
            lambda: Table.from_columns({"left": torch.rand(9, 4), "sound": torch.rand(9, 6)}),
            False,
            DomainError,
            'domain "sound" and the workspace has left, right',
        ),
        (
            None,
            lambda: Table.from_columns({"left": torch.rand(9, 4), "sound": torch.rand(9, 6)}),
            True,
            DataError,
            'domain "sound" and the workspace has left, right',
        ),
        (
            None,
            lambda: Table.from_columns({"left": torch.ones(9, 4), "right": torch.rand(9, 6)}),
            False,
            DomainError,
            '"left": no latent dimension varies over 9',
        ),
    ],
)
def test_bad_data_is_one_clear_message(workspace, data, latents, error, message):
    ws = small_workspace(workspace or (4, 6))
    with pytest.raises(error, match=message):
        Trainer(settings()).fit(ws, data(), latents=latents)


def test_latents_of_the_wrong_dtype_are_refused():
    ws = GlobalWorkspace({"left": Integers(), "right": Integers()}, dim=4)
    with pytest.raises(DomainError, match='"left" returned latents of dtype torch.int64'):
        Trainer(settings()).fit(ws, small_table(dims=(4, 4)))


def test_training_with_nothing_trainable_is_refused():
    ws = small_workspace()
    ws.requires_grad_(False)
    with pytest.raises(ConfigError, match="Nothing is trainable"):
        Trainer(settings(), [Translation()]).fit(ws, small_table())


def test_a_loss_that_is_no_number_stops_with_the_families():
    ws = small_workspace()
    with torch.no_grad():
        ws.decoder("left").output.bias.fill_(1e30)
    with pytest.raises(
        DataError, match=r"The loss is (inf|nan) at step 1; .*translation.*learning_rate"
    ):
        Trainer(settings(log_every=1)).fit(ws, small_table())


def test_an_unusable_device_is_an_error_with_a_way_out():
    with pytest.raises(ConfigError, match='"warp" cannot be used.*Try "auto" or "cpu"'):
        Trainer(settings(device="warp")).fit(small_workspace(), small_table())


@pytest.mark.parametrize("bad", [{"steps": 0}, {"schedule": "linear"}, {"ema": 1.0}])
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        settings(**bad)


def test_an_initializer_sees_standard_latents():
    seen = {}

    def initializer(workspace, table):
        seen.update({n: table[n].cells for n in table})

    Trainer(settings(steps=1)).fit(small_workspace(), small_table(), initializer=initializer)
    for values in seen.values():
        torch.testing.assert_close(values.mean(0), torch.zeros_like(values[0]), atol=1e-4, rtol=0)


def test_resuming_says_where(tmp_path, caplog):
    run(tmp_path)
    with caplog.at_level(logging.INFO):
        run(tmp_path, resume=True)
    assert "at step 24" in caplog.text
