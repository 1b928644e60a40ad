"""Times training steps of the authors' `shimmer`; run by step_speed.py with shimmer's own Python.

    python shimmer_steps.py '{"n": 2, "batch": 512, "width": 32, "steps": 40, "kind": "lightning"}'

Two things are put around shimmer, none of them into it: a stand-in for `migrate_ckpt`, its one
dependency that only a git address provides (it converts old checkpoints and takes no part in
training), and, for three domains and more, its own contrastive function called for each pair of a
matched group (its `contrastive_loss` takes groups of two only and fails where there is none).

`kind`: "lightning", as its users run it (data set of items, DataLoader, CombinedLoader, Trainer);
"fusion", the same with `GlobalWorkspaceFusion`, whose loss enumerates all subsets of domains.
Prints a JSON line: {"ms": milliseconds of CPU time per step}; with "turns", as many of them, each
after it has printed "ready" and has been sent a line.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import types
import warnings
from itertools import combinations

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

DIMS = (12, 11, 64, 32)
ROWS = 20_000


def stand_in() -> None:
    """`migrate_ckpt`, which only a git address provides."""
    module = types.ModuleType("migrate_ckpt")
    module.CkptType = dict  # type: ignore[attr-defined]
    module.ckpt_migration_key = "migrations"  # type: ignore[attr-defined]
    module.get_folder_migrations = lambda *a, **k: []  # type: ignore[attr-defined]
    module.migrate_from_folder = lambda c, *a, **k: (c, [])  # type: ignore[attr-defined]
    sys.modules["migrate_ckpt"] = module


class Items(Dataset):
    """One dict of latents per item."""

    def __init__(self, columns: dict[str, torch.Tensor]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {name: values[index] for name, values in self.columns.items()}


def main() -> None:
    """Train for a few steps and print the time of one."""
    job = json.loads(sys.argv[1])
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    stand_in()
    import shimmer
    from lightning.pytorch import Callback, Trainer
    from lightning.pytorch.utilities.combined_loader import CombinedLoader
    from shimmer.modules import losses
    from shimmer.modules.global_workspace import GlobalWorkspaceFusion, SchedulerArgs

    def per_pair(gw_mod, groups, function):  # type: ignore[no-untyped-def]
        found = {}
        for latents in groups.values():
            codes = gw_mod.encode(latents)
            for a, b in combinations(codes, 2):
                found[f"contrastive_{a}_and_{b}"] = function(codes[a], codes[b]).loss
        found["contrastives"] = torch.stack(list(found.values())).mean()
        return found

    n, batch, width, steps = (job[key] for key in ("n", "batch", "width", "steps"))
    if n > 2:
        losses.contrastive_loss = per_pair

    class Latent(shimmer.DomainModule):
        def encode(self, x: torch.Tensor) -> torch.Tensor:
            return x

        def decode(self, z: torch.Tensor) -> torch.Tensor:
            return z

        def compute_loss(self, pred, target, raw):  # type: ignore[no-untyped-def]
            return shimmer.LossOutput(loss=F.mse_loss(pred, target))

    torch.manual_seed(0)
    dims = {f"d{i}": DIMS[i % len(DIMS)] for i in range(n)}
    data = {name: torch.randn(ROWS, dim) for name, dim in dims.items()}
    groups = {frozenset(data): data} | {frozenset([d]): {d: data[d]} for d in data}
    loaders = {
        group: DataLoader(Items(dict(columns)), batch_size=batch, shuffle=True, drop_last=True)
        for group, columns in groups.items()
    }
    encoders: dict[str, nn.Module] = {
        name: shimmer.GWEncoder(dim, width, 12, n_layers=3) for name, dim in dims.items()
    }
    decoders: dict[str, nn.Module] = {
        name: shimmer.GWDecoder(12, width, dim, n_layers=3) for name, dim in dims.items()
    }
    weights = {"translations": 1.0, "demi_cycles": 1.0, "cycles": 1.0, "contrastives": 0.1}
    kind = shimmer.GlobalWorkspace2Domains
    if job["kind"] == "fusion":
        kind, weights = GlobalWorkspaceFusion, weights | {"fused": 1.0}
    workspace = kind(
        {name: Latent(dim) for name, dim in dims.items()},
        encoders,
        decoders,
        12,
        weights,
        scheduler_args=SchedulerArgs(max_lr=1e-3, total_steps=1_000_000),
    )

    turns, device = job.get("turns", 1), job.get("device", "cpu")

    def now() -> float:
        if device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    class Clock(Callback):
        began, done = 0.0, 0

        def on_train_batch_end(self, trainer, *_):  # type: ignore[no-untyped-def]
            into = trainer.global_step - job["warmup"]
            if into < 0 or into % steps:
                return
            if into:
                ms = 1000 * (now() - self.began) / steps
                print(json.dumps({"ms": ms}), flush=True)
                self.done += 1
            if "turns" in job and self.done < turns:
                print("ready", flush=True)
                input()
            self.began = now()

    Trainer(
        accelerator="cpu" if device == "cpu" else "gpu",
        devices=1,
        max_steps=job["warmup"] + turns * steps,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Clock()],
    ).fit(workspace, CombinedLoader(loaders, mode="min_size"))


if __name__ == "__main__":
    main()
