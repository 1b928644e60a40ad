"""Training one domain module on its own data, before it is frozen: `globalworkspace fit-domain`.

The batch of a step and all its randomness are a function of (seed, step), so that a resumed run
goes on as an uninterrupted one.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import torch
from attrs import validators as v
from torch import Tensor
from tqdm.auto import tqdm

from globalworkspace.bars import unwatched
from globalworkspace.data.cells import take_cells
from globalworkspace.data.table import Column
from globalworkspace.domain import (
    Decodes,
    DomainModule,
    Prepares,
    Rendering,
    Renders,
    Trainable,
    encode_checked,
    freeze,
)
from globalworkspace.errors import ConfigError, DataError, DomainError
from globalworkspace.folders import load_json, load_tensors
from globalworkspace.latents import Standardizer
from globalworkspace.randomness import derived_generator, derived_seed
from globalworkspace.sheet import write_sheet
from globalworkspace.training import checkpoint
from globalworkspace.training.config import TrainerConfig
from globalworkspace.training.device import pick_device
from globalworkspace.training.fit_identity import fit_identity, what_changed
from globalworkspace.training.metrics_log import metrics_log
from globalworkspace.training.schedule import learning_rate
from globalworkspace.training.stopping import LeaveSignals, left_at


@attrs.frozen(kw_only=True)
class FitDomainConfig:
    """How a domain module is trained on its own data."""

    steps: int = attrs.field(default=5000, validator=v.ge(1))
    """Optimiser steps."""
    batch_size: int = attrs.field(default=256, validator=v.ge(2))
    """Cells per step."""
    learning_rate: float = attrs.field(default=2e-3, validator=v.gt(0))
    """Peak of a warm-up and half-cosine schedule."""
    weight_decay: float = attrs.field(default=1e-4, validator=v.ge(0))
    """AdamW's."""
    warmup: float = attrs.field(default=0.02, validator=[v.ge(0), v.lt(1)])
    """Share of the steps in which the rate rises."""
    clip_norm: float = attrs.field(default=20.0, validator=v.ge(0))
    """Largest gradient norm; 0: no clipping."""
    ema: float = attrs.field(default=0.999, validator=[v.ge(0), v.lt(1)])
    """Decay of the averaged weights that are kept; 0: the live weights."""
    precision: str = attrs.field(default="fp32", validator=v.in_(("fp32", "bf16")))
    """`bf16`: autocast."""
    device: str = "auto"
    """As in `TrainerConfig`."""
    seed: int = 0
    """Of batches and noise."""
    validation_cells: int = attrs.field(default=512, validator=v.ge(0))
    """Cells held out to judge by, at most a tenth of all."""
    validate_every: int = attrs.field(default=500, validator=v.ge(1))
    """Steps between validations."""
    patience: int = attrs.field(default=0, validator=v.ge(0))
    """Stop after this many validations without a better loss; 0: never."""
    checkpoint_every: int = attrs.field(default=500, validator=v.ge(1))
    """Steps between checkpoints."""
    sheet_items: int = attrs.field(default=16, validator=v.ge(0))
    """Held-out items on the reconstruction sheet."""
    progress: bool = True
    """Show a bar."""


def fit_domain(
    module: DomainModule,
    column: Column,
    folder: str | Path,
    config: FitDomainConfig | None = None,
    *,
    resume: bool = True,
    source: Callable[[int], Any] | None = None,
) -> dict[str, Any]:
    """Train `module` in place and save it to `folder`/domain.

    Beside it come metrics.jsonl, reconstructions.html and, for items that are no text, files in
    reconstructions/.

    Args:
        module: A domain module that is `Trainable`.
        column: Its cells; some are held out to judge by.
        folder: The run folder.
        config: Settings.
        resume: Go on from the newest checkpoint in the folder, if there is one; False: begin anew,
            those that are there are removed.
        source: Step -> raw batch, instead of drawing batches from `column` (data made on the fly);
            `column` then serves to judge only.

    Returns:
        Figures: `validation_loss`, `steps`, `seconds`, `dead_dimensions`.

    Raises:
        ConfigError: If the checkpoint to go on from was made with other settings or other cells.
        DomainError: If the module has no training loss.
        DataError: If there are too few cells, or the loss is not finite.
    """
    if not isinstance(module, Trainable):
        raise DomainError(
            f"{type(module).__name__} has no unimodal_loss(); "
            "only a domain kind that has one can be fitted."
        )
    if not any(p.numel() for p in module.trainable_parameters()):
        raise DomainError(f"{type(module).__name__} has no parameters to train.")
    home = Path(folder) / "checkpoints"
    if not resume:
        checkpoint.prune_checkpoints(home, keep=0)
    found = checkpoint.newest_checkpoint(home)
    run = _Fit(module, column, Path(folder), config or FitDomainConfig(), source, found)
    if found is not None:
        run.resume(found)
    return run.loop()


