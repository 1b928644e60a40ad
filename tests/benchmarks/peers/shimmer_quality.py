"""Trains the authors' `shimmer` to its end; run by time_to_quality.py with shimmer's own Python.

    python shimmer_quality.py '{"latents": "latents.safetensors", "seed": 0, "steps": 8000, ...}'

As its users run it: data set of items, DataLoader, CombinedLoader, Lightning's Trainer, and the
networks and the OneCycle schedule that come with it; see shimmer_steps.py for the stand-in that is
put beside it. Prints one JSON line: CPU seconds of the fit, and the mean squared errors of both
translations on the held-out rows.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings

import torch
from safetensors.torch import load_file
from shimmer_steps import Items, stand_in
from torch.nn import functional as F
from torch.utils.data import DataLoader

BATCH = 2056


def main() -> None:
    """Train and print."""
    job = json.loads(sys.argv[1])
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    stand_in()
    import shimmer
    from lightning.pytorch import Trainer, seed_everything
    from lightning.pytorch.utilities.combined_loader import CombinedLoader
    from shimmer.modules.global_workspace import SchedulerArgs
    from shimmer.modules.gw_module import translation

    class Latent(shimmer.DomainModule):
        def encode(self, x: torch.Tensor) -> torch.Tensor:
            return x

        def decode(self, z: torch.Tensor) -> torch.Tensor:
            return z

        def compute_loss(self, pred, target, raw):  # type: ignore[no-untyped-def]
            return shimmer.LossOutput(loss=F.mse_loss(pred, target))

    latents = load_file(job["latents"])
    names = ("picture", "attributes")
    train = {name: latents[f"train.{name}"] for name in names}
    matched = {name: values[: job["matched"]] for name, values in train.items()}
    groups = {frozenset(names): matched} | {frozenset([n]): {n: train[n]} for n in names}
    seed_everything(job["seed"], verbose=False)
    loaders = {
        group: DataLoader(Items(dict(columns)), batch_size=BATCH, shuffle=True, drop_last=True)
        for group, columns in groups.items()
    }
    dims = {name: values.shape[1] for name, values in train.items()}
    workspace = shimmer.GlobalWorkspace2Domains(
        {name: Latent(dim) for name, dim in dims.items()},
        {name: shimmer.GWEncoder(dim, 32, 12, n_layers=3) for name, dim in dims.items()},
        {name: shimmer.GWDecoder(12, 32, dim, n_layers=3) for name, dim in dims.items()},
        12,
        {"translations": 1.0, "demi_cycles": 1.0, "cycles": 1.0, "contrastives": 0.1},
        optim_weight_decay=1e-6,
        scheduler_args=SchedulerArgs(max_lr=job["max_lr"], total_steps=job["steps"]),
    )
    began = time.process_time()
    Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=job["steps"],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(workspace, CombinedLoader(loaders, mode="min_size"))
    seconds = time.process_time() - began
    workspace.eval()
    errors = {}
    for split in ("validation", "test"):
        for source, target in (names, names[::-1]):
            with torch.no_grad():
                guess = translation(
                    workspace.gw_mod,
                    workspace.selection_mod,
                    {source: latents[f"{split}.{source}"]},
                    target,
                )
            error = F.mse_loss(guess, latents[f"{split}.{target}"])
            errors[f"{split} {source} -> {target}"] = float(error)
    print(json.dumps({"seconds": seconds, "errors": errors}))


if __name__ == "__main__":
    main()
