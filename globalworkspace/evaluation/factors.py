"""What lives where: which factors each domain's states tell, and what of a domain the others know.

Probes are ridge regressions on states, fitted on one half of the rows and judged on the other. Each
stands beside a null: the same probe with the rows of its targets permuted, so that "nothing" is a
measured figure and not assumed to be 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from globalworkspace.closed_form import ridge
from globalworkspace.errors import DataError
from globalworkspace.evaluation.base import HeldOut
from globalworkspace.evaluation.disentanglement import FEWEST as FEWEST_SCORED
from globalworkspace.evaluation.disentanglement import disentangled
from globalworkspace.evaluation.retrieval import states
from globalworkspace.randomness import derived_generator

if TYPE_CHECKING:
    from globalworkspace.data.table import Table
    from globalworkspace.latents import LatentSpec
    from globalworkspace.workspace import GlobalWorkspace

FEWEST = 40
"""Rows that a probe needs."""
_KNOWN, _MOST_FACTORS = 0.5, 40
"""Share of the judged rows that have to have a factor; a latent of more parts has no factors."""
_DRAWS = 19
"""Permutations: the largest of 19 is passed by chance in one case of 20."""


def label(domain: str, part: str, spec: LatentSpec) -> str:
    """What a part of a domain's latent is called; the domain alone where there is no other."""
    return f"{domain}: {part}" if len(spec.parts) > 1 else domain


def known_factors(workspace: GlobalWorkspace, held_out: HeldOut) -> dict[str, Tensor]:
    """What latents tell of a row in so many words: classes, single numbers, single angles.

    Args:
        workspace: Whose domains they are.
        held_out: N rows.

    Returns:
        `"attributes: shape"` -> (N, k) float64: indicators of classes, a number, or cosine and
        sine; NaN where a row lacks it. A factor that most rows lack is left out.
    """
    found = {}
    for domain in held_out.latents:
        column, spec = held_out.latents[domain], workspace.domains[domain].latent
        share = float(column.present.double().mean())
        if len(spec.parts) > _MOST_FACTORS or share < _KNOWN:
            continue
        latents = torch.full((len(column), spec.dim), float("nan"), dtype=torch.float64)
        rows = column.present.nonzero().flatten()
        latents[rows] = column.take(rows).double()
        for part, columns in zip(spec.parts, spec.slices().values(), strict=True):
            if part.kind == "categorical" or (
                part.size == 1 and part.kind in ("continuous", "circular")
            ):
                found[label(domain, part.name, spec)] = latents[:, columns]
    return found


