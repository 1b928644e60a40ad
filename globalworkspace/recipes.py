"""Recipes: named sets of objectives, with what else of a training belongs to them.

`supervised`, `paper` and the ablations of either follow arXiv 2306.15711; `default` is ours. A
recipe knows how many matched rows there are and how long the training is, as its weights may fade
with the one or change over the other.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from globalworkspace.errors import ConfigError
from globalworkspace.objectives.base import Objective
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.schedules import Schedule
from globalworkspace.objectives.translation import Translation

Setting = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Recipe:
    """What a training is made of, beside its data.

    Example:
        >>> [made.name for made in recipe("supervised").objectives(pairs=500, steps=4000)]
        ['translation', 'contrastive']
    """

    name: str
    summary: str
    build: Callable[..., list[Objective]]
    """(pairs, steps, **strengths) -> the objectives."""
    training: Setting = attrs.field(factory=dict)
    """Settings of `TrainerConfig` that belong to it; the user's own come before them."""
    workspace: Setting = attrs.field(factory=dict)
    """Settings of `GlobalWorkspace`, likewise."""
    cost: float = 1.0
    """Of one of its steps, in those of `default`: where compute shall match, it takes as many more
    steps."""
    choices: tuple[Setting, ...] = ({},)
    """What `label_efficiency` tunes: strengths of `build`, and `TrainerConfig` settings under
    `training`; every recipe has equally many."""

    def objectives(self, pairs: int, steps: int, **strengths: float) -> list[Objective]:
        """The objectives for a training.

        Args:
            pairs: Matched rows, held-out ones counted.
            steps: Of the training.
            strengths: Settings of the recipe; see its `choices`.
        """
        return self.build(pairs, steps, **strengths)


def _supervised(pairs: int, steps: int) -> list[Objective]:
    return [Translation(1.0), Contrastive(0.1)]


def _translation_only(pairs: int, steps: int) -> list[Objective]:
    return [Translation(1.0)]


def _contrastive_only(pairs: int, steps: int) -> list[Objective]:
    return [Contrastive(0.1)]


def _paper(pairs: int, steps: int, cycles: float = 0.1) -> list[Objective]:
    return [Translation(1.0), Contrastive(0.1), DemiCycle(cycles), Cycle(cycles)]


def _no_cycles(pairs: int, steps: int, cycles: float = 0.1) -> list[Objective]:
    return [Translation(1.0), Contrastive(0.1), DemiCycle(cycles)]


def _no_demi_cycles(pairs: int, steps: int, cycles: float = 0.1) -> list[Objective]:
    return [Translation(1.0), Contrastive(0.1), Cycle(cycles)]


def _no_workspace(pairs: int, steps: int, cycles: float = 0.1) -> list[Objective]:
    return [Translation(1.0), Cycle(cycles)]


def _default(pairs: int, steps: int, synthetic: float = 2.0) -> list[Objective]:
    return [
        Translation(1.0),
        Contrastive(0.1),
        Cycle(Schedule(0.0, synthetic, steps // 10), detach=True, teacher="there"),
    ]


def _decays(*values: float) -> tuple[Setting, ...]:
    return tuple({"training": {"weight_decay": value}} for value in values)


_CYCLES: tuple[Setting, ...] = tuple(
    {"cycles": cycles, "training": {"weight_decay": decay}}
    for cycles in (0.1, 0.5)
    for decay in (0.1, 0.5)
)

RECIPES: dict[str, Recipe] = {
    made.name: made
    for made in (
        Recipe(
            name="default",
            summary="translation, contrastive, and cycles with a mean teacher",
            build=_default,
        ),
        Recipe(
            name="supervised",
            summary="translation and contrastive on the matched rows alone",
            build=_supervised,
            training={"unmatched_batch_size": 0},
            choices=_decays(0.03, 0.1, 0.3, 1.0),
        ),
        Recipe(
            name="paper",
            summary="the paper's four families, symmetric",
            build=_paper,
            choices=_CYCLES,
        ),
        Recipe(
            name="contrastive-only",
            summary="contrastive on the matched rows alone",
            build=_contrastive_only,
            training={"unmatched_batch_size": 0},
            choices=_decays(0.03, 0.1, 0.3, 1.0),
        ),
        Recipe(
            name="translation-only",
            summary="translation on the matched rows alone",
            build=_translation_only,
            training={"unmatched_batch_size": 0},
            choices=_decays(0.03, 0.1, 0.3, 1.0),
        ),
        Recipe(
            name="no-workspace",
            summary="direct translators with cycles: the paper without its workspace",
            build=_no_workspace,
            workspace={"topology": "direct"},
            choices=_CYCLES,
        ),
        Recipe(
            name="no-cycles",
            summary="the paper without its cycles",
            build=_no_cycles,
            choices=_CYCLES,
        ),
        Recipe(
            name="no-demi-cycles",
            summary="the paper without its demi-cycles",
            build=_no_demi_cycles,
            choices=_CYCLES,
        ),
    )
}


def recipe(name: str) -> Recipe:
    """A recipe by its name.

    Raises:
        ConfigError: If there is none of that name.
    """
    if name not in RECIPES:
        close = difflib.get_close_matches(str(name), RECIPES, n=1)
        hint = f' Did you mean "{close[0]}"?' if close else ""
        raise ConfigError(f'There is no recipe "{name}"; known: {", ".join(RECIPES)}.{hint}')
    return RECIPES[name]
