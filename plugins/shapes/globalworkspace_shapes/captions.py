"""English captions of shapes, written from their attributes and read back.

Every choice of words is a hash of the shape's own attributes and a seed: a caption depends on
neither the other rows nor their order, and the same data set has the same captions on every
machine. (The original captions were drawn from an unseeded generator, so that no two copies of its
text data were alike.)
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import attrs
import torch
from torch import Tensor

from globalworkspace.errors import DataError
from globalworkspace_shapes import grammar
from globalworkspace_shapes.attributes import CLASSES, POSITION_RANGE, SIZE_RANGE, ShapeAttributes

CHUNK = 16_384
"""Rows whose distances to all named colors are held at once."""

GRID, ANCHORS = 0, 1
_CELLS = (len(grammar.GRID_COLUMNS), len(grammar.ANCHORS))
PLACE_LOW, PLACE_SPAN = POSITION_RANGE[0] - 0.5, POSITION_RANGE[1] - POSITION_RANGE[0] + 1
"""Where the first cell of every grid of places begins, and how far the cells reach, in pixels."""
_COLOR_NAMES = tuple(grammar.COLORS)


@attrs.frozen(eq=False, kw_only=True)
class Choices:
    """Which of its ways of saying the same the grammar took, (N,) int64 each."""

    structure: Tensor
    """Position in `grammar.STRUCTURES`."""
    order: Tensor
    """Order of the structure's groups of facts."""
    opening: Tensor
    verb: Tensor
    size_word: Tensor
    shape_name: Tensor
    direction_writer: Tensor
    """Position in `grammar.DIRECTION_WRITERS`."""
    direction_verb: Tensor
    place_writer: Tensor
    """0: grid of 7 x 7 cells, 1: nine anchors."""
    grid_join: Tensor


@attrs.frozen(kw_only=True)
class CaptionFacts:
    """What a caption says, as numbers."""

    category: int
    """Index into `CLASSES`."""
    size_bin: int
    size_range: tuple[float, float]
    """Smallest and largest whole size in pixels that the word covers, both included."""
    color_name: str
    rgb: tuple[float, float, float]
    """Red, green and blue of the named color, in [0, 1]."""
    x: float
    """Center of the place named, in pixels of a 32-pixel picture."""
    y: float
    place_tolerance: float
    """x and y are at most this far from the shape's."""
    rotation: float | None
    """Radians in [0, 2 pi); None when the text names no direction."""
    rotation_tolerance: float | None
    """The rotation is at most this far from the shape's."""


def write_captions(attributes: ShapeAttributes, seed: int | torch.Generator = 0) -> list[str]:
    """Write one caption per shape.

    Args:
        attributes: N shapes.
        seed: The wording; a generator gives the seed that it draws next.

    Returns:
        N sentences. Equal attributes and seeds give equal sentences, whatever the other rows are.

    Example:
        >>> from globalworkspace_shapes.attributes import sample_attributes
        >>> shapes = sample_attributes(2, torch.Generator().manual_seed(0))
        >>> captions = write_captions(shapes, seed=1)
        >>> read_caption(captions[0]).category == int(shapes.category[0])
        True
    """
    return compose_captions(attributes, draw_choices(attributes, seed))


def draw_choices(attributes: ShapeAttributes, seed: int | torch.Generator = 0) -> Choices:
    """The choices of `write_captions`, uniform over the grammar's options."""
    if isinstance(seed, torch.Generator):
        seed = int(torch.randint(2**62, (1,), generator=seed))
    state = _hash_rows(attributes, seed)

    def draw(purpose: int, count: int | Tensor) -> Tensor:
        return (_mix(state + _signed(purpose * _GOLDEN)) & (2**62 - 1)) % count

    structure = draw(1, len(grammar.STRUCTURES))
    orders = torch.tensor([len(orders) for orders in grammar.STRUCTURES])
    words = torch.tensor([len(words) for words in grammar.SIZE_WORDS])
    names = torch.tensor([len(names) for names in grammar.SHAPE_NAMES])
    return Choices(
        structure=structure,
        order=draw(2, orders[structure]),
        opening=draw(3, len(grammar.OPENINGS)),
        verb=draw(4, len(grammar.VERBS)),
        size_word=draw(5, words[size_bins(attributes.size)]),
        shape_name=draw(6, names[attributes.category]),
        direction_writer=draw(7, len(grammar.DIRECTION_WRITERS)),
        direction_verb=draw(8, len(grammar.DIRECTION_VERBS)),
        place_writer=draw(9, 2),
        grid_join=draw(10, len(grammar.GRID_JOINS)),
    )


