"""Pearson's correlation by columns, of the data and of weighted draws."""

import math

import pytest
import torch
from globalworkspace_probes.integration.correlation import correlation, weighted_correlation


def columns(*values):
    return torch.tensor(values, dtype=torch.float64).T


def test_three_points_correlate_as_computed_by_hand():
    # centred: (-1, 0, 1) and (-1, 1, 0), so r = 1 / sqrt(2 * 2)
    r = correlation(columns([1, 2, 3], [1, 2, 3]), columns([2, 4, 3], [5, 5, 5]))
    assert r.tolist() == [0.5, 0.0]


def test_correlation_knows_no_offset_no_scale_and_no_order_of_its_two():
    chance = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 30, 4, generator=chance, dtype=torch.float64)
    r = correlation(x, y)
    torch.testing.assert_close(correlation(y, x), r)
    torch.testing.assert_close(correlation(1e6 + 3 * x, -2 * y), -r, atol=1e-8, rtol=0)
    torch.testing.assert_close(r, torch.stack([torch.corrcoef(p)[0, 1] for p in pairs(x, y)]))


def pairs(x, y):
    return [torch.stack([x[:, k], y[:, k]]) for k in range(x.shape[1])]


def test_a_weight_of_two_is_a_row_that_occurs_twice():
    chance = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, 12, 3, generator=chance, dtype=torch.float64)
    drawn = torch.randint(12, (5, 12), generator=chance)
    weights = torch.stack([torch.bincount(row, minlength=12) for row in drawn]).double()
    expected = torch.stack([correlation(x[row], y[row]) for row in drawn])
    torch.testing.assert_close(weighted_correlation(x, y, weights), expected)


def test_a_column_that_is_constant_up_to_rounding_has_no_correlation():
    constant = torch.full((9, 1), 0.1, dtype=torch.float64)
    constant[4] += 1e-16
    line = torch.linspace(0, 1, 9, dtype=torch.float64)[:, None]
    assert correlation(constant, line).item() == 0.0
    one_row = torch.eye(9, dtype=torch.float64)[:1]
    assert weighted_correlation(line, line, one_row).item() == 0.0
    assert correlation(line, line).item() == pytest.approx(1.0)
    assert not math.isnan(weighted_correlation(constant, line, one_row).item())
