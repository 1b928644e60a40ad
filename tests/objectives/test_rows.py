"""Translation, demi-cycle, cycle and fused: which routes, and a value by hand."""

import pytest
import torch
from core_domains import Vector, make_batch, small_workspace

from globalworkspace import GlobalWorkspace, Route
from globalworkspace.data.sampler import Batch, Segment
from globalworkspace.errors import ConfigError
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.fused import Fused
from globalworkspace.objectives.translation import Translation
from globalworkspace.training.orchestrator import LossOrchestrator

PAIR, TRIPLE, ONE = (Segment(g, 4) for g in (("a", "b"), ("a", "b", "c"), ("a",)))


def walked(objective, segment):
    objective.check_domains(("a", "b", "c"))
    return [str(route) for route in objective.routes(segment)]


def test_translation_walks_every_direction_and_many_to_one():
    assert walked(Translation(), PAIR) == ["b -> a", "a -> b"]
    assert walked(Translation(), TRIPLE) == [
        "b -> a",
        "c -> a",
        "b + c -> a",
        "a -> b",
        "c -> b",
        "a + c -> b",
        "a -> c",
        "b -> c",
        "a + b -> c",
    ]
    assert len(walked(Translation(many_to_one=False), TRIPLE)) == 6
    assert walked(Translation(), ONE) == []


def test_directions_and_domains_can_be_left_out():
    assert walked(Translation(exclude=["a->b"]), PAIR) == ["b -> a"]
    assert walked(Translation(exclude=["c"], many_to_one=False), TRIPLE) == ["b -> a", "a -> b"]
    assert walked(DemiCycle(exclude=["a"]), ONE) == []
    assert walked(Cycle(exclude=["a"]), ONE) == []
    assert walked(Cycle(exclude=["a -> b"]), ONE) == ["a -> c -> a"]
    assert walked(Fused(exclude=["c"]), TRIPLE) == ["a + b -> a", "a + b -> b"]


def test_the_one_domain_families_walk_one_domain_segments_only():
    assert walked(DemiCycle(), ONE) == ["a -> a"]
    assert walked(Cycle(), ONE) == ["a -> b -> a", "a -> c -> a"]
    assert walked(Cycle(detach=True), ONE) == ["a -> b| -> a", "a -> c| -> a"]
    assert walked(Fused(), ONE) == walked(DemiCycle(), PAIR) == walked(Cycle(), PAIR) == []
    assert walked(Fused(), PAIR) == ["a + b -> a", "a + b -> b"]


def test_a_cycle_must_know_the_domains():
    with pytest.raises(ConfigError, match="check_domains"):
        list(Cycle().routes(ONE))


def test_a_misspelt_exclusion_is_an_error_with_the_known_names():
    for exclude in (["lft"], ["left -> rihgt"]):
        with pytest.raises(ConfigError, match="translation: exclude names .*left, right"):
            LossOrchestrator(small_workspace(), [Translation(exclude=exclude)])
    with pytest.raises(ConfigError, match=r'must be a list, as \["left"\]'):
        Translation(exclude="left")
    with pytest.raises(ConfigError, match="exclude holds 3"):
        Translation(exclude=[3])


def linear_pair():
    """Networks that are known maps: encoders x -> x, decoders z -> 2 z (a) and z -> 3 z (b)."""
    ws = GlobalWorkspace(
        {"a": Vector(1), "b": Vector(1)}, dim=1, activation="none", fusion="mean", linear_path=True
    )
    one, zero = torch.ones(1, 1), torch.zeros(1)
    for name, factor in (("a", 2.0), ("b", 3.0)):
        ws.encoder(name).start_from_linear(one, zero)
        ws.decoder(name).start_from_linear(factor * one, zero)
    return ws.double()