def explained(
    inputs: Tensor, targets: Mapping[str, Tensor], *, seed: int = 0
) -> dict[str, dict[str, float]]:
    """How much of each target a straight line through the inputs tells, on rows it has not seen.

    One ridge regression to all targets, its penalty chosen by cross-validation; columns are
    standardised by the fitted rows, so that each counts alike in the choice.

    Args:
        inputs: (N, D).
        targets: Name -> (N, k).
        seed: Of the halves and permutations.

    Returns:
        Name -> `explained`: R², the columns weighted by their variance (below 0: worse than the
        mean); `null`: the largest of 19 with the targets' rows permuted, or 0. A target that
        does not vary is left out.

    Raises:
        DataError: If there are fewer than 40 rows.
    """
    if len(inputs) < FEWEST:
        raise DataError(f"{len(inputs)} rows are too few for a probe; give {FEWEST} or more.")
    chance = derived_generator(seed, "probe")
    order = torch.randperm(len(inputs), generator=chance)
    fitted, judged = order[: len(order) // 2], order[len(order) // 2 :]
    varying = {
        name: values.double().cpu()
        for name, values in targets.items()
        if float(values[fitted].double().var(dim=0).sum()) > 1e-12
        and float(values[judged].double().var(dim=0).sum()) > 1e-12
    }
    if not varying:
        return {}
    x, y = _standard(inputs.double().cpu(), fitted), torch.cat(list(varying.values()), dim=1)
    scale = y[fitted].std(dim=0).clamp(min=1e-9)
    y = (y - y[fitted].mean(dim=0)) / scale
    widths = [values.shape[1] for values in varying.values()]

    def scores(told: Tensor, truth: Tensor) -> list[float]:
        spread = (truth - truth.mean(dim=0)).square().mean(dim=0) * scale.square()
        error = (told - truth).square().mean(dim=0) * scale.square()
        shares = zip(error.split(widths), spread.split(widths), strict=True)
        return [float(1 - wrong.sum() / all_.sum().clamp(min=1e-12)) for wrong, all_ in shares]

    found = ridge(x[fitted], y[fitted], seed=seed)
    values, null = scores(found(x[judged]), y[judged]), [0.0] * len(widths)
    # rows of both halves: judged by rows in order, a chance slope that happens to be right gains
    mixed = [y[torch.randperm(len(y), generator=chance)] for _ in range(_DRAWS)]
    by_chance = ridge(x[fitted], torch.cat(mixed, dim=1)[fitted], [found.alpha])(x[judged])
    for told, truth in zip(by_chance.split(y.shape[1], dim=1), mixed, strict=True):
        null = [max(pair) for pair in zip(null, scores(told, truth[judged]), strict=True)]
    return {
        name: {"explained": value, "null": limit}
        for name, value, limit in zip(varying, values, null, strict=True)
    }


def _standard(values: Tensor, fitted: Tensor) -> Tensor:
    some = values[fitted]
    return (values - some.mean(dim=0)) / some.std(dim=0).clamp(min=1e-9)


@torch.no_grad()
def factors(
    workspace: GlobalWorkspace, held_out: HeldOut, *, most: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Evaluation kind `factors`: what the states of each domain tell.

    Args:
        workspace: In eval mode.
        held_out: Rows to judge by.
        most: The first so many rows of each probe.
        seed: See `explained`.

    Returns:
        `factors`: source domain -> factor -> `explained` and `null`. `domains`: domain -> `own`,
        what its own states tell of its latents; `from`: every other domain -> what its states tell
        of them; `shared`: the largest of these, or 0 where it is not above all their nulls;
        `private`: how much more its own states tell. What fewer than 40 rows hold is left out.

    Raises:
        DataError: If domains share no states.
    """
    _refuse_direct(workspace)
    standard = held_out.standard(workspace)
    known = known_factors(workspace, held_out)
    told: dict[str, Any] = {}
    for source in standard:
        some = _rows_that_tell(standard, source, known)[:most]
        if known and len(some) >= FEWEST:
            told[source] = explained(
                states(workspace, standard, source, some),
                {name: values[some] for name, values in known.items()},
                seed=seed,
            )
    domains = {target: _of_domain(workspace, standard, target, most, seed) for target in standard}
    return {"factors": told, "domains": {t: found for t, found in domains.items() if found}}


@torch.no_grad()
def disentanglement(
    workspace: GlobalWorkspace, held_out: HeldOut, *, most: int = 2000
) -> dict[str, Any]:
    """Evaluation kind `disentanglement`: whether single dimensions stand for single factors.

    Args:
        workspace: In eval mode.
        held_out: Rows to judge by.
        most: The first so many rows.

    Returns:
        `rows`: source domain -> on how many rows every factor is known. `scores`: source domain ->
        `MIG`, `disentanglement`, `completeness`, `informativeness` of its states, see
        `globalworkspace.evaluation.disentanglement`; with fewer than 200 rows it is left out, and
        without scikit-learn there is MIG alone.

    Raises:
        DataError: If domains share no states.
    """
    _refuse_direct(workspace)
    standard = held_out.standard(workspace)
    known = known_factors(workspace, held_out)
    rows, found = {}, {}
    for source in standard:
        some = _rows_that_tell(standard, source, known)[:most]
        rows[source] = len(some) if known else 0
        if known and len(some) >= FEWEST_SCORED:
            codes = states(workspace, standard, source, some).cpu().double()
            told = {name: values[some] for name, values in known.items()}
            found[source] = disentangled(codes, told)
    return {"rows": rows, "scores": found}


def _refuse_direct(workspace: GlobalWorkspace) -> None:
    if workspace.topology == "direct":
        raise DataError("Direct translators share no states, of which factors could be told.")


def _rows_that_tell(standard: Table, source: str, known: Mapping[str, Tensor]) -> Tensor:
    """Rows that have the source and every factor."""
    rows = standard[source].present
    for values in known.values():
        rows = rows & values.isfinite().all(dim=1)
    return rows.nonzero().flatten()


def _of_domain(
    workspace: GlobalWorkspace, standard: Table, target: str, most: int, seed: int
) -> dict[str, Any]:
    """What states tell of one domain's standard latents."""
    probes: dict[str, dict[str, float]] = {}
    for source in standard:
        both = standard[source].present & standard[target].present
        rows = both.nonzero().flatten()[:most]
        if len(rows) >= FEWEST:
            codes = states(workspace, standard, source, rows)
            found = explained(codes, {target: standard[target].take(rows)}, seed=seed)
            probes |= {source: found[target]} if target in found else {}
    own = probes.pop(target, None)
    if own is None:
        return {}
    # the most of several is compared with the most that chance tells of any
    most_by_chance = max((probe["null"] for probe in probes.values()), default=0.0)
    shared = max((probe["explained"] for probe in probes.values()), default=0.0)
    shared = shared if shared > most_by_chance else 0.0
    return {
        "own": own,
        "from": probes,
        "shared": shared,
        "private": max(own["explained"] - shared, 0.0),
    }
