"""What the latent means of a picture VAE say about each factor of a Simple Shapes picture.

    python tests/benchmarks/vae_probe.py               # the shipped VAE
    python tests/benchmarks/vae_probe.py FOLDER        # another image-vae that save_domain() wrote
    python tests/benchmarks/vae_probe.py --ceiling     # a CNN trained on the pixels and labels

Pixel errors do not show what a VAE forgot: a picture of the right colour at the right place with
the wrong rotation is nearly perfect. So a small perceptron is trained to read the factors from
latents of some pictures and judged on latents of others; the VAE has seen neither. The ceiling is
what supervised training on the pixels reads.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Sequence

import torch
from claims import record
from globalworkspace_shapes.attributes import CLASSES, ShapeAttributes, sample_attributes
from globalworkspace_shapes.render import render, render_float
from globalworkspace_vision.image_vae import ImageVAE
from globalworkspace_vision.vae import ConvVAE
from torch import Tensor, nn
from torch.nn import functional as F

from globalworkspace import load_domain

FACTORS = ("x", "y", "size", "cos", "sin", "r", "g", "b")
ROTATION = ("cos", "sin")
PROBE_SEED, TEST_SEED, CEILING_SEED = 4_000_000_001, 4_000_000_002, 3_000_000_000
"""Far from the seeds of any training run. CPU generators keep the lowest 32 bits of a seed."""

CLASS_WEIGHT = 0.3
HIDDEN_DIM = 256
SHIPPED = "package:globalworkspace_shapes/weights/picture"


def load(folder: str) -> ConvVAE:
    """The network of an `image-vae` that `save_domain` wrote, in float32 and evaluation mode."""
    module = load_domain(folder)
    assert isinstance(module, ImageVAE), f"{folder} holds a {type(module).__name__}"
    return module.vae.float().eval()


def targets(shapes: ShapeAttributes) -> tuple[Tensor, Tensor]:
    """The factors (N, 8) in the order of `FACTORS`, and the class labels (N,)."""
    place = [shapes.x, shapes.y, shapes.size, shapes.rotation.cos(), shapes.rotation.sin()]
    return torch.cat([torch.stack(place, dim=1), shapes.color], dim=1), shapes.category


@torch.no_grad()
def latent_means(vae: ConvVAE, shapes: ShapeAttributes) -> Tensor:
    """Posterior means (N, latent_dim) of the shapes' pictures."""
    size = int(vae.config["picture_size"])
    starts = range(0, len(shapes), 1000)
    return torch.cat(
        [vae.encode(render_float(shapes[slice(i, i + 1000)], size))[0] for i in starts]
    )


@torch.no_grad()
def relative_error(vae: ConvVAE, shapes: ShapeAttributes) -> float:
    """Squared error of the pictures decoded from the means, over their energy; a mean."""
    pictures = render_float(shapes, int(vae.config["picture_size"]))
    error = (vae.decode(vae.encode(pictures)[0]) - pictures).square().sum((1, 2, 3))
    return (error / pictures.square().sum((1, 2, 3))).mean().item()


def fit(
    reader: nn.Module,
    batch_at: Callable[[int], tuple[Tensor, ShapeAttributes]],
    steps: int,
    scale: Tensor,
) -> None:
    """Train `reader` to give the standardised factors and the class logits, (B, 8 + classes).

    Args:
        reader: Network from the batch's inputs to (B, 8 + classes).
        batch_at: Inputs and their shapes, by step.
        steps: Optimiser steps, AdamW 3e-3 with warm-up and cosine decay.
        scale: (2, 8) mean and standard deviation of the factors.
    """
    optimizer = torch.optim.AdamW(reader.parameters(), lr=3e-3, weight_decay=1e-4)
    for step in range(steps):
        warm = min(1.0, (step + 1) / 100)
        optimizer.param_groups[0]["lr"] = 3e-3 * warm * 0.5 * (1 + math.cos(math.pi * step / steps))
        inputs, shapes = batch_at(step)
        factors, category = targets(shapes)
        read = reader(inputs)
        loss = F.mse_loss(read[:, : len(FACTORS)], (factors - scale[0]) / scale[1])
        loss = loss + CLASS_WEIGHT * F.cross_entropy(read[:, len(FACTORS) :], category)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()


@torch.no_grad()
def scores(
    reader: nn.Module, inputs: Tensor, shapes: ShapeAttributes, scale: Tensor
) -> dict[str, float]:
    """R² of every factor and the class accuracy ("class") on one set of inputs."""
    reader.eval()
    read = torch.cat([reader(part) for part in inputs.split(1000)])
    factors, category = targets(shapes)
    error = (read[:, : len(FACTORS)] * scale[1] + scale[0] - factors).square().mean(0)
    r2 = 1 - error / factors.var(0, correction=0)
    accuracy = (read[:, len(FACTORS) :].argmax(1) == category).float().mean().item()
    return {**dict(zip(FACTORS, r2.tolist(), strict=True)), "class": accuracy}


