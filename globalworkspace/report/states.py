"""Report sections about the workspace itself: where its states lie, and whom it listens to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from globalworkspace.data.table import Table
from globalworkspace.evaluation.disentanglement import FEWEST, SCORES, disentangled
from globalworkspace.evaluation.factors import known_factors, label
from globalworkspace.evaluation.retrieval import shared_states, states
from globalworkspace.fusion import State
from globalworkspace.report.figures import class_names
from globalworkspace.report.items import decoded
from globalworkspace.report.plots import heat, scatter
from globalworkspace.sheet import Cell, Colouring, Figure, Grid, Section

if TYPE_CHECKING:
    from globalworkspace.experiment import Experiment

_ITEMS, _JUDGED, _MOST_CLASSES, _MOST_DOMAINS, _MOST_FACTORS = 300, 2000, 40, 8, 40
_WALKS, _STEPS = 4, (-2.0, -1.0, 0.0, 1.0, 2.0)


@torch.no_grad()
def state_map(experiment: Experiment) -> Section | None:
    """The states of matched items from each of their domains alone, in a plane."""
    standard = experiment.held_out.standard(experiment.workspace)
    rows = _matched(standard)[:_ITEMS]
    if experiment.workspace.topology == "direct" or len(rows) < 3:
        return None
    states, members = _states(experiment, standard, rows)
    together = torch.cat(list(states.values())).double()
    if float(together.var(dim=0).sum()) == 0:
        return None
    planes = {"principal components": _principal(together)}
    neighbours = _neighbours(together)
    if neighbours is not None:
        planes["t-SNE"] = neighbours
    colourings = _colourings(experiment, rows, members)
    figures: list[Figure] = []
    for title, (plane, across, up) in planes.items():
        pieces = dict(
            zip(
                states,
                np.split(plane, np.cumsum([len(s) for s in states.values()])[:-1]),
                strict=True,
            )
        )
        svg, groups = scatter(
            f"map-{len(figures)}", pieces, _joined(pieces, members), across=across, up=up
        )
        figures.append(
            Figure(
                title=title,
                svg=svg,
                alt=f"Map of the states of {len(rows)} items by {title}, a point for each domain "
                "of an item; "
                "points of one item are joined. The table below tells how far apart they lie.",
                groups=groups,
                colourings=colourings,
            )
        )
    return Section(
        title="Map of the workspace",
        note=f"The states of {len(rows)} judged items, each from one domain alone. Points of the "
        "same item are joined: "
        "the shorter the lines, the more the domains agree.",
        parts=[*figures, _gaps(experiment, standard)],
    )


def _matched(table: Table) -> Tensor:
    """Rows of two domains and more, those that hold most first."""
    held = torch.stack([table[name].present for name in table]).sum(dim=0)
    rows = (held >= 2).nonzero().flatten()
    return rows[held[rows].argsort(descending=True, stable=True)]


def _states(
    experiment: Experiment, standard: Table, rows: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Domain -> codes of those of the rows that have it, and which of the rows these are."""
    workspace = experiment.workspace
    codes, members = {}, {}
    for name in list(standard)[:_MOST_DOMAINS]:
        has = standard[name].present[rows]
        if has.any():
            codes[name] = states(workspace, standard, name, rows[has]).cpu()
            members[name] = has.nonzero().flatten()
    return codes, members


def _principal(states: Tensor) -> tuple[np.ndarray, str, str]:
    centred = states - states.mean(dim=0)
    _, sizes, axes = torch.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * axes[:2].gather(1, axes[:2].abs().argmax(dim=1, keepdim=True)).sign()
    shares = sizes.square() / sizes.square().sum()
    plane = centred @ axes.T
    if plane.shape[1] == 1:
        plane, shares = F.pad(plane, (0, 1)), F.pad(shares, (0, 1))
    labels = [f"component {k + 1} ({float(shares[k]):.0%} of the variance)" for k in range(2)]
    return plane.numpy(), labels[0], labels[1]


def _neighbours(states: Tensor) -> tuple[np.ndarray, str, str] | None:
    """t-SNE, where scikit-learn is installed and there are enough points."""
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        return None
    if len(states) < 30:
        return None
    plane = TSNE(perplexity=min(30, len(states) / 4), init="pca", random_state=0).fit_transform(
        states.numpy()
    )
    return plane.astype(float), "", ""


