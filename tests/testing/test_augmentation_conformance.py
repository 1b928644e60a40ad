"""Core augmentations pass; each broken one is caught by the check it is made for, and no other."""

import sys
from pathlib import Path

import pytest

from globalworkspace.augmentation import Noise
from globalworkspace.corruption import KINDS, Corruption
from globalworkspace.latents import LatentSpec, Part
from globalworkspace.testing import (
    AugmentationConformance,
    ConformanceError,
    check_augmentation,
)
from globalworkspace.testing.augmentation import AUGMENTATION_CHECKS

sys.path.insert(0, str(Path(__file__).parent))
from broken_augmentations import BROKEN_AUGMENTATIONS, Sound  # noqa: E402

MIXED = {
    "left": LatentSpec([Part(name="size", size=2), Part(name="shape", size=3, kind="categorical")]),
    "right": LatentSpec.continuous(4),
}


@pytest.mark.parametrize("made", [Noise(0.3), *(Corruption([kind]) for kind in KINDS)])
def test_every_core_augmentation_passes_every_check(made):
    assert set(check_augmentation(made).values()) == {"passed"}
    assert set(check_augmentation(made, specs=MIXED).values()) == {"passed"}


@pytest.mark.parametrize("broken", BROKEN_AUGMENTATIONS, ids=lambda cls: cls.__name__)
def test_a_broken_augmentation_fails_the_check_it_is_made_for_and_no_other(broken):
    with pytest.raises(ConformanceError) as caught:
        check_augmentation(broken())
    failures = [failure.check for failure in caught.value.failures]
    assert failures == [BROKEN_AUGMENTATIONS[broken]]


def test_every_check_of_augmentations_has_a_broken_one():
    assert set(check_augmentation(Sound(), plugin="light_plugin").values()) == {"passed"}
    with pytest.raises(ConformanceError) as caught:
        check_augmentation(Sound(), plugin="heavy_plugin")
    (failure,) = caught.value.failures
    caught_somewhere = {*BROKEN_AUGMENTATIONS.values(), failure.check}
    assert caught_somewhere == {check.__name__ for check in AUGMENTATION_CHECKS}


def test_what_is_no_augmentation_is_told():
    with pytest.raises(ConformanceError, match="a subclass of Augmentation"):
        check_augmentation(object())


class TestNoise(AugmentationConformance):
    @pytest.fixture
    def augmentation(self):
        return Noise(0.1)

    @pytest.fixture
    def specs(self):
        return MIXED
