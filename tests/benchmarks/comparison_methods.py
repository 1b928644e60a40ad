"""The methods of the comparison: what each is trained by, and what it makes of two domains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import torch
from globalworkspace_mmvm import MixturePrior
from small_sets import SmallSet
from torch import Tensor

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig
from globalworkspace.components import build_augmentations
from globalworkspace.evaluation.retrieval import states
from globalworkspace.evaluation.translation import normalized_error, predict
from globalworkspace.kernel_ridge import kernel_ridge
from globalworkspace.label_efficiency.baselines import BASELINES
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.recipes import COST_MATCHED, COST_PAPER, Recipe, recipe, usual_decay
from globalworkspace.standard_table import standardize_table

SETS = {"shapes": "Simple Shapes", "emoji": "Emoji"}
PAIRS = {"shapes": (100, 500, 2500), "emoji": (100, 500, 1000)}
"""There are 1,210 emoji to train on."""


def _mmvm(pairs: int, steps: int, regulariser: float = 0.1) -> list[Any]:
    return [DemiCycle(1.0), MixturePrior(regulariser, alpha=0.1)]


def _contrastive(pairs: int, steps: int) -> list[Any]:
    return [Contrastive(1.0, learn_scale=True)]


CONTRASTIVE = attrs.evolve(
    recipe("fusemix"), name="contrastive alone", build=_contrastive, augmentations={}
)
MMVM_VAE = Recipe(
    name="mmvm",
    summary="demi-cycles and the MMVM VAE's regulariser",
    build=_mmvm,
    workspace={"fusion": "posteriors", "activation": "none"},
    cost=COST_PAPER,
)


LONG = {"length": 1.0, "decay": 1.0, "dropout": 0.0}
SHORT = {"length": 0.25, "decay": 10.0, "dropout": 0.3}


def settings(*own: Mapping[str, float]) -> list[dict[str, Any]]:
    """Two of a method's own, each at length, and short with dropout and more weight decay."""
    return [{**usual, "own": dict(some)} for some in own for usual in (LONG, SHORT)]


STEPS = {"shapes": 3000, "emoji": 1000}
"""Of length 1, in those of `default`."""
ALONE = [
    {"length": length, "decay": decay, "dropout": dropout, "own": {}}
    for length in (1.0, 0.1)
    for decay, dropout in ((1.0, 0.0), (10.0, 0.3))
]
TRAINED: dict[str, list[dict[str, Any]]] = {
    "default": settings({"contrastive": 0.1}, {"contrastive": 1.0}),
    "paper": settings({"cycles": 0.1}, {"cycles": 0.5}),
    "contrastive alone": ALONE,
    "FuseMix": ALONE,
    "MMVM": [
        {**LONG, "own": {"regulariser": regulariser}} for regulariser in (0.1, 0.03, 0.01, 0.003)
    ],
}
CLOSED = {"CCA": "cca, all rows", "ridge": "ridge", "kernel ridge": "kernel ridge"}
METHODS = (*TRAINED, *CLOSED)
LATENTS = "frozen latents"
WITHOUT_DECODERS = ("contrastive alone", "FuseMix", "CCA")


def tries(name: str, method: str) -> list[dict[str, Any]]:
    """The four settings that a method chooses from on a set."""
    if (name, method) == ("emoji", "MMVM"):  # at length alone it would only overfit
        return settings({"regulariser": 0.1}, {"regulariser": 0.03})
    return TRAINED[method]


def recipe_of(method: str) -> Recipe:
    """What a method trains by."""
    if method == "MMVM":
        return MMVM_VAE
    if method == "FuseMix":
        mixed = {"mixed": {"kind": "fusemix", "discrete": "mix"}}
        return attrs.evolve(recipe("fusemix"), augmentations=mixed)
    return CONTRASTIVE if method == "contrastive alone" else recipe(method)


@attrs.frozen(eq=False, kw_only=True)
class Joined:
    """Two domains as a method joins them."""

    states: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]
    """Standard latents of the first (second) domain -> what is compared by cosine."""
    translations: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]
    """First to second, second to first."""
    returning: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] | None = None
    """The states that are compared when the second is asked for, if others."""

    def compared(self, x: Tensor, y: Tensor, way: int) -> tuple[Tensor, Tensor]:
        """States of the asking domain and of the other one: way 0 asks with the first."""
        first, second = self.states if way == 0 or self.returning is None else self.returning
        found = first(x), second(y)
        return found if way == 0 else (found[1], found[0])


