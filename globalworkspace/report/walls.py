"""Report sections of held-out items: translated into every domain, and there and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from globalworkspace.evaluation.translation import predict
from globalworkspace.report.items import decoded, shown
from globalworkspace.sheet import Cell, Grid, Item, Section, Stack

if TYPE_CHECKING:
    from globalworkspace.data.table import Table
    from globalworkspace.experiment import Experiment

RANDOM = 4
"""Rows drawn by chance; beside them the best, the median and the worst are shown."""
_RANKED = 1000
"""Rows among which those are looked for."""


@torch.no_grad()
def translations(experiment: Experiment) -> Section | None:
    """A wall per source: each row's item, its translations, and what the row really holds."""
    grids = []
    standard = experiment.held_out.standard(experiment.workspace)
    for source in experiment.held_out.latents:
        grid = _wall(experiment, standard, source)
        if grid is not None:
            grids.append(grid)
    if not grids:
        return None
    return Section(
        title="Translations",
        note="Rows that were not trained on. Each was encoded from one domain alone and decoded "
        "into the others; below each translation stands what the row really holds. The first rows "
        "are drawn by chance; best, median and worst are by the error of all translations.",
        parts=grids,
    )


def _wall(experiment: Experiment, standard: Table, source: str) -> Grid | None:
    workspace, held_out = experiment.workspace, experiment.held_out
    targets = [
        name
        for name in held_out.latents
        if name != source and len(held_out.raw.rows_with(source, name))
    ]
    rows, words, ranks = _chosen(experiment, standard, source, targets)
    if not len(rows):
        return None
    state = workspace.encode({source: held_out.latents[source].take(rows)}, latents=True)
    columns: dict[str, list[Cell]] = {}
    for target in targets:
        found = decoded(workspace, state, target)
        if found is None:
            continue
        has = held_out.raw[target].present[rows]
        truths = iter(shown(workspace.domains[target], held_out.raw[target], rows[has]))
        columns[target] = [
            Stack(items=[("", cell), ("truth:", next(truths))]) if known else cell
            for cell, known in zip(found, has.tolist(), strict=True)
        ]
    if not columns:
        return None
    given = shown(workspace.domains[source], held_out.raw[source], rows)
    return Grid(
        title=f"From {source}",
        headings=["row", source, *(f"→ {target}" for target in columns)],
        rows=[list(row) for row in zip(words, given, *columns.values(), strict=True)],
    )


def _chosen(
    experiment: Experiment, standard: Table, source: str, targets: Sequence[str]
) -> tuple[Tensor, list[str], Tensor]:
    """Rows to show of a source: some by chance, then the best, the median and the worst.

    Returns:
        (rows, the word for each, errors).
    """
    rows, errors = row_errors(experiment, standard, source, targets)
    order = errors.argsort()
    generator = torch.Generator().manual_seed(0)
    first = torch.randperm(len(rows), generator=generator)[:RANDOM].sort().values.tolist()
    ranked: list[tuple[str, int]] = []
    if len(rows) > RANDOM + 2:
        ranked = [
            ("best", int(order[0])),
            ("median", int(order[len(order) // 2])),
            ("worst", int(order[-1])),
        ]
    positions = torch.tensor([*first, *(place for _, place in ranked)], dtype=torch.int64)
    words = [f"{int(experiment.held_out.raw.origin[rows[k]]):,}" for k in first]
    words += [f"{word} ({float(errors[place]):.2f})" for word, place in ranked]
    return rows[positions], words, errors


def row_errors(
    experiment: Experiment, standard: Table, source: str, targets: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """How wrong the translations of each row are.

    Returns:
        Rows with the source and at least one target, `_RANKED` at most (n,), and their errors (n,):
        squared, over the variance of the judged rows, averaged over columns and targets.
    """
    workspace = experiment.workspace
    total = torch.zeros(len(standard), dtype=torch.float64)
    number = torch.zeros(len(standard), dtype=torch.float64)
    for target in targets:
        rows = standard.rows_with(source, target)[:_RANKED]
        if not len(rows):
            continue
        guess = predict(workspace, standard, (source,), target, rows).double().cpu()
        truth = standard[target].take(rows).double().cpu()
        variance = truth.var(dim=0, correction=0)
        varies = variance > 1e-8
        squared = (guess - truth).square()[:, varies] / variance[varies]
        if squared.shape[1]:
            total[rows] += squared.mean(dim=1)
            number[rows] += 1
        else:
            number[rows] += 1
    rows = (number > 0).nonzero().flatten()[:_RANKED]
    return rows, total[rows] / number[rows]


@torch.no_grad()
def round_trips(experiment: Experiment) -> Section | None:
    """A wall per domain: an item, and what comes back from it by way of each other domain."""
    workspace, held_out = experiment.workspace, experiment.held_out
    grids: list[Grid] = []
    for source in held_out.latents:
        rows = held_out.raw.rows_with(source)[:RANDOM]
        if not len(rows):
            continue
        state = workspace.encode({source: held_out.latents[source].take(rows)}, latents=True)
        columns: dict[str, list[Item]] = {}
        itself = decoded(workspace, state, source)
        if itself is None:
            continue
        columns["by the workspace alone"] = itself
        for through in workspace.domains:
            if through != source:
                middle = workspace.decode(state, through, latents=True)
                back = decoded(workspace, workspace.encode({through: middle}, latents=True), source)
                columns[f"by {through}"] = back or []
        given = shown(workspace.domains[source], held_out.raw[source], rows)
        grids.append(
            Grid(
                title=f"{source} and back",
                headings=[source, *columns],
                rows=[list(row) for row in zip(given, *columns.values(), strict=True)],
                folded=bool(grids),
            )
        )
    if not grids:
        return None
    return Section(
        title="Round trips",
        note="The same items encoded, decoded into another domain, encoded from there and decoded "
        "again: what is "
        "lost on the way is what the other domain does not hold.",
        parts=grids,
    )
