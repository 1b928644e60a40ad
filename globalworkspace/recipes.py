"""Recipes: named sets of objectives, with what else of a training belongs to them.

`supervised`, `paper` and the ablations of either follow arXiv 2306.15711; `default` is ours. A
recipe knows how many matched rows there are and how long the training is, as its weights may fade
with the one or change over the other. Plugins bring further ones (`register_recipes`).
"""

from __future__ import annotations

import functools
import inspect
import math
import re
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
from globalworkspace.registry import get_registry
from globalworkspace.settings import check_keys

Setting = Mapping[str, Any]

# Of a step with 128 matched rows and 256 of each of two domains, in that of `default` (measured
# compiled, one thread).
COST_MATCHED, COST_PAPER = 0.3, 1.2


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
    augmentations: Mapping[str, Setting] = attrs.field(factory=dict)
    """Name -> `kind` and settings of an augmentation that its objectives see rows through."""
    choices: tuple[Setting, ...] = ({},)
    """What `label_efficiency` tunes: strengths of `build`, and under `decay` a factor of
    `usual_decay`. Those of the core have four each: as many tries, as fair."""
    cost: float = 1.0
    """Of one of its steps, in those of `default`: where compute shall match, it takes as many more
    steps."""
    fades: bool = False
    """Whether it becomes `supervised` where there are many pairs."""

    def objectives(self, pairs: int, steps: int, **strengths: float) -> list[Objective]:
        """The objectives for a training.

        Args:
            pairs: Matched rows, held-out ones counted.
            steps: Of the training.
            strengths: Settings of the recipe; see its `choices`.
        """
        return self.build(pairs, steps, **strengths)

    def with_strengths(self, name: str, strengths: Mapping[str, float]) -> Recipe:
        """The same recipe under another name, with strengths that its choices do not change.

        Raises:
            ConfigError: If it has no such strength.
        """
        known = list(inspect.signature(self.build).parameters)[2:]
        check_keys(strengths, known, f'The recipe "{self.name}"')
        choices = tuple(
            {key: value for key, value in choice.items() if key not in strengths}
            for choice in self.choices
        )
        build = functools.partial(self.build, **strengths)
        return attrs.evolve(self, name=name, build=build, choices=choices)

    def for_pairs(self, pairs: int) -> Recipe:
        """The recipe for that many matched rows: itself, or `supervised` where it has faded."""
        return SUPERVISED if self.fades and synthetic_share(pairs) == 0 else self


FULL, FADED = 5_000, 20_000
"""Matched rows up to which synthetic pairs have their full weight, and from which on none."""


def synthetic_share(pairs: int) -> float:
    """How much synthetic pairs count: 1 where real ones are few, falling to 0 in their logarithm.

    Many real pairs teach more by themselves than the same compute spent on synthetic ones.
    """
    fallen = math.log(max(pairs, FULL) / FULL) / math.log(FADED / FULL)
    return max(1.0 - fallen, 0.0)


def usual_decay(pairs: int) -> float:
    """The weight decay to begin with: the fewer pairs, the more of it, within 0.03 and 1."""
    return min(max(0.3 * math.pow(1000 / pairs, 0.7), 0.03), 1.0)


def _supervised(pairs: int, steps: int, contrastive: float = 0.1) -> list[Objective]:
    return [Translation(1.0), Contrastive(contrastive)]


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


