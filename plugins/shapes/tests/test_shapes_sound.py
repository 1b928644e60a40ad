"""The sonification: each attribute is heard where the table says, and nowhere else."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest
import torch
from globalworkspace_shapes.attributes import CLASSES, ShapeAttributes, sample_attributes
from globalworkspace_shapes.scoring import LatentProbe, facts_of_attributes, score
from globalworkspace_shapes.sound import (
    CHIMES,
    HARMONICS,
    NUM_SAMPLES,
    SAMPLE_RATE,
    chimes,
    loudness,
    pan,
    pitch,
    sonify,
)

from globalworkspace import DomainModule, load_domain
from globalworkspace.testing import DomainConformance


def _shape(
    category: int = 1,
    x: float = 16,
    y: float = 15,
    size: float = 14,
    rotation: float = 0.0,
    color: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> ShapeAttributes:
    return ShapeAttributes(
        category=torch.tensor([category]),
        x=torch.tensor([x]),
        y=torch.tensor([y]),
        size=torch.tensor([size]),
        rotation=torch.tensor([rotation]),
        color=torch.tensor([color]),
    )


def _level_at(sounds: torch.Tensor, hertz: float) -> torch.Tensor:
    """Amplitude (N, 2) of the partial at a frequency, by projection on a Hann-windowed wave."""
    time = torch.arange(NUM_SAMPLES, dtype=torch.float64) / SAMPLE_RATE
    wave = torch.exp(-2j * math.pi * hertz * time) * torch.hann_window(NUM_SAMPLES).double()
    return (sounds.double() * wave).sum(dim=2).abs() * 4 / NUM_SAMPLES


def _rms(sounds: torch.Tensor) -> torch.Tensor:
    return sounds.double().square().mean(dim=(1, 2)).sqrt()


def test_sounds_are_short_stereo_and_never_clip() -> None:
    shapes = sample_attributes(600, torch.Generator().manual_seed(0))
    sounds = sonify(shapes)
    assert sounds.shape == (600, 2, 4000) and sounds.dtype == torch.float32
    loudest = sonify(_shape(2, x=7, color=(1, 1, 1)))
    assert sounds.isfinite().all() and sounds.abs().max() <= 1 and loudest.abs().max() <= 1
    assert loudest.abs().max() > 0.3
    # faded at both ends
    assert sounds[:, :, 0].abs().max() < 1e-6 and sounds[:, :, -1].abs().max() < 1e-2


def test_a_sound_depends_on_its_own_shape_and_the_seed_only() -> None:
    shapes = sample_attributes(300, torch.Generator().manual_seed(1))
    sounds = sonify(shapes, seed=4)
    assert torch.equal(sonify(shapes, seed=4), sounds)
    torch.testing.assert_close(sonify(shapes[[299, 7]], seed=4), sounds[[299, 7]])
    other = sonify(shapes, seed=5)
    assert not torch.allclose(other, sounds, atol=1e-2)
    # the seed changes phases, not loudness
    torch.testing.assert_close(_rms(other), _rms(sounds), rtol=0.05, atol=0)


@pytest.mark.parametrize("y", [7.0, 15.0, 24.0])
def test_height_is_pitch(y: float) -> None:
    sound = sonify(_shape(y=y))[0, 0].double()
    spectrum = torch.fft.rfft(sound, n=16 * NUM_SAMPLES).abs()
    found = float(spectrum.argmax()) * SAMPLE_RATE / (16 * NUM_SAMPLES)
    expected = 150 * 3 ** ((y - 7) / 17)
    assert found == pytest.approx(expected, abs=1.0)
    assert float(pitch(torch.tensor(y))) == pytest.approx(expected, rel=1e-5)


def test_class_is_which_harmonics_sound_at_equal_power() -> None:
    base = float(pitch(torch.tensor(15.0)))
    shapes = [_shape(category) for category in range(len(CLASSES))]
    tones = torch.cat([sonify(shape) for shape in shapes])
    levels = torch.stack([_level_at(tones, base * k)[:, 0] for k in range(1, 5)], dim=1)
    relative = levels / levels[:, :1]
    expected = torch.tensor(HARMONICS, dtype=torch.float64)
    torch.testing.assert_close(relative, expected / expected[:, :1], atol=0.02, rtol=0)
    torch.testing.assert_close(_rms(tones), _rms(tones[:1]).expand(3), rtol=0.02, atol=0)


def test_size_is_loudness() -> None:
    small, large = _rms(sonify(_shape(size=7))), _rms(sonify(_shape(size=14)))
    assert 20 * math.log10(float(large / small)) == pytest.approx(10, abs=0.01)
    steps = loudness(torch.arange(7.0, 15.0)).log10().diff()
    torch.testing.assert_close(steps, steps[:1].expand(7))


def test_x_is_the_side_it_comes_from() -> None:
    left, middle, right = (sonify(_shape(x=x))[0].square().mean(dim=1) for x in (7, 16, 24))
    assert left[0] > 5 * left[1] and right[1] > 5 * right[0]
    assert float(middle[0]) == pytest.approx(float(middle[1]), rel=1e-4)
    gains = pan(torch.arange(7.0, 25.0))
    torch.testing.assert_close(gains.square().sum(dim=1), torch.ones(18))
    assert (gains[:, 1].diff() > 0).all()


@pytest.mark.parametrize("turn", [0.0, 0.25, 0.5, 0.75])
def test_rotation_is_when_the_swell_comes(turn: float) -> None:
    sound = sonify(_shape(y=24, rotation=turn * 2 * math.pi))[0, 0].double()
    power = sound.square().unfold(0, 100, 100).mean(dim=1)  # 40 windows
    time = torch.arange(40, dtype=torch.float64) + 0.5
    clock = (power * torch.exp(2j * math.pi * time / 40)).sum()
    found = float(clock.angle()) / (2 * math.pi) % 1
    assert min(abs(found - turn), 1 - abs(found - turn)) < 0.02


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_each_primary_colour_is_a_chime_of_its_own(channel: int) -> None:
    dark, bright = [0.2, 0.2, 0.2], [0.2, 0.2, 0.2]
    bright[channel] = 0.7
    before, after = (sonify(_shape(color=tuple(c))) for c in (dark, bright))  # type: ignore[arg-type]
    for number, hertz in enumerate(CHIMES):
        gain = float(_level_at(after, hertz)[0, 0] / _level_at(before, hertz)[0, 0])
        expected = 0.5 * 15 if number == channel else 0.0
        assert 20 * math.log10(gain) == pytest.approx(expected, abs=0.05)
    steps = chimes(torch.linspace(0, 1, 5)[:, None].expand(5, 3)).log10().diff(dim=0)
    torch.testing.assert_close(steps, steps[:1].expand(4, 3))


@pytest.mark.parametrize("name", ["x", "y", "size", "rotation"])
def test_a_small_change_of_an_attribute_is_a_small_change_of_the_sound(name: str) -> None:
    base = _shape(color=(0.5, 0.5, 0.5))
    changes = []
    for step in (1e-3, 2e-3):
        moved = attrs.evolve(base, **{name: getattr(base, name) + step})
        changes.append(float((sonify(moved) - sonify(base)).norm()))
    assert 0 < changes[0] < 0.1 * float(sonify(base).norm())
    assert changes[1] == pytest.approx(2 * changes[0], rel=0.1)


def test_rotation_goes_round() -> None:
    torch.testing.assert_close(
        sonify(_shape(rotation=2 * math.pi)), sonify(_shape(rotation=0.0)), atol=1e-5, rtol=0
    )


def _shipped() -> Any:
    pytest.importorskip("globalworkspace_audio")
    return load_domain("package:globalworkspace_shapes/weights/sound")


def test_the_shipped_sound_vae_has_no_dead_dimension_and_knows_unseen_sounds() -> None:
    module = _shipped()
    sounds = sonify(sample_attributes(400, torch.Generator().manual_seed(5)))
    latents = module.encode(sounds)
    variances = latents.var(dim=0)
    truth = module.spectrograms(sounds)
    error = (module.decode_spectrograms(latents) - truth).square().mean()
    assert latents.shape[1] == 10
    assert float(variances.min()) > 0.3 * float(variances.median())
    assert float(error) < 0.01 * float(truth.var(dim=0).mean())


def test_a_sound_that_was_decoded_to_a_waveform_is_heard_as_the_same_shape() -> None:
    module = _shipped()
    known = sample_attributes(3000, torch.Generator().manual_seed(6))
    probe = LatentProbe(module.encode(sonify(known)), known, steps=600)
    unseen = sample_attributes(60, torch.Generator().manual_seed(7))
    latents = module.encode(sonify(unseen))
    replayed = module.encode(module.decode(latents))
    truth = facts_of_attributes(unseen.columns())
    for found, least in ((latents, 0.97), (replayed, 0.85)):
        scores = score(probe.read(found), truth)
        assert min(scores.values()) > least, scores
        assert scores["class"] == 1


def test_the_sound_of_another_seed_has_the_same_latents() -> None:
    module = _shipped()
    shapes = sample_attributes(50, torch.Generator().manual_seed(8))
    first, other = (module.encode(sonify(shapes, seed)) for seed in (0, 1))
    assert float((first - other).square().mean()) < 0.01


class TestShippedSoundVAE(DomainConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def module(cls) -> DomainModule:
        return _shipped()

    @pytest.fixture(scope="class")
    @classmethod
    def batch(cls) -> torch.Tensor:
        return sonify(sample_attributes(3, torch.Generator().manual_seed(0)))
