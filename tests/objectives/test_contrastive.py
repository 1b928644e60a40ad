import math

import pytest
import torch
from core_domains import make_batch, small_workspace
from torch.nn import functional as F

from globalworkspace.errors import ConfigError
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.info_nce import info_nce
from globalworkspace.training.orchestrator import LossOrchestrator

ONE = torch.tensor(1.0, dtype=torch.float64)


def pair(rows=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(rows, 3, generator=generator, dtype=torch.float64) for _ in range(2))


def test_by_hand_on_two_orthogonal_rows():
    eye = torch.eye(2, dtype=torch.float64)
    expected = math.log(1 + math.exp(-2.0))  # logits 2 on the diagonal, 0 beside it
    assert info_nce(eye, eye, 2 * ONE).item() == pytest.approx(expected)


def test_by_hand_on_an_unsymmetric_case():
    first = torch.tensor([[1.0, 0], [1, 0]], dtype=torch.float64)
    second = torch.tensor([[1.0, 0], [0, 1]], dtype=torch.float64)
    # logits [[1, 0], [1, 0]]: rows give log(1+1/e), log(1+e); columns log 2 each
    rows = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1))) / 2
    assert info_nce(first, second, ONE).item() == pytest.approx((rows + math.log(2)) / 2)
    assert rows != pytest.approx(math.log(2))  # so that one direction alone would be seen


def test_it_is_symmetric_where_one_direction_alone_is_not():
    first, second = pair()
    torch.testing.assert_close(info_nce(first, second, ONE), info_nce(second, first, ONE))
    logits = F.normalize(first, dim=1) @ F.normalize(second, dim=1).T
    labels = torch.arange(5)
    one, other = F.cross_entropy(logits, labels), F.cross_entropy(logits.T, labels)
    assert abs(float(one - other)) > 1e-3


def test_the_scale_goes_from_chance_to_certainty():
    first, _ = pair()
    assert info_nce(first, first, 1e-9 * ONE).item() == pytest.approx(math.log(5), abs=1e-6)
    assert info_nce(first, first, 1e3 * ONE).item() == pytest.approx(0, abs=1e-6)


def test_lengths_do_not_count():
    first, second = pair()
    torch.testing.assert_close(info_nce(7 * first, second, ONE), info_nce(first, second, ONE))


def test_gradients_are_right():
    first, second = (x.requires_grad_() for x in pair(4))
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(info_nce, (first, second, scale))


def loss_of(objective, groups, dims=(4, 6, 3)):
    workspace = small_workspace(dims).double()
    batch = make_batch(workspace, groups, torch.Generator().manual_seed(0))
    return workspace, batch, LossOrchestrator(workspace, [objective]).double()(batch)


def test_groups_of_three_give_three_pairs():
    _, _, report = loss_of(Contrastive(), [(("left", "right", "third"), 4)])
    assert set(report.terms["contrastive"]) == {
        "left <-> right",
        "left <-> third",
        "right <-> third",
    }


def test_rows_of_all_groups_with_both_domains_are_negatives_of_each_other():
    groups = [(("left", "right"), 3), (("left", "right", "third"), 4)]
    workspace, batch, report = loss_of(Contrastive(scale=5.0), groups)
    left, right = (
        torch.tanh(workspace.encoder(n)(batch.latents[n][:7])) for n in ("left", "right")
    )
    value = report.terms["contrastive"]["left <-> right"]
    torch.testing.assert_close(value, info_nce(left, right, 5 * ONE).detach())
    apart = (info_nce(left[:3], right[:3], 5 * ONE) + info_nce(left[3:], right[3:], 5 * ONE)) / 2
    assert abs(float((value - apart).detach())) > 1e-2


def test_before_or_after_the_activation():
    groups = [(("left", "right"), 4)]
    _, _, after = loss_of(Contrastive(), groups)
    _, _, before = loss_of(Contrastive(on="code"), groups)
    assert abs(float((after.total - before.total).detach())) > 1e-6


def test_an_excluded_direction_leaves_its_pair_out():
    groups = [(("left", "right", "third"), 4)]
    _, _, report = loss_of(Contrastive(exclude=["third -> left"]), groups)
    assert set(report.terms["contrastive"]) == {"left <-> right", "right <-> third"}


def test_one_row_has_no_negatives_and_the_family_is_absent():
    from globalworkspace.objectives.demi_cycle import DemiCycle

    workspace = small_workspace()
    groups = [(("left", "right"), 1), (("left",), 2)]
    batch = make_batch(workspace, groups, torch.Generator().manual_seed(0))
    report = LossOrchestrator(workspace, [Contrastive(), DemiCycle()])(batch)
    assert set(report.families) == {"demi_cycle"}


def test_the_scale_is_learnt_when_asked_and_stays_below_its_limit():
    fixed, learnt = Contrastive(), Contrastive(learn_scale=True)
    assert not fixed.log_scale.requires_grad and learnt.log_scale.requires_grad
    assert learnt.log_scale.exp().item() == pytest.approx(1 / 0.07)
    groups = [(("left", "right"), 4)]
    workspace = small_workspace()
    batch = make_batch(workspace, groups, torch.Generator().manual_seed(0))
    with torch.no_grad():
        learnt.log_scale.fill_(math.log(1e6))
    big = LossOrchestrator(workspace, [learnt])(batch).total
    limit = LossOrchestrator(workspace, [Contrastive(scale=100.0)])(batch).total
    torch.testing.assert_close(big, limit)


def test_bad_settings_are_refused():
    with pytest.raises(ConfigError, match="scale=0"):
        Contrastive(scale=0)
    with pytest.raises(ConfigError, match='on="latent" is unknown'):
        Contrastive(on="latent")
