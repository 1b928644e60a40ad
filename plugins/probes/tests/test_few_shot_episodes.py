"""Episodes: classes are disjoint between parts, rows within an episode, and all is a seed's."""

from __future__ import annotations

import pytest
import torch
from globalworkspace_probes.few_shot.episodes import (
    ClassSplit,
    Episodes,
    draw_episodes,
    split_classes,
    usable_classes,
)

from globalworkspace.errors import DataError

LABELS = torch.arange(20).repeat_interleave(8)[torch.randperm(160, generator=torch.Generator())]


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(seed: int = 0, number: int = 50) -> Episodes:
    return draw_episodes(
        LABELS, tuple(range(10)), number, ways=4, shots=3, queries=2, generator=chance(seed)
    )


def test_a_split_gives_every_usable_class_to_one_part() -> None:
    split = split_classes(LABELS, 4, 5, chance())
    assert (len(split.train), len(split.validation), len(split.test)) == (11, 4, 5)
    assert sorted([*split.train, *split.validation, *split.test]) == list(range(20))
    assert split_classes(LABELS, 4, 5, chance()) == split
    assert split_classes(LABELS, 4, 5, chance(1)) != split


@pytest.mark.parametrize("ways", [2, 3, 5, 6])
def test_every_part_of_a_split_has_classes_for_an_episode(ways: int) -> None:
    split = split_classes(LABELS, ways, 8, chance())
    assert min(len(split.train), len(split.validation), len(split.test)) >= ways


def test_too_few_classes_are_refused_with_what_to_do() -> None:
    with pytest.raises(DataError, match=r"20 of 20 classes have the 8 rows .* need 21, 7 each"):
        split_classes(LABELS, 7, 8, chance())
    with pytest.raises(DataError, match="0 of 20 classes have the 9 rows"):
        split_classes(LABELS, 2, 9, chance())


def test_a_class_with_too_few_rows_is_not_usable() -> None:
    assert usable_classes(torch.tensor([0, 0, 1, 5, 5, 5]), 2) == [0, 5]


def test_a_class_in_two_parts_is_refused() -> None:
    with pytest.raises(DataError, match="class 3 is named twice"):
        ClassSplit(train=(1, 3), validation=(2,), test=(3,))


def test_a_way_holds_rows_of_one_class_and_no_row_or_class_comes_twice_in_an_episode() -> None:
    episodes = drawn()
    assert episodes.support.shape == (50, 4, 3) and episodes.queries.shape == (50, 4, 2)
    rows = torch.cat([episodes.support, episodes.queries], dim=2)
    classes = LABELS[rows]
    assert (classes == classes[:, :, :1]).all() and classes.max() < 10
    for episode, held in zip(rows, classes, strict=True):
        assert len(episode.unique()) == 4 * 5
        assert len(held[:, 0].unique()) == 4


def test_episodes_are_a_function_of_the_seed_and_differ_within_it() -> None:
    assert torch.equal(drawn().support, drawn().support)
    assert not torch.equal(drawn().support, drawn(1).support)
    assert len({tuple(rows.flatten().tolist()) for rows in drawn().support}) == 50


def test_every_class_and_every_row_of_it_is_drawn_equally_often() -> None:
    episodes = drawn(number=2000)
    rows = torch.cat([episodes.support, episodes.queries], dim=2)
    counts = torch.bincount(rows.flatten(), minlength=160)[LABELS < 10]
    expected = 2000 * 4 * 5 / 80
    assert counts.min() > 0.8 * expected and counts.max() < 1.2 * expected


def test_episodes_that_need_more_rows_or_classes_than_there_are_are_refused() -> None:
    with pytest.raises(DataError, match="class 0 has 8 rows; 5 shots and 4 queries need 9"):
        draw_episodes(LABELS, (0, 1), 1, ways=2, shots=5, queries=4, generator=chance())
    with pytest.raises(DataError, match="3 ways need as many classes; 2"):
        draw_episodes(LABELS, (0, 1), 1, ways=3, shots=1, queries=1, generator=chance())
