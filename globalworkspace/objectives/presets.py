"""Sets of objectives to begin with."""

from __future__ import annotations

from globalworkspace.objectives.base import Objective
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.translation import Translation


def default_objectives() -> list[Objective]:
    """Translation and contrastive on matched rows, demi-cycles and detached cycles on all.

    The weights were chosen on Simple Shapes with 500 matched rows; see docs/results/demo.md.
    """
    return [Translation(1.0), Contrastive(0.1), DemiCycle(0.1), Cycle(0.3, detach=True)]
