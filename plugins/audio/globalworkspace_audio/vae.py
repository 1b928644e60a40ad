"""A small convolutional variational auto-encoder over spectrograms, and its loss.

As in any VAE (Kingma & Welling, arXiv 1312.6114) the loss is a reconstruction error and a
Kullback-Leibler divergence. The error is squared error of the *log* spectrogram, so a quiet
overtone counts like a loud one; it is taken at several scales, so that a tone at a wrong pitch has
a gradient towards the right one; and of stereo the difference between the channels is compared
apart, because the side that a sound comes from changes both spectrograms but little. It never sees
a label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

POOLED_WEIGHTS: Mapping[int, float] = {2: 4.0, 4: 16.0}
"""Weight of the squared error after average pooling, by width w of the pool; at w * w an error that
is constant over the pool counts as much as it does in the bins."""

SIDES_POOL = 4
SIDES_WEIGHT = 8.0
"""Weight of the error of the right channel's difference to the left one."""

QUIET_START = -1.4
"""Initial bias of the decoder's last layer, before the sigmoid: a fifth of the range."""


class SpectrogramConvVAE(nn.Module):
    """Stride-2 convolutions, a perceptron on each side of the latent, transposed convolutions.

    Args:
        channels: Sound channels.
        mels: Bands, divisible by 2 ** len(widths).
        frames: Frames, divisible by 2 ** len(widths).
        latent_dim: Dimensions of the latent.
        widths: Channels after each halving, outermost first.
        hidden_dim: Width of the perceptrons between the smallest feature map and the latent.
        encoder_layers: Hidden layers between the smallest feature map and mean and log-variance.
        decoder_layers: Hidden layers between the latent and the smallest feature map.

    Example:
        >>> vae = SpectrogramConvVAE(channels=2, mels=32, frames=16, latent_dim=8)
        >>> mean, logvar = vae.encode(torch.rand(3, 2, 32, 16))
        >>> vae.decode(mean).shape
        torch.Size([3, 2, 32, 16])
    """

    def __init__(
        self,
        *,
        channels: int,
        mels: int,
        frames: int,
        latent_dim: int = 16,
        widths: Sequence[int] = (16, 32, 64),
        hidden_dim: int = 256,
        encoder_layers: int = 1,
        decoder_layers: int = 2,
    ) -> None:
        super().__init__()
        factor = 2 ** len(widths)
        for name, value in (("mels", mels), ("frames", frames)):
            if value % factor or not value:
                raise ValueError(
                    f"{name}={value} cannot be halved {len(widths)} times, once for each of "
                    f"widths={tuple(widths)}. Choose a multiple of {factor}, or fewer widths."
                )
        smallest = (widths[-1], mels // factor, frames // factor)
        flat = smallest[0] * smallest[1] * smallest[2]
        outermost_first = [channels, *widths]
        pairs = list(zip(outermost_first, widths, strict=False))
        layers: list[nn.Module] = []
        for narrow, wide in pairs:
            layers += [nn.Conv2d(narrow, wide, 4, stride=2, padding=1), nn.LeakyReLU(0.1)]
        self.encoder = nn.Sequential(
            *layers, nn.Flatten(), *_hidden(flat, hidden_dim, encoder_layers)
        )
        self.head = nn.Linear(hidden_dim, 2 * latent_dim)
        layers = [nn.Unflatten(1, smallest), nn.LeakyReLU(0.1)]
        for narrow, wide in reversed(pairs):
            last = nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1)
            layers += [last, nn.LeakyReLU(0.1)]
        assert last.bias is not None
        nn.init.constant_(last.bias, QUIET_START)
        layers[-1] = nn.Sigmoid()
        self.decoder = nn.Sequential(
            *_hidden(latent_dim, hidden_dim, decoder_layers), nn.Linear(hidden_dim, flat), *layers
        )

    def encode(self, spectrograms: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the posterior, each (B, latent_dim).

        Args:
            spectrograms: (B, channels, mels, frames) in [0, 1].
        """
        mean, logvar = self.head(self.encoder(spectrograms)).chunk(2, dim=1)
        return mean, logvar

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, latent_dim) -> spectrograms (B, channels, mels, frames) in [0, 1]."""
        return self.decoder(latents)  # type: ignore[no-any-return]

    def forward(
        self, spectrograms: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruct through one posterior sample: (reconstruction, mean, logvar)."""
        mean, logvar = self.encode(spectrograms)
        device = mean.device if generator is None else generator.device
        noise = torch.randn(mean.shape, generator=generator, device=device, dtype=mean.dtype)
        return self.decode(mean + noise.to(mean.device) * (0.5 * logvar).exp()), mean, logvar


def spectrogram_vae_loss(
    spectrograms: Tensor,
    reconstruction: Tensor,
    mean: Tensor,
    logvar: Tensor,
    *,
    beta: float,
    pooled_weights: Mapping[int, float] = POOLED_WEIGHTS,
    sides_weight: float = SIDES_WEIGHT,
) -> dict[str, Tensor]:
    """Terms of the VAE's loss, one value per sound; their sum is what is minimised.

    Each error is the mean over channels, bands and frames of the squared difference, in per mille
    of the range: 1 is an error of 3 % of the range throughout.

    Args:
        spectrograms: (B, C, mels, frames) in [0, 1].
        reconstruction: (B, C, mels, frames).
        mean: (B, D) mean of the posterior.
        logvar: (B, D) log-variance of the posterior.
        beta: Weight of the Kullback-Leibler divergence.
        pooled_weights: Weight by width of the pool for the errors at coarser scales; at w * w an
            error that is constant over the pool counts as much as in the bins.
        sides_weight: Weight of the pooled error of the difference between two channels.

    Returns:
        "bins", "pooled", "sides" (0 for mono) and "kl" (summed over dimensions, times `beta`),
        each (B,) float32.
    """
    spectrograms, mean, logvar = spectrograms.float(), mean.float(), logvar.float()
    error = reconstruction.float() - spectrograms
    bins = error.square().flatten(1).mean(dim=1)
    pooled = torch.zeros_like(bins)
    for width, weight in pooled_weights.items():
        coarse = F.avg_pool2d(error, width).square().flatten(1).mean(dim=1)
        pooled = pooled + weight / width**2 * coarse
    sides = torch.zeros_like(bins)
    if error.shape[1] == 2:
        difference = F.avg_pool2d(error[:, 1] - error[:, 0], SIDES_POOL)
        sides = difference.square().flatten(1).mean(dim=1)
    divergence = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1)
    return {
        "bins": 1000 * bins,
        "pooled": 1000 * pooled,
        "sides": 1000 * sides_weight * sides,
        "kl": beta * divergence,
    }


def _hidden(input_dim: int, hidden_dim: int, num_layers: int) -> list[nn.Module]:
    """`num_layers` linear layers, each followed by SiLU."""
    layers: list[nn.Module] = []
    for layer in range(num_layers):
        layers += [nn.Linear(hidden_dim if layer else input_dim, hidden_dim), nn.SiLU()]
    return layers
