"""The report's section about what lives where in the workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from globalworkspace.errors import DataError
from globalworkspace.evaluation.factors import factors
from globalworkspace.sheet import Grid, Section

if TYPE_CHECKING:
    from globalworkspace.experiment import Experiment


def factors_section(experiment: Experiment) -> Section | None:
    """What the states of each domain tell: of factors, and of the other domains.

    The figures of the evaluation `factors`, where it was asked for; else it is made here.
    """
    found = experiment.evaluation.get("factors")
    if found is None:
        try:
            found = factors(experiment.workspace, experiment.held_out)
        except DataError:
            return None
    if not found["domains"]:
        return None
    parts = [_domains(found["domains"])]
    if found["factors"]:
        parts.append(_factors(found["factors"]))
    return Section(
        title="What lives where",
        note="Share of the variance that a straight line through the states of a domain tells, on "
        "rows that it was not fitted on. A dot: no more than chance, that is, not above the "
        "largest of 19 probes whose rows were permuted. Shared is the most that another domain's "
        "states tell of a domain's latents; private is how much more its own states tell, or 0 "
        "where that is no more than chance.",
        parts=parts,
    )


def _text(probe: dict[str, float] | None) -> str:
    if probe is None:
        return ""
    return f"{probe['explained']:.2f}" if probe["explained"] > probe["null"] else "·"


def _shade(probe: dict[str, float] | None) -> float | None:
    if probe is None or probe["explained"] <= probe["null"]:
        return None
    return min(max(probe["explained"], 0.0), 1.0)


def _domains(domains: dict[str, Any]) -> Grid:
    names = list(domains)
    rows, shades = [], []
    for target, found in domains.items():
        probes = {**found["from"], target: found["own"]}
        cells = [probes.get(name) for name in names]
        rows.append(
            [
                target,
                *(_text(cell) for cell in cells),
                f"{found['shared']:.2f}",
                f"{found['private']:.2f}",
            ]
        )
        shades.append([None, *(_shade(cell) for cell in cells), None, None])
    headings = ["latents of", *(f"from {name}" for name in names), "shared", "private"]
    return Grid(title="Shared and private", headings=headings, rows=rows, shades=shades)


def _factors(told: dict[str, dict[str, dict[str, float]]]) -> Grid:
    names = dict.fromkeys(name for found in told.values() for name in found)
    rows, shades = [], []
    for name in names:
        cells = [found.get(name) for found in told.values()]
        rows.append([name, *(_text(cell) for cell in cells)])
        shades.append([None, *(_shade(cell) for cell in cells)])
    headings = ["factor", *(f"from {source}" for source in told)]
    return Grid(title="Factors", headings=headings, rows=rows, shades=shades)
