"""Questions about pictures are answered rightly, evenly, and in words of their own for testing."""

import collections

import pytest
import torch
from globalworkspace_shapes.attributes import ShapeAttributes, sample_attributes
from globalworkspace_shapes.questions import (
    COLORS,
    TOPICS,
    answers_of,
    ask,
    named_colors,
    scenes_of_rooms,
    scenes_of_shapes,
)
from globalworkspace_shapes.rooms import sample_rooms

from globalworkspace.errors import ConfigError, DataError


def shapes(number=800, seed=0):
    return sample_attributes(number, torch.Generator().manual_seed(seed))


def rooms(number=800, seed=0):
    return sample_rooms(number, torch.Generator().manual_seed(seed))


SCENES = {"shapes": lambda: scenes_of_shapes(shapes()), "rooms": lambda: scenes_of_rooms(rooms())}


@pytest.mark.parametrize("kind", SCENES)
def test_every_topic_is_asked_equally_often_and_deterministically(kind):
    scenes = SCENES[kind]()
    asked = ask(scenes, 1000, seed=3)
    counts = torch.bincount(asked.topic, minlength=len(TOPICS))
    assert counts.tolist() == [200] * 5
    again = ask(scenes, 1000, seed=3)
    assert again.texts == asked.texts and torch.equal(again.answer, asked.answer)
    assert torch.equal(again.rows, asked.rows)
    assert ask(scenes, 1000, seed=4).texts != asked.texts
    assert asked.answers == answers_of(scenes) and len(set(asked.answers)) == len(asked.answers)


@pytest.mark.parametrize("number", [1, 3, 6, 16, 21])
def test_numbers_that_do_not_divide_leave_no_topic_out(number):
    counts = torch.bincount(ask(SCENES["rooms"](), number).topic, minlength=len(TOPICS))
    assert int(counts.max()) - int(counts.min()) <= 1 and int(counts.sum()) == number


def test_a_name_that_no_picture_has_is_not_asked_about():
    texts = ask(SCENES["rooms"](), 4000).texts
    assert any("red" in text for text in texts)
    assert not any("white" in text or "black" in text for text in texts)


@pytest.mark.parametrize("kind", SCENES)
def test_the_words_of_a_question_tell_next_to_nothing(kind):
    asked = ask(SCENES[kind](), 4000, seed=1)
    said = collections.defaultdict(collections.Counter)
    for text, answer in zip(asked.texts, asked.answer.tolist(), strict=True):
        said[text][asked.answers[answer]] += 1
    for text, counts in said.items():
        if set(counts) <= {"yes", "no"} and sum(counts.values()) > 60:
            share = counts["yes"] / sum(counts.values())
            assert 0.3 < share < 0.7, (text, counts)
    whole = collections.Counter(
        asked.answers[answer] for answer in asked.answer.tolist() if answer in (0, 1)
    )
    assert abs(whole["yes"] - whole["no"]) < 0.1 * sum(whole.values())


@pytest.mark.parametrize("kind", SCENES)
def test_a_wording_for_testing_is_never_trained_on(kind):
    scenes = SCENES[kind]()
    known = set(ask(scenes, 3000).texts)
    new = set(ask(scenes, 3000, wordings="test").texts)
    assert known and new and not known & new


def test_answers_are_what_the_attributes_say():
    items = shapes(2000)
    asked = ask(scenes_of_shapes(items), 3000, seed=2)
    checked = collections.Counter()
    for text, (i, j), number in zip(
        asked.texts, asked.rows.tolist(), asked.answer.tolist(), strict=True
    ):
        said = asked.answers[number]
        truth = None
        if text in ("what shape is it?", "which object do you see?"):
            truth = ("diamond", "egg", "triangle")[int(items.category[i])]
        elif text == "is it an egg?":
            truth = "yes" if int(items.category[i]) == 1 else "no"
        elif text == "how large is it?":
            size = int(items.size[i])
            truth = "tiny" if size < 9 else "small" if size < 11 else "mid-sized"
            truth = truth if size < 13 else "large"
        elif text == "left or right?":
            truth = "left" if items.x[i] < 15.5 else "right"
        elif text == "is it at the top or not?":
            truth = "yes" if items.y[i] > 15.5 else "no"
        elif text == "which one is larger?":
            assert i != j and items.size[i] != items.size[j]
            truth = "first" if items.size[i] > items.size[j] else "second"
        elif text == "are both of the same kind?":
            truth = "yes" if items.category[i] == items.category[j] else "no"
        elif text == "is the first further left than the second?":
            truth = "yes" if items.x[i] < items.x[j] else "no"
        if truth is not None:
            checked[text] += 1
            assert said == truth, (text, i, j)
    assert len(checked) >= 8 and min(checked.values()) > 20


def test_colors_by_hand():
    rgb = torch.tensor(
        [
            [1.0, 0.1, 0.1],
            [0.9, 0.9, 0.0],
            [0.0, 1.0, 0.2],
            [0.0, 0.8, 0.9],
            [0.1, 0.1, 1.0],
            [0.9, 0.0, 0.8],
            [0.5, 0.5, 0.52],
            [0.95, 0.96, 1.0],
            [0.1, 0.12, 0.1],
            [1.0, 0.0, 0.2],
        ]
    )
    assert [COLORS[k] for k in named_colors(rgb).tolist()] == [*COLORS, "red"]


def test_a_picture_is_compared_with_another_and_others_stand_alone():
    asked = ask(SCENES["rooms"](), 500)
    together = asked.topic == TOPICS.index("comparison")
    same = asked.rows[:, 0] == asked.rows[:, 1]
    assert torch.equal(same, ~together)


def test_what_cannot_be_asked_is_named():
    scenes = SCENES["shapes"]()
    with pytest.raises(ConfigError, match='wordings="new"'):
        ask(scenes, 5, wordings="new")
    with pytest.raises(ConfigError, match="number=0"):
        ask(scenes, 0)
    one = shapes(1)
    with pytest.raises(DataError, match="1 were given"):
        ask(scenes_of_shapes(one), 5)
    alike = ShapeAttributes(
        **{
            name: getattr(one, name).repeat(5, *[1] * (getattr(one, name).ndim - 1))
            for name in ("category", "x", "y", "size", "rotation", "color")
        }
    )
    with pytest.raises(DataError, match="always the same"):
        ask(scenes_of_shapes(alike), 5)