def compose_captions(attributes: ShapeAttributes, choices: Choices) -> list[str]:
    """Write the captions that `choices` determine, N sentences."""
    steps = torch.tensor([len(phrases) for phrases in grammar.DIRECTION_WRITERS])
    steps = steps[choices.direction_writer]
    heading = (attributes.rotation.double() * steps / math.tau).round().long() % steps
    cells = torch.tensor(_CELLS)[choices.place_writer]
    columns, rows = _cell(attributes.x, cells), _cell(attributes.y, cells)
    shape_names, size_words, directions, places, colors = _phrases()
    facts = zip(
        choices.structure.tolist(),
        choices.order.tolist(),
        choices.opening.tolist(),
        choices.verb.tolist(),
        attributes.category.tolist(),
        choices.shape_name.tolist(),
        size_bins(attributes.size).tolist(),
        choices.size_word.tolist(),
        nearest_colors(attributes.color).tolist(),
        choices.direction_writer.tolist(),
        choices.direction_verb.tolist(),
        heading.tolist(),
        choices.place_writer.tolist(),
        choices.grid_join.tolist(),
        rows.tolist(),
        columns.tolist(),
        strict=True,
    )
    captions = []
    for s, o, opening, verb, c, name, b, word, color, writer, dv, step, pw, join, row, col in facts:
        size, a_size = size_words[b][word]
        shape, a_shape = shape_names[c][name]
        color_name, a_color = colors[color]
        text = grammar.STRUCTURES[s][o].format(
            opening=grammar.OPENINGS[opening],
            verb=grammar.VERBS[verb],
            size=size,
            a_size=a_size,
            color=color_name,
            a_color=a_color,
            shape=shape,
            a_shape=a_shape,
            direction=directions[writer][dv][step],
            place=places[pw][join if pw == GRID else 0][row][col],
        )
        captions.append(text[0].upper() + text[1:])
    return captions


def read_caption(text: str) -> CaptionFacts:
    """Read what a caption of this grammar says; the wording around the facts does not matter.

    Args:
        text: A sentence of `write_captions`, or any text that names each fact in its words once.

    Returns:
        The facts; the place and the rotation as the center of what the words cover, with a
        tolerance.

    Raises:
        DataError: If the class, size, color or place is not named, or is named twice.
    """
    low = text.lower()
    readers = _readers()
    category = _only("class", readers["shape"], low, text)
    size_bin = _only("size", readers["size"], low, text)
    color = _only("color", readers["color"], low, text)
    anchors = readers["anchor"].find(low)
    if anchors:
        row, column = divmod(_only("place", readers["anchor"], low, text), _CELLS[ANCHORS])
        cells = _CELLS[ANCHORS]
    else:
        row = _only("height", readers["row"], low, text)
        column = _only("side", readers["column"], low, text)
        cells = _CELLS[GRID]
    rotation = tolerance = None
    if readers["direction"].find(low):
        writer, step = divmod(_only("direction", readers["direction"], low, text), 100)
        steps = len(grammar.DIRECTION_WRITERS[writer])
        rotation, tolerance = step * math.tau / steps, math.pi / steps
    edges = (SIZE_RANGE[0], *grammar.SIZE_EDGES, SIZE_RANGE[1] + 1)
    name = _COLOR_NAMES[color]
    red, green, blue = (value / 255 for value in grammar.COLORS[name])
    return CaptionFacts(
        category=category,
        size_bin=size_bin,
        size_range=(float(edges[size_bin]), float(edges[size_bin + 1] - 1)),
        color_name=name,
        rgb=(red, green, blue),
        x=PLACE_LOW + (column + 0.5) * PLACE_SPAN / cells,
        y=PLACE_LOW + (row + 0.5) * PLACE_SPAN / cells,
        place_tolerance=PLACE_SPAN / cells / 2,
        rotation=rotation,
        rotation_tolerance=tolerance,
    )


def size_bins(size: Tensor) -> Tensor:
    """Sizes (N,) -> which of the four sets of size words fits, (N,) int64."""
    return torch.bucketize(size, torch.tensor(grammar.SIZE_EDGES, dtype=size.dtype), right=True)


def nearest_colors(color: Tensor) -> Tensor:
    """RGB (N, 3) in [0, 1] -> position in `grammar.COLORS` of the nearest named color, (N,) int64.

    Distances are squared and in whole 8-bit steps, so that they are exact; of equally near colors
    the first is taken.
    """
    known = torch.tensor(list(grammar.COLORS.values()), dtype=torch.float32)
    squares = known.square().sum(dim=1)
    nearest = [
        (squares - 2 * (piece * 255).round() @ known.T).argmin(dim=1)
        for piece in color.float().split(CHUNK)
    ]
    return torch.cat(nearest) if nearest else torch.zeros(0, dtype=torch.int64)


def _cell(position: Tensor, cells: Tensor) -> Tensor:
    place = ((position.double() - PLACE_LOW) * cells / PLACE_SPAN).floor().long()
    return torch.minimum(place.clamp(min=0), cells - 1)


