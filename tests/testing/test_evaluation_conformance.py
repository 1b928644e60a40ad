"""Core evaluations pass; each broken one is caught by the check it is made for, and no other."""

import functools
import sys
from pathlib import Path

import pytest
import torch

from globalworkspace.evaluation.base import retrieval, translation
from globalworkspace.registry import get_registry
from globalworkspace.testing import ConformanceError, EvaluationConformance, check_evaluation
from globalworkspace.testing.evaluation import EVALUATION_CHECKS

sys.path.insert(0, str(Path(__file__).parent))
from broken_evaluations import BROKEN_EVALUATIONS, sound  # noqa: E402


def kinds(owner):
    registrations = get_registry().registrations
    return [r for r in registrations if r.category == "evaluation" and r.owner == owner]


@pytest.mark.parametrize("kind", kinds("core"), ids=lambda r: r.kind)
def test_every_core_evaluation_passes_every_check(kind):
    assert set(check_evaluation(kind.load()).values()) == {"passed"}


def test_there_are_core_evaluations():
    assert {translation, retrieval} <= {r.load() for r in kinds("core")}


@pytest.mark.parametrize("broken", BROKEN_EVALUATIONS, ids=lambda f: f.__name__)
def test_a_broken_evaluation_fails_the_check_it_is_made_for_and_no_other(broken):
    with pytest.raises(ConformanceError) as caught:
        check_evaluation(broken)
    failures = [failure.check for failure in caught.value.failures]
    assert failures == [BROKEN_EVALUATIONS[broken]]
    assert torch.is_grad_enabled()


def test_every_check_of_evaluations_has_a_broken_one():
    assert set(check_evaluation(sound, plugin="light_plugin").values()) == {"passed"}
    with pytest.raises(ConformanceError) as caught:
        check_evaluation(sound, plugin="heavy_plugin")
    (failure,) = caught.value.failures
    caught_somewhere = {*BROKEN_EVALUATIONS.values(), failure.check}
    assert caught_somewhere == {check.__name__ for check in EVALUATION_CHECKS}


class TestRetrievalInASmallGallery(EvaluationConformance):
    domains = ("photo", "caption")

    @pytest.fixture
    def evaluation(self):
        return functools.partial(retrieval, gallery_size=8, ks=(1,))
