import pytest

from globalworkspace import Route
from globalworkspace.data.sampler import Segment
from globalworkspace.errors import ConfigError
from globalworkspace.routes import RoutePlan


def test_a_route_reads_as_a_path():
    assert str(Route(("a", "b"), "a")) == "a + b -> a"
    assert str(Route(("a",), "a", via=("b",), detach_after=1)) == "a -> b| -> a"
    assert str(Route(("a",))) == "a -> workspace"


def test_equal_routes_are_one_key():
    assert len({Route(["a"], "b"), Route(("a",), "b")}) == 1


@pytest.mark.parametrize("stop", [0, 2, -1])
def test_a_gradient_stop_lies_on_the_path(stop):
    with pytest.raises(ConfigError, match=f"detach_after={stop}"):
        Route(("a",), "a", via=("b",), detach_after=stop)


def test_a_route_has_a_source():
    with pytest.raises(ConfigError, match="at least one source"):
        Route((), "a")


def test_shared_beginnings_are_walked_once():
    routes = [
        Route(("a",), "b"),
        Route(("a",), "a", via=("b",)),
        Route(("a",), "c", via=("b",)),
        Route(("a",), "a", via=("b",), detach_after=1),
        Route(("a",), "b"),
    ]
    plan = RoutePlan([Segment(("a",), 4)], [routes])
    assert len(plan.walks) == 4
    assert len(plan.starts) == 1
    assert [len(level) for level in plan.levels] == [1, 3]
    assert [len(nodes) for nodes in plan.encoded_again] == [2, 0]  # with and without gradients
    assert plan.segments_of[routes[0]] == (0,)
