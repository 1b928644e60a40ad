"""The Python face: what it returns, that a seed decides all, and what it refuses."""

from __future__ import annotations

import json

import pytest
import torch
from globalworkspace_probes.few_shot import (
    ClassSplit,
    FewShotResult,
    FrozenAuxiliary,
    few_shot,
    harness,
    with_signal,
    without_signal,
)
from globalworkspace_probes.few_shot.episodes import Episodes
from globalworkspace_probes.few_shot.settings import FewShotSettings
from globalworkspace_probes.few_shot.verdict import CONTROLS, LANGUAGE, MATCHED, PROTONET, SHUFFLED
from torch import Tensor

from globalworkspace.errors import ConfigError, DataError

DATA = with_signal(0, num_classes=12, rows_per_class=12)
QUICK = {
    "ways": 3,
    "shots": 3,
    "queries": 3,
    "runs": 2,
    "steps": 4,
    "test_episodes": 20,
    "validations": 1,
    "validation_episodes": 5,
    "width": 16,
}


def quick(language: Tensor | FrozenAuxiliary = DATA.language, **settings: object) -> FewShotResult:
    return few_shot(DATA.latents, language, DATA.labels, **{**QUICK, **settings})


def test_every_arm_is_judged_by_the_same_episodes_of_every_run() -> None:
    found = quick()
    assert set(found.accuracies) == {LANGUAGE, *CONTROLS}
    assert {held.shape for held in found.accuracies.values()} == {(2, 20)}
    assert set(found.arms) == set(found.parameters) == set(found.accuracies)
    assert set(found.differences) == set(CONTROLS)


@pytest.mark.parametrize("settings", [{}, {"mode": "joint", "auxiliary_loss": "cosine"}])
def test_the_seed_decides_everything_and_nothing_else_does(settings: dict[str, object]) -> None:
    before = torch.get_rng_state()
    first = quick(**settings)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1234)
    again, other = quick(**settings), quick(**settings, seed=1)
    for name, held in first.accuracies.items():
        assert torch.equal(held, again.accuracies[name])
        assert not torch.equal(held, other.accuracies[name])


def test_language_of_rows_whose_class_is_no_training_class_is_not_looked_at() -> None:
    split = ClassSplit(train=tuple(range(6)), validation=(6, 7, 8), test=(9, 10, 11))
    for mode in ("frozen", "joint"):
        settings = {"split": split, "mode": mode, "steps": 8, "learning_rate": 0.05}
        found = quick(**settings)
        spoiled = DATA.language.clone()
        spoiled[DATA.labels >= 6] = torch.nan
        again = quick(spoiled, **settings)
        assert all(torch.equal(found.accuracies[n], again.accuracies[n]) for n in found.accuracies)
        spoiled[DATA.labels == 5] = 7.0
        other = quick(spoiled, **settings)
        assert not torch.equal(found.accuracies[LANGUAGE], other.accuracies[LANGUAGE])
        assert torch.equal(found.accuracies[MATCHED], other.accuracies[MATCHED])


def test_each_part_of_the_episodes_has_classes_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[set[int]] = []
    original = harness.draw_episodes

    def watched(labels: Tensor, *given: object, **settings: object) -> Episodes:
        found = original(labels, *given, **settings)
        drawn.append(set(labels[found.support].flatten().tolist()))
        return found

    monkeypatch.setattr(harness, "draw_episodes", watched)
    quick(steps=15)
    assert len(drawn) == 2 * 3
    for run in (drawn[:3], drawn[3:]):
        assert sum(map(len, run)) == len(set.union(*run)) == 12
    assert drawn[2] != drawn[5]


def test_the_gain_and_the_verdict_are_over_the_controls() -> None:
    def held(mean: float) -> Tensor:
        return torch.tensor([[mean - 0.01, mean], [mean, mean + 0.01]], dtype=torch.float64)

    means = dict.fromkeys(CONTROLS, 0.5) | {LANGUAGE: 0.9, MATCHED: 0.6}
    accuracies = {name: held(mean) for name, mean in means.items()}
    found = FewShotResult(
        accuracies=accuracies, parameters=dict.fromkeys(means, 1), settings=FewShotSettings()
    )
    assert found.gain == pytest.approx(0.3) and found.language_helps
    assert str(found).endswith("language helps")
    worse = FewShotResult(
        accuracies=accuracies | {SHUFFLED: held(0.95)},
        parameters=found.parameters,
        settings=found.settings,
    )
    assert worse.gain == pytest.approx(-0.05) and not worse.language_helps
    assert str(worse).endswith("no gain is shown")


def test_the_result_is_json_able_and_readable() -> None:
    found = quick()
    said = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert said["arms"][PROTONET]["mean"] == pytest.approx(found.arms[PROTONET].mean)
    assert said["settings"]["ways"] == 3 and said["language_helps"] is False
    lines = str(found).splitlines()
    assert [line.split(" | ")[0] for line in lines[1:-1]] == list(found.arms)


def test_a_frozen_auxiliary_takes_the_place_of_language() -> None:
    told = FrozenAuxiliary(
        told=DATA.masks, told_by_shuffled=torch.zeros_like(DATA.masks), num_parameters=5
    )
    assert set(quick(told).arms) == {LANGUAGE, *CONTROLS}
    with pytest.raises(ConfigError, match='Give mode="frozen"'):
        quick(told, mode="joint")


def test_settings_and_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match='Did you mean "shots"'):
        quick(shot=1)
    with pytest.raises(ConfigError, match="few_shot: 'ways' must be >= 2: 1"):
        quick(ways=1)
    with pytest.raises(ConfigError, match="'runs' must be >= 2"):
        quick(runs=1)
    with pytest.raises(ConfigError, match='auxiliary_loss="cos" is unknown'):
        quick(auxiliary_loss="cos")
    with pytest.raises(DataError, match="144 latents, language of 143 rows and 144 labels"):
        quick(DATA.language[1:])
    with pytest.raises(DataError, match=r"it was given \(144, 20\), \(144,\) and \(144,\)"):
        quick(DATA.language[:, 0])
    with pytest.raises(DataError, match="whole numbers"):
        few_shot(DATA.latents, DATA.language, DATA.labels.float())
    with pytest.raises(DataError, match="12 of 12 classes .* need 15"):
        quick(ways=5)


@pytest.mark.slow
def test_a_win_is_declared_with_signal_and_not_without() -> None:
    told, untold = with_signal(0), without_signal(0)
    assert few_shot(told.latents, told.language, told.labels).language_helps
    found = few_shot(untold.latents, untold.language, untold.labels)
    assert not found.language_helps
    assert found.differences[PROTONET].low > 0  # what a comparison without controls would report
