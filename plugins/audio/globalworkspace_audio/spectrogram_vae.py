"""The domain kind `spectrogram-vae`: sounds in, latent means out, and sounds again from latents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from globalworkspace.bars import unwatched
from globalworkspace.domain import DomainModule, Rendering
from globalworkspace.errors import ConfigError
from globalworkspace.latents import LatentSpec
from globalworkspace_audio.log_mel import FLOOR_DB, GRIFFIN_LIM_STEPS, LogMel, num_frames
from globalworkspace_audio.sounds import (
    check_batch,
    check_sample_rate,
    load_sounds,
    render_sounds,
)
from globalworkspace_audio.vae import (
    POOLED_WEIGHTS,
    SIDES_WEIGHT,
    SpectrogramConvVAE,
    spectrogram_vae_loss,
)

BETA = 0.02
BETA_WARMUP = 0.33


class SpectrogramVAE(DomainModule):
    """A convolutional VAE over log-mel spectrograms; `globalworkspace fit-domain` trains it.

    Args:
        sample_rate: Samples per second that every sound is brought to.
        seconds: Length that every sound is cut to or filled up to with silence.
        mels: Mel bands, divisible by 2 ** len(widths).
        channels: 1 (mono) or 2 (stereo: which side a sound comes from is kept).
        latent_dim: Dimensions of the latent.
        window: Samples of the Fourier transform; longer tells pitches, shorter tells moments apart.
        hop: Samples from one frame to the next; None: a quarter of the window.
        widths: Channels of the network after each halving of bands and frames.
        hidden_dim: Width of the perceptrons around the latent.
        encoder_layers: Hidden layers between the smallest feature map and the latent.
        decoder_layers: Hidden layers between the latent and the smallest feature map.
        batch_size: Sounds per forward pass of `encode`.
        beta: Weight of the Kullback-Leibler divergence once warmed up.
        beta_warmup: Share of the training over which beta rises linearly from 0.
        pooled_weights: Weight of the squared error after average pooling, by width of the pool.
        sides_weight: Weight of the error of the difference between two channels.
        floor_db: Power that counts as silence, relative to a sine of full amplitude.
        griffin_lim_steps: Steps that `decode` spends on finding phases.

    Raises:
        ConfigError: On a setting out of range.

    Example:
        >>> sound = SpectrogramVAE(sample_rate=8000, seconds=0.5, channels=2, latent_dim=16)
        >>> latents = sound.encode(torch.zeros(3, 2, 4000))
        >>> sound.decode(latents).shape
        torch.Size([3, 2, 4000])
    """

    def __init__(
        self,
        sample_rate: int = 16_000,
        seconds: float = 1.0,
        mels: int = 64,
        channels: int = 1,
        latent_dim: int = 16,
        window: int = 512,
        hop: int | None = None,
        widths: Sequence[int] = (16, 32, 64),
        hidden_dim: int = 256,
        encoder_layers: int = 1,
        decoder_layers: int = 2,
        batch_size: int = 256,
        beta: float = BETA,
        beta_warmup: float = BETA_WARMUP,
        pooled_weights: Mapping[Any, float] = POOLED_WEIGHTS,
        sides_weight: float = SIDES_WEIGHT,
        floor_db: float = FLOOR_DB,
        griffin_lim_steps: int = GRIFFIN_LIM_STEPS,
    ) -> None:
        super().__init__()
        check_sample_rate(sample_rate)
        hop = window // 4 if hop is None else hop
        if channels not in (1, 2):
            raise ConfigError(f"channels={channels}: give 1 (mono) or 2 (stereo).")
        if not 0 < hop <= window or not seconds > 0 or batch_size < 1:
            raise ConfigError(
                f"seconds={seconds}, window={window}, hop={hop}, batch_size={batch_size}: seconds "
                "must be above 0, hop lies in [1, window] and batch_size is at least 1."
            )
        if beta < 0 or not 0 <= beta_warmup <= 1 or floor_db >= 0 or griffin_lim_steps < 1:
            raise ConfigError(
                f"beta={beta}, beta_warmup={beta_warmup}, floor_db={floor_db}, "
                f"griffin_lim_steps={griffin_lim_steps}: beta must not be negative, beta_warmup "
                "lies in [0, 1], floor_db is below 0 and griffin_lim_steps is at least 1."
            )
        self.num_samples = max(1, math.ceil(seconds * sample_rate))
        frames = num_frames(self.num_samples, hop, 2 ** len(widths))
        self._config = {
            "sample_rate": sample_rate,
            "seconds": seconds,
            "mels": mels,
            "channels": channels,
            "latent_dim": latent_dim,
            "window": window,
            "hop": hop,
            "widths": list(widths),
            "hidden_dim": hidden_dim,
            "encoder_layers": encoder_layers,
            "decoder_layers": decoder_layers,
            "batch_size": batch_size,
            "beta": beta,
            "beta_warmup": beta_warmup,
            "pooled_weights": {str(width): weight for width, weight in pooled_weights.items()},
            "sides_weight": sides_weight,
            "floor_db": floor_db,
            "griffin_lim_steps": griffin_lim_steps,
        }
        try:
            self.vae = SpectrogramConvVAE(
                channels=channels,
                mels=mels,
                frames=frames,
                latent_dim=latent_dim,
                widths=tuple(widths),
                hidden_dim=hidden_dim,
                encoder_layers=encoder_layers,
                decoder_layers=decoder_layers,
            )
            self.front = LogMel(
                sample_rate=sample_rate,
                mels=mels,
                window=window,
                hop=hop,
                frames=frames,
                floor_db=floor_db,
            )
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self._shape = (channels, mels, frames)
        self.sample_rate, self.channels, self.batch_size = sample_rate, channels, batch_size
        self.beta, self.beta_warmup, self.griffin_lim_steps = beta, beta_warmup, griffin_lim_steps
        self.sides_weight = sides_weight
        self.pooled_weights = {
            int(width): float(weight) for width, weight in pooled_weights.items()
        }
        self.latent = LatentSpec.continuous(latent_dim, name="sound")

    def config(self) -> dict[str, Any]:
        """Architecture and recipe."""
        return dict(self._config)

    @torch.no_grad()
    def encode(self, raw: Any) -> Tensor:
        """Sounds (anything `load_sounds` takes) -> means of the posterior (B, latent_dim)."""
        check_batch(raw)
        means = [torch.zeros(0, self.latent.dim, device=self._device())]
        for start in range(0, len(raw), self.batch_size):
            spectrograms = self.spectrograms(raw[start : start + self.batch_size], start)
            means.append(self.vae.encode(spectrograms)[0].float())
        return torch.cat(means)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, latent_dim) -> samples (B, channels, n) float32 on the CPU.

        Phases are found by Griffin-Lim, which passes no gradient; `decode_spectrograms` does.
        """
        with torch.no_grad():
            spectrograms = self.decode_spectrograms(latents)
        return self.front.invert(spectrograms.float(), self.num_samples, self.griffin_lim_steps)

    def decode_spectrograms(self, latents: Tensor) -> Tensor:
        """Latents (B, latent_dim) -> (B, channels, mels, frames) in [0, 1]; gradients flow."""
        return self.vae.decode(latents.to(next(self.parameters())))

    def spectrograms(self, raw: Any, first: int = 0) -> Tensor:
        """Sounds -> log-mel spectrograms (B, channels, mels, frames) float32 in [0, 1].

        Args:
            raw: Anything `load_sounds` takes.
            first: Position of the first sound in the batch, for messages.
        """
        samples = load_sounds(raw, self.sample_rate, self.num_samples, self.channels, first)
        spectrograms: Tensor = self.front(samples.to(self._device()))
        return spectrograms

    @torch.no_grad()
    def prepare(self, raw: Any, *, progress: bool = False) -> Tensor:
        """Spectrograms of all sounds, on the CPU, which `unimodal_loss` takes in place of sounds.

        Files are then read and resampled once, not at each step.
        """
        check_batch(raw)
        starts = range(0, len(raw), self.batch_size)
        pieces = [torch.zeros(0, *self._shape)]
        for start in tqdm(starts, desc="spectrograms", unit="batch", disable=unwatched(progress)):
            cells = raw[start : start + self.batch_size]
            pieces.append(self.spectrograms(cells, start).cpu())
        return torch.cat(pieces)

    def unimodal_loss(
        self, raw: Any, progress: float, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Terms of the training loss, each (B,); beta has risen to its share of `progress`.

        Args:
            raw: Sounds, or the spectrograms (B, channels, mels, frames) that `prepare` made.
            progress: Share of the training done.
            generator: Of the posterior's noise.
        """
        if isinstance(raw, Tensor) and raw.ndim == 4:
            spectrograms = raw.to(self._device())
        else:
            spectrograms = self.spectrograms(raw)
        reconstruction, mean, logvar = self.vae(spectrograms, generator)
        risen = min(1.0, progress / self.beta_warmup) if self.beta_warmup else 1.0
        return spectrogram_vae_loss(
            spectrograms,
            reconstruction,
            mean,
            logvar,
            beta=self.beta * risen,
            pooled_weights=self.pooled_weights,
            sides_weight=self.sides_weight,
        )

    def render(self, raw: Any) -> list[Rendering]:
        """Each sound as a WAV."""
        return render_sounds(raw, self.sample_rate)

    def _device(self) -> torch.device:
        return next(self.parameters()).device
