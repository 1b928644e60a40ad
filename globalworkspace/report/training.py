"""Report sections about the run itself: its data, its curves, and how to repeat it."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from globalworkspace.report.plots import curves
from globalworkspace.run_folder import CONFIG
from globalworkspace.settings import flattened
from globalworkspace.sheet import Cell, Figure, Grid, Section
from globalworkspace.training.metrics_log import read_metrics
from globalworkspace.versions import versions

if TYPE_CHECKING:
    from globalworkspace.data.table import Table
    from globalworkspace.experiment import Experiment

_MOST_DIRECTIONS, _MEAN = 7, "mean of all"


def data(experiment: Experiment) -> Section:
    """What was trained on: the sets of domains that rows hold together, and how often."""
    domains = list(experiment.workspace.domains)
    tables = {"Training rows": experiment.training, "Judged rows": experiment.held_out.raw}
    grids = [
        _groups(f"{title}: {len(table):,}", table, domains)
        for title, table in tables.items()
        if table is not None
    ]
    kinds = ", ".join(
        f"{name} ({type(module).__name__}, {module.latent.dim} numbers)"
        for name, module in experiment.workspace.domains.items()
    )
    return Section(
        title="Data",
        note=f"Domains: {kinds}. A row below is a set of domains that table rows hold together: "
        "those with two "
        "and more are matched, and tell what belongs to what.",
        parts=grids,
    )


def _groups(title: str, table: Table, domains: Sequence[str]) -> Grid:
    counts = sorted(
        ((group, len(rows)) for group, rows in table.groups().items()),
        key=lambda entry: (-len(entry[0]), -entry[1]),
    )
    most = max((count for _, count in counts), default=1)
    rows: list[list[Cell]] = []
    shades: list[list[float | None]] = []
    for group, count in counts:
        rows.append([*("●" if name in group else "" for name in domains), f"{count:,}"])
        shades.append([*(1.0 if name in group else None for name in domains), count / most])
    return Grid(title=title, headings=[*domains, "rows"], rows=rows, shades=shades)


def learning_curves(experiment: Experiment) -> Section | None:
    """Losses of each family and errors of each direction over the steps, trained and held out."""
    history = read_metrics(experiment.folder)
    families, judged = (_series(history, key) for key in ("families", "validation_families"))
    errors = _directions(_series(history, "validation"))
    trained = _series(history, "training")
    trained = {name: trained.get("translation" if name == _MEAN else name, []) for name in errors}
    parts = []
    if families:
        parts.append(_curves("Loss of each family", "losses", "loss", families, judged))
    if errors:
        parts.append(
            _curves("Error of each direction", "errors", "normalised error", trained, errors)
        )
    if not parts:
        return None
    best, skipped = experiment.evaluation.get("best_step"), history[-1].get("skipped", 0)
    said = [
        f"{history[-1]['step']:,} steps.",
        "Held-out losses are of one batch of held-out rows, as they are, with the weights that "
        "would be kept: a contrastive loss is smaller where it has fewer rows to choose from."
        if judged
        else "",
        f"The weights of step {best:,} are kept: the validation error was smallest there."
        if best
        else "",
        f"{skipped:,} steps were not finite and skipped." if skipped else "",
    ]
    return Section(title="Learning curves", note=" ".join(filter(None, said)), parts=parts)


def _curves(
    title: str,
    name: str,
    up: str,
    trained: Mapping[str, Sequence[tuple[float, float]]],
    held_out: Mapping[str, Sequence[tuple[float, float]]],
) -> Figure:
    """Lines of the training rows, and dashed those of the held-out ones, where there are both."""
    both = any(trained.values()) and any(held_out.values())
    lines = trained if any(trained.values()) else held_out
    alt = f"{up.capitalize()} over the steps. At the end: " + _last(lines)
    if both:
        title += " on training rows; dashed: on held-out rows"
        alt += " On held-out rows: " + _last(held_out)
    svg = curves(name, lines, across="step", up=up, log=True, dashed=held_out if both else None)
    return Figure(title=title, svg=svg, alt=alt)


def _directions(
    errors: dict[str, list[tuple[float, float]]],
) -> dict[str, list[tuple[float, float]]]:
    """The mean and as many directions as can be told apart."""
    mean = errors.pop("translation", [])
    if len(errors) > _MOST_DIRECTIONS:
        errors = _extremes(errors)
    return {_MEAN: mean, **errors} if len(errors) > 1 else errors


def _extremes(errors: Mapping[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """The easiest and the hardest directions, where there are too many to tell apart."""
    ordered = sorted(errors, key=lambda name: errors[name][-1][1])
    half = _MOST_DIRECTIONS // 2
    return {name: errors[name] for name in [*ordered[:half], *ordered[-half:]]}


def _series(history: Sequence[Mapping[str, Any]], key: str) -> dict[str, list[tuple[float, float]]]:
    """Name -> (step, value) of what stands under a key of the history's entries."""
    found: dict[str, list[tuple[float, float]]] = {}
    for entry in history:
        for name, value in entry.get(key, {}).items():
            if value is not None and math.isfinite(value):
                found.setdefault(name, []).append((entry["step"], value))
    return found


def _last(series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    return ", ".join(f"{name} {line[-1][1]:.3g}" for name, line in series.items() if line) + "."


def reproduce(experiment: Experiment) -> Section:
    """What is needed to get the same again: command, seed, order of the data, versions, config."""
    history = read_metrics(experiment.folder)
    config_file = experiment.folder / CONFIG
    config: dict[str, Any] = (
        json.loads(config_file.read_text(encoding="utf-8")) if config_file.is_file() else {}
    )
    facts: list[tuple[str, str]] = []
    if experiment.command:
        facts.append(("command", shlex.join(experiment.command)))
    seed = config.get("training", {}).get("seed", experiment.evaluation.get("seed"))
    facts.append(("seed of training", str(0 if seed is None else seed)))
    orders = [entry["order"] for entry in history if "order" in entry]
    if orders:
        facts.append(("order of all rows drawn", orders[-1]))
    found = [[name, version] for name, version in versions().items()]
    parts = [Grid(title="Versions", headings=["of", "version"], rows=found, folded=True)]
    if config:
        settings = [[name, value] for name, value in flattened(config).items()]
        parts.append(
            Grid(title="All settings", headings=["setting", "value"], rows=settings, folded=True)
        )
    return Section(
        title="To do it again",
        headings=["what", "value"],
        rows=[list(fact) for fact in facts],
        note="The same seed, data and versions on the same machine give the same bytes. Two runs "
        "that show one "
        "order saw the same rows in the same order.",
        parts=parts,
    )
