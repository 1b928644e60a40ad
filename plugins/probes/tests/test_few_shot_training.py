"""Who learns: nothing that is frozen, and a joint auxiliary network by each of its losses."""

from __future__ import annotations

import attrs
import pytest
import torch
from globalworkspace_probes.few_shot import auxiliary as auxiliaries
from globalworkspace_probes.few_shot import training, with_signal
from globalworkspace_probes.few_shot.arms import Arm, Run, build_arms, mispaired_rows
from globalworkspace_probes.few_shot.auxiliary import LOSSES, FrozenAuxiliary, standard
from globalworkspace_probes.few_shot.episodes import Episodes, draw_episodes
from globalworkspace_probes.few_shot.settings import FewShotSettings
from globalworkspace_probes.few_shot.training import judge, step_loss, train
from globalworkspace_probes.few_shot.verdict import (
    CONSTANT,
    CONTROLS,
    LANGUAGE,
    MATCHED,
    PROTONET,
    RANDOM,
    SHUFFLED,
)
from torch import Tensor

DATA = with_signal(0, num_classes=12, rows_per_class=12)
ROWS = (DATA.labels < 8).nonzero().flatten()
ATTRIBUTES = DATA.masks
"""Language that is 0 or 1, which every loss can take."""


def run_of(language: Tensor | FrozenAuxiliary = ATTRIBUTES, **settings: object) -> Run:
    chosen = FewShotSettings(**{"steps": 4, "validations": 2, "runs": 2, **settings})
    return Run(
        latents=standard(DATA.latents, ROWS),
        language=language,
        rows=ROWS,
        settings=chosen,
        number=0,
    )


def episodes(number: int, seed: int = 0) -> Episodes:
    return draw_episodes(
        DATA.labels,
        tuple(range(8)),
        number,
        ways=3,
        shots=3,
        queries=3,
        generator=torch.Generator().manual_seed(seed),
    )


def weights(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: values.clone() for name, values in module.state_dict().items()}


def trained(run: Run, arm: Arm) -> None:
    chance = run.generator("auxiliary loss")
    train(arm, run.latents, episodes(8), episodes(5, seed=1), run.settings, chance)


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", [LANGUAGE, SHUFFLED, RANDOM])
def test_frozen_mode_leaves_every_weight_of_the_auxiliary_network_untouched(
    loss: str, name: str
) -> None:
    run = run_of(mode="frozen", auxiliary_loss=loss)
    arm = build_arms(run)[name]
    held = arm.learner.auxiliary
    before, bridge = weights(held), weights(arm.learner.bridge)
    trained(run, arm)
    assert not changed(before, weights(held))
    assert torch.equal(held.features(run.latents), arm.features)
    assert changed(bridge, weights(arm.learner.bridge)) == set(bridge)


def joint_arm(loss: str) -> tuple[Run, Arm]:
    """Its features are detached, so that language alone can train the auxiliary network."""
    run = run_of(mode="joint", auxiliary_loss=loss, auxiliary_detached=True)
    return run, build_arms(run)[LANGUAGE]


