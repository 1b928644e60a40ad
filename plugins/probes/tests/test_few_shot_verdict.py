"""The claim rule: beats both controls, and more surely than chance in training explains."""

from __future__ import annotations

import math

import pytest
import torch
from globalworkspace_probes.few_shot.verdict import (
    LANGUAGE,
    MATCHED,
    PROTONET,
    SHUFFLED,
    language_helps,
    over_episodes,
    paired_difference,
)
from torch import Tensor

from globalworkspace.errors import DataError

RUNS, EPISODES = 5, 100


def accuracies(chance: torch.Generator, mean: float, *, of_runs: float) -> Tensor:
    """(runs, episodes): a mean, what a run's training adds, and what an episode does."""
    runs = of_runs * torch.randn(RUNS, 1, generator=chance, dtype=torch.float64)
    return mean + runs + 0.1 * torch.randn(RUNS, EPISODES, generator=chance, dtype=torch.float64)


def arms(
    seed: int, gain: float, gain_over_matched: float | None = None, of_runs: float = 0.03
) -> dict[str, Tensor]:
    chance = torch.Generator().manual_seed(seed)
    over = {SHUFFLED: gain, MATCHED: gain if gain_over_matched is None else gain_over_matched}
    found = {LANGUAGE: accuracies(chance, 0.7, of_runs=of_runs)}
    return found | {n: accuracies(chance, 0.7 - less, of_runs=of_runs) for n, less in over.items()}


def test_the_interval_over_episodes_is_that_computed_by_hand() -> None:
    found = over_episodes(torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64))
    half = 1.96 * math.sqrt(1 / 3) / 2
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.5 - half, 0.5 + half))
    assert str(found) == "0.500 (-0.066 to 1.066)"


def test_the_interval_of_a_difference_is_the_wider_one_of_runs_and_of_episodes() -> None:
    base = torch.zeros(2, 2, dtype=torch.float64)
    of_runs = base + torch.tensor([[0.1], [0.3]], dtype=torch.float64)
    found = paired_difference(of_runs, base)
    half = 12.706 * math.sqrt(0.02) / math.sqrt(2)  # Student's t of one degree of freedom
    assert (found.mean, found.high - found.mean) == pytest.approx((0.2, half), rel=1e-3)
    of_episodes = base + torch.tensor([[0.1, 0.3]], dtype=torch.float64)
    found = paired_difference(of_episodes, base)
    half = 1.96 * math.sqrt(0.04 / 3) / 2
    assert (found.mean, found.high - found.mean) == pytest.approx((0.2, half), rel=1e-3)


def test_what_two_arms_share_in_an_episode_does_not_widen_their_difference() -> None:
    chance = torch.Generator().manual_seed(0)
    hard = torch.randn(RUNS, EPISODES, generator=chance, dtype=torch.float64)
    first, second = (accuracies(chance, mean, of_runs=0.0) for mean in (0.7, 0.6))
    plain, shared = paired_difference(first, second), paired_difference(first + hard, second + hard)
    assert (shared.low, shared.high) == pytest.approx((plain.low, plain.high))
    unpaired = paired_difference(first + hard, second + hard.flip(1))
    assert unpaired.high - unpaired.low > 3 * (plain.high - plain.low)


def test_the_difference_turned_round_is_its_negative() -> None:
    found = arms(0, 0.1)
    there = paired_difference(found[LANGUAGE], found[SHUFFLED])
    back = paired_difference(found[SHUFFLED], found[LANGUAGE])
    assert (there.mean, there.low) == pytest.approx((-back.mean, -back.high))


def test_accuracies_of_one_run_or_of_other_episodes_cannot_be_compared() -> None:
    held = torch.zeros(1, 5)
    with pytest.raises(DataError, match="two runs or more"):
        paired_difference(held, held)
    with pytest.raises(DataError, match=r"\(2, 5\) and \(2, 4\) cannot be paired"):
        paired_difference(torch.zeros(2, 5), torch.zeros(2, 4))


def test_language_that_helps_is_said_to() -> None:
    assert sum(language_helps(arms(seed, 0.12)) for seed in range(50)) >= 49


@pytest.mark.parametrize(("shuffled", "matched"), [(0.0, 0.12), (0.12, 0.0), (-0.12, 0.12)])
def test_beating_one_control_of_the_two_is_not_enough(shuffled: float, matched: float) -> None:
    assert sum(language_helps(arms(seed, shuffled, matched)) for seed in range(50)) <= 3


def test_beating_the_plain_protonet_says_nothing() -> None:
    found = arms(0, -0.05)
    found[PROTONET] = found[LANGUAGE] - 0.3
    assert not language_helps(found)


def test_without_a_difference_a_win_is_declared_in_fewer_than_one_in_twenty() -> None:
    assert sum(language_helps(arms(seed, 0.0)) for seed in range(400)) <= 20


def test_a_rule_that_looks_at_episodes_alone_takes_chance_in_training_for_a_win() -> None:
    def wrong(found: dict[str, Tensor]) -> bool:
        return all(
            over_episodes(found[LANGUAGE] - found[name]).low > 0 for name in (SHUFFLED, MATCHED)
        )

    assert sum(wrong(arms(seed, 0.0)) for seed in range(400)) > 40
