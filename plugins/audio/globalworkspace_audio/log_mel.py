"""Waveforms to log-mel spectrograms, and back.

The way there runs in torch, batched, with librosa's mel filters. On the way back, phases are found
by librosa's Griffin-Lim. Before that, the power of each frequency has to be found from the mel
bands: by the multiplicative updates of Lee & Seung (NIPS 2000) for the Kullback-Leibler divergence,
which asks for a small *relative* error. Least squares, as in librosa's `mel_to_stft`, spends its
precision on the loudest bands and leaves noise 45 dB below them where there was silence.
"""

from __future__ import annotations

import math
import warnings

import librosa
import numpy as np
import torch
from torch import Tensor, nn

FLOOR_DB = -80.0
"""Power of what counts as silence; a sine of amplitude 1 has about 0 dB."""

GRIFFIN_LIM_STEPS = 32

MEL_STEPS = 40
"""Updates that spread the power of mel bands over frequencies."""


class LogMel(nn.Module):
    """Log-mel spectrograms of sounds of one rate and length, scaled to [0, 1].

    0 stands for `floor_db` and less, 1 for a sine of full amplitude. Frame f is centred on sample
    f * hop; what lies beyond the sound's ends counts as silence.

    Args:
        sample_rate: Samples per second.
        mels: Number of mel bands, from 0 Hz to half the rate.
        window: Samples of the Fourier transform's Hann window.
        hop: Samples from one frame to the next.
        frames: Number of frames.
        floor_db: Power that becomes 0.

    Example:
        >>> front = LogMel(sample_rate=8000, mels=64, window=512, hop=125, frames=32)
        >>> front(torch.zeros(3, 2, 4000)).shape
        torch.Size([3, 2, 64, 32])
    """

    filters: Tensor
    hann: Tensor

    def __init__(
        self,
        *,
        sample_rate: int,
        mels: int,
        window: int,
        hop: int,
        frames: int,
        floor_db: float = FLOOR_DB,
    ) -> None:
        super().__init__()
        self.sample_rate, self.mels, self.window, self.hop = sample_rate, mels, window, hop
        self.frames, self.floor_db = frames, floor_db
        with warnings.catch_warnings():  # turned into an error below, with its remedy
            warnings.simplefilter("ignore")
            filters = torch.from_numpy(mel_filters(sample_rate, window, mels))
        empty = (filters.sum(dim=1) == 0).nonzero().flatten().tolist()
        if empty:
            raise ValueError(
                f"mels={mels} with window={window} leaves {len(empty)} mel bands without a "
                f"frequency, first number {empty[0]}. Use fewer mels or a longer window."
            )
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("hann", torch.hann_window(window), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Samples (B, C, n), n up to frames * hop, -> (B, C, mels, frames) float32 in [0, 1]."""
        with torch.autocast(samples.device.type, enabled=False):
            return self._forward(samples)

    def _forward(self, samples: Tensor) -> Tensor:
        flat = samples.flatten(0, 1).float()
        flat = nn.functional.pad(flat, (0, self.frames * self.hop - flat.shape[1]))
        if len(flat) == 0:
            return flat.new_zeros(*samples.shape[:2], self.mels, self.frames)
        spectrum = torch.stft(
            flat,
            self.window,
            self.hop,
            window=self.hann,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )[:, :, : self.frames]
        # a Hann window sums to half its size, and half of a sine is at the negative frequency
        power = (spectrum.real.square() + spectrum.imag.square()) / (self.window / 4) ** 2
        decibels = 10 * (self.filters @ power).clamp(min=1e-12).log10()
        scaled: Tensor = (1 - decibels / self.floor_db).clamp(0, 1)
        return scaled.reshape(*samples.shape[:2], self.mels, self.frames)

    @torch.no_grad()
    def invert(
        self, spectrograms: Tensor, num_samples: int, steps: int = GRIFFIN_LIM_STEPS
    ) -> Tensor:
        """(B, C, mels, frames) in [0, 1] -> samples (B, C, num_samples) float32 on the CPU.

        Args:
            spectrograms: As `forward` gives them.
            num_samples: Length of the result.
            steps: Of Griffin-Lim; its first phases are the same at each call.
        """
        if len(spectrograms) == 0:
            return torch.zeros(*spectrograms.shape[:2], num_samples)
        values = spectrograms.detach().cpu().float().clamp(0, 1)
        power = torch.where(
            values > 0, 10 ** ((1 - values) * self.floor_db / 10), torch.zeros_like(values)
        )
        power = torch.cat([power, power[..., -1:]], dim=-1)  # `forward` leaves the last frame out
        magnitude = self._frequencies(power).sqrt().numpy()
        found = np.stack([self._griffin_lim(sound, steps) for sound in magnitude])
        return torch.from_numpy(found[..., :num_samples].astype(np.float32, copy=False))

    def _griffin_lim(self, magnitude: np.ndarray, steps: int) -> np.ndarray:
        """(C, window // 2 + 1, frames + 1) -> (C, frames * hop), from the same phases each time."""
        samples: np.ndarray = librosa.griffinlim(
            magnitude * (self.window / 4),
            n_iter=steps,
            hop_length=self.hop,
            n_fft=self.window,
            length=self.frames * self.hop,
            pad_mode="constant",
            random_state=0,
        )
        return samples

    def _frequencies(self, power: Tensor) -> Tensor:
        """Power in mel bands (..., mels, T) -> power of frequencies (..., window // 2 + 1, T)."""
        filters = self.filters.cpu()
        share = filters / filters.sum(dim=0).clamp(min=1e-6)  # of a frequency, in each band
        found = share.T @ power
        for _ in range(MEL_STEPS):
            found = found * (share.T @ (power / (filters @ found).clamp(min=1e-14)))
        return found


def mel_filters(sample_rate: int, window: int, mels: int) -> np.ndarray:
    """Triangular filters of height 1 (librosa's), (mels, window // 2 + 1) float32."""
    filters: np.ndarray = librosa.filters.mel(sr=sample_rate, n_fft=window, n_mels=mels, norm=None)
    return filters


def num_frames(num_samples: int, hop: int, multiple: int) -> int:
    """Frames that cover `num_samples`, rounded up to a multiple."""
    return math.ceil(math.ceil(num_samples / hop) / multiple) * multiple
