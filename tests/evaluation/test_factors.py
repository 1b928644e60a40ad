"""What the states tell, of factors and of domains, against what chance tells."""

import pytest
import torch
from core_domains import Vector, small_workspace

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig
from globalworkspace.components import build_evaluations
from globalworkspace.errors import DataError
from globalworkspace.evaluation.base import HeldOut
from globalworkspace.evaluation.factors import advantage, explained, factors
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.translation import Translation


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_line_through_what_causes_a_target_tells_its_share():
    x, noise = draw(4000, 3), draw(4000, 1, seed=1)
    y = x[:, :1] + noise  # half of its variance
    told = explained(x, {"half": y, "all": 2 * x[:, 1:] - 1, "none": draw(4000, 2, seed=2)})
    assert told["half"]["explained"] == pytest.approx(0.5, abs=0.04)
    assert told["all"]["explained"] > 0.999
    assert abs(told["none"]["explained"]) < 0.02
    assert told["half"]["null"] < 0.02 and told["all"]["null"] < 0.02


def test_units_and_constants_change_nothing():
    x = draw(400, 3)
    y = torch.cat([x[:, :1], draw(400, 1, seed=3)], dim=1)
    plain = explained(x, {"y": y})["y"]["explained"]
    moved = explained(100 * x - 7, {"y": 0.01 * y + 5})["y"]["explained"]
    assert moved == pytest.approx(plain, abs=1e-5)
    assert plain == pytest.approx(0.5, abs=0.1)
    assert explained(x, {"constant": torch.ones(400, 2)}) == {}


def test_nothing_is_above_its_null_about_one_time_in_twenty():
    above = 0
    for seed in range(100):
        told = explained(draw(80, 10, seed=seed), {"y": draw(80, 1, seed=1000 + seed)}, seed=seed)
        above += told["y"]["explained"] > told["y"]["null"]
    assert above <= 12


def test_rows_that_are_fitted_would_tell_of_nothing_at_all():
    """Why halves: as many dimensions as rows tell anything of the rows they were fitted to."""
    x, y = draw(80, 39), draw(80, 1, seed=1)
    solution = torch.linalg.lstsq(x[:40], y[:40]).solution
    of_fitted = 1 - (x[:40] @ solution - y[:40]).square().sum() / y[:40].square().sum()
    assert float(of_fitted) > 0.9
    told = explained(x, {"y": y})["y"]
    assert told["explained"] <= max(told["null"], 0.3)


def test_the_null_is_calibrated_where_there_is_something_to_tell():
    """Rows of the fitted half alone permuted would give a null of 0.07 here."""
    x = draw(4000, 3)
    told = explained(x, {"y": x[:, :1] + draw(4000, 1, seed=1)})
    assert told["y"]["null"] < 0.01


def told_by(inputs, seed):
    """x with noise, `inputs` times as strong."""
    x = draw(200, 2, seed=seed)
    return x, [x + scale * draw(200, 2, seed=seed + k) for k, scale in enumerate(inputs, 500)]


def test_the_better_of_two_inputs_tells_more_than_chance():
    for seed in range(5):
        x, (good, bad) = told_by((0.3, 1.0), seed)
        found = advantage(good, bad, x, seed=seed)
        apart = explained(good, {"x": x}, seed=seed)["x"]["explained"]
        apart -= explained(bad, {"x": x}, seed=seed)["x"]["explained"]
        assert found["more"] == pytest.approx(apart, abs=1e-9)
        assert found["more"] > found["null"] > 0
        assert advantage(bad, good, x, seed=seed)["more"] == pytest.approx(-apart, abs=1e-9)


def test_of_two_alike_one_is_ahead_about_one_time_in_twenty():
    ahead = 0
    for seed in range(100):
        x, alike = told_by((0.7, 0.7), seed)
        found = advantage(*alike, x, seed=seed)
        ahead += found["more"] > found["null"]
    assert ahead <= 12


def test_what_does_not_vary_gives_no_advantage():
    same = advantage(draw(80, 2), draw(80, 2, seed=1), torch.ones(80, 1))
    assert same == {"more": 0.0, "null": 0.0}


