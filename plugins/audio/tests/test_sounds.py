from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from globalworkspace_audio.sounds import (
    RENDERED_SECONDS,
    Sound,
    describe,
    load_sound,
    load_sounds,
    render_sounds,
    resample,
    to_wav,
)

from globalworkspace.errors import ConfigError, DomainError


def _tone(hertz: float = 440.0, seconds: float = 0.5, rate: int = 8000) -> torch.Tensor:
    return 0.5 * torch.sin(2 * torch.pi * hertz * torch.arange(int(seconds * rate)) / rate)[None]


def test_every_kind_of_cell_gives_the_same_sound(tmp_path: Path) -> None:
    tone = _tone()
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone[0].numpy(), 8000, subtype="FLOAT")
    data = path.read_bytes()
    cells: list[Any] = [
        path,
        str(path),
        data,
        {"bytes": data, "path": None},
        {"bytes": None, "path": str(path)},
        {"array": tone[0].numpy(), "sampling_rate": 8000},
        Sound(tone, 8000),
        tone,
        tone[0],
        tone.numpy(),
    ]
    loaded = load_sounds(cells, 8000, 4000, 1)
    assert loaded.shape == (10, 1, 4000) and loaded.dtype == torch.float32
    torch.testing.assert_close(loaded, tone.expand(10, 1, 4000))
    torch.testing.assert_close(load_sounds(tone[None], 8000, 4000, 1)[0], tone)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
def test_wav_flac_and_ogg_are_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"tone.{ending}"
    soundfile.write(path, _tone(rate=16000)[0].numpy(), 16000)
    sound = load_sound(path, 8000)
    assert sound.sample_rate == 16000 and sound.seconds == pytest.approx(0.5, abs=0.01)
    assert "strongest at 440 Hz" in describe(sound)


def test_an_undecoded_column_of_datasets_is_read() -> None:
    datasets = pytest.importorskip("datasets")
    column = datasets.Dataset.from_dict({"sound": [{"bytes": to_wav(_tone(), 8000), "path": None}]})
    loaded = load_sounds([column[0]["sound"]], 8000, 4000, 1)
    torch.testing.assert_close(loaded[0], _tone(), atol=1e-4, rtol=0)


def test_another_rate_is_resampled_without_a_change_of_pitch_or_level() -> None:
    sound = Sound(_tone(1000.0, rate=44100), 44100)
    there = resample(sound, 8000)
    assert there.shape == (1, 4000)
    torch.testing.assert_close(there[:, 200:-200], _tone(1000.0)[:, 200:-200], atol=2e-3, rtol=0)
    assert resample(sound, 44100) is sound.samples


def test_a_frequency_above_the_new_rate_vanishes_and_is_not_folded_back() -> None:
    there = resample(Sound(_tone(7000.0, rate=44100), 44100), 8000)
    assert there[:, 200:-200].abs().max() < 1e-3


def test_channels_are_mixed_down_or_doubled() -> None:
    left = torch.cat([_tone(), torch.zeros(1, 4000)])
    torch.testing.assert_close(load_sounds([left], 8000, 4000, 1)[0], _tone() / 2)
    torch.testing.assert_close(load_sounds([left], 8000, 4000, 2)[0], left)
    torch.testing.assert_close(load_sounds([_tone()], 8000, 4000, 2)[0], _tone().expand(2, -1))
    six = torch.zeros(6, 100)
    assert load_sounds([six], 8000, 100, 1).shape == (1, 1, 100)
    with pytest.raises(DomainError, match="6 channels.*Mix them down"):
        load_sounds([six], 8000, 100, 2)


def test_a_short_sound_is_followed_by_silence_and_of_a_long_one_the_beginning_is_kept() -> None:
    tone = _tone()
    longer = load_sounds(tone[None], 8000, 5000, 1)
    torch.testing.assert_close(longer[0, :, :4000], tone)
    assert longer[0, :, 4000:].abs().max() == 0
    torch.testing.assert_close(load_sounds([tone], 8000, 300, 1)[0], tone[:, :300])


