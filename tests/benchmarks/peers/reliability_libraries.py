"""Small training runs of each library, saved and gone on with as that library documents it.

Each class has `train(folder, watch, variant)`, which is what a user's script does: set up, go on
from the newest checkpoint in `folder` if there is one, train to step 40; it returns the weights at
the end. `watch.began(step, state)` is called once before the first step, `watch.stepped(step,
state)` after every optimiser step and before anything is saved there; `state()` gives weights,
optimiser tensors and what else is restored. `saving()` names the function that saves a checkpoint,
`newest(folder)` the file or folder that the library would go on from.
"""

from __future__ import annotations

import random
import re
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

STEPS, EVERY, ROWS, BATCH, ACCUMULATE = 40, 5, 64, 4, 2
"""Five epochs of eight optimiser steps of two batches."""
VARIANTS = ("plain", "no dropout", "resumable loader", "resumable loader, no dropout")
"""A resumable loader is torchdata's `StatefulDataLoader`."""


def network(dropout: float) -> nn.Module:
    """A two-layer MLP; the same weights each time."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 128), nn.ReLU(), nn.Dropout(dropout), nn.Linear(128, 4))


def rows() -> TensorDataset:
    """Inputs and targets."""
    chance = torch.Generator().manual_seed(0)
    return TensorDataset(
        torch.randn(ROWS, 16, generator=chance), torch.randn(ROWS, 4, generator=chance)
    )


def rate(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    """The schedule of the learning rate, by optimiser steps."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)


def numbered(paths) -> list[Path]:
    """Paths by the last number in their names, the newest last."""
    return sorted(paths, key=lambda path: int(re.findall(r"\d+", path.name)[-1]))


