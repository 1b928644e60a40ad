"""What a shape sounds like: half a second in stereo whose every feature follows from one attribute.

| attribute | what is heard | law |
|---|---|---|
| y | pitch: high in the picture is high | 150 Hz * 3 ** ((y - 7) / 17): 150 to 450 Hz |
| class | timbre: harmonics of the pitch | diamond 1, 3 (hollow); egg 1 (round); triangle 1 to 4 |
| size | loudness of the whole | 10 dB from size 7 to size 14 |
| x | side: left in the picture is left | constant power; 0 is all left, 32 all right |
| rotation | moment of the swell, a clock's hand | 1 + 0.8 cos(2 pi t / T - rotation) |
| r, g, b | chimes at 2000, 2650 and 3400 Hz | the level of each rises by 15 dB from 0 to 1 |

Laws are linear in decibels, octaves or angles, as hearing is, so the log spectrogram is smooth in
every attribute. Highest harmonic (1800 Hz) and lowest chime (2000 Hz) never meet, so timbre and
colour can be told apart. All classes have the same power, so loudness tells the size alone.

There is no noise: equal attributes and seed give equal samples. The seed draws the phases of the
partials, which are the same in all sounds and which the ear (and a spectrogram) does not hear.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from globalworkspace_shapes.attributes import (
    PICTURE_SIZE,
    POSITION_RANGE,
    SIZE_RANGE,
    ShapeAttributes,
)

SAMPLE_RATE = 8000
"""Samples per second."""

SECONDS = 0.5
NUM_SAMPLES = int(SAMPLE_RATE * SECONDS)

LOWEST_PITCH, PITCH_RATIO = 150.0, 3.0
HARMONICS = (
    (0.857, 0.0, 0.515, 0.0),
    (1.0, 0.0, 0.0, 0.0),
    (0.838, 0.419, 0.279, 0.2095),
)
"""Class -> amplitudes of the first four harmonics, of unit power."""

CHIMES = (2000.0, 2650.0, 3400.0)
"""Frequencies in hertz for red, green and blue."""

CHIME_AMPLITUDE, CHIME_RANGE_DB = 0.4, 15.0
"""Amplitude of a chime of full colour beside a harmonic tone of unit power."""

SIZE_RANGE_DB = 10.0
SWELL = 0.8
FADE_SECONDS = 0.01
"""Raised-cosine fade at either end, against clicks."""

CHUNK = 256
"""Sounds made at once: the working set of one chunk (some megabytes) stays near the core."""

_LOUDEST = (1 + SWELL) * (sum(HARMONICS[2]) + 3 * CHIME_AMPLITUDE)


def sonify(attributes: ShapeAttributes, seed: int = 0) -> Tensor:
    """The sound of each shape.

    Args:
        attributes: N shapes.
        seed: Of the partials' phases, the same for all shapes.

    Returns:
        (N, 2, `NUM_SAMPLES`) float32 in [-1, 1] at `SAMPLE_RATE`; left channel first.

    Example:
        >>> from globalworkspace_shapes.attributes import sample_attributes
        >>> sonify(sample_attributes(4, torch.Generator().manual_seed(0))).shape
        torch.Size([4, 2, 4000])
    """
    sounds = torch.empty(len(attributes), 2, NUM_SAMPLES)
    generator = torch.Generator().manual_seed(seed)
    phases = 2 * math.pi * torch.rand(len(HARMONICS[0]) + len(CHIMES), generator=generator)
    for rows in torch.arange(len(attributes)).split(CHUNK):
        sounds[rows] = _sonify(attributes[rows], phases)
    return sounds


def pitch(y: Tensor) -> Tensor:
    """Fundamental in hertz of shapes at height `y` (N,) in pixels."""
    low, high = POSITION_RANGE
    return LOWEST_PITCH * PITCH_RATIO ** ((y - low) / (high - low))


def loudness(size: Tensor) -> Tensor:
    """Amplitude of shapes of `size` (N,) in pixels, 1 for the largest."""
    low, high = SIZE_RANGE
    return 10 ** ((size - high) / (high - low) * SIZE_RANGE_DB / 20)


def pan(x: Tensor) -> Tensor:
    """Gains (N, 2) of the left and right channel at `x` (N,) in pixels; their squares add to 1."""
    angle = x / PICTURE_SIZE * (math.pi / 2)
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def swell(rotation: Tensor, time: Tensor) -> Tensor:
    """Factors (N, T) of the loudness at times (T,) in seconds for rotations (N,) in radians."""
    return 1 + SWELL * torch.cos(2 * math.pi / SECONDS * time - rotation[:, None])


def chimes(color: Tensor) -> Tensor:
    """Amplitudes (N, 3) of the chimes of colours (N, 3)."""
    return CHIME_AMPLITUDE * 10 ** ((color - 1) * CHIME_RANGE_DB / 20)


def _sonify(shapes: ShapeAttributes, phases: Tensor) -> Tensor:
    time = torch.arange(NUM_SAMPLES, dtype=torch.float64) / SAMPLE_RATE
    cycles = pitch(shapes.y.double())[:, None] * time  # in double: 200 cycles lose digits in float
    harmonics = torch.tensor(HARMONICS)[shapes.category]
    wave = chimes(shapes.color) @ _chime_waves(time, phases[len(HARMONICS[0]) :])
    turn = (2 * math.pi * (cycles % 1)).float()
    for number in range(harmonics.shape[1]):
        heard = harmonics[:, number].nonzero()[:, 0]
        partial = torch.sin((number + 1) * turn[heard] + phases[number])
        wave[heard] += harmonics[heard, number, None] * partial
    wave *= swell(shapes.rotation, time.float()) * _fade(time.float())
    wave *= loudness(shapes.size)[:, None] / _LOUDEST
    return pan(shapes.x)[:, :, None] * wave[:, None]


def _chime_waves(time: Tensor, phases: Tensor) -> Tensor:
    turns = 2 * math.pi * torch.tensor(CHIMES, dtype=torch.float64)[:, None] * time
    return torch.sin(turns + phases[:, None].double()).float()


def _fade(time: Tensor) -> Tensor:
    distance = torch.minimum(time, SECONDS - time).clamp(max=FADE_SECONDS)
    return 0.5 - 0.5 * torch.cos(math.pi * distance / FADE_SECONDS)
