"""The closed forms that stand in every figure; each is tuned on the matched rows alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.nn import functional as F

from globalworkspace.closed_form import cca, ridge
from globalworkspace.data.table import Table
from globalworkspace.domain import DomainModule
from globalworkspace.evaluation.retrieval import recall_at
from globalworkspace.evaluation.translation import direction, normalized_error
from globalworkspace.kernel_ridge import kernel_ridge
from globalworkspace.latents import LatentSpec
from globalworkspace.workspace import GlobalWorkspace

Latents = Mapping[str, Tensor]
"""Domain -> standard latents (N, A)."""
Translate = Callable[[Tensor], Tensor]

GALLERY = 1000
"""Items to choose from in retrieval, as `evaluation.retrieval` has it."""
LARGEST_KERNEL = 2500
"""Matched rows up to which kernel ridge is fitted: its cost grows with their cube."""


def workspace_of_units(domains: Mapping[str, DomainModule], shown: Table) -> GlobalWorkspace:
    """An untrained workspace that knows the units of the rows shown, for `standardize_table`."""
    workspace = GlobalWorkspace(domains, dim=1)
    workspace.fit_standardizers({name: shown[name].take(shown.rows_with(name)) for name in shown})
    return workspace


def known_rows(shown: Table) -> tuple[Latents, Latents]:
    """What a closed form is given of a standard table: its matched rows, and all of each domain."""
    matched = shown.matched_rows()
    pairs = {name: shown[name].take(matched) for name in shown}
    return pairs, {name: shown[name].take(shown.rows_with(name)) for name in shown}


def baseline(
    name: str,
    pairs: Latents,
    everything: Latents,
    test: Latents,
    specs: Mapping[str, LatentSpec],
    seed: int,
) -> dict[str, dict[str, float]]:
    """Errors and recalls of a closed form in every direction.

    Args:
        name: One of `BASELINES`.
        pairs: The matched rows, row i of each domain the same thing.
        everything: All rows of each domain, matched or not.
        test: Rows to judge on.
        specs: What each domain's latents are made of.
        seed: Of the cross-validation's folds.

    Returns:
        `{"errors": direction -> normalised error, "recall": direction -> R@5}`.
    """
    errors, recall = {}, {}
    names = list(pairs)
    for source in names:
        for target in names:
            if source == target:
                continue
            translate, compare = BASELINES[name](pairs, everything, source, target, seed)
            guess = translate(test[source])
            key = direction((source,), target)
            columns = normalized_error(guess, test[target], specs[target])
            errors[key] = float(columns.mean())
            first, second = compare(test[source], test[target], guess)
            recall[key] = recall_at(first[:GALLERY] @ second[:GALLERY].T)[5]
    return {"errors": errors, "recall": recall}


MOST_TUNED = 2500
"""Matched rows that canonical correlations are tuned on."""

Compare = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(source, target, translation) -> what is compared by cosine in retrieval."""


def _ridge(
    pairs: Latents, everything: Latents, source: str, target: str, seed: int
) -> tuple[Translate, Compare]:
    return ridge(pairs[source], pairs[target], seed=seed), _with_translation


def _kernel_ridge(
    pairs: Latents, everything: Latents, source: str, target: str, seed: int
) -> tuple[Translate, Compare]:
    return kernel_ridge(pairs[source], pairs[target], seed=seed), _with_translation


def _cca(
    pairs: Latents, everything: Latents, source: str, target: str, seed: int
) -> tuple[Translate, Compare]:
    return _correlations(pairs, pairs, source, target, seed)


def _cca_all(
    pairs: Latents, everything: Latents, source: str, target: str, seed: int
) -> tuple[Translate, Compare]:
    return _correlations(pairs, everything, source, target, seed)


def _correlations(
    pairs: Latents, known: Latents, source: str, target: str, seed: int
) -> tuple[Translate, Compare]:
    x, y, sides = pairs[source], pairs[target], (known[source], known[target])
    few = slice(0, MOST_TUNED)  # retrieval compares all rows of a fold with all
    tuned = cca(x[few], y[few], *sides, powers=(0.0, 0.5, 1.0), seed=seed)
    found = cca(x, y, *sides, shrinkages=[tuned.shrinkages], powers=[tuned.power])
    # the target's variates are the source's times their correlation; back to it by its covariance
    centred = known[target].double() - found.y_mean
    back = (centred.T @ centred / (len(centred) - 1) @ found.y_weight).T

    def translate(x: Tensor) -> Tensor:
        variates = (x.double() - found.x_mean) @ found.x_weight
        return found.y_mean + (variates * found.correlations.clamp(0, 1)) @ back

    def compare(x: Tensor, y: Tensor, guess: Tensor) -> tuple[Tensor, Tensor]:
        return F.normalize(found.project_x(x), dim=1), F.normalize(found.project_y(y), dim=1)

    return translate, compare


def _with_translation(x: Tensor, y: Tensor, guess: Tensor) -> tuple[Tensor, Tensor]:
    return F.normalize(guess, dim=1), F.normalize(y.double(), dim=1)


BASELINES: dict[str, Callable[..., tuple[Translate, Compare]]] = {
    "ridge": _ridge,
    "kernel ridge": _kernel_ridge,
    "cca": _cca,
    "cca, all rows": _cca_all,
}
