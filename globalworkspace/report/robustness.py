"""Report section of what noise and missing domains do to translations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from globalworkspace.data.table import Table
from globalworkspace.evaluation.robustness import NOISE, noise_curve
from globalworkspace.evaluation.translation import normalized_error, predict
from globalworkspace.report.plots import curves
from globalworkspace.sheet import Figure, Grid, Section

if TYPE_CHECKING:
    from globalworkspace.experiment import Experiment

_JUDGED, _MOST_DOMAINS = 2000, 8


def robustness(experiment: Experiment) -> Section | None:
    """What is left of a translation when the domain it is made from is noisy."""
    workspace = experiment.workspace
    standard = experiment.held_out.standard(workspace)
    standard = standard.select(torch.arange(min(len(standard), _JUDGED)))
    figures = []
    for target in standard:
        lines = {}
        for source in standard:
            shared = len(standard.rows_with(source, target))
            if source == target or shared < 2:
                continue
            curve = noise_curve(workspace, standard, noisy=source, sources=(source,), target=target)
            lines[f"noise on {source}"] = list(curve.items())
        if not lines:
            continue
        ends = ", ".join(
            f"{name} {line[0][1]:.2f} to {line[-1][1]:.2f}" for name, line in lines.items()
        )
        figures.append(
            Figure(
                title=f"To {target}",
                svg=curves(
                    f"noise-{target}",
                    lines,
                    across="noise (1: as large as the latents)",
                    up="normalised error",
                ),
                alt=f"Error of {target} under noise of 0 to {NOISE[-1]:g}: {ends}.",
            )
        )
    if not figures:
        return None
    missing = _missing(experiment, standard)
    return Section(
        title="Noise, and missing domains",
        note="Gaussian noise was added to the latents of the domain that is translated. An error "
        "of 1 is that of a constant guess."
        + (" Below: all other domains fused, and one of them left out." if missing else ""),
        parts=[*figures, *missing],
    )


def _missing(experiment: Experiment, standard: Table) -> list[Grid]:
    """What each domain adds to the others: errors with all of them, and without one."""
    names = list(standard)
    whole = torch.stack([standard[name].present for name in names]).all(dim=0)
    rows = whole.nonzero().flatten()
    if not 3 <= len(names) <= _MOST_DOMAINS or len(rows) < 2:
        return []
    table: list[list[str]] = []
    for target in names:
        others = [name for name in names if name != target]
        given = {"": others} | {out: [n for n in others if n != out] for out in others}
        truth = standard[target].take(rows).to(experiment.workspace.device)
        errors = {
            out: float(
                normalized_error(
                    predict(experiment.workspace, standard, sources, target, rows),
                    truth,
                    experiment.workspace.spec(target),
                ).mean()
            )
            for out, sources in given.items()
        }
        told = (f"{errors[name]:.3f}" if name in errors else "" for name in ["", *names])
        table.append([target, *told])
    headings = ["to", "from all others", *(f"without {name}" for name in names)]
    return [Grid(title="A domain missing", headings=headings, rows=table)]
