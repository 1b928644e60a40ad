import torch
from core_domains import small_table, small_workspace

from globalworkspace import Trainer, TrainerConfig
from globalworkspace.augmentation import Noise
from globalworkspace.data.sampler import BatchSampler
from globalworkspace.evaluation.translation import translation_error
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.translation import Translation
from globalworkspace.standard_table import standardize_table
from globalworkspace.training.orchestrator import LossOrchestrator

SETTINGS = {
    "steps": 12,
    "batch_size": 16,
    "unmatched_batch_size": 8,
    "validate_every": 5,
    "ema": 0.0,
    "keep": "last",
    "device": "cpu",
    "progress": False,
}


def families():
    return [Translation(1), Contrastive(0.1), DemiCycle(1.0), Cycle(0.5)]


def fitted(training, validation, objectives=None, **changed):
    workspace = small_workspace((4, 6), dropout=0.2)
    trainer = Trainer(TrainerConfig(**(SETTINGS | changed)), objectives or families())
    return workspace, trainer, trainer.fit(workspace, training, validation, latents=True)


def test_losses_of_held_out_rows_are_those_of_one_batch_of_them():
    training, validation = small_table().hold_out()
    workspace, trainer, result = fitted(training, validation)
    held_out = standardize_table(workspace, validation)
    batch = BatchSampler(held_out, matched_rows=16, unmatched_rows=8, seed=0).batch(0)
    with torch.no_grad():
        report = LossOrchestrator(workspace, trainer.objectives)(batch, 12)
    last = result.history[-1]
    assert last["validation_families"] == {n: float(x) for n, x in report.families.items()}
    assert set(last["validation_families"]) == set(last["families"])
    told = [entry["step"] for entry in result.history if "validation_families" in entry]
    assert told == [5, 10, 12]
    assert all(objective.training for objective in trainer.objectives)


def test_held_out_rows_are_judged_as_they_are_whatever_the_view():
    training, validation = small_table().hold_out()
    workspace = small_workspace((4, 6))
    losses = [Translation(1).seen_through("noisy"), Contrastive(0.1).seen_through("noisy")]
    trainer = Trainer(TrainerConfig(**SETTINGS), losses, augmentations={"noisy": Noise(5.0)})
    result = trainer.fit(workspace, training, validation, latents=True)
    plain = LossOrchestrator(workspace, [Translation(1), Contrastive(0.1)])
    held_out = standardize_table(workspace, validation)
    batch = BatchSampler(held_out, matched_rows=16, unmatched_rows=8, seed=0).batch(0)
    with torch.no_grad():
        expected, _ = plain.families(batch, 12)
    told = result.history[-1]["validation_families"]
    assert told == {name: float(value) for name, value in expected.items()}


def test_errors_of_training_rows_are_of_as_many_as_are_held_out():
    training, validation = small_table(matched=20).hold_out(0.5)
    workspace, _, result = fitted(training, validation)
    rows = training.matched_rows()
    assert len(rows) == len(validation.matched_rows()) == 10
    expected = translation_error(workspace, standardize_table(workspace, training.select(rows)))
    told = result.history[-1]["training"]
    assert told.pop("translation") == sum(expected.values()) / 2
    assert told == expected


def test_few_pairs_are_learnt_by_heart_and_the_figures_show_it():
    training, validation = small_table(matched=12).hold_out(0.5)
    _, _, result = fitted(training, validation, [Translation(1)], steps=300, validate_every=100)
    last = result.history[-1]
    assert last["training"]["translation"] < 0.3 * last["validation"]["translation"]
    assert last["families"]["translation"] < last["validation_families"]["translation"]


def test_what_is_measured_changes_nothing_of_the_training():
    training, validation = small_table().hold_out()
    watched, _, _ = fitted(training, validation, validate_every=1)
    alone, _, _ = fitted(training, None)
    for name, value in watched.state_dict().items():
        assert torch.equal(value, alone.state_dict()[name]), name


def test_a_teacher_judges_held_out_rows_too():
    training, validation = small_table().hold_out()
    _, _, result = fitted(training, validation, [Translation(1), Cycle(1, teacher="there")])
    assert result.history[-1]["validation_families"]["cycle"] > 0


def test_families_with_nothing_to_do_on_held_out_rows_are_absent():
    training, validation = small_table(dims=(4, 6, 3)).hold_out()
    workspace = small_workspace((4, 6, 3))
    losses = [Contrastive(0.1), Translation(1, exclude=["right"])]
    trainer = Trainer(TrainerConfig(**SETTINGS), losses)
    result = trainer.fit(workspace, training, validation.only(["left", "right"]), latents=True)
    last = result.history[-1]
    assert set(last["families"]) == {"contrastive", "translation"}
    assert set(last["validation_families"]) == {"contrastive"}
    assert "left -> third" in last["training"] and "left -> third" not in last["validation"]
