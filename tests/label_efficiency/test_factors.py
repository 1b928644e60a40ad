"""From errors to pairs saved."""

import math

import pytest
import torch

from globalworkspace.errors import DataError
from globalworkspace.label_efficiency import error_ratio, interval, pairs_factor
from globalworkspace.label_efficiency.factors import level_factor, needed_pairs


def test_a_power_law_is_read_off_exactly():
    curve = {n: 3.0 * n**-0.5 for n in (10, 100, 1000)}
    for wanted in (17.0, 250.0, 999.0):
        assert needed_pairs(curve, 3.0 * wanted**-0.5) == pytest.approx(wanted)


def test_beyond_the_curve_there_is_no_number():
    assert needed_pairs({10: 0.5, 100: 0.2}, 0.1) == math.inf
    assert needed_pairs({10: 0.5, 100: 0.2}, 0.6) == 10
    assert needed_pairs({10: 0.5, 100: 0.5, 1000: 0.1}, 0.5) == 10


def test_the_first_crossing_counts():
    assert needed_pairs({10: 0.5, 100: 0.1, 1000: 0.3, 10_000: 0.05}, 0.1) == 100


def test_a_curve_four_times_as_good_needs_a_quarter():
    generator = torch.Generator().manual_seed(0)

    def noisy(n, scale):
        noise = torch.randn(5, generator=generator) * 0.02
        return [float(v) for v in scale * n**-0.5 * noise.exp()]

    numbers = (100, 400, 1600, 6400)
    reference = {n: noisy(n, 4.0) for n in numbers}
    ours = {n: noisy(n, 2.0) for n in numbers}
    found = pairs_factor(ours, reference, 400)
    assert found.low < 4 < found.high
    assert found.value == pytest.approx(4, rel=0.1)
    assert found.high - found.low < 1
    beyond = pairs_factor(ours, reference, 6400)
    assert beyond.value == math.inf and beyond.at_least == 1
    assert str(beyond).startswith("> 1 ")


def test_the_factor_at_a_level_is_that_of_the_crossings():
    numbers = (100, 400, 1600)
    reference = {n: [4.0 * n**-0.5 * f for f in (0.98, 1.0, 1.02)] for n in numbers}
    ours = {n: [2.0 * n**-0.5 * f for f in (0.98, 1.0, 1.02)] for n in numbers}
    factor, low, high = level_factor(ours, reference, 0.15)
    assert factor == pytest.approx(4, rel=0.01)
    assert 3.7 < low < 4 < high < 4.3
    assert level_factor(ours, reference, 0.06)[0] == math.inf  # ours alone gets there
    assert level_factor(reference, ours, 0.06)[0] == 0
    assert math.isnan(level_factor(ours, reference, 0.001)[0])
    with pytest.raises(DataError, match="without points"):
        level_factor(ours, {}, 0.1)


def test_the_interval_of_five_seeds_is_students():
    mean, low, high = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert mean == 3
    assert high - mean == pytest.approx(2.776 * math.sqrt(2.5 / 5))
    assert mean - low == pytest.approx(high - mean)
    assert math.isnan(interval([1.0])[1])


def test_ratios_are_paired_by_seed():
    ratio, low, high = error_ratio([0.9, 1.8, 4.5], [1.0, 2.0, 5.0])
    assert ratio == pytest.approx(0.9) and low == pytest.approx(0.9) and high == pytest.approx(0.9)
    with pytest.raises(DataError, match="cannot be paired"):
        error_ratio([1.0], [1.0, 2.0])


def test_a_curve_without_that_number_is_an_error():
    with pytest.raises(DataError, match="not with 7"):
        pairs_factor({5: [1.0]}, {5: [1.0]}, 7)
