"""A hard negative of a room differs in one respect, clearly, and so does its caption."""

import math

import pytest
import torch
from globalworkspace_shapes.attributes import angle_between
from globalworkspace_shapes.room_captions import (
    describe_rooms,
    read_room_caption,
    room_facts,
)
from globalworkspace_shapes.room_negatives import (
    ROOM_RESPECTS,
    altered_room_captions,
    altered_rooms,
)
from globalworkspace_shapes.rooms import sample_rooms

from globalworkspace.errors import ConfigError

FIELDS = {
    "class": ("object",),
    "color": ("r", "g", "b"),
    "size": ("size",),
    "place": ("x", "z"),
    "direction": ("turn",),
    "post": ("post",),
    "floor": ("floor",),
    "walls": ("wall",),
    "light": ("light",),
}
TOLD = FIELDS | {"color": ("hue", "shade"), "place": ("across", "along")}
TURNS = {"direction": 60, "floor": 60, "walls": 60, "light": 90}


def rooms_and_altered(respect, number=400):
    rooms = sample_rooms(number, torch.Generator().manual_seed(0))
    return rooms, altered_rooms(rooms, respect, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("respect", ROOM_RESPECTS)
def test_one_respect_changes_and_no_other_column(respect):
    rooms, other = rooms_and_altered(respect)
    before = rooms.columns()
    for name, values in other.columns().items():
        same = values == before[name]
        assert name in FIELDS[respect] or bool(same.all()), name
    changed = [other.columns()[name] != before[name] for name in FIELDS[respect]]
    assert bool(torch.stack(changed).any(dim=0).all())
    again = altered_rooms(rooms, respect, torch.Generator().manual_seed(1))
    assert all(torch.equal(again.columns()[n], v) for n, v in other.columns().items())
    unchanged = sample_rooms(400, torch.Generator().manual_seed(0)).columns()
    assert all(torch.equal(before[name], values) for name, values in unchanged.items())


@pytest.mark.parametrize("respect", TURNS)
def test_directions_and_hues_change_by_as_much_as_is_said(respect):
    rooms, other = rooms_and_altered(respect)
    (name,) = FIELDS[respect]
    turn = angle_between(rooms.columns()[name], other.columns()[name])
    assert float(turn.min()) >= math.radians(TURNS[respect]) - 1e-6


def test_colours_sizes_places_and_posts_change_by_as_much_as_is_said():
    rooms, other = rooms_and_altered("color")
    assert float((rooms.color - other.color).norm(dim=1).min()) >= 0.4
    rooms, other = rooms_and_altered("size")
    assert float((rooms.size - other.size).abs().min()) >= 0.1 - 1e-6
    rooms, other = rooms_and_altered("post")
    assert float((rooms.post - other.post).abs().min()) >= 0.8 - 1e-6
    rooms, other = rooms_and_altered("place")
    across, along = (rooms.x - other.x).abs() / 2, (rooms.z - other.z).abs() / 1.5
    assert float(torch.maximum(across, along).min()) >= 1 / 3 - 1e-6


@pytest.mark.parametrize("respect", ROOM_RESPECTS)
def test_a_caption_differs_in_the_one_fact_and_in_no_other_word(respect):
    rooms, _ = rooms_and_altered(respect)
    own = describe_rooms(rooms, 5)
    other = altered_room_captions(rooms, respect, torch.Generator().manual_seed(1), 5)
    for before, after in zip(own, other, strict=True):
        first, second = read_room_caption(before), read_room_caption(after)
        changed = {name for name in first if first[name] != second[name]}
        assert changed and changed <= set(TOLD[respect]), (before, after)
        if respect in ("post", "floor", "walls", "light", "direction"):
            assert same_but_for_one_phrase(before, after), (before, after)


def same_but_for_one_phrase(before, after):
    """Whether what is left of both is the same once their common ends are taken off."""
    first, second = (text.replace(" an ", " a ").split() for text in (before, after))
    while first and second and first[0] == second[0]:
        del first[0], second[0]
    while first and second and first[-1] == second[-1]:
        del first[-1], second[-1]
    return max(len(first), len(second)) <= 3


def test_a_caption_in_a_rooms_own_words_is_its_own():
    rooms, _ = rooms_and_altered("class", 50)
    assert describe_rooms(rooms, 3, worded_as=rooms) == describe_rooms(rooms, 3)
    columns = rooms[0:1].columns()
    facts = room_facts({name: float(values[0]) for name, values in columns.items()})
    assert read_room_caption(describe_rooms(rooms, 3)[0]) == facts


def test_an_unknown_respect_is_named():
    rooms, _ = rooms_and_altered("class", 2)
    with pytest.raises(ConfigError, match='"hue" is no respect; known: class'):
        altered_rooms(rooms, "hue", torch.Generator())