class _Fit:
    def __init__(
        self,
        module: DomainModule,
        column: Column,
        folder: Path,
        config: FitDomainConfig,
        source: Callable[[int], Any] | None,
        found: Path | None,
    ) -> None:
        self.module, self.cells, self.source = module, column.cells, source
        self.folder, self.config = folder, config
        items = column.first[column.present].unique()
        self.identity = fit_identity(module, column.cells, items)
        if found is not None:  # before anything costs time
            self._refuse_changes(found)
        items = items[
            torch.randperm(len(items), generator=derived_generator(config.seed, "held out"))
        ]
        number = min(config.validation_cells, len(items) if source else len(items) // 10)
        self.held_out, self.items = items[:number], items if source else items[number:]
        if not source and len(self.items) < 2:
            raise DataError(f"{len(items)} cells are too few to train on. Give at least 2.")
        self.device = pick_device(config.device)
        module.to(self.device).requires_grad_(False)
        self.parameters = module.trainable_parameters()
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        self.prepared = self.cells
        if isinstance(module, Prepares) and (len(items) or not source):
            with self._autocast():
                self.prepared = module.prepare(self.cells, progress=config.progress)
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.average = copy.deepcopy(module.state_dict())
        self.best = copy.deepcopy(module.state_dict())
        self.best_loss, self.worse, self.step = math.inf, 0, 0
        self.history: list[dict[str, Any]] = []
        self.rate = TrainerConfig(
            steps=config.steps, learning_rate=config.learning_rate, warmup=config.warmup
        )

    def loop(self) -> dict[str, Any]:
        config, began = self.config, time.monotonic()
        with (
            LeaveSignals(listen=True) as signals,
            metrics_log(self.folder, self.history, self.step, config.batch_size) as write,
            tqdm(
                total=config.steps,
                initial=self.step,
                desc="fit",
                unit="step",
                disable=unwatched(config.progress),
            ) as bar,
        ):
            while self.step < config.steps and not (
                config.patience and self.worse >= config.patience
            ):
                terms = self._step()
                self.step += 1
                last = self.step == config.steps
                if self.step % config.validate_every == 0 or last:
                    means = {name: float(x.detach().mean()) for name, x in terms.items()}
                    loss = self._validate()
                    entry = {"step": self.step, "training": means, "validation_loss": loss}
                    self.history.append(entry)
                    write(entry)
                    rate = bar.format_dict.get("rate") or 0.0
                    bar.set_postfix(
                        {"val": f"{loss:.4g}", "cells/s": f"{rate * config.batch_size:,.0f}"},
                        refresh=False,
                    )
                bar.update()
                leaving = signals.received is not None
                if self.step % config.checkpoint_every == 0 or last or leaving:
                    self._save()
                if leaving and not last:
                    signals.leave(left_at(self.step, config.steps, self.folder))
        self.module.load_state_dict(self.best)
        freeze(self.module)
        from globalworkspace.pretrained import save_domain

        save_domain(self.module, self.folder / "domain")
        dead = self._dead_dimensions()
        self._sheet()
        return {
            "validation_loss": self.best_loss,
            "steps": self.step,
            "seconds": time.monotonic() - began,
            "dead_dimensions": dead,
        }

    def _autocast(self) -> torch.autocast:
        enabled = self.config.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def _batch(self) -> Any:
        size = min(self.config.batch_size, len(self.items))
        if self.source is not None:
            return self.source(self.step)
        epoch, position = divmod(self.step, len(self.items) // size)
        order = torch.randperm(
            len(self.items), generator=derived_generator(self.config.seed, "cells", epoch)
        )
        rows = self.items[order[position * size : (position + 1) * size]]
        return take_cells(self.prepared, rows)

    def _step(self) -> dict[str, Tensor]:
        config = self.config
        self.module.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.rate, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        generator = derived_generator(config.seed, "noise", self.step)
        with torch.random.fork_rng(devices=[]), self._autocast():
            torch.manual_seed(derived_seed(config.seed, "dropout", self.step))
            assert isinstance(self.module, Trainable)
            terms = self.module.unimodal_loss(self._batch(), self.step / config.steps, generator)
        total = torch.stack([values.float().mean() for values in terms.values()]).sum()
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, config.clip_norm or math.inf)
        if not (total.detach() + norm).isfinite():
            means = {name: float(x.detach().mean()) for name, x in terms.items()}
            raise DataError(
                f"The loss or its gradient is not finite at step {self.step + 1}: {means}, "
                f"gradient norm {float(norm)}. That step was not taken. Lower learning_rate, or "
                "look for extreme cells."
            )
        self.optimizer.step()
        decay = min(config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.module.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1 - decay)
                else:
                    self.average[name].copy_(value)
        return terms

    @torch.no_grad()
    def _validate(self) -> float:
        """Mean loss of the averaged weights on held-out cells.

        The last weights are kept where there are none.
        """
        live = copy.deepcopy(self.module.state_dict())
        self.module.load_state_dict(self.average if self.config.ema else live)
        self.module.eval()
        total, count = 0.0, 0
        for chunk in self.held_out.split(256):
            assert isinstance(self.module, Trainable)
            terms = self.module.unimodal_loss(
                take_cells(self.prepared, chunk), 1.0, derived_generator(0, "validation", count)
            )
            total += float(sum(values.double().sum() for values in terms.values()))
            count += len(chunk)
        loss = total / count if count else 0.0
        self.worse += 1
        if loss < self.best_loss or not count:
            self.best_loss, self.worse = loss, 0
            self.best = copy.deepcopy(self.module.state_dict())
        self.module.load_state_dict(live)
        return loss

    def _save(self) -> None:
        tensors = {f"module.{n}": x for n, x in self.module.state_dict().items()}
        tensors |= {f"average.{n}": x for n, x in self.average.items()}
        tensors |= {f"best.{n}": x for n, x in self.best.items()}
        for index, parameter in enumerate(self.parameters):
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer.{index}.{key}"] = value
        best = None if math.isinf(self.best_loss) else self.best_loss
        state = {
            "step": self.step,
            "best_loss": best,
            "worse": self.worse,
            "history": self.history,
            "config": attrs.asdict(self.config),
            "identity": self.identity,
        }
        checkpoint.write_checkpoint(self.folder / "checkpoints", self.step, tensors, state)

    def _refuse_changes(self, found: Path) -> None:
        """Raise a `ConfigError` that names every way in which this fit is another one."""
        state = load_json(found / "state.json")
        free = ("progress", "device", "sheet_items")
        changed = sorted(
            f"another {k}"
            for k, x in attrs.asdict(self.config).items()
            if k not in free and state["config"].get(k) != x
        )
        changed += what_changed(state.get("identity", self.identity), self.identity)
        if changed:
            raise ConfigError(
                f'The checkpoint "{found}" was made with {", ".join(changed)}. Go on with the same '
                "settings and data, give another folder, or begin anew: resume=False, --restart on "
                "the command line, which removes it."
            )

    def resume(self, found: Path) -> None:
        state = load_json(found / "state.json")
        tensors = load_tensors(found / "state.safetensors")

        def part(prefix: str) -> dict[str, Tensor]:
            return {
                n.removeprefix(prefix): x.to(self.device)
                for n, x in tensors.items()
                if n.startswith(prefix)
            }

        self.module.load_state_dict(part("module."))
        self.average, self.best = part("average."), part("best.")
        saved = part("optimizer.")
        for index, parameter in enumerate(self.parameters):
            entries = {
                n.split(".", 1)[1]: x for n, x in saved.items() if n.split(".", 1)[0] == str(index)
            }
            entries["step"] = entries["step"].cpu()
            self.optimizer.state[parameter] = entries
        self.step, self.worse = state["step"], state["worse"]
        self.history = state.get("history", [])
        self.best_loss = math.inf if state["best_loss"] is None else state["best_loss"]

    @torch.no_grad()
    def _dead_dimensions(self) -> list[int]:
        """Latent dimensions that carry nothing, with a warning for the user."""
        latents = [
            encode_checked("fitted", self.module, take_cells(self.cells, chunk))
            for chunk in (self.held_out if len(self.held_out) > 1 else self.items[:512]).split(256)
        ]
        alive = Standardizer.fit(self.module.latent, torch.cat(latents).cpu(), "fitted").alive
        return [int(i) for i in (~alive).nonzero().flatten()]

    def _write_media(self, stem: str, rendering: Rendering) -> None:
        """Write what a page shows small or plays, but no text, as a file of its own."""
        if rendering.in_words is not None:
            return
        folder = self.folder / "reconstructions"
        folder.mkdir(exist_ok=True)
        (folder / f"{stem}{rendering.ending}").write_bytes(rendering.data)

    @torch.no_grad()
    def _sheet(self) -> None:
        """Held-out items beside their reconstructions, where the module can show them."""
        if not (
            isinstance(self.module, Renders)
            and isinstance(self.module, Decodes)
            and self.config.sheet_items
        ):
            return
        items = (self.held_out if len(self.held_out) else self.items)[: self.config.sheet_items]
        raw = take_cells(self.cells, items)
        decoded = self.module.decode(encode_checked("fitted", self.module, raw))
        rows = list(zip(self.module.render(raw), self.module.render(decoded), strict=True))
        for number, pair in enumerate(rows, start=1):
            for what, rendering in zip(("item", "reconstruction"), pair, strict=True):
                self._write_media(f"{number:02d}-{what}", rendering)
        write_sheet(
            self.folder / "reconstructions.html",
            "Reconstructions",
            ["item", "reconstruction"],
            rows,
        )
