"""What the latent means of a sound VAE say about each attribute of the shape that is heard.

    python tests/benchmarks/sound_probe.py               # the shipped VAE
    python tests/benchmarks/sound_probe.py FOLDER        # another one that save_domain() wrote

A ridge regression and a small perceptron (that of vae_probe.py) learn to read the attributes from
latents of some sounds and are judged on latents of others; the VAE has seen neither. The perceptron
also reads sounds that went through a waveform: latents decoded by Griffin-Lim and encoded again.
Writes the table of docs/results/sound-vae.md and three figures into docs/results/claims.json.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import torch
from globalworkspace_audio.spectrogram_vae import SpectrogramVAE
from globalworkspace_shapes.attributes import CLASSES, ShapeAttributes, sample_attributes
from globalworkspace_shapes.sound import sonify
from torch import Tensor, nn
from torch.nn import functional as F
from vae_probe import FACTORS, HIDDEN_DIM, PROBE_SEED, TEST_SEED, fit, scores, summarise, targets

from globalworkspace import load_domain
from globalworkspace.closed_form import ridge

REPORT = Path(__file__).resolve().parents[2] / "docs" / "results" / "sound-vae.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
TRAIN, TEST, REPLAYED = 40_000, 10_000, 1_000
STEPS, SEEDS = 10_000, 3
SHIPPED = "package:globalworkspace_shapes/weights/sound"


@torch.no_grad()
def latent_means(module: SpectrogramVAE, shapes: ShapeAttributes) -> Tensor:
    """Posterior means (N, latent_dim) of the shapes' sounds."""
    starts = range(0, len(shapes), 500)
    return torch.cat([module.encode(sonify(shapes[slice(i, i + 500)])) for i in starts])


@torch.no_grad()
def spectrogram_error(module: SpectrogramVAE, shapes: ShapeAttributes) -> float:
    """Squared error of the spectrograms decoded from the means, over their variance; a mean."""
    truth = module.spectrograms(sonify(shapes))
    error = module.decode_spectrograms(module.vae.encode(truth)[0]) - truth
    return float(error.square().mean() / (truth - truth.mean(dim=0)).square().mean())


def train_reader(
    latents: Tensor, train: ShapeAttributes, seed: int, steps: int
) -> tuple[nn.Module, Tensor]:
    """A perceptron that reads the attributes, and the scale of what it gives."""
    factors = targets(train)[0]
    scale = torch.stack([factors.mean(0), factors.std(0)])
    generator = torch.Generator().manual_seed(seed)

    def batch_at(step: int) -> tuple[Tensor, ShapeAttributes]:
        rows = torch.randint(0, len(train), (512,), generator=generator)
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
    return reader, scale


def ridge_scores(
    latents: Tensor, train: ShapeAttributes, unseen: Tensor, test: ShapeAttributes
) -> dict[str, float]:
    """The same by ridge regression, the class as three numbers."""
    factors, category = targets(train)
    read = ridge(latents, torch.cat([factors, F.one_hot(category).float()], dim=1), [1e-3])(unseen)
    truth, true_category = targets(test)
    error = (read[:, : len(FACTORS)] - truth).square().mean(0)
    r2 = 1 - error / truth.double().var(0, correction=0)
    right = (read[:, len(FACTORS) :].argmax(1) == true_category).double().mean()
    return {**dict(zip(FACTORS, r2.tolist(), strict=True)), "class": float(right)}


def table(
    linear: dict[str, float],
    by_seed: Sequence[dict[str, float]],
    replayed: Sequence[dict[str, float]],
) -> str:
    """Markdown: a row per reader, a column per attribute; median over the probe seeds."""
    names = ("class", *FACTORS)
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for title, runs in (
        ("perceptron", by_seed),
        ("perceptron, sounds decoded and encoded again", replayed),
        ("ridge", [linear]),
    ):
        values = [statistics.median(run[name] for run in runs) for name in names]
        lines.append(f"| {title} | {' | '.join(f'{value:.4f}' for value in values)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print and record the figures of a VAE."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", nargs="?", default=SHIPPED, help="what save_domain() wrote")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    module = load_domain(options.folder)
    assert isinstance(module, SpectrogramVAE), f"{options.folder} holds a {type(module).__name__}"
    train = sample_attributes(TRAIN, torch.Generator().manual_seed(PROBE_SEED))
    test = sample_attributes(TEST, torch.Generator().manual_seed(TEST_SEED))
    latents, unseen = latent_means(module, train), latent_means(module, test)
    variances = unseen.var(0)
    print("variance of each dimension's means:", *(f"{value:.3f}" for value in variances.tolist()))
    print(f"spectrogram error over variance: {spectrogram_error(module, test[:1000]):.4f}")
    again = module.encode(module.decode(unseen[:REPLAYED]))
    mean, deviation = latents.mean(0), latents.std(0)
    latents, unseen, again = ((part - mean) / deviation for part in (latents, unseen, again))
    linear = ridge_scores(latents, train, unseen, test)
    by_seed, replayed = [], []
    for seed in range(SEEDS):
        reader, scale = train_reader(latents, train, seed, STEPS)
        by_seed.append(scores(reader, unseen, test, scale))
        replayed.append(scores(reader, again, test[:REPLAYED], scale))
    text = table(linear, by_seed, replayed)
    print(text)
    if options.folder == SHIPPED:  # only what is shipped is a claim
        summarise("sound_vae", by_seed, "python tests/benchmarks/sound_probe.py")
        before, _, rest = REPORT.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        REPORT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
