"""Make the picture VAE that globalworkspace-shapes ships: train, drop dead dimensions, save.

    python plugins/shapes/training/train_picture_vae.py OUT

Only pictures, rendered afresh for every step, and never a label. The numbers below are those of the
shipped weights (seed 0): about 48 minutes on one core. Interrupted, the same command goes on from
the last checkpoint. `tests/benchmarks/vae_probe.py OUT/domain` then says what the latents carry.

The rate stays constant and then falls linearly. Dimensions that the divergence has switched off by
then (posterior as wide as the prior) are cut out of the network, their mean folded into the
decoder's first bias; the pictures it decodes stay the same.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from globalworkspace_shapes.attributes import sample_attributes
from globalworkspace_shapes.render import render
from globalworkspace_vision.image_vae import ImageVAE
from globalworkspace_vision.vae import ConvVAE, vae_loss
from torch import Tensor, nn
from tqdm import tqdm

from globalworkspace.folders import (
    load_json,
    load_tensors,
    newest_checkpoint,
    prune_checkpoints,
    save_tensors,
    write_folder,
)
from globalworkspace.pretrained import save_domain

SEED, BATCH = 0, 128
NETWORK = {"latent_dim": 16, "widths": (16, 64, 128), "hidden_dim": 512, "decoder_layers": 3}
CONSTANT_STEPS, FALLING_STEPS, WARMUP = 16_880, 7_259, 300
LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM, EMA = 1.5e-3, 1e-4, 1.0, 0.9995
BETA, BETA_STEPS, CHROMA_WEIGHT = 2e-4, 8_000, 64.0
POOLED_WEIGHTS = {4: 16.0, 16: 64.0}
CHECKPOINT_EVERY = 500
DEAD = 0.05
"""Dimensions whose means vary less than this share of the median are cut out."""


def batch_at(step: int) -> tuple[Tensor, torch.Generator]:
    """The pictures of a step (128, 3, 32, 32), and the generator of its posterior noise."""
    generator = torch.Generator().manual_seed((SEED * 1_000_003 + step) % 2**32)
    pictures = render(sample_attributes(BATCH, generator)).float().div_(255)
    return pictures.contiguous(memory_format=torch.channels_last), generator


def rate_at(step: int) -> float:
    """Warm-up, constant, then linear down to 1 %."""
    left = 1 - max(0, step - CONSTANT_STEPS) / FALLING_STEPS
    return LEARNING_RATE * min(1, (step + 1) / WARMUP) * (0.99 * max(0.0, left) + 0.01)


def train(folder: Path) -> ConvVAE:
    """Train to the end, from the newest checkpoint in `folder` on; the averaged weights."""
    torch.manual_seed(SEED)
    vae = ConvVAE(**NETWORK).to(memory_format=torch.channels_last)
    parameters = dict(vae.named_parameters())
    average = {name: value.detach().clone() for name, value in parameters.items()}
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.99)
    )
    first = 0
    found = newest_checkpoint(folder / "checkpoints")
    if found is not None:
        saved = load_tensors(found / "state.safetensors")
        first = load_json(found / "state.json")["step"]
        for name, parameter in parameters.items():
            parameter.data.copy_(saved[f"live.{name}"])
            average[name] = saved[f"average.{name}"]
            keys = ("step", "exp_avg", "exp_avg_sq")
            optimizer.state[parameter] = {key: saved[f"{key}.{name}"] for key in keys}
    total = CONSTANT_STEPS + FALLING_STEPS
    for step in tqdm(range(first, total), initial=first, total=total, unit="step"):
        pictures, generator = batch_at(step)
        with torch.autocast("cpu", torch.bfloat16):
            reconstruction, mean, logvar = vae(pictures, generator)
        terms = vae_loss(
            pictures,
            reconstruction,
            mean,
            logvar,
            beta=BETA * min(1, step / BETA_STEPS),
            pooled_weights=POOLED_WEIGHTS,
            chroma_weight=CHROMA_WEIGHT,
        )
        optimizer.param_groups[0]["lr"] = rate_at(step)
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum(dim=0).mean().backward()
        nn.utils.clip_grad_norm_(parameters.values(), CLIP_NORM)
        optimizer.step()
        decay = min(EMA, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.values()), list(parameters.values()), 1 - decay)
        if (step + 1) % CHECKPOINT_EVERY == 0:
            state = {f"live.{name}": value for name, value in parameters.items()}
            state |= {f"average.{name}": value for name, value in average.items()}
            for name, parameter in parameters.items():
                state |= {f"{key}.{name}": x for key, x in optimizer.state[parameter].items()}

            def fill(scratch: Path, state: dict[str, Tensor] = state, step: int = step) -> None:
                save_tensors(scratch / "state.safetensors", state)
                (scratch / "state.json").write_text(json.dumps({"step": step + 1}))

            write_folder(folder / "checkpoints" / f"step-{step + 1:09d}", fill)
            prune_checkpoints(folder / "checkpoints")
    vae.load_state_dict(average)
    return vae.eval()


@torch.no_grad()
def without_dead_dimensions(vae: ConvVAE) -> ConvVAE:
    """The same network without the latent dimensions that carry nothing."""
    shapes = sample_attributes(20_000, torch.Generator().manual_seed(77))
    pictures = render(shapes).float().div_(255)
    means = torch.cat([vae.encode(chunk)[0] for chunk in pictures.split(1000)])
    variances = means.var(dim=0)
    keep = variances > DEAD * variances.median()
    weights = vae.state_dict()
    for name in ("head.weight", "head.bias"):
        weights[name] = weights[name][torch.cat([keep, keep])]  # means, then log variances
    first = weights["decoder.0.weight"]
    weights["decoder.0.bias"] = weights["decoder.0.bias"] + first[:, ~keep] @ means.mean(0)[~keep]
    weights["decoder.0.weight"] = first[:, keep]
    smaller = ConvVAE(**{**vae.config, "latent_dim": int(keep.sum())})
    smaller.load_state_dict(weights)
    return smaller.eval()


def main() -> None:
    """Train and save OUT/domain, weights in half precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    folder = parser.parse_args().out
    began = time.monotonic()
    vae = without_dead_dimensions(train(folder))
    config = {name: value for name, value in vae.config.items() if name != "num_channels"}
    module = ImageVAE(**config, beta=BETA, chroma_weight=CHROMA_WEIGHT)
    module.vae.load_state_dict(vae.state_dict())
    save_domain(module.half(), folder / "domain")
    print(f"{config['latent_dim']} dimensions, {(time.monotonic() - began) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
