"""Episodes: small classification tasks over classes that were never trained on.

An episode of N ways and K shots names N classes and K rows of each (the support), and asks for the
class of further rows (the queries). Training, validation and test episodes draw from disjoint sets
of classes, so that a test episode asks about classes that no weight has seen.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from globalworkspace.errors import DataError

VALIDATION_SHARE, TEST_SHARE = 0.2, 0.25
"""Of the classes, if that is enough for an episode."""


@attrs.frozen(kw_only=True)
class ClassSplit:
    """Classes that share no member: of training, of choosing when to stop, and of the test."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]

    def __attrs_post_init__(self) -> None:
        classes = [*self.train, *self.validation, *self.test]
        twice = sorted({label for label in classes if classes.count(label) > 1})
        if twice:
            raise DataError(
                f"The class {twice[0]} is named twice in a split. Training, validation and test "
                "classes may share none."
            )


@attrs.frozen(eq=False, kw_only=True)
class Episodes:
    """E episodes, as row numbers; way w of an episode is the class of its rows in column w."""

    support: Tensor
    """(E, ways, shots) int64."""
    queries: Tensor
    """(E, ways, queries) int64; shares no row with the support of its episode."""

    def __len__(self) -> int:
        return len(self.support)

    def __getitem__(self, some: slice) -> Episodes:
        """The given episodes."""
        return Episodes(support=self.support[some], queries=self.queries[some])


def usable_classes(labels: Tensor, rows_needed: int) -> list[int]:
    """The classes of labels (N,) that have at least so many rows, ascending."""
    classes, counts = torch.unique(labels, return_counts=True)
    found: list[int] = classes[counts >= rows_needed].tolist()
    return found


def split_classes(
    labels: Tensor, ways: int, rows_needed: int, generator: torch.Generator
) -> ClassSplit:
    """Share the classes out at random.

    Args:
        labels: (N,) int64 classes.
        ways: Classes of an episode: each part has at least so many.
        rows_needed: Rows that a class needs, its shots and its queries; others are left out.
        generator: Of the shares.

    Raises:
        DataError: If there are not three times `ways` classes with enough rows.
    """
    classes = usable_classes(labels, rows_needed)
    if len(classes) < 3 * ways:
        raise DataError(
            f"{len(classes)} of {len(torch.unique(labels))} classes have the {rows_needed} rows "
            f"that an episode takes of each; episodes of {ways} ways need {3 * ways}, {ways} each "
            "to train, to choose and to test. Ask for fewer ways, shots or queries, or for finer "
            "classes."
        )
    validation = max(ways, round(VALIDATION_SHARE * len(classes)))
    test = max(ways, round(TEST_SHARE * len(classes)))
    validation = min(validation, len(classes) - test - ways)
    order = torch.randperm(len(classes), generator=generator).tolist()
    drawn = [classes[place] for place in order]
    return ClassSplit(
        test=tuple(drawn[:test]),
        validation=tuple(drawn[test : test + validation]),
        train=tuple(drawn[test + validation :]),
    )


def draw_episodes(
    labels: Tensor,
    classes: tuple[int, ...],
    number: int,
    *,
    ways: int,
    shots: int,
    queries: int,
    generator: torch.Generator,
) -> Episodes:
    """Draw episodes; within one no class and no row comes twice.

    Args:
        labels: (N,) int64 classes of the rows.
        classes: What the ways are drawn from.
        number: Episodes E.
        ways: Classes of an episode.
        shots: Support rows of each.
        queries: Query rows of each.
        generator: Of classes and rows.

    Raises:
        DataError: If there are too few classes, or rows of one.
    """
    if len(classes) < ways:
        raise DataError(f"Episodes of {ways} ways need as many classes; {len(classes)} are given.")
    rows = [(labels == label).nonzero().flatten() for label in classes]
    for label, held in zip(classes, rows, strict=True):
        if len(held) < shots + queries:
            raise DataError(
                f"The class {label} has {len(held)} rows; {shots} shots and {queries} queries need "
                f"{shots + queries}. Leave the class out, or ask for fewer."
            )
    drawn = []
    for _ in range(number):
        for place in torch.randperm(len(rows), generator=generator)[:ways].tolist():
            some = torch.randperm(len(rows[place]), generator=generator)[: shots + queries]
            drawn.append(rows[place][some])
    taken = torch.stack(drawn).view(number, ways, shots + queries)
    return Episodes(support=taken[:, :, :shots], queries=taken[:, :, shots:])
