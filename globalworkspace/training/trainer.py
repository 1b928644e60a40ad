"""The training loop: latents in, a trained workspace out.

Latents are computed once, standardised, and stay on the training device; a step draws rows by
index, walks the routes, and updates. Everything random in a step is a function of (seed, step), so
that a resumed run goes on exactly as an uninterrupted one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from globalworkspace.augmentation import Augmentation
from globalworkspace.data.encoding import encode_table
from globalworkspace.data.latent_store import LatentStore
from globalworkspace.data.table import Column, Table
from globalworkspace.errors import DataError
from globalworkspace.objectives.base import Objective
from globalworkspace.processes import current_processes
from globalworkspace.recipes import default_objectives
from globalworkspace.standard_table import check_latents, standardize_table
from globalworkspace.training import checkpoint
from globalworkspace.training.callbacks import Callback
from globalworkspace.training.config import TrainerConfig as TrainerConfig
from globalworkspace.training.device import pick_device
from globalworkspace.training.run import Run
from globalworkspace.training.run_state import run_identity
from globalworkspace.workspace import GlobalWorkspace


@attrs.frozen(eq=False, kw_only=True)
class TrainingResult:
    """What a run left behind; the workspace itself was trained in place."""

    history: list[dict[str, Any]]
    """The metrics log: one dict per logged or validated step."""
    best_step: int | None
    best_error: float | None
    """Smallest validation translation error (mean over directions, 1 is about a constant guess)."""
    seconds: float
    stopped: str | None = None
    """Why a callback ended the run before its last step."""


class Trainer:
    """Trains a workspace.

    Args:
        config: Settings.
        objectives: Loss families; default: those of the recipe `default`, which knows how many rows
            are matched and how long the training is.
        part_weights: Domain -> part -> weight of each component in row losses.
        augmentations: Name -> augmentation, for objectives that are `seen_through` that name.
        callbacks: Listeners to the run's events.

    Example:
        >>> Trainer(TrainerConfig(steps=10), default_objectives(pairs=100, steps=10)).config.steps
        10
    """

    def __init__(
        self,
        config: TrainerConfig | None = None,
        objectives: Sequence[Objective] | None = None,
        *,
        part_weights: Mapping[str, Mapping[str, float]] | None = None,
        augmentations: Mapping[str, Augmentation] | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.config = config or TrainerConfig()
        self.objectives = None if objectives is None else list(objectives)
        self.part_weights = part_weights
        self.augmentations = augmentations
        self.callbacks = list(callbacks)

    def fit(
        self,
        workspace: GlobalWorkspace,
        data: Table,
        validation: Table | None = None,
        *,
        latents: bool = False,
        store: LatentStore | None = None,
        run_dir: str | Path | None = None,
        resume: bool = True,
        initializer: Callable[[GlobalWorkspace, Table], None] | None = None,
    ) -> TrainingResult:
        """Train `workspace` in place.

        Args:
            workspace: Its standardisation is fitted on `data` where it has none yet.
            data: Training rows; domains of the workspace that it lacks are left alone.
            validation: Held-out matched rows; None: none are held out and the last weights are
                kept.
            latents: Whether the tables hold latents already.
            store: Where encoded latents are kept between runs.
            run_dir: Folder for metrics.jsonl and checkpoints; None: nothing is written.
            resume: Go on from the newest whole checkpoint of `run_dir`, if there is one; False:
                begin anew, those that are there are removed.
            initializer: Sets the first weights from the standardised training rows.

        Raises:
            DataError: If no row is matched, a table does not fit the workspace, or a loss is not
                finite.
            ConfigError: If the device or an objective does not fit, or the checkpoint to go on from
                is of another run.
            StorageError: If the run folder cannot be written to.
        """
        began = time.monotonic()
        config = self.config
        data.check()
        if not len(data.matched_rows()):
            raise DataError(
                f"No row is matched ({data.describe()}). A workspace needs some rows that have "
                "two domains or more."
            )
        processes = current_processes()
        device = pick_device(config.device)
        if not latents:
            options: dict[str, Any] = {
                "store": store,
                "progress": config.progress and processes.first,
                "processes": processes,
            }
            data = encode_table(workspace.domains, data, **options)
            if validation is not None:
                validation = encode_table(workspace.domains, validation, **options)
        check_latents(workspace, data)
        workspace.fit_standardizers({name: _used_latents(data[name]) for name in data})
        workspace.to(device)
        training = standardize_table(workspace, data)
        held_out = None if validation is None else standardize_table(workspace, validation)
        if initializer is not None:
            initializer(workspace, training)
        folder = Path(run_dir) if run_dir else None
        objectives = self.objectives
        if objectives is None:
            pairs = sum(len(part.matched_rows()) for part in (training, held_out) if part)
            objectives = default_objectives(pairs, config.steps)
        run = Run(self, objectives, workspace, training, held_out, folder, device, processes)
        if folder is not None:
            run.identity = run_identity(workspace, objectives, data)
        if resume:
            run.resume()
        elif folder is not None and processes.first:  # an earlier run's are of no use to this one
            checkpoint.prune_checkpoints(folder / "checkpoints", keep=0)
        run.loop()
        return TrainingResult(
            history=run.history,
            best_step=run.best_step,
            best_error=None if run.best_step is None else run.best_error,
            seconds=time.monotonic() - began,
            stopped=run.told.stopped,
        )


def _used_latents(column: Column) -> Any:
    """The latents that some row has; all, without a copy, where each is used."""
    items = column.items_of_rows().unique()
    return column.cells if len(items) == len(column.cells) else column.cells[items]
