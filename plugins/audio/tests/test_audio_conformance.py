"""The plugin's kinds pass the conformance kit."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
import torch
from globalworkspace_audio.sounds import Sound
from globalworkspace_audio.spectrogram_vae import SpectrogramVAE
from globalworkspace_audio.whisper import WhisperDomain
from torch import Tensor

from globalworkspace.testing import DomainConformance


def _noises(count: int, samples: int, channels: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.3 * torch.randn(count, channels, samples, generator=generator).clamp(-3, 3)


class TestSpectrogramVAE(DomainConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def module(cls) -> SpectrogramVAE:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return SpectrogramVAE(
                sample_rate=8000,
                seconds=0.1,
                mels=8,
                channels=2,
                latent_dim=3,
                window=128,
                widths=(4, 8),
                hidden_dim=16,
                griffin_lim_steps=2,
            )

    @pytest.fixture(scope="class")
    @classmethod
    def batch(cls) -> Tensor:
        return _noises(4, 800, 2)


class TestSpectrogramVAEOnFiles(TestSpectrogramVAE):
    @pytest.fixture(scope="class")
    @classmethod
    def batch(cls, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:  # type: ignore[override]
        folder = tmp_path_factory.mktemp("files")
        for number, noise in enumerate(_noises(4, 900, 1)):
            soundfile.write(folder / f"{number}.wav", noise.T.numpy(), 9000)
        return sorted(folder.iterdir())


class TestWhisperFromAFolder(DomainConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def module(cls, tiny_whisper: Path) -> WhisperDomain:
        module = WhisperDomain(tiny_whisper, batch_size=2)
        module.set_gallery([Sound(noise, 16_000) for noise in _noises(3, 3000, 1)])
        return module

    @pytest.fixture(scope="class")
    @classmethod
    def batch(cls) -> list[Sound]:
        lengths = (4000, 8000, 500)
        noises = _noises(3, 8000, 1)
        return [Sound(noise[:, :n], 16_000) for noise, n in zip(noises, lengths, strict=True)]
