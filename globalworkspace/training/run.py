"""One training run: the loop over steps, validation, and the checkpoints it goes on from."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from globalworkspace.bars import unwatched
from globalworkspace.data.sampler import Batch, BatchSampler, order_digest
from globalworkspace.data.table import Table
from globalworkspace.errors import ConfigError, DataError, StorageError
from globalworkspace.objectives.base import Objective
from globalworkspace.processes import Processes
from globalworkspace.randomness import derived_seed, dropout_of
from globalworkspace.training import checkpoint
from globalworkspace.training.callbacks import Training
from globalworkspace.training.captured import CapturedStep
from globalworkspace.training.config import TrainerConfig
from globalworkspace.training.finite import FiniteWatch, explain, unusable_rows
from globalworkspace.training.flat import FlatAdamW, named_parameters
from globalworkspace.training.metrics_log import bar_figures, metrics_log
from globalworkspace.training.orchestrator import LossOrchestrator, LossReport
from globalworkspace.training.run_state import restore_state, save_state
from globalworkspace.training.schedule import learning_rate
from globalworkspace.training.stopping import LeaveSignals, left_at
from globalworkspace.training.teacher import Teacher
from globalworkspace.training.validation import Validation
from globalworkspace.workspace import GlobalWorkspace

if TYPE_CHECKING:
    from globalworkspace.training.trainer import Trainer

log = logging.getLogger(__name__)
MOST_TRIES, MOST_LOST = 3, 100
"""Returns to the same checkpoint, and skipped steps in a row, after which a run gives up."""


class Run:
    """The state of one training run."""

    def __init__(
        self,
        trainer: Trainer,
        objectives: Sequence[Objective],
        workspace: GlobalWorkspace,
        training: Table,
        validation: Table | None,
        folder: Path | None,
        device: torch.device,
        processes: Processes,
    ) -> None:
        self.processes = processes
        self.config, self.workspace, self.folder = trainer.config, workspace, folder
        self.device = device
        self.sampler = BatchSampler(
            training,
            matched_rows=self.config.batch_size,
            unmatched_rows=self.config.unmatched_batch_size,
            seed=self.config.seed,
            device=device,
            processes=processes,
        )
        self.orchestrator = LossOrchestrator(
            workspace,
            objectives,
            seed=self.config.seed,
            part_weights=trainer.part_weights,
            augmentations=trainer.augmentations,
            processes=processes,
        ).to(device, workspace.dtype)
        self.validation: Validation | None = None
        if validation is not None:
            self.validation = Validation(
                workspace,
                objectives,
                training,
                validation,
                self.config,
                part_weights=trainer.part_weights,
                augmentations=trainer.augmentations,
            )
        self.callbacks = trainer.callbacks if processes.first else []
        self.listened = bool(trainer.callbacks)
        self.told = Training(
            workspace=workspace, steps=self.config.steps, folder=folder, validation=validation
        )
        parameters = named_parameters(workspace=workspace, objectives=self.orchestrator)
        if not parameters:
            raise ConfigError(
                "Nothing is trainable: every network of the workspace is frozen. Call "
                "set_trainable(...)."
            )
        taught = self.orchestrator.plan(self.sampler.segments).taught or (
            self.validation is not None and self.validation.taught
        )
        self.averages = self.config.ema > 0 or taught  # with 0 a teacher is the network itself
        self.optimizer = FlatAdamW(
            parameters,
            weight_decay=self.config.weight_decay,
            keep_average=self.averages,
            processes=processes,
        )
        if taught:
            teacher = Teacher(workspace)
            self.optimizer.follow({f"workspace.{n}": p for n, p in teacher.parameters().items()})
            self.orchestrator.teacher = teacher
            if self.validation is not None:
                self.validation.orchestrator.teacher = teacher
        self.autocast = _autocast(self.config, device)
        self.step = 0
        self.best_step: int | None = None
        self.best_error = math.inf
        self.best_weights: dict[str, Tensor] | None = None
        self.history: list[dict[str, Any]] = []
        self.identity: dict[str, str | None] = {}
        self.watch = FiniteWatch(holds=self.config.nonfinite != "skip", device=device)
        self.skipped = self.rolled_back = self.passed_over = 0
        """Steps not taken, returns to a checkpoint, and how many batches those passed over."""
        self._tries = 0  # returns to the same checkpoint
        self._lost = 0  # steps since the last that was taken, as far as was looked
        self._looked = 0
        self.order = torch.zeros((), dtype=torch.int64)
        """Fingerprint of which rows all steps drew, in order."""
        self.captured: CapturedStep | None = None
        if self.config.compile or device.type == "cuda":
            self.captured = CapturedStep(
                self.orchestrator, self.optimizer, self.autocast, compiled=self.config.compile
            )

    # ---- the loop

    def loop(self) -> None:
        """Train to the last step, then put the chosen weights into the workspace.

        Raises:
            DataError: If a loss or gradient is not finite, and the config does not say to go on.
            StorageError: If something cannot be written, and the config does not say to go on.
            KeyboardInterrupt: After SIGINT, when a checkpoint is saved.
            SystemExit: After SIGTERM, likewise.
        """
        if self.config.nonfinite == "rollback":
            if self.folder is None:
                raise ConfigError('nonfinite="rollback" needs a run folder. Give run_dir to fit().')
            if self.step == 0:
                self._save()
        listen = self.folder is not None
        with LeaveSignals(listen=listen, first=self.processes.first) as signals:
            while True:
                try:
                    self._walk(signals)
                    break
                except _RolledBack:
                    continue
        self._finish()
        self._tell("finished")

    def _walk(self, signals: LeaveSignals) -> None:
        """Steps to the last one, or to the first that is not finite."""
        config = self.config
        self.workspace.train()
        rows_per_step = sum(segment.whole for segment in self.sampler.segments) * config.accumulate
        folder = self.folder if self.processes.first else None
        with (
            tqdm(
                total=config.steps,
                initial=self.step,
                desc="train",
                unit="step",
                disable=unwatched(config.progress and self.processes.first),
                smoothing=0.05,
            ) as bar,
            metrics_log(folder, self.history, self.step, rows_per_step) as write,
        ):
            self._tell("started")
            while self.step < config.steps and self.told.stopped is None:
                report = self._step()
                self.step += 1
                self._tell("step_done")
                leaving = self.processes.any(signals.received is not None)
                last = self.step == config.steps or self.told.stopped is not None
                logged = self.step % config.log_every == 0 or last
                validated = self.validation is not None and (
                    self.step % config.validate_every == 0 or last
                )
                saved = self.step % config.checkpoint_every == 0 or last or leaving
                if logged or validated or saved:
                    self._look()
                entry: dict[str, Any] = {}
                if logged:
                    entry |= self._losses(report)
                if validated:
                    entry |= self._validate()
                if entry:
                    entry = {"step": self.step, **entry}
                    self.history.append(entry)
                    self._kept(write, entry)
                    if validated and self.listened:
                        with self._averaged():
                            self._tell("evaluated")
                    bar.set_postfix(
                        bar_figures(entry, bar.format_dict.get("rate"), rows_per_step),
                        refresh=False,
                    )
                bar.update()
                if saved or self.told.stopped is not None:
                    self._save()
                if leaving and not last and self.told.stopped is None:
                    assert self.folder is not None
                    signals.leave(left_at(self.step, config.steps, self.folder))

    def _tell(self, event: str) -> None:
        """Pass an event on to the callbacks."""
        told = self.told
        told.step, told.history, told.best_step = self.step, self.history, self.best_step
        told.best_error = None if self.best_step is None else self.best_error
        for callback in self.callbacks:
            getattr(callback, event)(told)
        if self.listened and self.processes.agree(told.stopped is not None) and not told.stopped:
            told.stop("a callback of the first process ended the run")

    @property
    def _drawn_step(self) -> int:
        """The number that a step's batch and chance follow from."""
        return self.step + self.passed_over

    def _step(self) -> LossReport:
        config = self.config
        self.optimizer.zero_grad()
        with dropout_of(derived_seed(config.seed, "dropout", self._drawn_step), self.device):
            for part in range(config.accumulate):
                batch_number = self._drawn_step * config.accumulate + part
                batch = self.sampler.batch(batch_number)
                self.order = order_digest(self.order, batch)
                report = self._losses_and_gradient(batch, batch_number)

        def held(norm: Tensor) -> Tensor:
            return self.watch.check(norm if self.processes.size > 1 else norm + report.total)

        self.optimizer.step(learning_rate(config, self.step), config.clip_norm, held)
        if self.averages:  # a short memory while weights still move fast
            self.optimizer.update_average(min(config.ema, (1 + self.step) / (10 + self.step)))
        return report

    def _losses_and_gradient(self, batch: Batch, batch_number: int) -> LossReport:
        """The losses of one batch; its gradient is added to what is there."""
        if self.captured is not None:
            share = 1 / self.config.accumulate
            report = self.captured(batch, self.step, batch_number, share)
            if report is not None:
                return report
        return self._plain(batch, batch_number)

    def _plain(self, batch: Batch, batch_number: int) -> LossReport:
        with self.autocast():
            report: LossReport = self.orchestrator(batch, self.step, batch_number)
        (report.total / self.config.accumulate).backward()
        return report.detached()

    def _losses(self, report: LossReport) -> dict[str, Any]:
        report = report.added_up(self.processes)
        entry: dict[str, Any] = {
            "loss": _number(report.total),
            "families": {name: _number(value) for name, value in report.families.items()},
            "terms": {
                name: {key: _number(v) for key, v in values.items()}
                for name, values in report.terms.items()
            },
            "learning_rate": learning_rate(self.config, self.step - 1),
            "order": f"{int(self.order) & (1 << 64) - 1:016x}",
        }
        counts = {"skipped": self.skipped, "rolled_back": self.rolled_back}
        return entry | {name: count for name, count in counts.items() if count}

    # ---- steps that are not finite

    def _look(self) -> None:
        """See to the steps since the last look that were not taken, as the config says."""
        count, since, self._looked = self.watch.look(), self.step - self._looked, self.step
        if not count:
            self._lost = 0
            return
        bad = self.step - count  # of those that hold, all from the first on are counted
        if self.config.nonfinite == "skip":
            self.skipped += count
            log.warning("%d steps before step %d were not finite and skipped", count, self.step)
            self._lost = self._lost + count if count == since else 0
            if self._lost < MOST_LOST:
                return
            bad = self.step - 1
        elif self.config.nonfinite == "rollback" and self._tries < MOST_TRIES:
            self._roll_back(bad)
        raise DataError(self._explanation(bad))

    def _roll_back(self, bad: int) -> None:
        """Go back to the newest checkpoint, and draw what comes after the batch of step `bad`."""
        tries, rolled_back, drawn = self._tries + 1, self.rolled_back + 1, bad + self.passed_over
        self.optimizer.release()
        if self.captured is not None:
            self.captured.forget()
        if not self.resume():
            raise DataError(self._explanation(bad))
        self.passed_over = drawn + 1 - self.step
        self.rolled_back, self._tries, self._looked = rolled_back, tries, self.step
        log.warning("step %d was not finite: back to step %d, to other batches", bad, self.step)
        raise _RolledBack

    def _explanation(self, bad: int) -> str:
        """Walk a step again that was not finite, for what was not."""
        self.step = bad
        rows: dict[str, list[int]] = {}
        self.optimizer.zero_grad()
        for part in range(self.config.accumulate):
            number = self._drawn_step * self.config.accumulate + part
            batch = self.sampler.batch(number)
            rows |= unusable_rows(batch, self.sampler)
            with dropout_of(
                derived_seed(self.config.seed, "dropout", self._drawn_step), self.device
            ):
                report = self._plain(batch, number)
            if self.processes.any(not report.total.isfinite()):
                break
        return explain(report.added_up(self.processes), self.optimizer, rows, bad + 1)

    def _validate(self) -> dict[str, Any]:
        assert self.validation is not None
        with self._averaged():
            figures = self.validation.figures(self.step)
            errors = figures["validation"]
            mean = errors["translation"]
            assert mean is not None
            mean = self.processes.agree(mean)
            if mean < self.best_error:
                self.best_error, self.best_step = mean, self.step
                self.best_weights = _copy(self.workspace)
        return figures | {"validation": errors | {"translation": mean}}

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """The workspace in eval mode with its averaged weights."""
        self.workspace.eval()
        try:
            with self.optimizer.averaged():
                yield
        finally:
            self.workspace.train()

    def _finish(self) -> None:
        chosen = self.best_weights if self.config.keep == "best" else None
        if chosen is None:
            with self._averaged():
                chosen = _copy(self.workspace)
        self.optimizer.release()
        self.workspace.load_state_dict(chosen)
        self.workspace.eval()

    # ---- checkpoints

    def _save(self) -> None:
        if self.folder is not None and self.processes.first:
            self._kept(save_state, self, self.folder / "checkpoints")
        self._tries = 0

    def _kept(self, write: Callable[..., None], *what: Any) -> None:
        """Call something that writes; where it cannot, stop or go on as the config says."""
        try:
            write(*what)
        except StorageError as error:
            if self.config.unsaved == "stop":
                raise
            log.warning("step %d goes on unsaved: %s", self.step, error)

    def resume(self) -> bool:
        """Go on from the newest whole checkpoint; whether there is one."""
        found = None if self.folder is None else self._newest(self.folder / "checkpoints")
        if found is not None:
            restore_state(self, found)
            self._looked = self.step
        return found is not None

    def _newest(self, folder: Path) -> Path | None:
        """The newest whole checkpoint, as the first process sees it."""
        found = checkpoint.newest_checkpoint(folder) if self.processes.first else None
        step = int(self.processes.agree(-1 if found is None else checkpoint.step_of(found)))
        return None if step < 0 else checkpoint.checkpoint_folder(folder, step)


class _RolledBack(Exception):
    """The run is back at a checkpoint."""


def _number(value: Tensor) -> float | None:
    """For JSON, which knows no NaN."""
    number = float(value.detach())
    return number if math.isfinite(number) else None


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def _autocast(
    config: TrainerConfig, device: torch.device
) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    able = device.type == "cuda" and torch.cuda.is_bf16_supported()
    if config.precision == "bf16" or (config.precision == "auto" and able):
        return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext
