"""Whether items belong together, told by their states."""

import math

import pytest
import torch
from core_domains import small_workspace, two_views

from globalworkspace import Table, Trainer, TrainerConfig
from globalworkspace.components import build_evaluations
from globalworkspace.errors import DataError
from globalworkspace.evaluation.base import HeldOut
from globalworkspace.evaluation.matching import accuracy, auroc, matching, threshold
from globalworkspace.objectives.contrastive import Contrastive


def scores(*values):
    return torch.tensor(values)


def test_the_area_by_hand_and_by_counting():
    assert auroc(scores(3.0, 4.0), scores(1.0, 2.0)) == 1.0
    assert auroc(scores(1.0, 2.0), scores(3.0, 4.0)) == 0.0
    assert auroc(scores(1.0), scores(1.0)) == 0.5
    draw = torch.Generator().manual_seed(0)
    positives = torch.randn(50, generator=draw).mul(4).round() + 1
    negatives = torch.randn(70, generator=draw).mul(4).round()
    pairs = positives[:, None] - negatives
    counted = float((pairs > 0).double().mean() + 0.5 * (pairs == 0).double().mean())
    assert auroc(positives, negatives) == pytest.approx(counted, abs=1e-12)
    assert auroc(negatives, positives) == pytest.approx(1 - counted, abs=1e-12)


def test_ties_count_half_so_that_constant_scores_are_chance():
    assert auroc(torch.zeros(9), torch.zeros(4)) == 0.5


@pytest.mark.parametrize(
    ("positives", "negatives", "said"),
    [
        (torch.zeros(0), torch.zeros(3), "0 positives and 3 negatives"),
        (scores(math.nan), torch.zeros(3), "NaN"),
    ],
)
def test_scores_that_tell_nothing_are_refused(positives, negatives, said):
    with pytest.raises(DataError, match=said):
        auroc(positives, negatives)


def test_the_threshold_tells_most_of_both_sides_right():
    positives, negatives = scores(0.2, 0.6, 0.8), scores(-0.1, 0.1, 0.3, 0.4)
    found = threshold(positives, negatives)
    assert found == pytest.approx(0.5)
    assert accuracy(positives, negatives, found) == pytest.approx((2 / 3 + 1) / 2)
    tried = [accuracy(positives, negatives, x / 100) for x in range(-50, 150)]
    assert max(tried) == pytest.approx(accuracy(positives, negatives, found))


def test_equal_scores_lie_on_one_side_and_sides_count_alike():
    positives, negatives = torch.ones(2), torch.cat([torch.ones(1), torch.zeros(99)])
    assert threshold(positives, negatives) == pytest.approx(0.5)
    assert accuracy(positives, negatives, 0.5) == pytest.approx((1 + 0.99) / 2)
    assert accuracy(torch.ones(3), torch.ones(7), threshold(torch.ones(3), torch.ones(7))) == 0.5


def trained(steps):
    workspace = small_workspace((4, 6))
    table = Table.from_columns(two_views(500, (4, 6), 0))
    training, held_out = table.hold_out(0.4)
    config = TrainerConfig(steps=steps, device="cpu", progress=False)
    Trainer(config, [Contrastive(1.0)]).fit(workspace, training, latents=True)
    return workspace, HeldOut(raw=held_out, latents=held_out)


def test_a_trained_workspace_tells_what_belongs_together_and_an_untrained_one_does_not():
    workspace, held_out = trained(200)
    told = matching(workspace, held_out)["left <-> right"]
    assert told["auroc"] > 0.95 and told["accuracy"] > 0.85
    assert told["rows"] == 200
    plain = small_workspace((4, 6))
    plain.fit_standardizers({name: held_out.latents[name].cells for name in held_out.latents})
    chance = matching(plain.eval(), held_out)["left <-> right"]
    assert abs(chance["auroc"] - 0.5) < 0.1 and abs(chance["accuracy"] - 0.5) < 0.1


def test_rows_that_belong_to_nothing_are_chance():
    workspace, held_out = trained(200)
    cells = {name: held_out.latents[name].take(torch.arange(200)) for name in ("left", "right")}
    mispaired = Table.from_columns({"left": cells["left"], "right": cells["right"].roll(7, 0)})
    told = matching(workspace, HeldOut(raw=mispaired, latents=mispaired))["left <-> right"]
    assert abs(told["auroc"] - 0.5) < 0.1


def test_a_threshold_is_judged_on_other_rows_than_it_is_found_on():
    workspace, held_out = trained(1)
    cells = {n: torch.randn(12, held_out.latents[n].take([0]).shape[1]) for n in ("left", "right")}
    values = []
    for seed in range(60):  # of 6 rows a threshold can be found that tells nearly all right
        few = Table.from_columns(cells)
        held = HeldOut(raw=few, latents=few)
        values.append(matching(workspace, held, seed=seed)["left <-> right"]["accuracy"])
    assert sum(values) / len(values) < 0.6


def test_direct_translators_are_refused():
    direct = small_workspace((4, 6), topology="direct")
    with pytest.raises(DataError, match="share no states"):
        matching(direct, trained(1)[1])


def test_a_config_asks_for_it_and_too_few_rows_are_named():
    workspace, held_out = trained(1)
    judge = build_evaluations([{"kind": "matching", "most": 50}])["matching"]
    assert judge(workspace, held_out)["left <-> right"]["rows"] == 50
    few = held_out.latents.select([0, 1, 2])
    with pytest.raises(DataError, match="four rows"):
        matching(workspace, HeldOut(raw=few, latents=few))
