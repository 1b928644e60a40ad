"""Captions that are spoken: a folder of WAV files with metadata.csv, by the synthesiser eSpeak NG.

    python -m globalworkspace_shapes.speech FOLDER --items 500

The data set kind `folder` reads the result: the column `file_name` is the sound, `caption` its
text, and shape, x, y, size, rotation, r, g, b are the attributes. Speakers differ in voice, pitch
and speed, drawn per sentence from the seed, so that the words have to be told from the voice.

The synthesiser comes as the optional package espeakng-loader (a shared library and its data, no
network; eSpeak NG is under the GPL 3) and is called through ctypes.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import shutil
import tempfile
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from globalworkspace.errors import ConfigError
from globalworkspace_shapes.attributes import CLASSES
from globalworkspace_shapes.captions import write_captions
from globalworkspace_shapes.dataset import derived_seed, load_attributes

VOICES = ("en", "en-us", "en-gb-x-rp", "en+f2", "en-us+f4", "en-us+m3", "en-gb-x-rp+m7")
"""eSpeak NG's voices, with their variants."""

SPEEDS = (150, 200)
"""Words per minute, from and to."""

PITCHES = (35, 65)
"""On eSpeak NG's scale of 0 to 100, from and to."""

_SYNCHRONOUS, _UTF8, _RATE, _PITCH = 2, 1, 1, 3
"""Of espeak_AUDIO_OUTPUT, the text flags and espeak_PARAMETER in espeak-ng/speak_lib.h."""

_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


def speak(sentences: Sequence[str], seed: int = 0) -> tuple[list[np.ndarray], int]:
    """Sentences -> samples (n,) int16 of each, and their rate in hertz.

    Args:
        sentences: English text.
        seed: Of the voices, pitches and speeds. Equal sentences and seed give equal samples.

    Raises:
        ConfigError: If the synthesiser is not installed, naming what to install.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=generator))

    with _synthesiser() as (say, rate):
        spoken = [
            say(sentence, VOICES[draw(0, len(VOICES) - 1)], draw(*SPEEDS), draw(*PITCHES))
            for sentence in sentences
        ]
    return spoken, rate


def write_spoken_captions(
    folder: str | Path, split: str = "train", num_items: int | None = None, seed: int = 0
) -> Path:
    """Speak the captions of a split of Simple Shapes into a folder.

    Args:
        folder: Is made; receives `00000.wav` and so on (mono, 16 bit) and metadata.csv.
        split: As in `globalworkspace_shapes.load`, whose caption and attributes these are.
        num_items: Rows.
        seed: Of the data set and of the voices.

    Returns:
        The metadata file.

    Raises:
        ConfigError: If the synthesiser is not installed, or on wrong arguments.
    """
    home = Path(folder)
    shapes = load_attributes(split, num_items, seed)
    captions = write_captions(shapes, derived_seed(seed, split, "captions"))
    spoken, rate = speak(captions, derived_seed(seed, split, "voices"))
    home.mkdir(parents=True, exist_ok=True)
    columns = {name: values.tolist() for name, values in shapes.columns().items()}
    columns["shape"] = [CLASSES[category] for category in columns["shape"]]
    file = home / "metadata.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file_name", "caption", *columns])
        for row, (caption, samples) in enumerate(zip(captions, spoken, strict=True)):
            name = f"{row:05d}.wav"
            _write_wav(home / name, samples, rate)
            writer.writerow([name, caption, *(values[row] for values in columns.values())])
    return file


@contextmanager
def _synthesiser() -> Iterator[tuple[Callable[[str, str, int, int], np.ndarray], int]]:
    """(sentence, voice, speed, pitch) -> samples (n,) int16; and their rate.

    The library keeps the state of its voice for as long as it is loaded, so that what it says would
    depend on what it said before; a copy of the file is loaded as a library of its own.
    """
    try:
        import espeakng_loader
    except ImportError:
        raise ConfigError(
            "Spoken captions need the synthesiser eSpeak NG, which is not installed. Install it: "
            'pip install "globalworkspace-shapes[speech]"'
        ) from None
    with tempfile.TemporaryDirectory() as scratch:
        library = ctypes.CDLL(shutil.copy(espeakng_loader.get_library_path(), scratch))
    data = espeakng_loader.get_data_path().encode()
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data, 0)
    if rate <= 0:
        raise ConfigError(
            f"eSpeak NG did not start ({rate}). Reinstall it: pip install --force-reinstall "
            "espeakng-loader"
        )
    library.espeak_ng_SetRandSeed(0)
    heard: list[np.ndarray] = []

    @_CALLBACK
    def keep(samples, count, _events):  # type: ignore[no-untyped-def]
        if count > 0:
            heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    library.espeak_SetSynthCallback(keep)

    def say(sentence: str, voice: str, speed: int, pitch: int) -> np.ndarray:
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ConfigError(f'eSpeak NG has no voice "{voice}".')
        library.espeak_SetParameter(_RATE, speed, 0)
        library.espeak_SetParameter(_PITCH, pitch, 0)
        heard.clear()
        text = sentence.encode()
        library.espeak_Synth(text, len(text) + 1, 0, 0, 0, _UTF8, None, None)
        library.espeak_Synchronize()
        return np.concatenate(heard)

    try:
        yield say, int(rate)
    finally:
        library.espeak_Terminate()


def _write_wav(file: Path, samples: np.ndarray, rate: int) -> None:
    with wave.open(str(file), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(rate)
        stream.writeframes(samples.astype("<i2").tobytes())


def main() -> None:
    """Write a folder of spoken captions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", default="train", help="train, validation or test")
    parser.add_argument("--items", type=int, default=500, help="rows (default 500)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(write_spoken_captions(arguments.folder, arguments.split, arguments.items, arguments.seed))


if __name__ == "__main__":
    main()