def test_too_few_rows_are_refused():
    with pytest.raises(DataError, match="39 rows are too few"):
        explained(draw(39, 2), {"y": draw(39, 1)})


def trained(seed=0):
    """Two domains with two shared and two private numbers each."""
    shared = draw(1500, 2, seed=seed)
    cells = {
        name: torch.cat([shared, draw(1500, 2, seed=10 + k)], dim=1)
        for k, name in enumerate(("left", "right"))
    }
    table = Table.from_columns(cells)
    training, held_out = table.hold_out(0.5, seed=0)
    workspace = GlobalWorkspace({n: Vector(4) for n in cells}, dim=8, hidden_dim=32, seed=seed)
    config = TrainerConfig(steps=300, device="cpu", progress=False)
    losses = [Translation(1.0), DemiCycle(1.0)]
    Trainer(config, losses).fit(workspace, training, latents=True)
    return workspace, HeldOut(raw=held_out, latents=held_out)


def test_half_of_each_domain_is_shared_and_half_its_own():
    found = factors(*trained())
    for name, other in (("left", "right"), ("right", "left")):
        told = found["domains"][name]
        assert told["own"]["explained"] > 0.9
        assert told["from"][other]["explained"] == pytest.approx(0.5, abs=0.1)
        assert told["shared"] == told["from"][other]["explained"]
        assert told["private"] == pytest.approx(told["own"]["explained"] - told["shared"])


def test_domains_that_have_nothing_in_common_share_nothing():
    workspace, held_out = trained()
    cells = {n: held_out.latents[n].take(torch.arange(750)) for n in ("left", "right")}
    apart = Table.from_columns({"left": cells["left"], "right": cells["right"].roll(5, 0)})
    told = factors(workspace, HeldOut(raw=apart, latents=apart))["domains"]["left"]
    assert told["from"]["right"]["explained"] < 0.05
    assert told["private"] > 0.85


def test_a_config_asks_for_it():
    workspace, held_out = trained()
    judge = build_evaluations([{"kind": "factors", "most": 200}])["factors"]
    assert set(judge(workspace, held_out)["domains"]) == {"left", "right"}


def test_a_dimension_for_each_factor_is_disentangled_and_a_mixture_is_not():
    from globalworkspace.evaluation.disentanglement import SCORES, disentangled

    numbers = draw(600, 3)
    known = {f"n{k}": numbers[:, k : k + 1].double() for k in range(3)}
    turned = torch.linalg.qr(draw(3, 3, seed=4)).Q
    apart, mixed = (disentangled(codes.double(), known) for codes in (numbers, numbers @ turned))
    assert set(apart) <= set(SCORES) and "MIG" in apart
    for name in set(apart) - {"informativeness"}:
        assert apart[name] > mixed[name] + 0.2, name


def test_an_evaluation_tells_it_of_each_domain():
    from globalworkspace.evaluation.factors import disentanglement

    values = draw(500, 2)
    cells = {"left": values[:, :1].clone(), "right": values @ draw(2, 3, seed=1)}
    table = Table.from_columns(cells)
    workspace = GlobalWorkspace({"left": Vector(1), "right": Vector(3)}, dim=4)
    workspace.fit_standardizers(cells)
    found = disentanglement(workspace, HeldOut(raw=table, latents=table))
    assert found["rows"] == {"left": 500, "right": 500}
    assert set(found["scores"]) == {"left", "right"} and "MIG" in found["scores"]["left"]
    few = table.select(range(150))
    told = disentanglement(workspace, HeldOut(raw=few, latents=few))
    assert told == {"rows": {"left": 150, "right": 150}, "scores": {}}


def test_without_rows_there_is_nothing_to_tell_and_without_states_an_error():
    workspace, held_out = trained()
    few = held_out.latents.select(range(30))
    assert factors(workspace, HeldOut(raw=few, latents=few)) == {"factors": {}, "domains": {}}
    direct = small_workspace((4, 6), topology="direct")
    with pytest.raises(DataError, match="share no states"):
        factors(direct, held_out)
