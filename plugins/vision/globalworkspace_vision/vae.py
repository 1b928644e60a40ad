"""A small convolutional variational auto-encoder whose latent means carry the picture; its loss.

Plain squared pixel error lets a VAE forget what few pixels show: the rotation of a small dark shape
costs almost nothing next to the outline of a big bright one. The loss here therefore differs from
the usual one (Kingma & Welling, arXiv 1312.6114) in three ways: errors are measured *relative to
the picture's own energy*; they are taken at several scales, so that a misplaced shape has a
gradient towards its place; and the colour is compared apart from the brightness. It never sees a
label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

POOLED_WEIGHTS: Mapping[int, float] = {4: 16.0, 16: 64.0}
"""Weight of the squared error after average pooling, by width w of the pool; at w * w an error that
is constant over the pool counts as much as it does in the pixels."""

CHROMA_POOL = 4
CHROMA_WEIGHT = 64.0
DARK_START = -3.0
"""Initial bias of the decoder's last layer, before the sigmoid."""

ENERGY_FLOOR = 0.1
"""Keeps the relative error of an almost black picture finite; Simple Shapes have 1 to 350."""


class ConvVAE(nn.Module):
    """Stride-2 convolutions, a perceptron on each side of the latent, transposed convolutions.

    Args:
        picture_size: Pixels per side, divisible by 2 ** len(widths): 32 and 64 are the usual ones.
        latent_dim: Dimensions of the latent.
        widths: Channels after each halving of the picture, outermost first.
        hidden_dim: Width of the perceptrons between the smallest feature map and the latent.
        encoder_layers: Hidden layers between the smallest feature map and mean and log-variance.
        decoder_layers: Hidden layers between the latent and the smallest feature map.
        num_channels: Colour channels.

    Example:
        >>> vae = ConvVAE(picture_size=32, latent_dim=16)
        >>> mean, logvar = vae.encode(torch.rand(2, 3, 32, 32))
        >>> vae.decode(mean).shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(
        self,
        *,
        picture_size: int = 32,
        latent_dim: int = 16,
        widths: Sequence[int] = (16, 64, 128),
        hidden_dim: int = 512,
        encoder_layers: int = 1,
        decoder_layers: int = 3,
        num_channels: int = 3,
    ) -> None:
        super().__init__()
        smallest, remainder = divmod(picture_size, 2 ** len(widths))
        if remainder or not smallest:
            raise ValueError(
                f"picture_size={picture_size} cannot be halved {len(widths)} times, once for each "
                f"of widths={tuple(widths)}. Choose a multiple of {2 ** len(widths)}, or fewer "
                "widths."
            )
        self.config = {
            "picture_size": picture_size,
            "latent_dim": latent_dim,
            "widths": list(widths),
            "hidden_dim": hidden_dim,
            "encoder_layers": encoder_layers,
            "decoder_layers": decoder_layers,
            "num_channels": num_channels,
        }
        flat = widths[-1] * smallest**2
        outermost_first = [num_channels, *widths]
        layers: list[nn.Module] = []
        for narrow, wide in zip(outermost_first, widths, strict=False):
            layers += [nn.Conv2d(narrow, wide, 4, stride=2, padding=1), nn.LeakyReLU(0.1)]
        self.encoder = nn.Sequential(
            *layers, nn.Flatten(), *_hidden(flat, hidden_dim, encoder_layers)
        )
        self.head = nn.Linear(hidden_dim, 2 * latent_dim)

        layers = [nn.Unflatten(1, (widths[-1], smallest, smallest)), nn.LeakyReLU(0.1)]
        for narrow, wide in reversed(list(zip(outermost_first, widths, strict=False))):
            layers += [nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1), nn.LeakyReLU(0.1)]
        # Start from dark pictures: a grey start costs a dark picture's relative error hundreds of
        # times its energy, and the escape from that drives the decoder into an all-black,
        # gradient-less corner.
        last = layers[-2]
        assert isinstance(last, nn.ConvTranspose2d) and last.bias is not None
        nn.init.constant_(last.bias, DARK_START)
        layers[-1] = nn.Sigmoid()
        self.decoder = nn.Sequential(
            *_hidden(latent_dim, hidden_dim, decoder_layers), nn.Linear(hidden_dim, flat), *layers
        )

    def encode(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the posterior, each (B, latent_dim).

        Args:
            pictures: (B, channels, size, size) in [0, 1].
        """
        mean, logvar = self.head(self.encoder(pictures)).chunk(2, dim=1)
        return mean, logvar

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures (B, channels, size, size) in [0, 1] of latents (B, latent_dim)."""
        return self.decoder(latents)  # type: ignore[no-any-return]

    def forward(
        self, pictures: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruct through one posterior sample: (reconstruction, mean, logvar).

        Args:
            pictures: (B, channels, size, size) in [0, 1].
            generator: Source of the posterior noise, on whichever device.
        """
        mean, logvar = self.encode(pictures)
        home = mean.device if generator is None else generator.device
        noise = torch.randn(mean.shape, generator=generator, device=home, dtype=mean.dtype)
        noise = noise.to(mean.device)
        return self.decode(mean + noise * (0.5 * logvar).exp()), mean, logvar


def vae_loss(
    pictures: Tensor,
    reconstruction: Tensor,
    mean: Tensor,
    logvar: Tensor,
    *,
    beta: float,
    pooled_weights: Mapping[int, float] = POOLED_WEIGHTS,
    chroma_weight: float = CHROMA_WEIGHT,
    energy_power: float = 1.0,
) -> dict[str, Tensor]:
    """Terms of the VAE's loss, one value per picture; their sum is what is minimised.

    Each error is a sum of squares over channels and pixels divided by the picture's energy (its own
    sum of squares, to `energy_power`), so 0.01 is one per cent of the picture whatever its
    brightness.

    Args:
        pictures: (B, C, S, S) in [0, 1].
        reconstruction: (B, C, S, S).
        mean: (B, D) mean of the posterior.
        logvar: (B, D) log-variance of the posterior.
        beta: Weight of the Kullback-Leibler divergence.
        pooled_weights: Weight by width of the pool for the errors at coarser scales.
        chroma_weight: Weight of the pooled error of each channel's difference to the mean channel.
        energy_power: 1 divides by the energy, 0 leaves the plain squared error.

    Returns:
        "pixels", "pooled", "chroma" and "kl" (summed over dimensions, times `beta`), each (B,)
        float32.
    """
    pictures, mean, logvar = pictures.float(), mean.float(), logvar.float()
    error = reconstruction.float() - pictures
    scale = (pictures.square().sum((1, 2, 3)) + ENERGY_FLOOR) ** -energy_power
    pooled = torch.zeros_like(scale)
    for width, weight in pooled_weights.items():
        pooled = pooled + weight * F.avg_pool2d(error, width).square().sum((1, 2, 3))
    chroma = F.avg_pool2d(error - error.mean(1, keepdim=True), CHROMA_POOL).square().sum((1, 2, 3))
    divergence = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1)
    return {
        "pixels": scale * error.square().sum((1, 2, 3)),
        "pooled": scale * pooled,
        "chroma": scale * chroma_weight * chroma,
        "kl": beta * divergence,
    }


def _hidden(input_dim: int, hidden_dim: int, num_layers: int) -> list[nn.Module]:
    """`num_layers` linear layers, each followed by SiLU."""
    layers: list[nn.Module] = []
    for layer in range(num_layers):
        layers += [nn.Linear(hidden_dim if layer else input_dim, hidden_dim), nn.SiLU()]
    return layers