class Lightning:
    """`ModelCheckpoint(save_last=True, save_top_k=-1)` and `fit(ckpt_path="last")`."""

    title = "Lightning"
    variants = VARIANTS
    version = staticmethod(lambda: version("lightning"))

    def saving(self):
        from lightning.pytorch.callbacks import ModelCheckpoint

        return ModelCheckpoint, "on_train_batch_end"

    def newest(self, folder: Path) -> Path | None:
        files = [path for path in folder.glob("last*.ckpt")]
        return max(files, key=lambda path: path.stat().st_mtime) if files else None

    def train(self, folder, watch, variant="plain"):
        import lightning.pytorch as pl
        from lightning.pytorch.callbacks import ModelCheckpoint

        def state(trainer, module):
            optimizer = trainer.optimizers[0].state_dict()
            other = [optimizer["param_groups"], trainer.global_step, trainer.current_epoch]
            other.append(trainer.lr_scheduler_configs[0].scheduler.state_dict())
            return module.state_dict(), optimizer["state"], other

        class Module(pl.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.body = network(0.0 if "no dropout" in variant else 0.2)

            def training_step(self, batch, index):
                return F.mse_loss(self.body(batch[0]), batch[1])

            def configure_optimizers(self):
                optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
                return [optimizer], [{"scheduler": rate(optimizer), "interval": "step"}]

        class Tell(pl.Callback):
            seen = None

            def on_train_start(self, trainer, module):
                self.seen = trainer.global_step
                watch.began(self.seen, lambda: state(trainer, module))

            def on_train_batch_end(self, trainer, module, *_):
                if trainer.global_step != self.seen:
                    self.seen = trainer.global_step
                    watch.stepped(self.seen, lambda: state(trainer, module))

        pl.seed_everything(0, verbose=False)
        module, loader = Module(), DataLoader
        if "resumable" in variant:
            from torchdata.stateful_dataloader import StatefulDataLoader as loader
        keep = ModelCheckpoint(
            dirpath=folder, save_last=True, save_top_k=-1, every_n_train_steps=EVERY
        )
        tell = Tell()
        trainer = pl.Trainer(
            accelerator="cpu",
            max_steps=STEPS,
            accumulate_grad_batches=ACCUMULATE,
            callbacks=[tell, keep],
            default_root_dir=folder,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, loader(rows(), batch_size=BATCH, shuffle=True), ckpt_path="last")
        if tell.seen is None:  # there was nothing left to do
            tell.on_train_start(trainer, module)
        return module.state_dict()


class Accelerate:
    """`save_state`/`load_state` with automatic names, a registered counter, and what follows it."""

    title = "Accelerate"
    variants = VARIANTS
    version = staticmethod(lambda: version("accelerate"))

    def saving(self):
        from accelerate import Accelerator

        return Accelerator, "save_state"

    def newest(self, folder: Path) -> Path | None:
        found = numbered((folder / "checkpoints").glob("checkpoint_*"))
        return found[-1] if found else None

    def train(self, folder, watch, variant="plain"):
        import numpy
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState, GradientState
        from accelerate.utils import DataLoaderConfiguration, ProjectConfiguration, set_seed

        AcceleratorState._reset_state(True)  # a forked child finds those of its parent
        GradientState._reset_state()
        set_seed(0)
        stateful = "resumable" in variant
        accelerator = Accelerator(
            cpu=True,
            gradient_accumulation_steps=ACCUMULATE,
            project_config=ProjectConfiguration(str(folder), automatic_checkpoint_naming=True),
            dataloader_config=DataLoaderConfiguration(
                use_seedable_sampler=True, use_stateful_dataloader=stateful
            ),
        )
        model = network(0.0 if "no dropout" in variant else 0.2)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        loader = DataLoader(rows(), batch_size=BATCH, shuffle=True)
        model, optimizer, loader, schedule = accelerator.prepare(
            model, optimizer, loader, rate(optimizer)
        )
        at = Progress()
        accelerator.register_for_checkpointing(at)
        newest = self.newest(folder)
        if newest is not None:
            accelerator.load_state()
            number = int(newest.name.removeprefix("checkpoint_"))
            accelerator.project_configuration.iteration = number + 1

        def state():
            held = optimizer.state_dict()
            other = [held["param_groups"], schedule.state_dict(), at.state_dict()]
            other += [torch.get_rng_state(), random.getstate(), numpy.random.get_state()]
            return model.state_dict(), held["state"], other

        watch.began(at.step, state)
        while at.step < STEPS:
            loader.set_epoch(at.epoch)
            skip = at.batch and not stateful
            for inputs, targets in (
                accelerator.skip_first_batches(loader, at.batch) if skip else loader
            ):
                with accelerator.accumulate(model):
                    accelerator.backward(F.mse_loss(model(inputs), targets))
                    optimizer.step()
                    schedule.step()
                    optimizer.zero_grad()
                at.batch += 1
                if accelerator.sync_gradients:
                    at.step += 1
                    watch.stepped(at.step, state)
                    if at.step % EVERY == 0:
                        accelerator.save_state()
            at.epoch, at.batch = at.epoch + 1, 0
        return accelerator.unwrap_model(model).state_dict()


class Progress:
    """Where a run is, saved with it by `register_for_checkpointing`."""

    step = epoch = batch = 0

    def state_dict(self) -> dict[str, int]:
        return {"step": self.step, "epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.step, self.epoch, self.batch = state["step"], state["epoch"], state["batch"]


class MultiVae:
    """`BaseTrainerConfig(steps_saving=1)` and `BaseTrainer(checkpoint=...)`; epochs of 5 steps."""

    title = "MultiVae"
    variants = ("plain",)
    version = staticmethod(lambda: version("multivae"))

    def saving(self):
        from multivae.trainers import BaseTrainer

        return BaseTrainer, "save_checkpoint"

    def newest(self, folder: Path) -> Path | None:
        found = numbered(folder.glob("*/checkpoint_epoch_*"))
        return found[-1] if found else None

    def train(self, folder, watch, variant="plain"):
        from multivae.data.datasets.base import MultimodalBaseDataset
        from multivae.models import JMVAE, JMVAEConfig
        from multivae.trainers import BaseTrainer, BaseTrainerConfig
        from multivae.trainers.base.callbacks import TrainingCallback

        class Tell(TrainingCallback):
            step = 0
            trainer = None

            def state(self):
                trainer = self.trainer
                held = trainer.optimizer.state_dict()
                other = [held["param_groups"], trainer.scheduler.state_dict()]
                other += [trainer.trained_epochs, vars(trainer.training_config)]
                other += [vars(trainer.model.model_config), trainer.training_dir]
                other += [trainer.best_train_loss, trainer.best_eval_loss]
                return trainer.model.state_dict(), held["state"], other

            def on_train_begin(self, *_, **__):
                self.step = self.trainer.trained_epochs * EVERY
                watch.began(self.step, self.state)

            def on_train_step_end(self, *_, **__):
                self.step += 1
                watch.stepped(self.step, self.state)

        torch.manual_seed(0)
        values = torch.randn(65, 11, generator=torch.Generator().manual_seed(0))
        data = MultimodalBaseDataset({"a": values[:, :6], "b": values[:, 5:]})
        model = JMVAE(
            JMVAEConfig(n_modalities=2, latent_dim=4, input_dims={"a": (6,), "b": (6,)}, warmup=2)
        )
        newest = self.newest(folder)
        config = BaseTrainerConfig(
            output_dir=str(folder),
            per_device_train_batch_size=13,
            num_epochs=STEPS // EVERY,
            optimizer_cls="AdamW",
            learning_rate=1e-3,
            scheduler_cls="StepLR",
            scheduler_params={"step_size": 2, "gamma": 0.7},
            steps_saving=1,
            seed=0,
            no_cuda=True,
        )
        tell = Tell()
        tell.trainer = BaseTrainer(
            model,
            data,
            training_config=None if newest else config,
            callbacks=[tell],
            checkpoint=str(newest) if newest else None,
        )
        tell.trainer.train()
        return tell.trainer.model.state_dict()


class Ours:
    """`Trainer(...).fit(run_dir=...)`; the same call goes on."""

    title = "globalworkspace"
    variants = ("plain",)
    version = staticmethod(lambda: version("globalworkspace"))

    def saving(self):
        from globalworkspace.training import checkpoint

        return checkpoint, "write_checkpoint"

    def newest(self, folder: Path) -> Path | None:
        found = numbered((folder / "checkpoints").glob("step-*"))
        return found[-1] if found else None

    def train(self, folder, watch, variant="plain"):
        sys.path.insert(0, str(Path(__file__).parents[2]))
        from core_domains import small_table, small_workspace

        from globalworkspace import Trainer, TrainerConfig
        from globalworkspace.training.run import Run

        def told(run, event):
            def state():
                return run.workspace.state_dict(), run.optimizer.state(), [run.step, run.order]

            if event == "started":
                watch.began(run.step, state)
            elif event == "step_done":
                watch.stepped(run.step, state)

        Run._tell = told
        torch.manual_seed(0)
        workspace = small_workspace((4, 6), dropout=0.2)
        config = TrainerConfig(
            steps=STEPS,
            batch_size=8,
            unmatched_batch_size=6,
            accumulate=ACCUMULATE,
            ema=0.9,
            checkpoint_every=EVERY,
            device="cpu",
            progress=False,
        )
        Trainer(config).fit(workspace, small_table(rows=120, matched=30), run_dir=folder)
        return workspace.state_dict()


LIBRARIES = {
    "globalworkspace": Ours,
    "lightning": Lightning,
    "accelerate": Accelerate,
    "multivae": MultiVae,
}
