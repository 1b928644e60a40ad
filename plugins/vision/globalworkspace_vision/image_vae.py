"""The domain kind `image-vae`: pictures in, latent means out, and pictures again from latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from globalworkspace.domain import DomainModule, Rendering
from globalworkspace.errors import ConfigError
from globalworkspace.latents import LatentSpec
from globalworkspace_vision.pictures import check_resize, load_pictures, render_pictures
from globalworkspace_vision.vae import CHROMA_WEIGHT, POOLED_WEIGHTS, ConvVAE, vae_loss

BETA = 2e-4
"""Small, because the errors beside it are shares of the picture's energy, not sums over pixels."""

BETA_WARMUP = 0.33


class ImageVAE(DomainModule):
    """A convolutional variational auto-encoder as a domain; `globalworkspace fit-domain` trains it.

    Args:
        picture_size: Pixels per side, divisible by 2 ** len(widths).
        latent_dim: Dimensions of the latent.
        widths: Channels after each halving of the picture.
        hidden_dim: Width of the perceptrons around the latent.
        encoder_layers: Hidden layers between the smallest feature map and the latent.
        decoder_layers: Hidden layers between the latent and the smallest feature map.
        resize: `"crop"` or `"squash"`, for pictures of another size.
        batch_size: Pictures per forward pass of `encode`.
        beta: Weight of the Kullback-Leibler divergence once warmed up.
        beta_warmup: Share of the training over which beta rises linearly from 0.
        pooled_weights: Weight of the squared error after average pooling, by width of the pool.
        chroma_weight: Weight of the colour error.
        energy_power: 1 measures errors relative to the picture's energy, 0 absolutely.

    Example:
        >>> photo = ImageVAE(picture_size=32, latent_dim=16)
        >>> latents = photo.encode(torch.rand(2, 3, 32, 32))
        >>> photo.decode(latents).shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(
        self,
        picture_size: int = 32,
        latent_dim: int = 16,
        widths: Sequence[int] = (16, 64, 128),
        hidden_dim: int = 512,
        encoder_layers: int = 1,
        decoder_layers: int = 3,
        resize: str = "crop",
        batch_size: int = 256,
        beta: float = BETA,
        beta_warmup: float = BETA_WARMUP,
        pooled_weights: Mapping[Any, float] = POOLED_WEIGHTS,
        chroma_weight: float = CHROMA_WEIGHT,
        energy_power: float = 1.0,
    ) -> None:
        super().__init__()
        check_resize(resize)
        if beta < 0 or not 0 <= beta_warmup <= 1 or batch_size < 1:
            raise ConfigError(
                f"beta={beta}, beta_warmup={beta_warmup}, batch_size={batch_size}: beta must not "
                f"be negative, "
                "beta_warmup lies in [0, 1] and batch_size is at least 1."
            )
        try:
            self.vae = ConvVAE(
                picture_size=picture_size,
                latent_dim=latent_dim,
                widths=tuple(widths),
                hidden_dim=hidden_dim,
                encoder_layers=encoder_layers,
                decoder_layers=decoder_layers,
            )
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self.picture_size, self.resize, self.batch_size = picture_size, resize, batch_size
        self.beta, self.beta_warmup = beta, beta_warmup
        self.pooled_weights = {
            int(width): float(weight) for width, weight in pooled_weights.items()
        }
        self.chroma_weight, self.energy_power = chroma_weight, energy_power
        self.latent = LatentSpec.continuous(latent_dim, name="picture")

    def config(self) -> dict[str, Any]:
        """Architecture and recipe."""
        architecture = {
            key: value for key, value in self.vae.config.items() if key != "num_channels"
        }
        return architecture | {
            "resize": self.resize,
            "batch_size": self.batch_size,
            "beta": self.beta,
            "beta_warmup": self.beta_warmup,
            "pooled_weights": {str(width): weight for width, weight in self.pooled_weights.items()},
            "chroma_weight": self.chroma_weight,
            "energy_power": self.energy_power,
        }

    @torch.no_grad()
    def encode(self, raw: Any) -> Tensor:
        """Pictures (anything `load_pictures` takes) -> means of the posterior (B, latent_dim)."""
        means = [torch.zeros(0, self.latent.dim, device=self._device())]
        for start in range(0, len(raw), self.batch_size):
            pictures = self._load(raw[start : start + self.batch_size], start)
            means.append(self.vae.encode(pictures)[0].float())
        return torch.cat(means)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, latent_dim) -> pictures (B, 3, S, S) float in [0, 1]; gradients flow."""
        return self.vae.decode(latents.to(next(self.parameters())))

    def unimodal_loss(
        self, raw: Any, progress: float, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Terms of the training loss, each (B,); beta has risen to its share of `progress`."""
        pictures = self._load(raw)
        reconstruction, mean, logvar = self.vae(pictures, generator)
        risen = min(1.0, progress / self.beta_warmup) if self.beta_warmup else 1.0
        return vae_loss(
            pictures,
            reconstruction,
            mean,
            logvar,
            beta=self.beta * risen,
            pooled_weights=self.pooled_weights,
            chroma_weight=self.chroma_weight,
            energy_power=self.energy_power,
        )

    def render(self, raw: Any) -> list[Rendering]:
        """Each picture as a PNG."""
        return render_pictures(raw)

    def _load(self, raw: Any, first: int = 0) -> Tensor:
        return load_pictures(raw, self.picture_size, self.resize, first).to(self._device())

    def _device(self) -> torch.device:
        return next(self.parameters()).device