_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
"""The step of splitmix64, as an int64."""


def _signed(number: int) -> int:
    """The int64 with the lowest 64 bits of `number`."""
    return (number + 2**63) % 2**64 - 2**63


def _mix(value: Tensor) -> Tensor:
    """The finisher of splitmix64 on int64, whose products wrap; masks make shifts logical."""
    value = (value ^ ((value >> 30) & (2**34 - 1))) * (0xBF58476D1CE4E5B9 - 2**64)
    value = (value ^ ((value >> 27) & (2**37 - 1))) * (0x94D049BB133111EB - 2**64)
    return value ^ ((value >> 31) & (2**33 - 1))


def _hash_rows(attributes: ShapeAttributes, seed: int) -> Tensor:
    """Hash each row's attributes, colors in 8 bits as in a picture, with the seed, (N,) int64."""
    state = torch.full((len(attributes),), _signed(seed), dtype=torch.int64)
    state = _mix(state + _GOLDEN)
    numbers = (attributes.x, attributes.y, attributes.size, attributes.rotation)
    values = [attributes.category.long()]
    values += [(v.float() + 0.0).contiguous().view(torch.int32).long() for v in numbers]
    values += list((attributes.color * 255).round().long().unbind(1))
    for value in values:
        state = _mix((state ^ value) + _GOLDEN)
    return state


def _with_article(phrase: str) -> tuple[str, str]:
    return phrase, f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


@cache
def _phrases() -> tuple[
    list[list[tuple[str, str]]],
    list[list[tuple[str, str]]],
    list[list[list[str]]],
    list[list[list[list[str]]]],
    list[tuple[str, str]],
]:
    """Shape names, size words, directions, places and colors, ready to be put into a sentence."""
    directions = [
        [[f"{verb} {phrase}" for phrase in writer] for verb in grammar.DIRECTION_VERBS]
        for writer in grammar.DIRECTION_WRITERS
    ]
    grid = [
        [
            [join.format(row=row, column=column) for column in grammar.GRID_COLUMNS]
            for row in grammar.GRID_ROWS
        ]
        for join in grammar.GRID_JOINS
    ]
    anchors = [[list(row) for row in grammar.ANCHORS]]
    return (
        [[_with_article(name) for name in names] for names in grammar.SHAPE_NAMES],
        [[_with_article(word) for word in words] for words in grammar.SIZE_WORDS],
        directions,
        [grid, anchors],
        [_with_article(name) for name in _COLOR_NAMES],
    )


@attrs.frozen
class _Reader:
    """Finds the phrases of one kind of fact, the longest first."""

    pattern: re.Pattern[str]
    meaning: Mapping[str, int]

    @classmethod
    def build(cls, meanings: Iterable[tuple[str, int]], before: str = "") -> _Reader:
        meaning = dict(meanings)
        phrases = "|".join(re.escape(p) for p in sorted(meaning, key=len, reverse=True))
        return cls(re.compile(rf"\b{before}({phrases})\b"), meaning)

    def find(self, text: str) -> list[int]:
        return [self.meaning[phrase] for phrase in self.pattern.findall(text)]


@cache
def _readers() -> dict[str, _Reader]:
    def grouped(groups: Sequence[Sequence[str]], width: int = 0) -> list[tuple[str, int]]:
        """Phrase -> its group, or with a width its group * width + its place in the group."""
        return [
            (phrase, group * width + place if width else group)
            for group, phrases in enumerate(groups)
            for place, phrase in enumerate(phrases)
        ]

    verbs = "|".join(grammar.DIRECTION_VERBS)
    return {
        "shape": _Reader.build(grouped(grammar.SHAPE_NAMES)),
        "size": _Reader.build(grouped(grammar.SIZE_WORDS)),
        "color": _Reader.build((name, i) for i, name in enumerate(grammar.COLORS)),
        "anchor": _Reader.build(grouped(grammar.ANCHORS, _CELLS[ANCHORS])),
        "row": _Reader.build((phrase, i) for i, phrase in enumerate(grammar.GRID_ROWS)),
        "column": _Reader.build((phrase, i) for i, phrase in enumerate(grammar.GRID_COLUMNS)),
        "direction": _Reader.build(grouped(grammar.DIRECTION_WRITERS, 100), before=f"(?:{verbs}) "),
    }


def _only(fact: str, reader: _Reader, low: str, text: str) -> int:
    found = reader.find(low)
    if len(found) != 1:
        some = ", ".join(list(reader.meaning)[:4])
        problem = f"names {len(found)} of the {fact} phrases" if found else f"names no {fact}"
        raise DataError(
            f'The caption "{text}" {problem}; one of these was expected: {some}, … '
            f"Give a sentence of write_captions() about one {CLASSES[0]}, {CLASSES[1]} or "
            f"{CLASSES[2]}."
        )
    return found[0]
