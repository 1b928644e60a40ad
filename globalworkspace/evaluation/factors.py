"""What lives where: which factors each domain's states tell, and what of a domain the others know.

Probes are ridge regressions on states, fitted on one half of the rows and judged on the other. Each
stands beside a null: the same probe with the rows of its targets permuted, so that "nothing" is a
measured figure and not assumed to be 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
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


@attrs.frozen(eq=False)
class _Probe:
    """What a ridge regression told of rows it had not seen, in standard columns of its targets."""

    names: Sequence[str]
    widths: Sequence[int]
    told: Tensor
    """(rows, K)."""
    truth: Tensor
    scale: Tensor
    """(K,) standard deviation of the columns before they were made standard."""
    by_chance: Sequence[tuple[Tensor, Tensor]]
    """The same told and truth with the targets' rows permuted."""

    def scores(self, told: Tensor, truth: Tensor) -> list[float]:
        """R² of each target, its columns weighted by their variance."""
        spread = (truth - truth.mean(dim=0)).square().mean(dim=0) * self.scale.square()
        error = (told - truth).square().mean(dim=0) * self.scale.square()
        shares = zip(error.split(self.widths), spread.split(self.widths), strict=True)
        return [float(1 - wrong.sum() / all_.sum().clamp(min=1e-12)) for wrong, all_ in shares]

    def row_errors(self) -> Tensor:
        """(rows,) each row's share of 1 - R², all targets together; they sum to it."""
        spread = (self.truth - self.truth.mean(dim=0)).square() * self.scale.square()
        error = (self.told - self.truth).square() * self.scale.square()
        return error.sum(dim=1) / spread.sum().clamp(min=1e-12)


def _probe(inputs: Tensor, targets: Mapping[str, Tensor], seed: int, draws: int) -> _Probe | None:
    """A probe, or None where no target varies; see `explained`."""
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
        return None
    x, y = _standard(inputs.double().cpu(), fitted), torch.cat(list(varying.values()), dim=1)
    scale = y[fitted].std(dim=0).clamp(min=1e-9)
    y = (y - y[fitted].mean(dim=0)) / scale
    found = ridge(x[fitted], y[fitted], seed=seed)
    # rows of both halves: judged by rows in order, a chance slope that happens to be right gains
    mixed = [y[torch.randperm(len(y), generator=chance)] for _ in range(draws)]
    by_chance: list[tuple[Tensor, Tensor]] = []
    if mixed:
        told = ridge(x[fitted], torch.cat(mixed, dim=1)[fitted], [found.alpha])(x[judged])
        truths = [some[judged] for some in mixed]
        by_chance = list(zip(told.split(y.shape[1], dim=1), truths, strict=True))
    widths = [values.shape[1] for values in varying.values()]
    return _Probe(list(varying), widths, found(x[judged]), y[judged], scale, by_chance)


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
    probe = _probe(inputs, targets, seed, _DRAWS)
    if probe is None:
        return {}
    null = [0.0] * len(probe.names)
    for told, truth in probe.by_chance:
        null = [max(pair) for pair in zip(null, probe.scores(told, truth), strict=True)]
    values = probe.scores(probe.told, probe.truth)
    return {
        name: {"explained": value, "null": limit}
        for name, value, limit in zip(probe.names, values, null, strict=True)
    }


def advantage(first: Tensor, second: Tensor, targets: Tensor, *, seed: int = 0) -> dict[str, float]:
    """How much more of the targets one input tells than another, on the same unseen rows.

    Args:
        first: (N, D).
        second: (N, E) of the same rows.
        targets: (N, k).
        seed: Of the halves and the null.

    Returns:
        `more`: the difference of R². `null`: the largest of 19 where each row's two errors change
        places by chance, as they may where both tell as much; or 0. Both are 0 if the targets do
        not vary.

    Raises:
        DataError: If there are fewer than 40 rows.
    """
    probes = [_probe(inputs, {"": targets}, seed, 0) for inputs in (first, second)]
    if probes[0] is None or probes[1] is None:
        return {"more": 0.0, "null": 0.0}
    gains = probes[1].row_errors() - probes[0].row_errors()
    chance = derived_generator(seed, "advantage")
    signs = 2.0 * torch.randint(2, (_DRAWS, len(gains)), generator=chance).double() - 1.0
    return {"more": float(gains.sum()), "null": max(float((signs @ gains).max()), 0.0)}


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
        `private`: how much more its own states tell than those of the domain that tells most, or
        0 where that is not above its null (`advantage`). What fewer than 40 rows hold is left out.

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
        rows = standard.rows_with(source, target)[:most]
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
    more = {"more": own["explained"], "null": own["null"]}
    if shared:
        best = max(probes, key=lambda source: probes[source]["explained"])
        rows = standard.rows_with(best, target)[:most]
        own_states, others = (states(workspace, standard, name, rows) for name in (target, best))
        more = advantage(own_states, others, standard[target].take(rows), seed=seed)
    return {
        "own": own,
        "from": probes,
        "shared": shared,
        "private": more["more"] if more["more"] > more["null"] else 0.0,
    }