@pytest.mark.parametrize("loss", LOSSES)
def test_joint_mode_trains_the_auxiliary_network_by_every_loss(loss: str) -> None:
    run, arm = joint_arm(loss)
    before = weights(arm.learner.auxiliary)
    trained(run, arm)
    assert changed(before, weights(arm.learner.auxiliary)) == set(before)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_of_detached_outputs_fails_that_check(
    loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = LOSSES[loss]
    monkeypatch.setitem(
        auxiliaries.LOSSES, loss, lambda told, truth, chance: right(told.detach(), truth, chance)
    )
    run, arm = joint_arm(loss)
    before = weights(arm.learner.auxiliary)
    trained(run, arm)
    assert not changed(before, weights(arm.learner.auxiliary))


def test_features_that_are_not_detached_let_the_episodes_train_the_auxiliary_network() -> None:
    for detached in (False, True):
        run = run_of(mode="joint", auxiliary_weight=0.0, auxiliary_detached=detached)
        arm = build_arms(run)[LANGUAGE]
        torch.nn.init.normal_(
            arm.learner.bridge.out.weight, generator=torch.Generator().manual_seed(0)
        )
        step_loss(
            arm, run.latents, episodes(2), run.settings, run.generator("auxiliary loss")
        ).backward()
        grown = [
            p.grad is not None and bool(p.grad.any())
            for p in arm.learner.auxiliary.body.parameters()
        ]
        assert all(grown) is not detached


def test_the_loss_is_the_prototypical_one_and_c_times_that_of_language_on_support_rows() -> None:
    some, values = episodes(2), {}
    for weight in (0.0, 1.0, 3.0):
        run = run_of(mode="joint", auxiliary_weight=weight)
        arm = build_arms(run)[LANGUAGE]
        chance = run.generator("auxiliary loss")
        values[weight] = step_loss(arm, run.latents, some, run.settings, chance).item()
        told = arm.learner.auxiliary(run.latents[some.support.flatten()])
        language = LOSSES["squared"](told, arm.targets[some.support.flatten()], chance).item()
    assert values[1.0] - values[0.0] == pytest.approx(language, rel=1e-4)
    assert values[3.0] - values[0.0] == pytest.approx(3 * language, rel=1e-4)


def test_all_arms_but_the_wide_one_begin_as_the_same_function() -> None:
    run = run_of()
    arms = build_arms(run)
    assert set(arms) == {LANGUAGE, *CONTROLS}
    some = episodes(3)
    first = {name: judge(arm, run.latents, some) for name, arm in arms.items()}
    rows = torch.arange(30)
    outputs = {
        name: arm.learner(run.latents[rows], None if arm.features is None else arm.features[rows])
        for name, arm in arms.items()
    }
    for name in (LANGUAGE, SHUFFLED, RANDOM, CONSTANT):
        assert torch.equal(first[name], first[PROTONET])
        assert torch.equal(outputs[name], outputs[PROTONET])
    assert outputs[MATCHED].shape[1] > outputs[PROTONET].shape[1]


def test_the_matched_arm_has_no_fewer_parameters_than_the_language_arm() -> None:
    frozen = FrozenAuxiliary(told=ATTRIBUTES, told_by_shuffled=ATTRIBUTES, num_parameters=1_000_000)
    for language in (ATTRIBUTES, frozen):
        arms = build_arms(run_of(language))
        wide, ours = arms[MATCHED].parameters, arms[LANGUAGE].parameters
        assert ours <= wide < 1.02 * ours
    assert ours > 1_000_000


def test_shuffled_language_is_that_of_other_training_rows_whatever_their_class() -> None:
    run = run_of(mode="joint")
    order = mispaired_rows(run)
    assert torch.equal(order[ROWS].sort().values, ROWS)
    assert float((order[ROWS] == ROWS).double().mean()) < 0.1
    assert float((DATA.labels[order[ROWS]] == DATA.labels[ROWS]).double().mean()) < 0.25
    arms = build_arms(run)
    assert torch.equal(arms[SHUFFLED].targets, arms[LANGUAGE].targets[order])
    assert not torch.equal(arms[SHUFFLED].targets[ROWS], arms[LANGUAGE].targets[ROWS])


def test_what_a_frozen_auxiliary_tells_is_what_the_bridges_of_its_two_arms_read() -> None:
    told, shuffled = DATA.language, DATA.language.flip(0)
    given = FrozenAuxiliary(told=told, told_by_shuffled=shuffled, num_parameters=7)
    arms = build_arms(run_of(given))
    torch.testing.assert_close(arms[LANGUAGE].features, standard(told, ROWS))
    torch.testing.assert_close(arms[SHUFFLED].features, standard(shuffled, ROWS))
    assert arms[LANGUAGE].parameters == arms[CONSTANT].parameters + 7 - 128 * (128 - 16)


def test_another_run_has_other_first_weights_and_the_same_run_has_the_same() -> None:
    first, again = (build_arms(run_of())[LANGUAGE].learner for _ in range(2))
    other = build_arms(attrs.evolve(run_of(), number=1))[LANGUAGE].learner
    assert not changed(weights(first), weights(again))
    assert changed(weights(first.embedder), weights(other.embedder))


def test_training_keeps_the_weights_that_validated_best(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(steps=8, validations=4)
    arm = build_arms(run)[PROTONET]
    accuracies, seen = [0.4, 0.9, 0.1, 0.6], []

    def told(judged: Arm, latents: Tensor, some: Episodes) -> Tensor:
        seen.append(weights(judged.learner))
        return torch.tensor([accuracies[len(seen) - 1]])

    monkeypatch.setattr(training, "judge", told)
    train(arm, run.latents, episodes(16), episodes(1), run.settings, run.generator("loss"))
    assert len(seen) == 4
    assert not changed(seen[1], weights(arm.learner))
    assert changed(seen[3], weights(arm.learner))
    assert not arm.learner.training