def _joined(
    planes: Mapping[str, np.ndarray], members: Mapping[str, Tensor]
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Lines between the points of one item, domain after domain."""
    points: dict[int, list[tuple[float, float]]] = {}
    for name, plane in planes.items():
        for item, (x, y) in zip(members[name].tolist(), plane.tolist(), strict=True):
            points.setdefault(item, []).append((x, y))
    return [pair for some in points.values() for pair in zip(some, some[1:], strict=False)]


def _colourings(
    experiment: Experiment, rows: Tensor, members: Mapping[str, Tensor]
) -> dict[str, Colouring]:
    """What the judged latents tell of an item: each class, number and angle."""
    found: dict[str, Colouring] = {}
    for domain in experiment.held_out.latents:
        column = experiment.held_out.latents[domain]
        spec = experiment.workspace.domains[domain].latent
        if len(spec.parts) > _MOST_FACTORS:
            continue
        has = column.present[rows]
        latents = column.take(rows[has]).double()
        for part, columns in zip(spec.parts, spec.slices().values(), strict=True):
            values, names = latents[:, columns], list[str]()
            if part.kind == "categorical":
                told, names = _classes(
                    values.argmax(dim=1), class_names(experiment, domain, part.name, part.size)
                )
            elif part.kind == "continuous" and part.size == 1:
                told = values[:, 0]
            elif part.kind == "circular" and part.size == 1:
                told = torch.atan2(values[:, 1], values[:, 0])
            else:
                continue
            whole = torch.full((len(rows),), float("nan"), dtype=torch.float64)
            whole[has] = told
            per_group = [
                [None if value != value else round(value, 4) for value in whole[some].tolist()]
                for some in members.values()
            ]
            if any(value is not None for some in per_group for value in some):
                found[label(domain, part.name, spec)] = Colouring(values=per_group, names=names)
    return found


def _classes(told: Tensor, names: Sequence[str]) -> tuple[Tensor, list[str]]:
    """The class of each item, and names; of more than 40 classes, the rarest become one.

    Args:
        told: (n,) int64.
        names: Of all classes.
    """
    if len(names) <= _MOST_CLASSES:
        return told.double(), list(names)
    counts = told.bincount(minlength=len(names))
    kept = counts.argsort(descending=True, stable=True)[: _MOST_CLASSES - 1].sort().values
    places = torch.full((len(names),), len(kept))
    places[kept] = torch.arange(len(kept))
    rest = len(names) - len(kept)
    return places[told].double(), [*(names[k] for k in kept.tolist()), f"{rest} others"]


@torch.no_grad()
def dimensions(experiment: Experiment) -> Section | None:
    """Which dimension of the workspace tells what, read from the states of each domain."""
    workspace = experiment.workspace
    factors = known_factors(workspace, experiment.held_out)
    if workspace.topology == "direct" or not factors:
        return None
    standard = experiment.held_out.standard(workspace)
    figures: list[Figure] = []
    scores: list[list[str]] = []
    for source in standard:
        known = torch.stack([values.isfinite().all(dim=1) for values in factors.values()])
        rows = (standard[source].present & known.all(dim=0)).nonzero().flatten()[:_JUDGED]
        if len(rows) < 10:
            continue
        code = states(workspace, standard, source, rows).cpu().double()
        shares = torch.stack([_told(code, values[rows]) for values in factors.values()])
        if len(rows) >= FEWEST:
            scores.append([source, *_disentangled(code, {n: v[rows] for n, v in factors.items()})])
        best = shares.max(dim=1)
        most = ", ".join(
            f"{name} {float(value):.2f} in {int(k)}"
            for name, value, k in zip(factors, best.values, best.indices, strict=True)
        )
        figures.append(
            Figure(
                title=f"From {source}",
                svg=heat(
                    f"dimensions-{source}",
                    shares.numpy(),
                    list(factors),
                    across="dimension of the workspace",
                ),
                alt=f"How much each dimension tells of each factor, from {source}. The most: "
                f"{most}.",
                wide=True,
            )
        )
    if not figures:
        return None
    return Section(
        title="What each dimension tells",
        note="Share of the variance of a factor (of a class: of its indicator variables) that a "
        "straight line through one dimension of the state explains: from 0, pale, to 1, dark. "
        "MIG: how much more the best dimension tells of a factor than the second best, on average. "
        "DCI: whether a dimension is for one factor (disentanglement), a factor in one dimension "
        "(completeness), and how well factors are told at all (R²). A workspace is not trained for "
        "any of them.",
        parts=[*figures, *([Grid(headings=["from", *SCORES], rows=scores)] if scores else [])],
    )


def _disentangled(code: Tensor, factors: Mapping[str, Tensor]) -> list[str]:
    """MIG and DCI of codes, as text; empty where they cannot be had."""
    found = disentangled(code, factors)
    return [f"{found[name]:.3f}" if name in found else "" for name in SCORES]


def _told(code: Tensor, values: Tensor) -> Tensor:
    """Squared correlation of dimensions (n, W) with values (n, k), by variance: (W,)."""
    x, y = code - code.mean(dim=0), values - values.mean(dim=0)
    spread = x.square().sum(dim=0).clamp(min=1e-12)
    explained = (x.T @ y).square() / spread[:, None]
    return (explained.sum(dim=1) / y.square().sum().clamp(min=1e-12)).clamp(0, 1)


@torch.no_grad()
def walk(experiment: Experiment) -> Section | None:
    """What every domain makes of states along the directions in which they vary most."""
    workspace = experiment.workspace
    standard = experiment.held_out.standard(workspace)
    rows = _matched(standard)[:_JUDGED]
    if workspace.topology == "direct" or len(rows) < 3:
        return None
    states, _ = _states(experiment, standard, rows)
    together = torch.cat(list(states.values()))
    centre = together.mean(dim=0)
    _, sizes, axes = torch.linalg.svd(together - centre, full_matrices=False)
    spread = sizes / max(len(together) - 1, 1) ** 0.5
    grids: list[Grid] = []
    for number in range(min(_WALKS, len(axes))):
        steps = torch.tensor(_STEPS)[:, None] * spread[number] * axes[number]
        codes = (centre + steps).to(workspace.device)
        table: list[list[Cell]] = []
        for name in workspace.domains:
            shown = decoded(workspace, State(codes, codes), name)
            if shown is not None:
                table.append([name, *shown])
        if table:
            share = float(sizes[number].square() / sizes.square().sum())
            grids.append(
                Grid(
                    title=f"Direction {number + 1}: {share:.0%} of the variance",
                    headings=[
                        "domain",
                        *(f"{step:+g} sd" if step else "middle" for step in _STEPS),
                    ],
                    rows=table,
                    folded=bool(grids),
                )
            )
    if not grids:
        return None
    return Section(
        title="A walk through the workspace",
        note="States from the middle of the workspace towards either end of the directions in "
        "which states vary most, "
        "decoded by every domain; sd: standard deviations of the states.",
        parts=grids,
    )


def _gaps(experiment: Experiment, standard: Table) -> Grid:
    """How far apart two domains lie in the workspace, against how far apart items do."""
    workspace = experiment.workspace
    rows = []
    for first, second in combinations(standard, 2):
        rows_of_both, a, b = shared_states(workspace, standard, first, second, _JUDGED)
        if len(rows_of_both) < 2:
            continue
        a, b = a.double(), b.double()
        same = (a * b).sum(dim=1).mean()
        other = (a * b.roll(1, dims=0)).sum(dim=1).mean()
        gap = (a.mean(dim=0) - b.mean(dim=0)).norm()
        rows.append([f"{first}, {second}", f"{gap:.3f}", f"{same:.3f}", f"{other:.3f}"])
    return Grid(
        title="How far apart",
        headings=["domains", "modality gap", "likeness of the same item", "of another item"],
        rows=rows,
    )


@torch.no_grad()
def selection(experiment: Experiment) -> Section | None:
    """How much of a fused state each domain has, where the selection is learnt."""
    workspace = experiment.workspace
    if not any(True for _ in workspace.fusion.parameters()):
        return None
    standard = experiment.held_out.standard(workspace)
    names = list(standard)
    rows = []
    shades: list[list[float | None]] = []
    for group, members in standard.groups().items():
        if len(group) < 2:
            continue
        members = members[:_JUDGED]
        codes = torch.stack(
            [
                workspace.encoder(name)(standard[name].take(members).to(workspace.device))
                for name in group
            ]
        )
        present = torch.ones(codes.shape[:2], dtype=torch.bool, device=codes.device)
        weights = workspace.fusion.select(codes, present, None).mean(dim=1).tolist()
        of = dict(zip(group, weights, strict=True))
        rows.append(
            [
                " + ".join(group),
                *(f"{of[n]:.2f}" if n in of else "" for n in names),
                f"{len(members):,}",
            ]
        )
        shades.append([None, *(of.get(n) for n in names), None])
    if not rows:
        return None
    return Section(
        title="Selection",
        note="How much each domain counts, on average over judged rows, where these domains are "
        "given together.",
        parts=[Grid(headings=["given", *names, "rows"], rows=rows, shades=shades)],
    )
