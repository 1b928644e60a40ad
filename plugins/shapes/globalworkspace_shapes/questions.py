"""Questions about pictures, and their answers, for Simple Shapes and for rooms.

A question is about one picture (class, colour, size, place) or about two (comparison). Each is
asked in several wordings; one wording of each kind is kept for testing. Answers are words of one
list, so that a classifier can be asked. The answers to a kind of question are equally frequent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs
import torch
from torch import Tensor

from globalworkspace.errors import ConfigError, DataError
from globalworkspace_shapes import grammar
from globalworkspace_shapes.attributes import CLASSES, PICTURE_SIZE, ShapeAttributes
from globalworkspace_shapes.rooms import OBJECTS, SIZE_RANGE, RoomAttributes

TOPICS = ("class", "color", "size", "place", "comparison")
COLORS = ("red", "yellow", "green", "cyan", "blue", "magenta", "gray", "white", "black")
"""Six hues, 60 degrees each and red around 0; the last three where there is little of any."""
ROOM_SIZES = ("small", "medium", "large")


@attrs.frozen(eq=False, kw_only=True)
class Scenes:
    """What questions can be asked about, for N pictures."""

    classes: Sequence[str]
    category: Tensor
    """(N,) int64, index into `classes`."""
    color: Tensor
    """(N,) int64, index into `COLORS`."""
    sizes: Sequence[str]
    size_bin: Tensor
    """(N,) int64, index into `sizes`."""
    size: Tensor
    """(N,) float."""
    across: Tensor
    """(N,) float in [0, 1]: 0 at the left, 1 at the right."""
    along: Tensor
    """(N,) float in [0, 1]: 0 at the second side of `sides`, 1 at its first."""
    sides: tuple[str, str]
    """`("top", "bottom")` of a picture, `("back", "front")` of a room."""

    def __len__(self) -> int:
        return len(self.category)


@attrs.frozen(eq=False, kw_only=True)
class Questions:
    """Q questions and their answers."""

    rows: Tensor
    """(Q, 2) int64: the picture, and the one that it is compared with (else the same)."""
    texts: list[str]
    topic: Tensor
    """(Q,) int64, index into `TOPICS`."""
    answer: Tensor
    """(Q,) int64, index into `answers`."""
    answers: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)


def scenes_of_shapes(shapes: ShapeAttributes) -> Scenes:
    """Simple Shapes, as questions are asked about them."""
    edges = torch.tensor(grammar.SIZE_EDGES, dtype=shapes.size.dtype)
    return Scenes(
        classes=CLASSES,
        category=shapes.category,
        color=named_colors(shapes.color),
        sizes=[words[0] for words in grammar.SIZE_WORDS],
        size_bin=torch.bucketize(shapes.size, edges, right=True),
        size=shapes.size,
        across=shapes.x / (PICTURE_SIZE - 1),
        along=shapes.y / (PICTURE_SIZE - 1),
        sides=("top", "bottom"),
    )


def scenes_of_rooms(rooms: RoomAttributes) -> Scenes:
    """Rooms, as questions are asked about them."""
    low, high = SIZE_RANGE
    share = ((rooms.size - low) / (high - low)).clamp(0, 1 - 1e-6)
    return Scenes(
        classes=OBJECTS,
        category=rooms.category,
        color=named_colors(rooms.color),
        sizes=ROOM_SIZES,
        size_bin=(share * len(ROOM_SIZES)).long(),
        size=rooms.size,
        across=(rooms.x + 1) / 2,
        along=(rooms.z + 0.3) / 1.5,
        sides=("back", "front"),
    )


def named_colors(rgb: Tensor) -> Tensor:
    """(N, 3) RGB in [0, 1] -> (N,) int64, index into `COLORS`."""
    high, low = rgb.max(dim=1).values, rgb.min(dim=1).values
    spread = high - low
    red, green, blue = rgb.unbind(dim=1)
    safe = spread.clamp(min=1e-6)
    sixth = torch.where(
        high == red,
        (green - blue) / safe,
        torch.where(high == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = sixth.round().long() % 6
    light = (high + low) / 2
    plain = torch.where(light > 0.8, 7, torch.where(light < 0.25, 8, 6))
    return torch.where(spread < 0.15, plain, hue)


Asked = tuple[str, Tensor, str]
"""A text, the rows (n, 2) it may be asked about, and the answer there."""


@attrs.frozen
class _Kind:
    """One kind of question: how it is worded, and which rows have which answer."""

    topic: str
    wordings: tuple[str, ...]
    """The last is for testing; "{}" stands for what is asked about."""
    cases: Callable[[Scenes, Tensor, Tensor], Mapping[tuple[str, str], Tensor]]
    """(scenes, rows, others) -> (what is asked about, answer) -> (n,) bool: where it is right."""


def _named(names: Sequence[str], values: Tensor) -> dict[tuple[str, str], Tensor]:
    return {("", name): values == k for k, name in enumerate(names)}


def _yes_no(names: Sequence[str], values: Tensor) -> dict[tuple[str, str], Tensor]:
    cases = {}
    for k, name in enumerate(names):
        if 0 < int((values == k).sum()) < len(values):  # else the words alone give it away
            cases[name, "yes"], cases[name, "no"] = values == k, values != k
    return cases


def _apart(first: Tensor, second: Tensor, least: float) -> Tensor:
    return (first - second).abs() >= least


def _which(
    first: Tensor, second: Tensor, least: float, names: tuple[str, str]
) -> dict[tuple[str, str], Tensor]:
    clear = _apart(first, second, least)
    return {("", names[0]): clear & (first > second), ("", names[1]): clear & (first < second)}


_CLEAR = 0.1
"""How far from the middle, or from each other, something is that is asked where it is."""


def _half(values: Tensor, high: str, low: str) -> dict[tuple[str, str], Tensor]:
    return {("", high): values > 0.5 + _CLEAR / 2, ("", low): values < 0.5 - _CLEAR / 2}


def _yes_if(right: Tensor, wrong: Tensor) -> dict[tuple[str, str], Tensor]:
    return {("", "yes"): right, ("", "no"): wrong}


def _same(first: Tensor, second: Tensor) -> dict[tuple[str, str], Tensor]:
    return _yes_if(first == second, first != second)


_KINDS = (
    _Kind(
        "class",
        ("what shape is it?", "which object do you see?", "what kind of thing is shown?"),
        lambda s, i, j: _named(s.classes, s.category[i]),
    ),
    _Kind(
        "class",
        ("is it a {}?", "does it show a {}?", "do you see a {}?"),
        lambda s, i, j: _yes_no(s.classes, s.category[i]),
    ),
    _Kind(
        "color",
        ("what color is it?", "which color does it have?", "tell me its color"),
        lambda s, i, j: _named(COLORS, s.color[i]),
    ),
    _Kind(
        "color",
        ("is it {}?", "is its color {}?", "does it look {}?"),
        lambda s, i, j: _yes_no(COLORS, s.color[i]),
    ),
    _Kind(
        "size",
        ("how large is it?", "what size does it have?", "how big is the thing?"),
        lambda s, i, j: _named(s.sizes, s.size_bin[i]),
    ),
    _Kind(
        "size",
        ("is it {} in size?", "would you say it is {}?", "is this a {} one?"),
        lambda s, i, j: _yes_no(s.sizes, s.size_bin[i]),
    ),
    _Kind(
        "place",
        ("is it on the left or on the right?", "left or right?", "on which side is it?"),
        lambda s, i, j: _half(s.across[i], "right", "left"),
    ),
    _Kind(
        "place",
        ("is it {} or not?", "is it in the half that is {}?", "does it lie {}?"),
        lambda s, i, j: {
            ("at the " + s.sides[0], "yes"): s.along[i] > 0.5 + _CLEAR / 2,
            ("at the " + s.sides[0], "no"): s.along[i] < 0.5 - _CLEAR / 2,
            ("at the " + s.sides[1], "yes"): s.along[i] < 0.5 - _CLEAR / 2,
            ("at the " + s.sides[1], "no"): s.along[i] > 0.5 + _CLEAR / 2,
        },
    ),
    _Kind(
        "comparison",
        (
            "are both of the same kind?",
            "do they show the same shape?",
            "is it twice the same thing?",
        ),
        lambda s, i, j: _same(s.category[i], s.category[j]),
    ),
    _Kind(
        "comparison",
        ("which one is larger?", "is the first or the second the larger?", "which is the big one?"),
        lambda s, i, j: _which(s.size[i], s.size[j], _CLEAR * _reach(s.size), ("first", "second")),
    ),
    _Kind(
        "comparison",
        (
            "is the first further left than the second?",
            "does the first lie to the left of the second?",
            "is the second to the right of the first?",
        ),
        lambda s, i, j: _yes_if(
            s.across[j] - s.across[i] >= _CLEAR, s.across[i] - s.across[j] >= _CLEAR
        ),
    ),
)


def _reach(values: Tensor) -> float:
    return float(values.max() - values.min())


def answers_of(scenes: Scenes) -> tuple[str, ...]:
    """Every answer that a question about such scenes may have."""
    words = ["yes", "no", "first", "second", "left", "right"]
    return (*words, *scenes.classes, *COLORS, *scenes.sizes)


def ask(scenes: Scenes, number: int, seed: int = 0, *, wordings: str = "training") -> Questions:
    """Draw questions: every topic equally often, every answer to a kind of question likewise.

    Args:
        scenes: N pictures, two at least.
        number: Q.
        seed: Of every draw.
        wordings: `"training"`: all but the last wording of each kind of question; `"test"`: that.

    Raises:
        ConfigError: If `wordings` or `number` is out of range.
        DataError: If the scenes are too few or too alike for a question.

    Example:
        >>> from globalworkspace_shapes.attributes import sample_attributes
        >>> shapes = sample_attributes(500, torch.Generator().manual_seed(0))
        >>> asked = ask(scenes_of_shapes(shapes), 10)
        >>> len(asked), len(asked.answers)
        (10, 22)
    """
    if wordings not in ("training", "test"):
        raise ConfigError(f'wordings="{wordings}" is unknown; write "training" or "test".')
    if number < 1:
        raise ConfigError(f"number={number} of questions must be at least 1.")
    if len(scenes) < 2:
        raise DataError(f"Questions compare two pictures; {len(scenes)} were given.")
    generator = torch.Generator().manual_seed(seed)
    answers = answers_of(scenes)
    rows, texts = torch.zeros(number, 2, dtype=torch.int64), [""] * number
    topic, answer = (torch.zeros(number, dtype=torch.int64) for _ in range(2))
    order = torch.randperm(number, generator=generator)
    for place, some in enumerate(order.tensor_split(len(TOPICS))):
        kinds = [kind for kind in _KINDS if kind.topic == TOPICS[place]]
        for kind, mine in zip(kinds, _shares(some, len(kinds)), strict=True):
            for q, (text, pair, said) in zip(
                mine.tolist(), _draw(scenes, kind, len(mine), wordings, generator), strict=True
            ):
                rows[q], texts[q] = pair, text
                topic[q], answer[q] = place, answers.index(said)
    return Questions(rows=rows, texts=texts, topic=topic, answer=answer, answers=answers)


def _shares(rows: Tensor, parts: int) -> list[Tensor]:
    return [rows[k::parts] for k in range(parts)]


def _draw(
    scenes: Scenes, kind: _Kind, number: int, wordings: str, generator: torch.Generator
) -> list[Asked]:
    """Questions of one kind: an answer is drawn first, then pictures where it is right."""
    count = max(4 * number, 4096)
    first, second = torch.randint(len(scenes), (2, count), generator=generator)
    second = torch.where(first == second, (second + 1) % len(scenes), second)
    cases = kind.cases(scenes, first, second)
    if kind.topic != "comparison":
        second = first
    cases = {case: right.nonzero().flatten() for case, right in cases.items()}
    cases = {case: where for case, where in cases.items() if len(where)}
    by_answer: dict[str, list[tuple[str, Tensor]]] = {}
    for (asked, said), where in cases.items():
        by_answer.setdefault(said, []).append((asked, where))
    if len(by_answer) < 2:
        raise DataError(
            f'The pictures are too alike for questions as "{kind.wordings[0].format("...")}": the '
            f"answer is always the same. Give more or more varied ones than {len(scenes)}."
        )
    known = kind.wordings[:-1] if wordings == "training" else kind.wordings[-1:]
    found: list[Asked] = []
    said_in_turn = list(by_answer)
    for k in range(number):
        said = said_in_turn[k % len(said_in_turn)]
        options = by_answer[said]
        asked, where = options[_below(len(options), generator)]
        at = int(where[_below(len(where), generator)])
        text = _worded(known[_below(len(known), generator)], asked)
        found.append((text, torch.stack([first[at], second[at]]), said))
    return found


def _worded(wording: str, asked: str) -> str:
    article = "an" if asked[:1] in set("aeiou") else "a"
    return wording.replace("a {}", f"{article} {asked}").format(asked)


def _below(number: int, generator: torch.Generator) -> int:
    return int(torch.randint(number, (), generator=generator))
