"""The page that a run leaves behind: its figures, and held-out items beside their translations.

Sections come from plugins: a section is a callable `(experiment) -> Section | None`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from globalworkspace.domain import Decodes, DomainModule, Renders
from globalworkspace.errors import DomainError
from globalworkspace.registry import Registration, get_registry
from globalworkspace.sheet import Cell, write_page
from globalworkspace.sheet import Section as Section

if TYPE_CHECKING:
    from globalworkspace.data.table import Column
    from globalworkspace.experiment import Experiment

FILE = "report.html"
SHOWN = 6
"""Rows of each direction that the report shows."""


def write_report(experiment: Experiment) -> None:
    """Write report.html into the run folder, one section of each registered kind that has one.

    The core's come first. A plugin's section that fails becomes a line that says so, and a warning.
    """
    kinds = get_registry().kinds("report-section")
    ordered = sorted(kinds.values(), key=lambda r: (r.owner != "core", r.owner, r.kind))
    sections = [_section(registration, experiment) for registration in ordered]
    write_page(
        experiment.folder / FILE,
        f"Workspace of {', '.join(experiment.workspace.domains)}",
        [section for section in sections if section is not None],
    )


def figures(experiment: Experiment) -> Section:
    """The section of errors and recalls, a row per direction."""
    evaluation = experiment.evaluation
    errors, recalls = evaluation["translation"], evaluation["retrieval"]
    ks = list(next(iter(recalls.values()), {}))
    rows = [
        [direction, f"{error:.3f}", *(f"{recalls[direction][k]:.3f}" for k in ks)]
        for direction, error in errors.items()
        if direction in recalls
    ]
    return Section(
        title="Figures",
        headings=["direction", "error", *(f"recall@{k}" for k in ks)],
        rows=rows,
        note=f"{evaluation['data']}. Judged on {evaluation['rows']} rows. "
        "Error: normalised squared error of latents, 0 is perfect and 1 a constant guess. "
        "Recall: how often the right item is among the k whose states are most alike.",
    )


@torch.no_grad()
def translations(experiment: Experiment) -> Section | None:
    """The section of held-out items: each direction's source, its translation, and the truth."""
    workspace, held_out = experiment.workspace, experiment.held_out
    rows: list[list[Cell]] = []
    for source in held_out.latents:
        for target in held_out.latents:
            module = workspace.domains[target]
            if source == target or not isinstance(module, Decodes):
                continue
            both = held_out.raw[source].present & held_out.raw[target].present
            chosen = both.nonzero().flatten()[:SHOWN]
            if not len(chosen):
                continue
            state = workspace.encode({source: held_out.latents[source].take(chosen)}, latents=True)
            try:
                decoded = workspace.decode(state, target)
            except DomainError:  # a domain that answers from a gallery and has none
                continue
            given = _show(workspace.domains[source], held_out.raw[source], chosen)
            truth = _show(module, held_out.raw[target], chosen)
            found = _cells(module, decoded, len(chosen))
            rows += [
                [f"{source} → {target}", *cells] for cells in zip(given, found, truth, strict=True)
            ]
    if not rows:
        return None
    return Section(
        title="Translations",
        headings=["direction", "source", "translation", "what the row really holds"],
        rows=rows,
        note="Rows that were not trained on.",
    )


def _section(registration: Registration, experiment: Experiment) -> Section | None:
    try:
        section = registration.load()(experiment)
        if section is not None and not isinstance(section, Section):
            raise TypeError(f"it returned {type(section).__name__}, not a Section or None")
    except Exception as error:  # a stranger's section must not cost the run its report
        reason = f"{type(error).__name__}: {error}"
        where = f'"{registration.kind}" of plugin "{registration.owner}"'
        warnings.warn(f"The report section {where} failed: {reason}", stacklevel=3)
        return Section(
            title=registration.kind, headings=[], rows=[], note=f"Section {where} failed: {reason}"
        )
    return section


def _show(module: DomainModule, column: Column, rows: torch.Tensor) -> list[Cell]:
    return _cells(module, column.take(rows), len(rows))


def _cells(module: DomainModule, raw: Any, count: int) -> list[Cell]:
    """A batch as cells of a page: rendered where the module can, else in words."""
    if isinstance(module, Renders):
        rendered: Sequence[Cell] = module.render(raw)
        return list(rendered)
    if isinstance(raw, dict):
        return [", ".join(f"{k}: {values[i]}" for k, values in raw.items()) for i in range(count)]
    return [_words(raw[i]) for i in range(count)]


def _words(item: Any) -> str:
    text = str(item.tolist() if isinstance(item, torch.Tensor) else item)
    return text if len(text) <= 200 else text[:200] + "…"
