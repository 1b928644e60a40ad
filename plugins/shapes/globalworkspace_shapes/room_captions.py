"""Sentences about rooms, written from their attributes, and read back.

Which of several words is taken is a function of the seed and of the room's own attributes: a
caption depends on neither the other rows nor their order.
"""

from __future__ import annotations

import colorsys
import hashlib
import math
import random
import re
from collections.abc import Mapping, Sequence

import attrs

from globalworkspace.errors import DataError
from globalworkspace_shapes.rooms import OBJECTS, SIZE_RANGE, X_RANGE, Z_RANGE, RoomAttributes

HUES = (
    "red",
    "orange",
    "yellow",
    "lime",
    "green",
    "mint",
    "cyan",
    "azure",
    "blue",
    "violet",
    "magenta",
    "pink",
)
"""Names of hues, 30 degrees each; the first reaches from -15 to 15."""
SHAPE_WORDS = {
    "cube": ("cube", "box", "block"),
    "pyramid": ("pyramid", "four-sided pyramid"),
    "wedge": ("wedge", "ramp"),
    "column": ("column", "six-sided column"),
}
SIZE_WORDS = (("small", "little", "tiny"), ("medium-sized", "middling"), ("large", "big", "huge"))
SHADES = ("dark ", "", "light ")
"""Of the object's colour, by lightness: under 0.45, up to 0.6, above."""
ACROSS = ("left", "middle", "right")
ALONG = ("front", "center", "back")
TURNS = (
    "facing us",
    "facing front left",
    "facing left",
    "facing back left",
    "facing away",
    "facing back right",
    "facing right",
    "facing front right",
)
"""Eighths of a turn, beginning half of one before its angle of 0."""
LIGHTS = ("the right", "the back", "the left", "the front")
"""Quarters of a turn, beginning half of one before the right."""
STANDS = ("stands", "is", "has been put")
POSTS = ("a post", "a gray post", "a pillar")


def describe_rooms(
    rooms: RoomAttributes, seed: int = 0, worded_as: RoomAttributes | None = None
) -> list[str]:
    """One caption per room.

    Args:
        rooms: N rooms.
        seed: Of the choice of words.
        worded_as: N rooms in whose words these are told, as far as what differs allows; None: each
            in its own.

    Example:
        >>> import torch
        >>> from globalworkspace_shapes.rooms import sample_rooms
        >>> (text,) = describe_rooms(sample_rooms(1, torch.Generator().manual_seed(0)))
        >>> text.endswith(".")
        True
    """
    worded = _rows(rooms if worded_as is None else worded_as)
    known = [room_facts(room) for room in worded]
    facts = known if worded_as is None else told_facts(rooms)
    return [
        _compose(told, _chosen(room, own, seed))
        for told, room, own in zip(facts, worded, known, strict=True)
    ]


@attrs.frozen(kw_only=True)
class _Wording:
    """Which of its ways of saying the same a caption takes, as positions."""

    size_word: int
    shape_word: int
    post: int
    verb: int
    first: int
    second: int
    object_first: bool


def _rows(rooms: RoomAttributes) -> list[dict[str, float]]:
    columns = {name: values.tolist() for name, values in rooms.columns().items()}
    return [{name: values[row] for name, values in columns.items()} for row in range(len(rooms))]


def _chosen(room: Mapping[str, float], facts: Mapping[str, int], seed: int) -> _Wording:
    digest = hashlib.blake2b(f"{seed} {sorted(room.items())}".encode(), digest_size=8).digest()
    chance = random.Random(int.from_bytes(digest, "little"))

    def position(among: int) -> int:
        return chance.choice(range(among))

    return _Wording(  # in this order: the data set's captions depend on it
        size_word=position(len(SIZE_WORDS[facts["size"]])),
        shape_word=position(len(SHAPE_WORDS[OBJECTS[facts["object"]]])),
        post=position(len(POSTS)),
        verb=position(len(STANDS)),
        first=position(3),
        second=position(3),
        object_first=chance.random() < 0.7,
    )


def _compose(facts: Mapping[str, int], wording: _Wording) -> str:
    sizes, shapes = SIZE_WORDS[facts["size"]], SHAPE_WORDS[OBJECTS[facts["object"]]]
    thing = (
        f"{sizes[wording.size_word % len(sizes)]} {SHADES[facts['shade']]}{HUES[facts['hue']]} "
        f"{shapes[wording.shape_word % len(shapes)]}"
    )
    place = f"at the {ALONG[facts['along']]} {ACROSS[facts['across']]}"
    turn = TURNS[facts["turn"]]
    post = f"{POSTS[wording.post]} to the {ACROSS[facts['post']]}"
    floor, wall = HUES[facts["floor"]], HUES[facts["wall"]]
    light = f"light falls from {LIGHTS[facts['light']]}"
    verb = STANDS[wording.verb]
    first = (
        f"a {thing} {verb} {place}, {turn}, behind {post}",
        f"{place} of the room, behind {post}, {verb} a {thing} {turn}",
        f"behind {post} there is a {thing} {place}, {turn}",
    )[wording.first]
    second = (
        f"the floor is {floor}, the walls are {wall}, and {light}",
        f"{light} onto a {floor} floor between {wall} walls",
        f"{light}; the walls are {wall} and the floor is {floor}",
    )[wording.second]
    sentences = [first, second] if wording.object_first else [second, first]
    text = ". ".join(part[0].upper() + part[1:] for part in sentences)
    return re.sub(r"\ba (?=[aeiou])", "an ", text) + "."


def told_facts(rooms: RoomAttributes) -> list[dict[str, int]]:
    """What the captions of N rooms say of them; see `room_facts`."""
    return [room_facts(room) for room in _rows(rooms)]


def room_facts(room: Mapping[str, float]) -> dict[str, int]:
    """What a caption says of a room, each as a position in its list of words."""
    hue, lightness, _ = colorsys.rgb_to_hls(room["r"], room["g"], room["b"])
    return {
        "object": int(room["object"]),
        "size": _third(room["size"], *SIZE_RANGE),
        "shade": 0 if lightness < 0.45 else 1 if lightness <= 0.6 else 2,
        "hue": _sector(hue * math.tau, len(HUES)),
        "across": _third(room["x"], *X_RANGE),
        "along": _third(room["z"], *Z_RANGE),
        "turn": _sector(room["turn"], len(TURNS)),
        "post": 0 if room["post"] < -0.4 else 1 if room["post"] <= 0.4 else 2,
        "floor": _sector(room["floor"], len(HUES)),
        "wall": _sector(room["wall"], len(HUES)),
        "light": _sector(room["light"], len(LIGHTS)),
    }


def read_room_caption(text: str) -> dict[str, int]:
    """The facts that a caption of `describe_rooms` tells; see `room_facts`.

    Raises:
        DataError: If it is no such caption, naming what is missing.
    """
    lower = text.lower()
    hue = "|".join(HUES)
    patterns = {
        "object": _words({w: i for i, n in enumerate(OBJECTS) for w in SHAPE_WORDS[n]}),
        "size": _words({w: i for i, words in enumerate(SIZE_WORDS) for w in words}),
        "turn": _words({w: i for i, w in enumerate(TURNS)}),
    }
    found = {name: _find(lower, pattern, name) for name, pattern in patterns.items()}
    thing = _group(lower, rf"(dark |light |)({hue}) (?:{patterns['object'][0]})", "colour")
    place = _group(lower, rf"at the ({'|'.join(ALONG)}) ({'|'.join(ACROSS)})", "place")
    post = _group(lower, rf"(?:post|pillar) to the ({'|'.join(ACROSS)})", "post")
    floor = _group(lower, rf"(?:floor is ({hue})|({hue}) floor)", "floor")
    wall = _group(lower, rf"(?:walls are ({hue})|({hue}) walls)", "walls")
    light = _group(lower, rf"light falls from ({'|'.join(LIGHTS)})", "light")
    return {
        **found,
        "shade": SHADES.index(thing[0]),
        "hue": HUES.index(thing[1]),
        "along": ALONG.index(place[0]),
        "across": ACROSS.index(place[1]),
        "post": ACROSS.index(post[0]),
        "floor": HUES.index(floor[0] or floor[1]),
        "wall": HUES.index(wall[0] or wall[1]),
        "light": LIGHTS.index(light[0]),
    }


def _words(meanings: Mapping[str, int]) -> tuple[str, Mapping[str, int]]:
    longest_first = sorted(meanings, key=len, reverse=True)
    return "|".join(map(re.escape, longest_first)), meanings


def _find(text: str, pattern: tuple[str, Mapping[str, int]], what: str) -> int:
    found = re.search(rf"\b({pattern[0]})\b", text)
    if found is None:
        raise DataError(f'The caption "{text}" names no {what}.')
    return pattern[1][found[1]]


def _group(text: str, pattern: str, what: str) -> Sequence[str]:
    found = re.search(pattern, text)
    if found is None:
        raise DataError(f'The caption "{text}" names no {what}.')
    return found.groups()


def _third(value: float, low: float, high: float) -> int:
    return min(max(int(3 * (value - low) / (high - low)), 0), 2)


def _sector(angle: float, number: int) -> int:
    """Which of `number` equal sectors; the first has its middle at 0."""
    return int(((angle / math.tau) * number + 0.5) % number)
