"""One training run: the loop over steps, validation, and the checkpoints it goes on from."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from globalworkspace.data.sampler import Batch, BatchSampler
from globalworkspace.data.table import Table
from globalworkspace.errors import CheckpointError, ConfigError, DataError
from globalworkspace.evaluation.translation import translation_error
from globalworkspace.objectives.base import Objective
from globalworkspace.processes import Processes
from globalworkspace.randomness import derived_seed
from globalworkspace.training import checkpoint
from globalworkspace.training.callbacks import Training
from globalworkspace.training.captured import CapturedStep
from globalworkspace.training.config import TrainerConfig
from globalworkspace.training.flat import FlatAdamW, named_parameters
from globalworkspace.training.metrics_log import bar_figures, metrics_log
from globalworkspace.training.orchestrator import LossOrchestrator, LossReport
from globalworkspace.training.schedule import learning_rate
from globalworkspace.training.teacher import Teacher
from globalworkspace.workspace import GlobalWorkspace

if TYPE_CHECKING:
    from globalworkspace.training.trainer import Trainer

log = logging.getLogger(__name__)


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
        self.config, self.workspace, self.validation, self.folder = (
            trainer.config,
            workspace,
            validation,
            folder,
        )
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
        self.callbacks = trainer.callbacks if processes.first else []
        self.listened = bool(trainer.callbacks)
        self.told = Training(workspace=workspace, steps=self.config.steps, folder=folder)
        parameters = named_parameters(workspace=workspace, objectives=self.orchestrator)
        if not parameters:
            raise ConfigError(
                "Nothing is trainable: every network of the workspace is frozen. Call "
                "set_trainable(...)."
            )
        taught = self.orchestrator.plan(self.sampler.segments).taught
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
        self.autocast = _autocast(self.config, device)
        self.step = 0
        self.best_step: int | None = None
        self.best_error = math.inf
        self.best_weights: dict[str, Tensor] | None = None
        self.history: list[dict[str, Any]] = []
        self.captured: CapturedStep | None = None
        if self.config.compile:
            self.captured = CapturedStep(self.orchestrator, self.optimizer, self.autocast)

    # ---- the loop

    def loop(self) -> None:
        """Train to the last step, then put the chosen weights into the workspace."""
        config = self.config
        self.workspace.train()
        rows_per_step = sum(segment.whole for segment in self.sampler.segments) * config.accumulate
        with (
            tqdm(
                total=config.steps,
                initial=self.step,
                desc="train",
                unit="step",
                disable=not config.progress or not self.processes.first,
                smoothing=0.05,
            ) as bar,
            metrics_log(self.folder if self.processes.first else None, self.step) as write,
        ):
            self._tell("started")
            while self.step < config.steps and self.told.stopped is None:
                report = self._step()
                self.step += 1
                self._tell("step_done")
                last = self.step == config.steps or self.told.stopped is not None
                entry: dict[str, Any] = {}
                if self.step % config.log_every == 0 or last:
                    entry |= self._losses(report)
                if self.validation is not None and (self.step % config.validate_every == 0 or last):
                    entry |= self._validate()
                if entry:
                    entry = {"step": self.step, **entry}
                    self.history.append(entry)
                    write(entry)
                    if "validation" in entry and self.listened:
                        with self._averaged():
                            self._tell("evaluated")
                    bar.set_postfix(
                        bar_figures(entry, bar.format_dict.get("rate"), rows_per_step),
                        refresh=False,
                    )
                bar.update()
                last = last or self.told.stopped is not None
                if self.folder is not None and (self.step % config.checkpoint_every == 0 or last):
                    self._save()
        self._finish()
        self._tell("finished")

    def _tell(self, event: str) -> None:
        """Pass an event on to the callbacks."""
        told = self.told
        told.step, told.history, told.best_step = self.step, self.history, self.best_step
        told.best_error = None if self.best_step is None else self.best_error
        for callback in self.callbacks:
            getattr(callback, event)(told)
        if self.listened and self.processes.agree(told.stopped is not None) and not told.stopped:
            told.stop("a callback of the first process ended the run")

    def _step(self) -> LossReport:
        config = self.config
        self.optimizer.zero_grad()
        with _dropout_seed(derived_seed(config.seed, "dropout", self.step), self.device):
            for part in range(config.accumulate):
                batch_number = self.step * config.accumulate + part
                batch = self.sampler.batch(batch_number)
                report = self._losses_and_gradient(batch, batch_number)
        self.optimizer.step(learning_rate(config, self.step), config.clip_norm)
        if self.averages:  # a short memory while weights still move fast
            self.optimizer.update_average(min(config.ema, (1 + self.step) / (10 + self.step)))
        return report

    def _losses_and_gradient(self, batch: Batch, batch_number: int) -> LossReport:
        """The losses of one batch; its gradient is added to what is there."""
        report: LossReport | None = None
        if self.captured is not None:
            share = 1 / self.config.accumulate
            report = self.captured(batch, self.step, batch_number, share)
        if report is None:
            with self.autocast():
                report = self.orchestrator(batch, self.step, batch_number)
            (report.total / self.config.accumulate).backward()
        return report

    def _losses(self, report: LossReport) -> dict[str, Any]:
        report = report.added_up(self.processes)
        total = float(report.total.detach())
        if not math.isfinite(total):
            families = {name: float(value.detach()) for name, value in report.families.items()}
            raise DataError(
                f"The loss is {total} at step {self.step} (families: {families}). Lower "
                "learning_rate, or look for extreme latents."
            )
        return {
            "loss": total,
            "families": {name: float(value.detach()) for name, value in report.families.items()},
            "terms": {
                name: {key: float(v) for key, v in values.items()}
                for name, values in report.terms.items()
            },
            "learning_rate": learning_rate(self.config, self.step - 1),
        }

    def _validate(self) -> dict[str, Any]:
        assert self.validation is not None
        with self._averaged():
            errors = translation_error(self.workspace, self.validation)
            mean = sum(errors.values()) / len(errors)
            mean = self.processes.agree(mean)
            if mean < self.best_error:
                self.best_error, self.best_step = mean, self.step
                self.best_weights = _copy(self.workspace)
        return {"validation": {"translation": mean, **errors}}

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
        assert self.folder is not None
        if not self.processes.first:
            return
        tensors = {f"workspace.{n}": v for n, v in self.workspace.state_dict().items()}
        tensors |= {f"objectives.{n}": v for n, v in self.orchestrator.state_dict().items()}
        tensors |= {f"best.{n}": v for n, v in (self.best_weights or {}).items()}
        optimizer, members = self.optimizer.state()
        tensors |= {f"optimizer.{n}": v for n, v in optimizer.items()}
        state = {
            "step": self.step,
            "best_step": self.best_step,
            "best_error": None if self.best_step is None else self.best_error,
            "config": attrs.asdict(self.config),
            "history": self.history,
            "optimized": members,
            "stopped": self.told.stopped,
        }
        checkpoint.write_checkpoint(self.folder / "checkpoints", self.step, tensors, state)

    def resume(self) -> None:
        """Go on from the newest whole checkpoint, if there is one."""
        if self.folder is None:
            raise ConfigError("resume=True needs the run_dir that holds the checkpoints.")
        found = self._newest(self.folder / "checkpoints")
        if found is None:
            return
        state = checkpoint.load_json(found / "state.json")
        changed = {
            name
            for name, value in attrs.asdict(self.config).items()
            if name not in ("progress", "device") and state["config"].get(name) != value
        }
        if changed:
            raise ConfigError(
                f'The checkpoint "{found}" was made with another {", ".join(sorted(changed))}. '
                "Use the same settings, or another run folder."
            )
        tensors = checkpoint.load_tensors(found / "state.safetensors")

        def part(prefix: str) -> dict[str, Tensor]:
            marked = prefix + "."
            return {
                n.removeprefix(marked): v.to(self.device)
                for n, v in tensors.items()
                if n.startswith(marked)
            }

        try:
            self.workspace.load_state_dict(part("workspace"))
            self.orchestrator.load_state_dict(part("objectives"))
        except RuntimeError as error:
            raise CheckpointError(
                f'The checkpoint "{found}" is of another workspace or other objectives: {error}'
            ) from None
        self.optimizer.load(part("optimizer"), state["optimized"])
        self.best_weights = part("best") or None
        self.step, self.best_step, self.history = (
            state["step"],
            state["best_step"],
            state["history"],
        )
        self.best_error = math.inf if state["best_error"] is None else state["best_error"]
        self.told.stopped = state.get("stopped")
        log.info("resumed %s at step %d", found, self.step)

    def _newest(self, folder: Path) -> Path | None:
        """The newest whole checkpoint, as the first process sees it."""
        found = checkpoint.newest_checkpoint(folder) if self.processes.first else None
        step = int(self.processes.agree(-1 if found is None else checkpoint.step_of(found)))
        return None if step < 0 else checkpoint.checkpoint_folder(folder, step)


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def _autocast(
    config: TrainerConfig, device: torch.device
) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    able = device.type == "cuda" and torch.cuda.is_bf16_supported()
    if config.precision == "bf16" or (config.precision == "auto" and able):
        return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext


@contextlib.contextmanager
def _dropout_seed(seed: int, device: torch.device) -> Iterator[None]:
    """Dropout of a step as a function of the seed; the process's own generators stay put."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed walks all kinds of devices
        if devices:
            torch.cuda.manual_seed(seed)
        yield
