import re

import pytest
import torch

from globalworkspace import Route
from globalworkspace.data.sampler import Segment
from globalworkspace.errors import ConfigError
from globalworkspace.routes import RoutePlan, _drawn_sources


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


@pytest.mark.parametrize("stretch", [(3, 2, 4), (-1, 1, 4), (0, 0, 4)])
def test_a_stretch_lies_within_its_parts(stretch):
    with pytest.raises(ConfigError, match=re.escape(f"stretch={stretch}")):
        Route(("a",), "b", stretch=stretch)


@pytest.mark.parametrize("kept", [("a", "b"), ("c",)])
def test_what_is_kept_leaves_sources_to_draw_from(kept):
    with pytest.raises(ConfigError, match="must be some of the sources"):
        Route(("a", "b"), "b", kept=kept)


def test_sampled_sources_read_as_such():
    route = Route(("a", "b", "c"), "a", kept=("a",), stretch=(0, 1, 2))
    assert str(route) == "a + some of (b + c) -> a"


@pytest.mark.parametrize("rows", [1, 2, 7, 12])
def test_the_stretches_of_all_parts_cover_the_rows(rows):
    segment = Segment(("a",), rows)
    routes = [Route(("a",), "b", stretch=(index, 1, 4)) for index in range(4)]
    taken = [row for route in routes for row in range(rows)[route.rows_of(segment)]]
    assert set(taken) == set(range(rows))
    assert all(len(range(rows)[route.rows_of(segment)]) >= 1 for route in routes)


def test_a_process_walks_what_it_has_of_a_stretch():
    route = Route(("a",), "b", stretch=(1, 2, 4))  # rows 3 to 8 of 12
    shares = [Segment(("a",), 4, 12, start) for start in (0, 4, 8)]
    found = [range(s.start, s.start + 4)[route.rows_of(s)] for s in shares]
    assert [list(rows) for rows in found] == [[3], [4, 5, 6, 7], [8]]


def test_every_subset_is_drawn_equally_often_and_none_is_empty():
    drawn = _drawn_sources(3, 70_000, torch.Generator().manual_seed(0))
    assert drawn.shape == (3, 70_000) and drawn.dtype == torch.bool
    subsets = sum(rows.long() << bit for bit, rows in enumerate(drawn))
    counts = subsets.bincount(minlength=8)
    assert counts[0] == 0
    assert (counts[1:] - 10_000).abs().max() < 400  # about four standard deviations
