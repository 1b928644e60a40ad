"""Auxiliary losses by hand, with their gradients and with variants that are wrong."""

from __future__ import annotations

import math

import pytest
import torch
from globalworkspace_probes.few_shot.auxiliary import (
    LOSSES,
    FrozenAuxiliary,
    cosine_loss,
    loss_targets,
    soft_margin_loss,
    squared_loss,
    standard,
)
from torch import Tensor
from torch.nn import functional as F

from globalworkspace.errors import ConfigError, DataError

ROWS = torch.arange(4)


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_squared_error_is_a_mean_over_rows_and_columns() -> None:
    told, truth = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    assert float(squared_loss(told, truth, chance())) == 2.0


def test_the_cosine_loss_is_that_of_the_angles_and_not_of_the_lengths() -> None:
    truth = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    told = torch.tensor([[3.0, 0.0], [0.0, 5.0], [0.0, -1.0]])
    assert float(cosine_loss(told, truth, chance())) == pytest.approx((0 + 1 + 2) / 3)
    torch.testing.assert_close(
        cosine_loss(7 * told, truth, chance()), cosine_loss(told, truth, chance())
    )


def test_the_soft_margin_of_what_is_there_is_that_computed_by_hand() -> None:
    told, truth = torch.tensor([[0.0, 2.0]]), torch.ones(1, 2)
    expected = (math.log(2) + math.log(1 + math.exp(-2))) / 2
    assert float(soft_margin_loss(told, truth, chance())) == pytest.approx(expected)


def test_the_soft_margin_leaves_out_four_of_five_absent_attributes_and_no_present_one() -> None:
    told = torch.zeros(200, 50, requires_grad=True)
    truth = torch.zeros(200, 50)
    truth[:, :10] = 1
    soft_margin_loss(told, truth, chance()).backward()
    counted = told.grad != 0
    assert counted[:, :10].all()
    assert float(counted[:, 10:].double().mean()) == pytest.approx(0.2, abs=0.02)
    plain = F.binary_cross_entropy_with_logits(3 * truth - 1, truth)
    assert not torch.isclose(soft_margin_loss(3 * truth - 1, truth, chance()), plain, rtol=0.1)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradients_of_every_loss_are_right(name: str) -> None:
    told = torch.randn(3, 4, generator=chance(), dtype=torch.float64, requires_grad=True)
    truth = (torch.rand(3, 4, generator=chance(1), dtype=torch.float64) > 0.4).double()
    truth[:, 0] = 1  # the cosine of nothing has no gradient
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, truth, chance()), (told,))


@pytest.mark.parametrize("name", LOSSES)
def test_the_right_prediction_costs_less_than_that_of_another_row(name: str) -> None:
    truth = torch.eye(5)
    told = 8 * truth - 4 if name == "soft-margin" else truth
    right, wrong = (LOSSES[name](x, truth, chance()) for x in (told, told.roll(1, dims=0)))
    assert float(right) < 0.05 < 0.3 < float(wrong)


def test_units_come_from_the_given_rows_and_constant_columns_become_zero() -> None:
    values = torch.tensor([[0.0, 5.0], [2.0, 5.0], [100.0, 6.0]])
    found = standard(values, torch.tensor([0, 1]))
    torch.testing.assert_close(found, torch.tensor([[-1.0, 0.0], [1.0, 0.0], [99.0, 0.0]]))


def test_only_the_squared_error_has_targets_in_standard_units() -> None:
    language = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    assert torch.equal(loss_targets("cosine", language, ROWS), language)
    assert torch.equal(loss_targets("soft-margin", language, ROWS), language)
    torch.testing.assert_close(
        loss_targets("squared", language, ROWS).mean(dim=0), torch.zeros(2), atol=1e-6, rtol=0
    )


def test_losses_that_are_unknown_or_do_not_suit_are_refused() -> None:
    language = torch.tensor([[0.0, 1.0], [0.5, 0.0]])
    with pytest.raises(ConfigError, match='unknown; there are .* Did you mean "cosine"'):
        loss_targets("cosin", language, ROWS[:2])
    with pytest.raises(DataError, match="row 1 holds other values"):
        loss_targets("soft-margin", language, ROWS[:2])


def test_a_frozen_auxiliary_and_its_control_tell_of_the_same_rows() -> None:
    def made(rows: int) -> Tensor:
        return torch.zeros(rows, 2)

    FrozenAuxiliary(told=made(3), told_by_shuffled=made(3), num_parameters=1)
    with pytest.raises(DataError, match="3 rows and its shuffled control of 4"):
        FrozenAuxiliary(told=made(3), told_by_shuffled=made(4), num_parameters=1)