def test_16_bit_samples_are_scaled() -> None:
    whole = torch.tensor([[-32768, 0, 16384]], dtype=torch.int16)
    expected = torch.tensor([[-1.0, 0.0, 0.5]])
    torch.testing.assert_close(Sound(whole, 8000).samples, expected)
    torch.testing.assert_close(load_sounds(whole[None], 8000, 3, 1)[0], expected)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (torch.zeros(1, 0), r"shape \(1, 0\).*at least one sample"),
        (torch.zeros(2, 1, 5), r"shape \(2, 1, 5\)"),
        (torch.zeros(1, 5, dtype=torch.int64), "int64"),
        (torch.full((1, 5), float("nan")), "NaN"),
        (torch.full((1, 5), 20000.0), "2e\\+04.*32768"),
        (Sound(torch.full((1, 5), float("inf")), 8000), "infinity"),
        (7, "of type int"),
        (None, "of type NoneType"),
    ],
)
def test_a_wrong_cell_is_named_by_position(cell: Any, message: str) -> None:
    with pytest.raises(DomainError, match=f"Sound 4 of the batch.*{message}"):
        load_sounds([torch.zeros(1, 4), cell], 8000, 4, 1, first=3)


def test_a_wrong_sound_in_a_tensor_batch_is_named_by_position() -> None:
    batch = torch.zeros(3, 2, 10)
    batch[2, 1, 5] = float("nan")
    with pytest.raises(DomainError, match="Sound 12 of the batch holds NaN"):
        load_sounds(batch, 8000, 10, 2, first=10)
    with pytest.raises(DomainError, match=r"sound\[None\]"):
        load_sounds(batch[0], 8000, 10, 2)
    with pytest.raises(DomainError, match="int64"):
        load_sounds(batch.to(torch.int64), 8000, 10, 2)


@pytest.mark.parametrize("keep", [0, 30])
def test_a_damaged_file_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "broken.wav"
    path.write_bytes(to_wav(_tone(), 8000)[:keep])
    with pytest.raises(DomainError, match=r"Sound 1 of the batch .*broken.wav.*cannot be read"):
        load_sounds([_tone(), path], 8000, 10, 1)


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_wav_that_is_cut_off_is_named(tmp_path: Path, as_bytes: bool) -> None:
    path, whole = tmp_path / "cut.wav", to_wav(_tone(), 8000)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DomainError, match=f"is cut off: it has .* of the {len(whole):,} that"):
        load_sound(path.read_bytes() if as_bytes else path, 8000)


def test_a_wav_written_into_a_pipe_is_read(tmp_path: Path) -> None:
    path, whole = tmp_path / "piped.wav", bytearray(to_wav(_tone(), 8000))
    at = whole.index(b"data") + 4
    whole[4:8] = whole[at : at + 4] = b"\xff" * 4  # as ffmpeg does
    path.write_bytes(whole)
    assert torch.allclose(load_sound(path, 8000).samples, _tone(), atol=1e-4)


def test_missing_and_empty_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="none.wav.*does not exist"):
        load_sound(tmp_path / "none.wav", 8000)
    soundfile.write(tmp_path / "empty.wav", np.zeros((0, 1), dtype=np.float32), 8000)
    with pytest.raises(DomainError, match="empty.wav.*at least one sample"):
        load_sound(tmp_path / "empty.wav", 8000)


@pytest.mark.parametrize("rate", [0, -8000, 8000.5, "8000", True, None])
def test_a_rate_must_be_a_whole_number(rate: Any) -> None:
    with pytest.raises(ConfigError, match="sample_rate"):
        Sound(torch.zeros(1, 4), rate)


def test_one_sound_in_place_of_a_batch_is_refused_and_no_sounds_give_none() -> None:
    with pytest.raises(DomainError, match=r"Put it in a list: \[sound\]"):
        load_sounds(Sound(_tone(), 8000), 8000, 10, 1)
    assert load_sounds([], 8000, 10, 2).shape == (0, 2, 10)
    assert load_sounds(torch.zeros(0, 1, 4), 8000, 10, 2).shape == (0, 2, 10)


def test_a_rendering_is_a_wav_that_holds_the_sound_and_says_what_is_heard() -> None:
    sound = torch.cat([_tone(), 0.1 * _tone()])
    (shown,) = render_sounds(sound[None], 8000)
    read, rate = soundfile.read(io.BytesIO(shown.data), dtype="float32")
    assert shown.media_type == "audio/wav" and rate == 8000
    torch.testing.assert_close(torch.from_numpy(read.T), sound, atol=1e-4, rtol=0)
    assert shown.alt == "sound of 0.5 s, stereo, -12 dB, left 20 dB louder, strongest at 440 Hz"


def test_renderings_name_the_file_keep_its_rate_and_are_not_endless(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(8000 * 20), 8000)
    (shown,) = render_sounds([path], 16000)
    assert soundfile.info(io.BytesIO(shown.data)).duration == RENDERED_SECONDS
    assert shown.alt == "sound long.wav of 20.0 s (its first 15 s), mono, silent"
