"""Make the caption writer that globalworkspace-shapes ships: a text autoencoder of its sentences.

    python plugins/shapes/training/train_caption_writer.py OUT

Only sentences, and never a picture or a label. Interrupted, the same command goes on from the last
checkpoint. The numbers below are those of the shipped weights (seed 0).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import attrs
import torch
from globalworkspace_shapes.dataset import load
from globalworkspace_text.autoencoder import TextAutoencoder

from globalworkspace.pretrained import save_domain
from globalworkspace.training.unimodal import FitDomainConfig, fit_domain

SENTENCES, DATA_SEED = 30_000, 1234
SETTINGS = {
    "latent_dim": 64,
    "hidden_dim": 256,
    "reads": "tokens",
    "beta": 0.2,
    "word_dropout": 0.3,
}
TRAINING = FitDomainConfig(
    steps=8_000,
    batch_size=128,
    learning_rate=2e-3,
    precision="bf16",
    ema=0.998,
    validate_every=500,
    checkpoint_every=500,
)


def main() -> None:
    """Train and save OUT/domain, weights in half precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=TRAINING.steps)
    args = parser.parse_args()
    column = load("train", SENTENCES, DATA_SEED, domains=["caption"])["caption"]
    torch.manual_seed(TRAINING.seed)
    module = TextAutoencoder(TextAutoencoder.train_vocabulary(column.cells, 1000), **SETTINGS)
    config = attrs.evolve(TRAINING, steps=args.steps)
    print(fit_domain(module, column, args.out, config, resume=True))
    save_domain(module.half(), args.out / "half" / "domain")


if __name__ == "__main__":
    main()
