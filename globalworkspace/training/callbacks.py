"""Training events: what may listen to a run, look at its workspace and stop it.

A callback keeps no state that a resumed run would need: all it may decide on is in the `Training`
it is given, which a checkpoint restores.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from globalworkspace.errors import ConfigError

if TYPE_CHECKING:
    from globalworkspace.data.table import Table
    from globalworkspace.workspace import GlobalWorkspace


@attrs.define(eq=False, kw_only=True)
class Training:
    """A training run as its callbacks see it."""

    workspace: GlobalWorkspace
    """Live weights; in `evaluated` and `finished` in eval mode, with the weights that are judged
    or kept."""
    steps: int
    """Of the whole run."""
    folder: Path | None
    step: int = 0
    """Steps done."""
    history: list[dict[str, Any]] = attrs.field(factory=list)
    """The metrics log: an entry per logged or validated step, newest last."""
    best_step: int | None = None
    best_error: float | None = None
    """Smallest mean validation error, and its step."""
    stopped: str | None = None
    """Why the run ends before its last step."""
    validation: Table | None = None
    """Held-out rows as standard latents; None: none are held out."""

    def stop(self, reason: str) -> None:
        """End the run after this step; the best weights are kept as ever."""
        self.stopped = reason


class Callback:
    """Listens to a training run; a subclass overrides the events it wants.

    Callbacks look and may stop the run; they change no weights and draw no random numbers from
    torch's global generator.
    """

    def started(self, training: Training) -> None:
        """Before the first step, or the first after a resume."""

    def step_done(self, training: Training) -> None:
        """After every step; keep it cheap."""

    def evaluated(self, training: Training) -> None:
        """After every validation; its figures are in `training.history[-1]`.

        They are the groups `validation` and `training` (errors of translation on held-out and on
        training rows) and `validation_families` (losses on held-out rows).
        """

    def finished(self, training: Training) -> None:
        """After the last step, with the chosen weights in the workspace."""


class EarlyStop(Callback):
    """Stops when the validation error has not become smaller for some steps.

    Args:
        patience: That many steps.

    Raises:
        ConfigError: If `patience` is below 1.
    """

    def __init__(self, patience: int = 1000) -> None:
        if patience < 1:
            raise ConfigError(f"patience={patience} must be at least 1 step.")
        self.patience = patience

    def evaluated(self, training: Training) -> None:
        """See `Callback`."""
        if training.best_step is not None and training.step - training.best_step >= self.patience:
            training.stop(
                f"no smaller validation error since step {training.best_step}, "
                f"{self.patience} steps or more ago"
            )


class Snapshots(Callback):
    """Saves the workspace at every so many steps, to be looked at later.

    Args:
        every: At the first validation after each multiple of so many steps.

    Raises:
        ConfigError: If `every` is below 1.
    """

    def __init__(self, every: int = 1000) -> None:
        if every < 1:
            raise ConfigError(f"every={every} must be at least 1 step.")
        self.every = every

    def started(self, training: Training) -> None:
        """See `Callback`; a run without a folder has nowhere to save to."""
        if training.folder is None:
            raise ConfigError('The callback "snapshots" needs a run folder. Give run_dir to fit().')

    def evaluated(self, training: Training) -> None:
        """See `Callback`: writes `snapshots/step-N` in the run folder."""
        assert training.folder is not None
        due = training.step // self.every * self.every
        folder = training.folder / "snapshots" / f"step-{due:09d}"
        if due and not folder.exists():
            training.workspace.save_pretrained(folder)
