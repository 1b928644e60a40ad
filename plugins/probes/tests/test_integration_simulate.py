"""Simulated sites respond to what their kind says."""

import pytest
import torch
from globalworkspace_probes.integration.correlation import correlation
from globalworkspace_probes.integration.simulate import (
    HARDER_NULL_KINDS,
    KINDS,
    rich_model,
    simulate_sites,
)

from globalworkspace.errors import ConfigError

PARTS = {"vision": slice(0, 8), "language": slice(8, 16), "interaction": slice(16, 24)}
PARTS |= {"nonlinear vision": slice(24, 32), "nonlinear language": slice(32, 40)}


def explained(drawn, columns, sites):
    """R² of sites on columns of the rich model, least squares on all events."""
    x = rich_model(drawn.tracks)[:, columns]
    x = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], dim=1)
    y = drawn.responses[sites, :, -1].T
    return float(correlation(x @ torch.linalg.lstsq(x, y).solution, y).square().mean())


def test_a_seed_draws_the_same_sites_and_another_one_others():
    first, again, other = (simulate_sites(seed, sites=2, events=60) for seed in (1, 1, 2))
    assert first.responses.equal(again.responses)
    assert not first.responses.equal(other.responses)
    assert first.kinds == tuple(kind for kind in KINDS for _ in range(2))


def test_each_kind_responds_to_its_own_part_and_to_no_other():
    kinds = (*KINDS, *HARDER_NULL_KINDS)
    drawn = simulate_sites(0, kinds=kinds, sites=20, events=2000, persistence=0.0)
    for kind in kinds:
        sites = torch.tensor([own == kind for own in drawn.kinds])
        told = kind.replace("additive", "vision + language").split(" + ")
        for part, columns in PARTS.items():
            share = 0.3 / len(told) if part in told else 0.0
            assert explained(drawn, columns, sites) == pytest.approx(share, abs=0.03), (kind, part)


def test_neighbouring_events_are_alike_in_tracks_and_in_noise():
    drawn = simulate_sites(0, kinds=["noise"], events=4000, persistence=0.8)
    for values in (*drawn.tracks.values(), drawn.responses[:, :, 0].T):
        near, far = (float(correlation(values[:-k], values[k:]).mean()) for k in (1, 25))
        assert near == pytest.approx(0.8, abs=0.03) and abs(far) < 0.05
        assert float(values.var(dim=0).mean()) == pytest.approx(1.0, abs=0.1)


def test_with_several_bins_the_first_half_holds_noise_alone():
    drawn = simulate_sites(0, kinds=["vision"], sites=10, events=2000, bins=4, persistence=0.0)
    x = drawn.tracks["vision"]
    told = [
        float(correlation(x @ torch.linalg.lstsq(x, y).solution, y).square().mean())
        for y in drawn.responses.permute(2, 1, 0)
    ]
    assert told == pytest.approx([0.0, 0.0, 0.3, 0.3], abs=0.03)


def test_flags_are_counted_by_kind():
    drawn = simulate_sites(0, kinds=["vision", "noise"], sites=2, events=20)
    assert drawn.of_kind(torch.tensor([True, True, False, True])) == {"vision": 2, "noise": 1}


def test_unknown_kinds_and_impossible_numbers_are_refused():
    with pytest.raises(ConfigError, match='"vison" is unknown.*Did you mean "vision"'):
        simulate_sites(0, kinds=["vison"], events=20)
    with pytest.raises(ConfigError, match=r"signal=1\.5"):
        simulate_sites(0, signal=1.5)
