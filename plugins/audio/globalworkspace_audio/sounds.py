"""Whatever a cell holds of a sound -> float samples at one rate; and WAV for those who listen.

Files are read by soundfile (WAV, FLAC, OGG, …) and resampled by soxr, which is also what brings a
`Sound` of another rate to the module's.
"""

from __future__ import annotations

import io
import math
import numbers
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from globalworkspace.domain import Rendering
from globalworkspace.errors import ConfigError, DomainError

LARGEST_SAMPLE = 4.0
"""Float samples lie in [-1, 1]; a little more is tolerated, integers stored as floats are not."""

RENDERED_SECONDS = 15.0
"""Longest rendering: a sheet holds many."""

SILENCE_DB = -90.0

_UNKNOWN_LENGTH = 0x7FFF0000
"""From here on a WAV header says that it was written before its length was known, into a pipe."""


ENDINGS = frozenset(f".{name.lower()}" for name in soundfile.available_formats()) | {".oga"}
"""How names of sound files end."""


def check_sample_rate(sample_rate: Any) -> int:
    """A rate in hertz as int.

    Raises:
        ConfigError: If it is no whole number of at least 1.
    """
    whole = isinstance(sample_rate, numbers.Integral) and not isinstance(sample_rate, bool)
    if not whole or sample_rate < 1:
        raise ConfigError(
            f"sample_rate={sample_rate!r} is no rate; give samples per second as a whole number "
            "of at least 1, such as 16000."
        )
    return int(sample_rate)


def _samples(value: Any) -> Tensor:
    samples = torch.as_tensor(value)
    if samples.dtype == torch.int16:
        return samples.float() / 32768
    return samples.float() if samples.is_floating_point() else samples


@attrs.frozen(eq=False)
class Sound:
    """Samples with their rate.

    Args:
        samples: (channels, n) float in [-1, 1], or int16, which is scaled to that.
        sample_rate: Samples per second.

    Raises:
        DomainError: If the samples have another shape or type.
        ConfigError: If the rate is no whole number.

    Example:
        >>> Sound(torch.zeros(1, 4000), 8000).seconds
        0.5
    """

    samples: Tensor = attrs.field(converter=_samples)
    sample_rate: int = attrs.field(converter=check_sample_rate)

    @samples.validator
    def _check(self, _: Any, samples: Tensor) -> None:
        _check_samples(samples, "A Sound")

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.samples.shape[1] / self.sample_rate


def load_sounds(
    cells: Any, sample_rate: int, num_samples: int, channels: int, first: int = 0
) -> Tensor:
    """A batch of cells -> (B, channels, num_samples) float32 at one rate.

    Shorter sounds are followed by silence, of longer ones the beginning is kept. A mono sound fills
    both channels of stereo; to mono, the mean of the channels is taken.

    Args:
        cells: A tensor (B, C, n) at `sample_rate`, or a sequence of what `load_sound` takes.
        sample_rate: Samples per second.
        num_samples: Samples per channel.
        channels: 1 or 2.
        first: Position of the first cell in the batch, for messages.

    Raises:
        DomainError: If a cell is no sound, naming its position and its file.
    """
    check_batch(cells)
    if isinstance(cells, Tensor):
        for position, samples in enumerate(cells[:1]):
            _check_samples(_samples(samples), f"Sound {first + position} of the batch")
        samples = _samples(cells)
        bad = (~samples.isfinite() | (samples.abs() > LARGEST_SAMPLE)).flatten(1).any(dim=1)
        if bad.any():
            position = int(bad.nonzero()[0, 0])
            _check_values(samples[position], f"Sound {first + position} of the batch")
        return _fit(_to_channels(samples, channels, f"Sounds from {first} on"), num_samples)
    sounds = [torch.zeros(0, channels, num_samples)]
    for position, cell in enumerate(cells, start=first):
        sound = load_sound(cell, sample_rate, position)
        samples = resample(sound, sample_rate)
        samples = _to_channels(samples, channels, f"Sound {position} of the batch")
        sounds.append(_fit(samples, num_samples)[None])
    return torch.cat(sounds)


