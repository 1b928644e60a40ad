"""Core objectives pass; each broken one is caught by the check it is made for, and by no other."""

import copy
import sys
from pathlib import Path

import pytest
import torch
from core_domains import Vector

from globalworkspace import GlobalWorkspace, default_objectives
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.fused import Fused
from globalworkspace.objectives.translation import Translation
from globalworkspace.registry import get_registry
from globalworkspace.testing import ConformanceError, ObjectiveConformance, check_objective
from globalworkspace.testing.objective import OBJECTIVE_CHECKS

sys.path.insert(0, str(Path(__file__).parent))
from broken_objectives import BROKEN_OBJECTIVES, Sound  # noqa: E402

OBJECTIVES = [
    *default_objectives(pairs=100, steps=100),
    DemiCycle(),
    Cycle(detach=True),
    Contrastive(learn_scale=True, on="code"),
    Cycle(),
    DemiCycle(exclude=["third"]),
    Fused(),
    Translation(exclude=["left -> right"], many_to_one=False),
]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: f"{o.name}-{o.exclude}")
def test_every_core_objective_passes_every_check(objective):
    results = check_objective(objective)
    skipped = {name for name, result in results.items() if result != "passed"}
    assert skipped <= {"its_own_parameters_learn", "an_excluded_direction_is_not_walked"}


def test_every_core_kind_is_among_them():
    kinds = [r for r in get_registry().registrations if r.category == "objective"]
    core = {r.load() for r in kinds if r.owner == "core"}
    assert core == {type(objective) for objective in OBJECTIVES}


@pytest.mark.parametrize("broken", BROKEN_OBJECTIVES, ids=lambda cls: cls.__name__)
def test_a_broken_objective_fails_the_check_it_is_made_for_and_no_other(broken):
    with pytest.raises(ConformanceError) as caught:
        check_objective(broken())
    failures = [failure.check for failure in caught.value.failures]
    assert failures == [BROKEN_OBJECTIVES[broken]]


def test_every_check_of_objectives_has_a_broken_one():
    with pytest.raises(ConformanceError) as caught:
        check_objective(Sound(), plugin="heavy_plugin")
    (failure,) = caught.value.failures
    caught_somewhere = {*BROKEN_OBJECTIVES.values(), failure.check}
    assert caught_somewhere == {check.__name__ for check in OBJECTIVE_CHECKS}


def test_a_sound_objective_passes_and_is_left_as_it_was():
    objective = Sound(2.0, exclude=["photo"])
    before, chance = copy.deepcopy(objective.state_dict()), torch.get_rng_state()
    results = check_objective(objective, domains=("photo", "caption", "x"), plugin="light_plugin")
    assert set(results.values()) == {"passed"}
    assert torch.equal(chance, torch.get_rng_state()) and objective.softness.grad is None
    assert objective.weight.at(0) == 2.0 and objective.exclude == ("photo",)
    assert all(torch.equal(x, before[name]) for name, x in objective.state_dict().items())


class TestTranslation(ObjectiveConformance):
    domains = ("photo", "caption")

    @pytest.fixture
    def objective(self):
        return Translation()


class OnItsOwn(Sound):
    """Knows the domains that it works with."""

    def routes(self, segment):
        assert set(segment.group) <= {"photo", "sound"}
        return super().routes(segment)


class TestInAWorkspaceOfItsOwn(ObjectiveConformance):
    plugin = "light_plugin"

    @pytest.fixture
    def workspace(self):
        return GlobalWorkspace({"photo": Vector(4), "sound": Vector(2)}, dim=3, hidden_dim=8)

    @pytest.fixture
    def objective(self):
        return OnItsOwn()


def test_a_workspace_may_be_given():
    workspace = GlobalWorkspace({"photo": Vector(4), "sound": Vector(2)}, dim=3, hidden_dim=8)
    assert "passed" in check_objective(OnItsOwn(), workspace=workspace).values()
    with pytest.raises(ConformanceError):
        check_objective(OnItsOwn())
