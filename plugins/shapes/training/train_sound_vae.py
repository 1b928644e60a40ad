"""Make the sound VAE that globalworkspace-shapes ships: train, drop dead dimensions, save.

    python plugins/shapes/training/train_sound_vae.py OUT

Only sounds, made afresh for every step, and never a label. The numbers below are those of the
shipped weights (seed 0): half an hour on one core. Interrupted, the same command goes on from
the last checkpoint. `python tests/benchmarks/sound_probe.py OUT/domain` then says what the
latents carry.

Dimensions that the divergence has switched off (posterior as wide as the prior) are cut out of the
network, their mean folded into the decoder's first bias; the sounds it decodes stay the same.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from globalworkspace_shapes.attributes import sample_attributes
from globalworkspace_shapes.sound import SAMPLE_RATE, SECONDS, sonify
from torch import Tensor

from globalworkspace import DomainModule, Table
from globalworkspace.pretrained import build_domain, save_domain
from globalworkspace.training.unimodal import FitDomainConfig, fit_domain

SETTINGS = {
    "sample_rate": SAMPLE_RATE,
    "seconds": SECONDS,
    "channels": 2,
    "mels": 64,
    "window": 512,
    "hop": 125,
    "latent_dim": 16,
    "widths": [16, 32, 64],
    "hidden_dim": 256,
    "floor_db": -60.0,
}
TRAINING = {
    "steps": 12_000,
    "batch_size": 128,
    "learning_rate": 1.5e-3,
    "clip_norm": 5.0,
    "ema": 0.999,
    "precision": "bf16",
    "validation_cells": 512,
    "validate_every": 1000,
    "checkpoint_every": 500,
}
NOISE_DB = (-80.0, -50.0)
"""Power of the white noise under each training sound, from and to: what comes back from a
file or from Griffin-Lim is not as clean as what is computed."""

DEAD = 0.05
"""Dimensions whose means vary less than this share of the median are cut out."""


def sounds_at(step: int) -> Tensor:
    """The sounds of a step (128, 2, n), each over its own noise."""
    generator = torch.Generator().manual_seed((1_000_003 + step) % 2**32)
    sounds = sonify(sample_attributes(TRAINING["batch_size"], generator))
    low, high = NOISE_DB
    decibels = low + (high - low) * torch.rand(len(sounds), 1, 1, generator=generator)
    return sounds + 10 ** (decibels / 20) * torch.randn(sounds.shape, generator=generator)


@torch.no_grad()
def without_dead_dimensions(module: DomainModule) -> DomainModule:
    """The same module without the latent dimensions that carry nothing."""
    sounds = sonify(sample_attributes(4000, torch.Generator().manual_seed(77)))
    means = module.encode(sounds)
    variances = means.var(dim=0)
    keep = variances > DEAD * variances.median()
    weights = module.state_dict()
    for name in ("vae.head.weight", "vae.head.bias"):
        weights[name] = weights[name][torch.cat([keep, keep])]  # means, then log variances
    first = weights["vae.decoder.0.weight"]
    weights["vae.decoder.0.bias"] = (
        weights["vae.decoder.0.bias"] + first[:, ~keep] @ means.mean(0)[~keep]
    )
    weights["vae.decoder.0.weight"] = first[:, keep]
    smaller = build_domain("spectrogram-vae", {**module.config(), "latent_dim": int(keep.sum())})
    smaller.load_state_dict(weights)
    return smaller.eval()


def main() -> None:
    """Train and save OUT/domain, weights in half precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=TRAINING["steps"])
    arguments = parser.parse_args()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build_domain("spectrogram-vae", SETTINGS)
    judged = sonify(sample_attributes(512, torch.Generator().manual_seed(78)))
    figures = fit_domain(
        module,
        Table.from_columns({"sound": judged})["sound"],
        arguments.out / "training",
        FitDomainConfig(**{**TRAINING, "steps": arguments.steps}),
        resume=True,
        source=sounds_at,
    )
    smaller = without_dead_dimensions(module)
    save_domain(smaller.half(), arguments.out / "domain")
    print(f"{smaller.latent.dim} dimensions, {figures['seconds'] / 60:.0f} minutes in this run")


if __name__ == "__main__":
    main()