def trained(
    data: SmallSet, method: str, known: Table, pairs: int, choice: Mapping[str, Any], seed: int
) -> GlobalWorkspace:
    """A workspace."""
    used = recipe_of(method)
    length = STEPS["emoji" if "photo" in data.specs else "shapes"] * choice["length"]
    steps = round(length / (used.cost if used.cost == COST_MATCHED else 1))
    networks = dict.fromkeys(data.specs, "gaussian-mlp" if method == "MMVM" else "mlp")
    workspace = GlobalWorkspace(
        data.domains,
        dim=64,
        hidden_dim=256,
        num_layers=2,
        dropout=choice["dropout"],
        networks=networks,
        seed=seed,
        **used.workspace,
    )
    config = TrainerConfig(
        **{
            "batch_size": 128,
            "unmatched_batch_size": 128,
            "learning_rate": 3e-3,
            **used.training,
            "keep": "last",
        },
        steps=steps,
        weight_decay=usual_decay(pairs) * choice["decay"],
        seed=seed,
        device="cpu",
        progress=False,
    )
    augmentations = build_augmentations(used.augmentations)
    trainer = Trainer(
        config, used.objectives(pairs, steps, **choice["own"]), augmentations=augmentations
    )
    trainer.fit(workspace, known, latents=True)
    return workspace


def joined_by_training(workspace: GlobalWorkspace, known: Table, method: str) -> Joined:
    """What a trained workspace makes of its two domains."""
    names = list(workspace.domains)

    def state(name: str) -> Callable[[Tensor], Tensor]:
        def of(latents: Tensor) -> Tensor:
            rows = torch.arange(len(latents))
            return states(workspace, Table.from_columns({name: latents}), name, rows).double()

        return of

    def decoded(source: str, target: str) -> Callable[[Tensor], Tensor]:
        def of(latents: Tensor) -> Tensor:
            rows = torch.arange(len(latents))
            table = Table.from_columns({source: latents})
            return predict(workspace, table, (source,), target, rows).double()

        return of

    both = state(names[0]), state(names[1])
    there, back = (decoded(a, b) for a, b in (names, names[::-1]))
    made = Joined(states=both, translations=(there, back))
    if method not in WITHOUT_DECODERS:
        return made
    standard = standardize_table(workspace, known)
    x, y = (standard[name].take(standard.matched_rows()) for name in names)
    return with_readout(made, x, y)


def with_readout(made: Joined, x: Tensor, y: Tensor) -> Joined:
    """Translations by kernel ridge regression from the states of matched rows."""
    states_of_x, states_of_y = made.compared(x, y, 0)[0], made.compared(x, y, 1)[0]
    to_second, to_first = kernel_ridge(states_of_x, y), kernel_ridge(states_of_y, x)
    return attrs.evolve(
        made,
        translations=(
            lambda latents: to_second(made.compared(latents, y[:1], 0)[0]),
            lambda latents: to_first(made.compared(x[:1], latents, 1)[0]),
        ),
    )


def joined_in_closed_form(
    workspace: GlobalWorkspace, known: Table, method: str, seed: int
) -> Joined:
    """The same of a closed form, on the latents that the workspace standardises."""
    standard = standardize_table(workspace, known)
    names = list(standard)
    matched = standard.matched_rows()
    pairs = {name: standard[name].take(matched) for name in names}
    everything = {name: standard[name].take(standard.rows_with(name)) for name in names}
    made = BASELINES[CLOSED[method]]
    ways = [made(pairs, everything, a, b, seed) for a, b in (names, names[::-1])]

    def asking(way: int) -> Callable[[Tensor], Tensor]:
        translate, compare = ways[way]
        other = everything[names[1 - way]][:1]
        return lambda latents: compare(latents, other, translate(latents))[0]

    def answering(way: int) -> Callable[[Tensor], Tensor]:
        translate, compare = ways[way]
        other = everything[names[way]][:1]
        return lambda latents: compare(other, latents, translate(other))[1]

    found = Joined(
        states=(asking(0), answering(0)),
        translations=(ways[0][0], ways[1][0]),
        returning=(answering(1), asking(1)),
    )
    return with_readout(found, *pairs.values()) if method in WITHOUT_DECODERS else found


def translation_errors(
    workspace: GlobalWorkspace, made: Joined, x: Tensor, y: Tensor
) -> tuple[float, float]:
    """There and back."""
    second, first = (workspace.spec(name) for name in list(workspace.domains)[::-1])
    there = normalized_error(made.translations[0](x), y, second).mean()
    return float(there), float(normalized_error(made.translations[1](y), x, first).mean())


def standard_latents(
    workspace: GlobalWorkspace, latents: Mapping[str, Tensor], rows: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Standard latents of both domains."""
    some = {name: x if rows is None else x[rows] for name, x in latents.items()}
    standard = standardize_table(workspace, Table.from_columns(some))
    first, second = (standard[name].take(torch.arange(len(standard))) for name in standard)
    return first, second
