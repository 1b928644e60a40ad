"""Report sections of figures: errors and recalls, parts of latents, hits and misses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from globalworkspace.evaluation.retrieval import ranks, shared_states
from globalworkspace.evaluation.translation import direction, normalized_error, predict
from globalworkspace.latents import LatentSpec
from globalworkspace.report.items import shown
from globalworkspace.sheet import Cell, Grid, Section, Stack

if TYPE_CHECKING:
    from globalworkspace.experiment import Experiment

_ROWS, _GALLERY, _EXAMPLES = 2000, 1000, 3
_MOST_CLASSES = 12


def figures(experiment: Experiment) -> Section:
    """Errors and recalls, a row per direction."""
    evaluation = experiment.evaluation
    errors, recalls = evaluation["translation"], evaluation["retrieval"]
    ks = list(next(iter(recalls.values()), {}))
    direct = experiment.workspace.topology == "direct"
    medians = {} if direct else _median_ranks(experiment)
    rows = [
        [
            name,
            f"{error:.3f}",
            *(f"{recalls[name][k]:.3f}" for k in ks),
            f"{medians[name][0]:g} of {medians[name][1]:,}" if name in medians else "",
        ]
        for name, error in errors.items()
        if name in recalls
    ]
    return Section(
        title="Figures",
        headings=["direction", "error", *(f"recall@{k}" for k in ks), "median rank"],
        rows=rows,
        note=f"{evaluation['data']}. Judged on {evaluation['rows']} rows. "
        "Error: normalised squared error of latents, 0 is perfect and 1 a constant guess. "
        "Recall: how often the right item is among the k whose states are most alike. Median rank: "
        "the place of the right item in half of the searches, or better; 1 is the first."
        + (" Direct translators share no states: nothing can be found by them." if direct else ""),
    )


def _median_ranks(experiment: Experiment) -> dict[str, tuple[float, int]]:
    found = {}
    for name, similarity, _ in _similarities(experiment):
        places = ranks(similarity)
        found[name] = (float(places.double().median()), len(places))
    return found


@torch.no_grad()
def _similarities(experiment: Experiment) -> list[tuple[str, Tensor, Tensor]]:
    """(direction, similarity of each query to each item, rows) of all directions."""
    workspace = experiment.workspace
    standard = experiment.held_out.standard(workspace)
    found = []
    for source in standard:
        for target in standard:
            if source != target:
                rows, first, second = shared_states(
                    workspace, standard, source, target, most=_GALLERY
                )
                if len(rows) >= 2:
                    found.append((direction((source,), target), (first @ second.T).cpu(), rows))
    return found


def retrieval(experiment: Experiment) -> Section | None:
    """Searches that find the right item at once, and the ones that go most wrong."""
    if experiment.workspace.topology == "direct":  # translators share no states to compare
        return None
    raw, domains = experiment.held_out.raw, experiment.workspace.domains
    grids: list[Grid] = []
    for name, similarity, rows in _similarities(experiment):
        source, _, target = name.partition(" -> ")
        places = ranks(similarity)
        hits = (places == 1).nonzero().flatten()[:_EXAMPLES]
        misses = (places > 1).nonzero().flatten()
        misses = misses[places[misses].argsort(descending=True, stable=True)][:_EXAMPLES]
        queries = torch.cat([hits, misses])
        best = similarity[queries].topk(min(3, similarity.shape[1]), dim=1).indices
        table: list[list[Cell]] = []
        given = shown(domains[source], raw[source], rows[queries])
        truths = shown(domains[target], raw[target], rows[queries])
        for k, query in enumerate(queries.tolist()):
            answers = shown(domains[target], raw[target], rows[best[k]])
            stack = Stack(items=[(f"{i}.", cell) for i, cell in enumerate(answers, 1)])
            rank = int(places[query])
            table.append([f"{rank:,}", given[k], stack, truths[k]])
        grids.append(
            Grid(
                title=f"{source} → {target}",
                headings=["rank", source, "the three most alike", "the right one"],
                rows=table,
                folded=bool(grids),
            )
        )
    if not grids:
        return None
    return Section(
        title="Retrieval",
        note=f"Each item was looked for among those of the first {_GALLERY:,} judged rows at most, "
        "by the likeness "
        "(cosine) of states: some that are found at once, and those that are furthest off.",
        parts=grids,
    )


@torch.no_grad()
def parts(experiment: Experiment) -> Section | None:
    """How much of each part of a latent a translation tells, and which classes are mistaken."""
    workspace = experiment.workspace
    standard = experiment.held_out.standard(workspace)
    grids: list[Grid] = []
    confusions: list[Grid] = []
    for target in standard:
        spec = workspace.spec(target)
        sources, rows, shades = [], [], []
        for source in standard:
            present = standard.rows_with(source, target)[:_ROWS]
            if source == target or len(present) < 2:
                continue
            guess = predict(workspace, standard, (source,), target, present).cpu()
            truth = standard[target].take(present).cpu()
            scores = []
            for part, columns in zip(spec.parts, spec.slices().values(), strict=True):
                told, true = guess[:, columns], truth[:, columns]
                if part.kind == "categorical":
                    scores.append(float((told.argmax(1) == true.argmax(1)).double().mean()))
                    if part.size <= _MOST_CLASSES:
                        names = class_names(experiment, target, part.name, part.size)
                        confusions.append(
                            _confusion(f"{part.name}: {source} → {target}", told, true, names)
                        )
                else:
                    error = normalized_error(told, true, LatentSpec((part,)))
                    scores.append(1 - float(error.mean()) if len(error) else math.nan)
            sources.append(source)
            rows.append([source, *("" if math.isnan(s) else f"{s:.3f}" for s in scores)])
            shades.append(
                [None, *(None if math.isnan(s) else min(max(s, 0.0), 1.0) for s in scores)]
            )
        if rows:
            headings = [
                f"{part.name} ({'right' if part.kind == 'categorical' else 'R²'})"
                for part in spec.parts
            ]
            grids.append(
                Grid(title=f"To {target}", headings=["from", *headings], rows=rows, shades=shades)
            )
    if not grids:
        return None
    return Section(
        title="What is told of each part",
        note="Share of the variance that a translation explains (R²: 1 is perfect, 0 a constant "
        "guess), and of "
        "classes the share that is right.",
        parts=[*grids, *confusions],
    )


def _confusion(title: str, told: Tensor, true: Tensor, names: Sequence[str]) -> Grid:
    size = len(names)
    counts = torch.zeros(size, size)
    for row, column in zip(true.argmax(1).tolist(), told.argmax(1).tolist(), strict=True):
        counts[row, column] += 1
    shares = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
    return Grid(
        title=title,
        headings=["really", *(f"told {name}" for name in names)],
        rows=[
            [name, *(f"{int(n):,}" for n in row)]
            for name, row in zip(names, counts.tolist(), strict=True)
        ],
        shades=[[None, *row] for row in shares.tolist()],
        folded=True,
    )


def class_names(experiment: Experiment, domain: str, part: str, size: int) -> list[str]:
    """What the classes of a categorical part are called, as far as the judged cells tell."""
    names = [f"class {k}" for k in range(size)]
    latents, raw = experiment.held_out.latents[domain], experiment.held_out.raw[domain]
    rows = latents.present.nonzero().flatten()[:_ROWS]
    columns = experiment.workspace.domains[domain].latent.slices()[part]
    classes = latents.take(rows)[:, columns].argmax(dim=1).tolist()
    module: Any = experiment.workspace.domains[domain]
    taken: Any = raw.take(rows)
    if hasattr(module, "decode"):
        again = module.decode(latents.take(rows))
        taken = again if isinstance(again, Mapping) else taken
    for k, label in enumerate(classes):
        cell = taken.get(part) if isinstance(taken, Mapping) else None
        if cell is not None and names[label] == f"class {label}":
            names[label] = str(cell[k])
    return names
