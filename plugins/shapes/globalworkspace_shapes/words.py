"""How right the words of a written caption are, read back by the grammar.

A sentence that the grammar cannot read counts as wrong in everything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from globalworkspace.errors import ConfigError, DataError
from globalworkspace_shapes import grammar
from globalworkspace_shapes.attributes import CLASSES
from globalworkspace_shapes.captions import (
    PLACE_LOW,
    PLACE_SPAN,
    CaptionFacts,
    nearest_colors,
    read_caption,
    size_bins,
)

if TYPE_CHECKING:
    from globalworkspace.evaluation.base import HeldOut
    from globalworkspace.experiment import Experiment
    from globalworkspace.report import Section
    from globalworkspace.workspace import GlobalWorkspace

NEAR_COLORS = 3
"""A color word is right if the true color is among that many named colors nearest to it, the word
itself counted."""

FIGURES = (
    "read",
    "shape",
    "color",
    "color_exact",
    "place",
    "place_exact",
    "size",
    "size_exact",
    "direction",
)
"""Shares of sentences: that the grammar can read; whose shape word is right; whose color word is
right as `NEAR_COLORS` says, or is the nearest name of all; whose place is the true cell or one of
its neighbors, or the true cell; whose size word is the true one or the next, or the true one; whose
direction is the nearest that its writer has."""

_NAMES = tuple(grammar.COLORS)


def word_accuracy(captions: Sequence[str], attributes: Mapping[str, Any]) -> dict[str, float]:
    """Shares of sentences whose words agree with what they describe; keys are `FIGURES`.

    Args:
        captions: N sentences.
        attributes: What they ought to describe: the columns of `attribute_columns`, N values each.

    Raises:
        DataError: If there are not as many sentences as shapes.

    Example:
        >>> shape = {"shape": ["egg"], "x": [16.0], "y": [16.0], "size": [8.0], "rotation": [0.0]}
        >>> shape |= {"r": [1.0], "g": [0.0], "b": [0.0]}
        >>> text = "A tiny red egg is placed in the middle of the picture."
        >>> word_accuracy([text], shape)["color"]
        1.0
    """
    columns = {name: _numbers(values) for name, values in attributes.items()}
    if len(captions) != len(columns["shape"]):
        raise DataError(
            f"{len(captions)} sentences were given for {len(columns['shape'])} shapes; give one "
            "per shape."
        )
    colors = nearest_colors(torch.stack([columns[c].float() for c in "rgb"], dim=1)).tolist()
    sizes = size_bins(columns["size"]).tolist()
    counts = dict.fromkeys(FIGURES, 0)
    for row, text in enumerate(captions):
        try:
            facts = read_caption(text)
        except DataError:
            continue
        word = _NAMES.index(facts.color_name)
        off = max(_cells_off(facts, float(columns[axis][row]), axis) for axis in "xy")
        counts["read"] += 1
        counts["shape"] += facts.category == int(columns["shape"][row])
        counts["color"] += colors[row] in _near_colors()[word]
        counts["color_exact"] += colors[row] == word
        counts["place"] += off <= 1
        counts["place_exact"] += off == 0
        counts["size"] += abs(facts.size_bin - sizes[row]) <= 1
        counts["size_exact"] += facts.size_bin == sizes[row]
        counts["direction"] += _direction_right(facts, float(columns["rotation"][row]))
    return {name: count / max(len(captions), 1) for name, count in counts.items()}


def caption_words(
    workspace: GlobalWorkspace,
    held_out: HeldOut,
    *,
    caption: str = "caption",
    attributes: str = "attributes",
) -> dict[str, dict[str, float]]:
    """Evaluation kind `caption-words`: `word_accuracy` of translations into sentences.

    Args:
        workspace: With a domain of sentences.
        held_out: Rows with the domain of attributes, which tells what is true.
        caption: Name of the domain of sentences.
        attributes: Name of the domain of attributes.

    Returns:
        `"picture -> caption"` -> figure -> share of sentences.

    Raises:
        ConfigError: If one of the two domains is not there.
    """
    for name in (caption, attributes):
        if name not in held_out.raw.columns or name not in workspace.domains:
            raise ConfigError(
                f'The evaluation "caption-words" needs the domain "{name}"; there are '
                f"{', '.join(held_out.raw)}. Name yours as caption = ... and attributes = ..."
            )
    found = {}
    for source in held_out.latents:
        rows = held_out.raw.rows_with(source, attributes)
        if source == caption or not len(rows):
            continue
        state = workspace.encode({source: held_out.latents[source].take(rows)}, latents=True)
        truth = held_out.raw[attributes].take(rows)
        found[f"{source} -> {caption}"] = word_accuracy(workspace.decode(state, caption), truth)
    return found


def words_section(experiment: Experiment) -> Section | None:
    """Report section of the figures of `caption-words`, where a run has them."""
    from globalworkspace.report import Section

    figures = experiment.evaluation.get("caption-words")
    if not figures:
        return None
    return Section(
        title="Words of written captions",
        headings=["direction", *(name.replace("_", " ") for name in FIGURES)],
        rows=[
            [direction, *(f"{shares[name]:.3f}" for name in FIGURES)]
            for direction, shares in figures.items()
        ],
        note="Share of sentences whose words the grammar reads back as true. Color: the true color "
        f"is among the {NEAR_COLORS} named colors nearest to the word. Place: the true cell or a "
        "neighbor. Size: the true word or the next.",
    )


def _numbers(values: Any) -> Tensor:
    if isinstance(values, Tensor):
        return values
    return torch.tensor([CLASSES.index(v) if isinstance(v, str) else v for v in values])


@cache
def _near_colors() -> list[list[int]]:
    """Positions of the named colors nearest to each named color, itself first."""
    known = torch.tensor(list(grammar.COLORS.values()), dtype=torch.float64)
    nearest: list[list[int]] = torch.cdist(known, known).argsort(dim=1)[:, :NEAR_COLORS].tolist()
    return nearest


def _cells_off(facts: CaptionFacts, truth: float, axis: str) -> int:
    """How many cells of its grid the place named lies from the true one."""
    width = 2 * facts.place_tolerance
    last = round(PLACE_SPAN / width) - 1
    told, true = (
        min(max(int((position - PLACE_LOW) / width), 0), last)
        for position in (getattr(facts, axis), truth)
    )
    return abs(told - true)


def _direction_right(facts: CaptionFacts, truth: float) -> bool:
    if facts.rotation is None or facts.rotation_tolerance is None:
        return False
    off = (facts.rotation - truth + math.pi) % math.tau - math.pi
    return abs(off) <= facts.rotation_tolerance + 1e-4