def _default(
    pairs: int,
    steps: int,
    synthetic: float = 2.0,
    cycles: float = 0.3,
    contrastive: float = 0.1,
) -> list[Objective]:
    made: list[Objective] = [Translation(1.0)]
    share = synthetic_share(pairs)
    if contrastive:
        made.append(Contrastive(contrastive))
    if synthetic * share:
        rises = Schedule(0.0, synthetic * share, steps=max(steps // 10, 1), begin=steps // 10)
        made.append(Cycle(rises, detach=True, teacher="there"))
    if cycles * share:
        late = Schedule(0.0, cycles * share, steps=3 * steps // 10, begin=steps // 2)
        made.append(Cycle(late, teacher="back"))
    return made


_DECAYS: tuple[Setting, ...] = tuple({"decay": factor} for factor in (1.0, 0.3, 3.0, 10.0))
_CYCLES: tuple[Setting, ...] = (
    {"cycles": 0.1, "decay": 1.0},
    {"cycles": 0.02, "decay": 1.0},
    {"cycles": 0.5, "decay": 1.0},
    {"cycles": 0.1, "decay": 3.0},
)
_MATCHED_ALONE: Setting = {"unmatched_batch_size": 0}

DEFAULT = Recipe(
    name="default",
    summary="translation, contrastive, synthetic pairs and late cycles with a mean teacher",
    build=_default,
    choices=(
        {"decay": 1.0},
        {"decay": 0.3},
        {"decay": 3.0},
        {"synthetic": 0.7, "decay": 1.0},
    ),
    fades=True,
)
SUPERVISED = Recipe(
    name="supervised",
    summary="translation and contrastive on the matched rows alone",
    build=_supervised,
    training=_MATCHED_ALONE,
    choices=_DECAYS,
    cost=COST_MATCHED,
)
PAPER = Recipe(
    name="paper",
    summary="the paper's four families, symmetric",
    build=_paper,
    choices=_CYCLES,
    cost=COST_PAPER,
)
CONTRASTIVE_ONLY = Recipe(
    name="contrastive-only",
    summary="contrastive on the matched rows alone",
    build=_contrastive_only,
    training={**_MATCHED_ALONE, "keep": "last"},
    choices=_DECAYS,
    cost=COST_MATCHED,
)
TRANSLATION_ONLY = Recipe(
    name="translation-only",
    summary="translation on the matched rows alone",
    build=_translation_only,
    training=_MATCHED_ALONE,
    choices=_DECAYS,
    cost=COST_MATCHED,
)
NO_WORKSPACE = Recipe(
    name="no-workspace",
    summary="direct translators with cycles: the paper without its workspace",
    build=_no_workspace,
    workspace={"topology": "direct"},
    choices=_CYCLES,
    cost=COST_PAPER,
)
NO_CYCLES = Recipe(
    name="no-cycles",
    summary="the paper without its cycles",
    build=_no_cycles,
    choices=_CYCLES,
    cost=COST_PAPER,
)
NO_DEMI_CYCLES = Recipe(
    name="no-demi-cycles",
    summary="the paper without its demi-cycles",
    build=_no_demi_cycles,
    choices=_CYCLES,
    cost=COST_PAPER,
)


def default_objectives(pairs: int, steps: int) -> list[Objective]:
    """The objectives of a training that names none: those of the recipe `default`.

    Args:
        pairs: Matched rows, held-out ones counted.
        steps: Of the training; synthetic pairs and late cycles come in at a share of it.

    Example:
        >>> [made.name for made in default_objectives(pairs=500, steps=4000)]
        ['translation', 'contrastive', 'back_translation', 'cycle']
    """
    return DEFAULT.objectives(pairs, steps)


_STRENGTHS = re.compile(r"\s*([a-z0-9:_-]+)\s*(?:\((.*)\))?\s*\Z", re.DOTALL)


def recipe(name: str) -> Recipe:
    """A recipe by its name, or with strengths of its own: `"default(synthetic=1, cycles=0)"`.

    Raises:
        PluginError: If no plugin brings one of that name.
        ConfigError: If it has no such strength.

    Example:
        >>> [made.name for made in recipe("default(cycles=0)").objectives(pairs=500, steps=4000)]
        ['translation', 'contrastive', 'back_translation']
    """
    found = _STRENGTHS.match(str(name))
    chosen: Recipe = get_registry().load("recipe", found[1] if found else str(name))
    if not found or found[2] is None:
        return chosen
    strengths = {}
    for text in filter(None, (piece.strip() for piece in found[2].split(","))):
        key, _, value = text.partition("=")
        try:
            strengths[key.strip()] = float(value)
        except ValueError:
            raise ConfigError(
                f'The recipe "{name}": "{text}" is no strength; write one as "cycles=0.5".'
            ) from None
    return chosen.with_strengths(str(name), strengths)