def value(objective, group, rows):
    ws = linear_pair()
    latents = {n: torch.tensor(v, dtype=torch.float64)[:, None] for n, v in rows.items()}
    size = len(next(iter(rows.values())))
    batch = Batch((Segment(group, size),), latents, (torch.arange(size),))
    report = LossOrchestrator(ws, [objective])(batch)
    return {key: float(v) for key, v in next(iter(report.terms.values())).items()}, report


def test_translation_by_hand():
    terms, report = value(Translation(), ("a", "b"), {"a": [1.0, 2.0], "b": [1.0, 4.0]})
    forward = ((3 * 1 - 1) ** 2 + (3 * 2 - 4) ** 2) / 2
    backward = ((2 * 1 - 1) ** 2 + (2 * 4 - 2) ** 2) / 2
    assert terms == {"a -> b": forward, "b -> a": backward}
    assert float(report.total.detach()) == (forward + backward) / 2
    assert float(report.total.detach()) != forward + backward


def test_demi_cycle_by_hand():
    terms, _ = value(DemiCycle(), ("a",), {"a": [1.0, 3.0]})
    assert terms == {"a -> a": (1 + 9) / 2}


@pytest.mark.parametrize("detach", [False, True])
def test_cycle_by_hand_with_its_gradient(detach):
    terms, report = value(Cycle(detach=detach), ("a",), {"a": [2.0]})
    assert list(terms.values()) == [(2 * 3 * 2 - 2) ** 2]  # a -> b multiplies by 3, back by 2


def test_the_gradient_stop_spares_the_way_there_and_keeps_the_way_back():
    for detach in (False, True):
        ws = linear_pair()
        batch = Batch((Segment(("a",), 1),), {"a": torch.full((1, 1), 2.0).double()}, ())
        LossOrchestrator(ws, [Cycle(detach=detach)])(batch).total.backward()
        there = [ws.encoder("a").linear.weight.grad, ws.decoder("b").linear.weight.grad]
        back = [ws.encoder("b").linear.weight.grad, ws.decoder("a").linear.weight.grad]
        # d/dw (2*3*2*w - 2)^2 at w = 1, for each factor of the product
        assert back[0].item() == pytest.approx(2 * 10 * 12)
        assert back[1].item() == pytest.approx(2 * 10 * 6)
        if detach:
            assert all(g is None or not g.any() for g in there)
        else:
            assert there[0].item() == pytest.approx(2 * 10 * 12)
            assert there[1].item() == pytest.approx(2 * 10 * 4)


def test_fused_by_hand():
    terms, _ = value(Fused(), ("a", "b"), {"a": [1.0], "b": [3.0]})
    # random weights are the mean's: code (1 + 3) / 2 = 2
    assert terms == {"a + b -> a": (2 * 2 - 1) ** 2, "a + b -> b": (3 * 2 - 3) ** 2}


def test_weights_may_be_whole_numbers_and_the_total_is_the_weighted_sum():
    workspace = small_workspace()
    groups = [(("left", "right"), 4), (("left",), 4)]
    batch = make_batch(workspace, groups, torch.Generator().manual_seed(0))
    report = LossOrchestrator(workspace, [Translation(2), DemiCycle(0.5)])(batch)
    families = report.families
    expected = 2 * families["translation"] + 0.5 * families["demi_cycle"]
    torch.testing.assert_close(report.total, expected)
    for wrong in (expected / 2, 0.5 * families["demi_cycle"]):
        assert abs(float((report.total - wrong).detach())) > 1e-2


def test_part_weights_reach_the_row_losses():
    workspace = small_workspace()
    batch = make_batch(workspace, [(("left",), 4)], torch.Generator().manual_seed(0))
    weighted = {"left": {"latent": 5.0}}
    one = LossOrchestrator(workspace, [DemiCycle()])(batch).total
    other = LossOrchestrator(workspace, [DemiCycle()], part_weights=weighted)(batch).total
    torch.testing.assert_close(one, other)  # the weighted mean of a single part is that part


def test_routes_are_hashable_values():
    assert Route(("a",), "b") in set(Translation().routes(PAIR))
