"""Core evaluations pass; each broken one is caught by the check it is made for, and no other."""

import functools
import sys
from pathlib import Path

import pytest
import torch
from core_domains import Vector

from globalworkspace import GlobalWorkspace
from globalworkspace.errors import ConfigError
from globalworkspace.evaluation.base import retrieval, translation
from globalworkspace.registry import get_registry
from globalworkspace.testing import ConformanceError, EvaluationConformance, check_evaluation
from globalworkspace.testing.evaluation import EVALUATION_CHECKS
from globalworkspace.testing.toys import toy_held_out, with_gaps

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


def photo_error(workspace, held_out):
    """For a workspace with photos only."""
    rows = held_out.raw["photo"].present & held_out.raw["sound"].present
    errors = translation(workspace, held_out)
    return {"error": errors["sound -> photo"], "rows": int(rows.sum())}


@pytest.fixture(scope="module")
def photos():
    workspace = GlobalWorkspace({"photo": Vector(4), "sound": Vector(2)}, dim=3, hidden_dim=8)
    return workspace, toy_held_out(workspace, rows=12)


class TestOnRowsOfItsOwn(EvaluationConformance):
    plugin = "light_plugin"

    @pytest.fixture
    def workspace(self, photos):
        return photos[0]

    @pytest.fixture
    def held_out(self, photos):
        return photos[1]

    @pytest.fixture
    def evaluation(self):
        return photo_error


def test_a_workspace_and_rows_may_be_given_together(photos):
    workspace, held_out = photos
    results = check_evaluation(photo_error, workspace=workspace, held_out=held_out)
    assert results["a_domain_may_be_missing_in_some_rows"] == "passed"
    with pytest.raises(ConfigError, match="both"):
        check_evaluation(photo_error, workspace=workspace)
    with pytest.raises(ConformanceError):
        check_evaluation(photo_error)


def test_rows_with_gaps_lack_each_domain_somewhere_and_none_is_empty(photos):
    thin = with_gaps(with_gaps(photos[1]))
    for table in (thin.raw, thin.latents):
        present = torch.stack([table[name].present for name in table])
        assert present.any(dim=0).all() and not present.all(dim=1).any()
        assert present.sum() < present.numel()