def probe(vae: ConvVAE, seed: int, num_train: int, num_test: int, steps: int) -> dict[str, float]:
    """Train the perceptron from `seed` on `num_train` pictures, judge it on `num_test` others."""
    train = sample_attributes(num_train, torch.Generator().manual_seed(PROBE_SEED))
    test = sample_attributes(num_test, torch.Generator().manual_seed(TEST_SEED))
    latents, unseen = latent_means(vae, train), latent_means(vae, test)
    mean, deviation = latents.mean(0), latents.std(0)
    latents, unseen = (latents - mean) / deviation, (unseen - mean) / deviation
    factors = targets(train)[0]
    scale = torch.stack([factors.mean(0), factors.std(0)])
    generator = torch.Generator().manual_seed(seed)

    def batch_at(step: int) -> tuple[Tensor, ShapeAttributes]:
        rows = torch.randint(0, num_train, (512,), generator=generator)
        return latents[rows], train[rows]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = nn.Sequential(
            nn.Linear(latents.shape[1], HIDDEN_DIM),
            nn.SiLU(),
            nn.Linear(HIDDEN_DIM, HIDDEN_DIM),
            nn.SiLU(),
            nn.Linear(HIDDEN_DIM, len(FACTORS) + len(CLASSES)),
        )
    fit(reader, batch_at, steps, scale)
    return scores(reader, unseen, test, scale)


def ceiling(seed: int, num_test: int, steps: int) -> dict[str, float]:
    """Train a CNN on fresh pictures with their labels and judge it on the probe's test pictures."""
    test = sample_attributes(num_test, torch.Generator().manual_seed(TEST_SEED))
    factors = targets(sample_attributes(20_000, torch.Generator().manual_seed(PROBE_SEED)))[0]
    scale = torch.stack([factors.mean(0), factors.std(0)])

    def batch_at(step: int) -> tuple[Tensor, ShapeAttributes]:
        shapes = sample_attributes(
            128, torch.Generator().manual_seed(CEILING_SEED + 10_000_000 * seed + step)
        )
        return render_float(shapes), shapes

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for narrow, wide in ((3, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(narrow, wide, 4, stride=2, padding=1), nn.SiLU()]
        reader = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Linear(2048, HIDDEN_DIM),
            nn.SiLU(),
            nn.Linear(HIDDEN_DIM, HIDDEN_DIM),
            nn.SiLU(),
            nn.Linear(HIDDEN_DIM, len(FACTORS) + len(CLASSES)),
        )
    fit(reader, batch_at, steps, scale)
    return scores(reader, render(test).float().div_(255), test, scale)


def summarise(prefix: str, by_seed: Sequence[dict[str, float]], command: str) -> dict[str, float]:
    """Print the table, record the headline figures (median, range over seeds) and return them."""
    print("seed   " + "".join(f"{name:>9}" for name in by_seed[0]))
    for seed, row in enumerate(by_seed):
        print(f"{seed:<7}" + "".join(f"{value:9.4f}" for value in row.values()))
    others = [name for name in FACTORS if name not in ROTATION]
    headlines = {
        f"{prefix}_r2_rotation": [min(row[name] for name in ROTATION) for row in by_seed],
        f"{prefix}_r2_min_other": [min(row[name] for name in others) for row in by_seed],
        f"{prefix}_class_accuracy": [row["class"] for row in by_seed],
    }
    for name, values in headlines.items():
        median, low, high = (round(f(values), 5) for f in (statistics.median, min, max))
        print(f"{name}: {median} ({low} to {high} over {len(values)} seeds)")
        record(name, median, low, high, "1", len(values), command)
    return {name: statistics.median(values) for name, values in headlines.items()}


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Print and record the figures of a VAE, or of the ceiling; returns the medians by name."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "folder", nargs="?", default=SHIPPED, help="folder that save_domain() wrote"
    )
    parser.add_argument(
        "--ceiling", action="store_true", help="train the CNN on the pixels instead"
    )
    parser.add_argument("--seeds", type=int, help="probe seeds (default 3; for the ceiling 1)")
    parser.add_argument(
        "--train", type=int, default=100_000, help="pictures that the probe learns from"
    )
    parser.add_argument("--test", type=int, default=20_000, help="pictures that it is judged on")
    parser.add_argument(
        "--steps", type=int, help="steps of the probe (default 10000) or the CNN (default 6000)"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.ceiling:
        steps, seeds = options.steps or 6000, range(options.seeds or 1)
        command = (
            f"python tests/benchmarks/vae_probe.py --ceiling --seeds {len(seeds)} --steps {steps}"
        )
        return summarise(
            "vae_ceiling", [ceiling(seed, options.test, steps) for seed in seeds], command
        )
    vae = load(options.folder)
    test = sample_attributes(options.test, torch.Generator().manual_seed(TEST_SEED))
    variances = latent_means(vae, test).var(0)
    print("variance of each dimension's means:", *(f"{value:.3f}" for value in variances.tolist()))
    smallest = (variances.min() / variances.median()).item()
    print(
        f"smallest over median variance: {smallest:.4f}; "
        f"relative error {relative_error(vae, test[:2000]):.5f}"
    )
    steps, seeds = options.steps or 10_000, range(options.seeds or 3)
    shipped = options.folder == SHIPPED
    script = "python tests/benchmarks/vae_probe.py" + ("" if shipped else f" {options.folder}")
    command = f"{script} --seeds {len(seeds)} --steps {steps}"
    by_seed = [probe(vae, seed, options.train, options.test, steps) for seed in seeds]
    return summarise("vae", by_seed, command) | {"vae_min_over_median_variance": smallest}


if __name__ == "__main__":
    main()
