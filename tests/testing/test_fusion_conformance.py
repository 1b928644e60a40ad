"""Core fusions pass; each broken one is caught by the check it is made for, and no other."""

import sys
from pathlib import Path

import pytest

from globalworkspace import builtin
from globalworkspace.fusion import ACTIVATIONS, KeyQueryAttention
from globalworkspace.registry import get_registry
from globalworkspace.testing import ConformanceError, FusionConformance, check_fusion
from globalworkspace.testing.fusion import FUSION_CHECKS

sys.path.insert(0, str(Path(__file__).parent))
from broken_fusions import BROKEN_FUSIONS, Sound, make  # noqa: E402

NOTHING_TO_JUDGE = {
    "its_own_parameters_learn": "not judged: it has no parameters that learn",
    "building_it_twice_from_one_seed_gives_the_same_weights": "not judged: it has no weights",
}


def core_kinds():
    kinds = []
    builtin.register_fusions(lambda kind, target, summary: kinds.append(kind))
    return kinds


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", core_kinds())
def test_every_core_fusion_passes_every_check(kind, activation):
    fusion = get_registry().load("fusion", kind)(4, activation)
    results = check_fusion(fusion)
    others = {name: said for name, said in results.items() if said != "passed"}
    assert others == ({} if list(fusion.parameters()) else NOTHING_TO_JUDGE)


@pytest.mark.parametrize("broken", BROKEN_FUSIONS, ids=lambda cls: cls.__name__)
def test_a_broken_fusion_fails_the_check_it_is_made_for_and_no_other(broken):
    with pytest.raises(ConformanceError) as caught:
        check_fusion(make(broken))
    failures = [failure.check for failure in caught.value.failures]
    assert failures == [BROKEN_FUSIONS[broken]]


def test_every_check_of_fusions_has_a_broken_one():
    assert set(check_fusion(make(Sound), plugin="light_plugin").values()) == {"passed"}
    with pytest.raises(ConformanceError) as caught:
        check_fusion(make(Sound), plugin="heavy_plugin")
    (failure,) = caught.value.failures
    caught_somewhere = {*BROKEN_FUSIONS.values(), failure.check}
    assert caught_somewhere == {check.__name__ for check in FUSION_CHECKS}


def test_what_is_no_fusion_is_told():
    with pytest.raises(ConformanceError, match="a subclass of Fusion") as caught:
        check_fusion(object())
    assert caught.value.failures[0].check == "it_is_a_fusion_with_a_size_and_an_activation"


def test_codes_of_a_size_that_the_fusion_does_not_take_fail():
    with pytest.raises(ConformanceError, match="shapes cannot be multiplied"):
        check_fusion(KeyQueryAttention(4), code_dim=8)


class TestAttention(FusionConformance):
    @pytest.fixture
    def fusion(self):
        return KeyQueryAttention(4, head_dim=3, num_steps=2)
