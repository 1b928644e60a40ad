"""The page that a run leaves behind: its figures, its curves, and items beside their translations.

Sections come from the registry, the core's like anyone else's: a section is a callable
`(experiment) -> Section | None`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from globalworkspace.registry import Registration, get_registry
from globalworkspace.sheet import Colouring as Colouring
from globalworkspace.sheet import Figure as Figure
from globalworkspace.sheet import Grid as Grid
from globalworkspace.sheet import Section as Section
from globalworkspace.sheet import Stack as Stack
from globalworkspace.sheet import write_page

if TYPE_CHECKING:
    from globalworkspace.experiment import Experiment

FILE = "report.html"


def write_report(experiment: Experiment) -> None:
    """Write report.html into the run folder, one section of each registered kind that has one.

    The core's come first, in the order of their registration. A section that fails becomes a line
    that says so, and a warning.
    """
    registry = get_registry()
    kinds = [entry for entry in registry.registrations if entry.category == "report-section"]
    ordered = sorted(kinds, key=lambda entry: (entry.owner != "core", entry.owner))
    sections = [_section(registration, experiment) for registration in ordered]
    write_page(
        experiment.folder / FILE,
        f"Workspace of {', '.join(experiment.workspace.domains)}",
        [section for section in sections if section is not None],
        lead=_lead(experiment),
    )


def _lead(experiment: Experiment) -> str:
    """The run in a sentence."""
    errors = experiment.evaluation.get("translation", {})
    if not errors:
        return ""
    mean = sum(errors.values()) / len(errors)
    best, worst = min(errors, key=errors.__getitem__), max(errors, key=errors.__getitem__)
    spread = f", from {errors[best]:.2f} ({best}) to {errors[worst]:.2f} ({worst})"
    return (
        f"Mean translation error {mean:.2f}{spread if len(errors) > 1 else ''}; 0 is perfect, 1 a "
        "constant guess."
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
        return Section(title=registration.kind, note=f"Section {where} failed: {reason}")
    return section
