"""Draws of blocks of neighbouring events, and the false discovery rate."""

import pytest
import torch
from globalworkspace_probes.integration.bootstrap import (
    benjamini_hochberg,
    block_weights,
    resampled_correlation,
)
from globalworkspace_probes.integration.correlation import correlation
from globalworkspace_probes.integration.simulate import simulate_sites

from globalworkspace.errors import DataError


def weights(sizes, block, resamples=200, seed=0):
    chance = torch.Generator().manual_seed(seed)
    return block_weights(sizes, block=block, resamples=resamples, generator=chance)


def test_each_draw_has_as_many_events_as_its_stretch():
    found = weights([12, 7], block=5)
    assert [w.shape for w in found] == [(200, 12), (200, 7)]
    assert all((w.sum(dim=1) == w.shape[1]).all() for w in found)


def test_a_draw_consists_of_neighbours_on_a_circle():
    (found,) = weights([12], block=4)
    for row in found:
        # three blocks of four: each event that is drawn more often than the one before starts one
        starts = (row - row.roll(1)).clamp(min=0).sum()
        assert starts <= 3


def test_every_event_is_drawn_equally_often():
    (found,) = weights([10], block=4, resamples=4000)  # the last block of a draw is cut short
    torch.testing.assert_close(
        found.mean(dim=0), torch.ones(10, dtype=torch.float64), atol=0.06, rtol=0
    )


def test_equal_seeds_draw_the_same_blocks():
    first, again, other = (weights([20], 4, seed=seed)[0] for seed in (1, 1, 2))
    assert first.equal(again) and not first.equal(other)


def test_a_block_or_a_number_of_draws_under_one_is_refused():
    with pytest.raises(DataError, match="block=0 and resamples=5"):
        weights([10], 0, resamples=5)


def test_the_resampled_correlation_of_the_data_is_the_mean_over_stretches():
    chance = torch.Generator().manual_seed(3)
    p, y = torch.randn(2, 30, 4, generator=chance, dtype=torch.float64)
    ones = [torch.ones(1, 12, dtype=torch.float64), torch.ones(1, 18, dtype=torch.float64)]
    found = resampled_correlation(p.split([12, 18]), y.split([12, 18]), ones)
    expected = (correlation(p[:12], y[:12]) + correlation(p[12:], y[12:])) / 2
    torch.testing.assert_close(found[0], expected)


def test_draws_of_single_events_would_make_intervals_too_narrow():
    drawn = simulate_sites(0, kinds=["vision"], sites=30, events=1000, persistence=0.9)
    x = drawn.tracks["vision"].sum(dim=1, keepdim=True).expand(-1, 30)
    y = drawn.responses[:, :, 0].T

    def spread(block):
        return float(resampled_correlation([x], [y], weights([1000], block)).std(dim=0).mean())

    halves = torch.stack(
        [correlation(a, b) for a, b in zip(x.split(100), y.split(100), strict=True)]
    )
    true = float(halves.std(dim=0).mean()) / 10**0.5  # of ten stretches that hardly know each other
    assert spread(1) < 0.6 * true < spread(25) < 1.5 * true


def test_p_values_are_adjusted_as_computed_by_hand():
    # sorted .01 .02 .04 .8: times 4/1 4/2 4/3 4/4 = .04 .04 .0533 .8, each at most the next
    found = benjamini_hochberg(torch.tensor([0.8, 0.01, 0.04, 0.02], dtype=torch.float64))
    assert found.tolist() == pytest.approx([0.8, 0.04, 0.16 / 3, 0.04])


def test_adjusting_never_lowers_a_p_value_nor_changes_their_order():
    p = torch.rand(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = benjamini_hochberg(p)
    assert (found >= p).all() and (found <= 1).all()
    assert (found[p.argsort()].diff() >= 0).all()
    assert benjamini_hochberg(p[:1]).equal(p[:1])