def check_batch(cells: Any) -> None:
    """Refuse what is no batch of sounds.

    Raises:
        DomainError: If it is a single sound, or a tensor of another shape than (B, C, n).
    """
    if isinstance(cells, Tensor):
        if cells.ndim != 3:
            raise DomainError(
                f"A batch of sounds as one tensor needs the shape (batch, channels, samples); got "
                f"{tuple(cells.shape)}. For a single sound write sound[None]."
            )
    elif isinstance(cells, (str, bytes, Path, Sound, Mapping)) or not isinstance(
        cells, (Sequence, np.ndarray)
    ):
        raise DomainError(
            f"A batch of sounds is a list or a tensor; got one {type(cells).__name__}. Put it in "
            "a list: [sound]."
        )


def load_sound(cell: Any, sample_rate: int, position: int = 0) -> Sound:
    """One cell as a `Sound` in its own rate.

    Args:
        cell: A `Sound`, a file path, the bytes of a file, a mapping with "bytes" and "path" or with
            "array" and "sampling_rate" as Hugging Face `datasets` has them, or samples (channels,
            n) or (n,) as a tensor or array at `sample_rate`.
        sample_rate: The rate of samples that come without one.
        position: In the batch, for messages.

    Raises:
        DomainError: If it is no sound, is empty or not finite, naming its position and file.
    """
    where = f"Sound {position} of the batch"
    if isinstance(cell, Sound):
        _check_values(cell.samples, where)
        return cell
    if isinstance(cell, Mapping) and {"array", "sampling_rate"} <= set(cell):
        # datasets gives (n,) or (channels, n)
        return load_sound(
            _sound(cell["array"], cell["sampling_rate"], where), sample_rate, position
        )
    if isinstance(cell, (Tensor, np.ndarray)):
        return load_sound(_sound(cell, sample_rate, where), sample_rate, position)
    source, name = cell, ""
    if isinstance(cell, Mapping) and {"bytes", "path"} & set(cell):
        data, path = cell.get("bytes"), cell.get("path")
        source, name = (path if data is None else data), str(path or "")
    if isinstance(source, (bytes, bytearray)):
        stream: Any = io.BytesIO(source)
    elif isinstance(source, (str, os.PathLike)):
        stream = name = os.fspath(source)
    else:
        raise DomainError(
            f"{where} is of type {type(cell).__name__}; expected a file path, a Sound, samples "
            '(channels, n), or a mapping with "bytes" or "path".'
        )
    file = f' ("{name}")' if name else ""
    if isinstance(stream, str) and not Path(stream).is_file():
        raise DomainError(
            f"{where}{file} does not exist. Correct the path or leave the cell missing."
        )
    try:
        read, rate = soundfile.read(stream, dtype="float32", always_2d=True)
    except Exception as error:  # each decoder fails in its own way
        raise DomainError(
            f"{where}{file} cannot be read as a sound: {_reason(error)}. WAV, FLAC and OGG files "
            "are read: convert it, or leave the cell missing."
        ) from error
    _check_whole(stream, where + file)
    samples = torch.from_numpy(np.ascontiguousarray(read.T))
    _check_samples(samples, where + file)
    _check_values(samples, where + file)
    return Sound(samples, rate)


def resample(sound: Sound, sample_rate: int) -> Tensor:
    """The samples (channels, n) of a sound at `sample_rate`."""
    if sound.sample_rate == sample_rate:
        return sound.samples
    resampled = soxr.resample(sound.samples.T.cpu().numpy(), sound.sample_rate, sample_rate)
    return torch.from_numpy(np.ascontiguousarray(resampled.T))


def to_wav(samples: Tensor, sample_rate: int) -> bytes:
    """Samples (channels, n) in [-1, 1] as the bytes of a 16-bit WAV file; louder is clipped."""
    stream = io.BytesIO()
    data = samples.detach().cpu().float().clamp(-1, 1).T.numpy()
    soundfile.write(stream, data, sample_rate, format="WAV", subtype="PCM_16")
    return stream.getvalue()


def render_sounds(raw: Any, sample_rate: int) -> list[Rendering]:
    """A batch of cells -> WAV renderings of at most `RENDERED_SECONDS`, each told in words."""
    check_batch(raw)
    renderings = []
    for position, cell in enumerate(raw):
        sound = load_sound(cell, sample_rate, position)
        path = cell.get("path") if isinstance(cell, Mapping) else cell
        name = f" {Path(path).name}" if isinstance(path, (str, os.PathLike)) else ""
        shown = sound.samples[:, : math.ceil(RENDERED_SECONDS * sound.sample_rate)]
        renderings.append(
            Rendering(
                media_type="audio/wav",
                data=to_wav(shown, sound.sample_rate),
                alt=f"sound{name} {describe(sound)}",
            )
        )
    return renderings


