"""What a run measures as it goes: errors and losses on held-out rows, errors on training rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from globalworkspace.augmentation import Augmentation
from globalworkspace.data.sampler import BatchSampler
from globalworkspace.data.table import Table
from globalworkspace.errors import DataError
from globalworkspace.evaluation.translation import direction_errors, translation_error
from globalworkspace.objectives.base import Objective
from globalworkspace.randomness import derived_generator
from globalworkspace.training.config import TrainerConfig
from globalworkspace.training.orchestrator import LossOrchestrator
from globalworkspace.workspace import GlobalWorkspace

_MOST_SEEN = 2000
"""Training rows whose errors are measured."""


class Validation:
    """The figures of one validation; the same rows are judged at each.

    Losses are those of one batch of held-out rows, drawn as a training batch is: as many rows of
    each kind, as far as there are. Of fewer rows a contrastive loss has fewer negatives, and is
    smaller for it. No augmentation changes the rows, and no chance enters. In a run of several
    processes, each computes all of it.

    Args:
        workspace: What is trained.
        objectives: The loss families; put into eval mode while they judge.
        training: Standardised rows; errors are measured on those of a seeded sample of the matched
            ones, as many as are held out, 2,000 at most.
        held_out: Standardised rows.
        config: Of the training.
        part_weights: See `LossOrchestrator`.
        augmentations: See `LossOrchestrator`.

    Raises:
        DataError: If no two domains share a held-out row.
    """

    def __init__(
        self,
        workspace: GlobalWorkspace,
        objectives: Sequence[Objective],
        training: Table,
        held_out: Table,
        config: TrainerConfig,
        *,
        part_weights: Mapping[str, Mapping[str, float]] | None = None,
        augmentations: Mapping[str, Augmentation] | None = None,
    ) -> None:
        self.workspace, self.held_out = workspace, held_out
        matched, seen = len(held_out.matched_rows()), training.matched_rows()
        if not matched:
            raise DataError(
                f"No two domains share rows to judge translations by ({held_out.describe()})."
            )
        chance = derived_generator(config.seed, "judged training rows")
        chosen = torch.randperm(len(seen), generator=chance)[: min(matched, _MOST_SEEN)]
        self.seen = training.select(seen[chosen].sort().values)
        self.orchestrator = LossOrchestrator(
            workspace,
            objectives,
            seed=config.seed,
            part_weights=part_weights,
            augmentations=augmentations,
        )
        self._sampler = BatchSampler(
            held_out,
            matched_rows=config.batch_size,
            unmatched_rows=config.unmatched_batch_size,
            seed=config.seed,
            device=workspace.device,
        )

    @property
    def taught(self) -> bool:
        """Whether a loss asks for a teacher."""
        return self.orchestrator.plan(self._sampler.segments).taught

    @torch.no_grad()
    def figures(self, step: int) -> dict[str, dict[str, float | None]]:
        """What is measured of the workspace as it is now.

        Args:
            step: For objectives that depend on it.

        Returns:
            `validation`: the normalised error of each direction over held-out rows, and their mean
            as `translation`; `training`: the same over rows that were trained on;
            `validation_families`: each family's loss (None: not finite).
        """
        figures: dict[str, dict[str, Any]] = {
            "validation": _with_mean(translation_error(self.workspace, self.held_out)),
            "training": _with_mean(direction_errors(self.workspace, self.seen)),
        }
        self.orchestrator.eval()
        try:
            losses, _ = self.orchestrator.families(self._sampler.batch(0), step)
        finally:
            self.orchestrator.train()
        told = {name: float(value) for name, value in losses.items()}
        figures["validation_families"] = {
            name: value if math.isfinite(value) else None for name, value in told.items()
        }
        return {name: values for name, values in figures.items() if values}


def _with_mean(errors: Mapping[str, float]) -> dict[str, float]:
    return {"translation": sum(errors.values()) / len(errors), **errors} if errors else {}