def describe(sound: Sound) -> str:
    """Length, loudness, side and strongest frequency in words.

    Example:
        >>> time = torch.arange(8000) / 8000
        >>> describe(Sound(0.5 * (2 * torch.pi * 440 * time).sin()[None], 8000))
        'of 1.0 s, mono, -9 dB, strongest at 440 Hz'
    """
    samples = sound.samples.double()
    power = samples.square().mean(dim=1)
    level = 10 * math.log10(max(float(power.mean()), 1e-12))
    words = [f"of {sound.seconds:.1f} s"]
    if sound.seconds > RENDERED_SECONDS:
        words[0] += f" (its first {RENDERED_SECONDS:.0f} s)"
    words.append({1: "mono", 2: "stereo"}.get(len(samples), f"{len(samples)} channels"))
    if level < SILENCE_DB:
        return ", ".join([*words, "silent"])
    words.append(f"{level:.0f} dB")
    if len(samples) == 2:
        tilt = 10 * math.log10((float(power[1]) + 1e-12) / (float(power[0]) + 1e-12))
        words.append(f"{'right' if tilt > 0 else 'left'} {abs(tilt):.0f} dB louder")
    spectrum = torch.fft.rfft(samples.mean(dim=0)).abs()
    strongest = float(spectrum.argmax()) * sound.sample_rate / samples.shape[1]
    return ", ".join([*words, f"strongest at {strongest:.0f} Hz"])


def _sound(samples: Any, sample_rate: Any, where: str) -> Sound:
    values = torch.as_tensor(samples)
    values = values[None] if values.ndim == 1 else values
    _check_samples(_samples(values), where)
    return Sound(values, sample_rate)


def _check_samples(samples: Tensor, where: str) -> None:
    if samples.ndim != 2 or 0 in samples.shape:
        raise DomainError(
            f"{where} has samples of shape {tuple(samples.shape)}; expected (channels, n) with at "
            "least one sample. Leave the cell missing if there is no sound."
        )
    if not samples.is_floating_point():
        raise DomainError(
            f"{where} has samples of dtype {samples.dtype}; expected float in [-1, 1], or int16."
        )


def _check_whole(source: str | io.BytesIO, where: str) -> None:
    """Refuse a WAV file that is cut off: it is read without a word, up to where it ends."""
    if isinstance(source, str):
        with open(source, "rb") as stream:
            beginning, size = stream.read(8), os.fstat(stream.fileno()).st_size
    else:
        beginning, size = source.getbuffer()[:8].tobytes(), source.getbuffer().nbytes
    declared = int.from_bytes(beginning[4:], "little") + 8
    if beginning[:4] == b"RIFF" and size < declared < _UNKNOWN_LENGTH:
        raise DomainError(
            f"{where} is cut off: it has {size:,} bytes of the {declared:,} that it says it has. "
            "Replace it or leave the cell missing."
        )


def _check_values(samples: Tensor, where: str) -> None:
    if not samples.isfinite().all():
        raise DomainError(f"{where} holds NaN or infinity. Replace it or leave the cell missing.")
    peak = float(samples.abs().max())
    if peak > LARGEST_SAMPLE:
        raise DomainError(
            f"{where} has samples up to {peak:.4g}; float samples lie in [-1, 1]. Divide 16-bit "
            "values by 32768."
        )


def _to_channels(samples: Tensor, channels: int, where: str) -> Tensor:
    """(..., C, n) -> (..., channels, n)."""
    given = samples.shape[-2]
    if given == channels:
        return samples
    if channels == 1:
        return samples.mean(dim=-2, keepdim=True)
    if given == 1:
        return samples.expand(*samples.shape[:-2], channels, samples.shape[-1])
    raise DomainError(f"{where}: {given} channels; expected 1 or 2. Mix them down to stereo first.")


def _fit(samples: Tensor, num_samples: int) -> Tensor:
    """Cut (..., n) to its beginning, or follow it by silence."""
    missing = num_samples - samples.shape[-1]
    if missing > 0:
        return torch.nn.functional.pad(samples, (0, missing))
    return samples[..., :num_samples]


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.') if lines else ''}".rstrip(": ")
