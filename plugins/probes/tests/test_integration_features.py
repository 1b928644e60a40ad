"""Features of a workspace and of its controls."""

import pytest
import torch
from globalworkspace_probes.integration import control_features, workspace_features
from globalworkspace_probes.integration.features import additive_part, untrained_copy

from globalworkspace import GlobalWorkspace, LatentSpec
from globalworkspace.errors import DataError, DomainError
from globalworkspace.given_latents import GivenLatents

EVENTS = 48


def track(columns, seed):
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(EVENTS, columns, generator=chance)


def latents():
    return {"film": track(3, 0), "words": track(4, 1)}


def workspace(seed=0, **settings):
    domains = {
        name: GivenLatents(LatentSpec.continuous(x.shape[1])) for name, x in latents().items()
    }
    made = GlobalWorkspace(domains, dim=6, hidden_dim=8, seed=seed, **settings)
    made.fit_standardizers(latents())
    return made


def test_the_state_is_fused_from_both_domains_and_concat_from_their_latents():
    features = workspace_features(workspace(), latents())
    assert list(features) == ["workspace", "unimodal", "concat", "mispaired", "additive"]
    state = workspace().encode(latents(), latents=True).code.double()
    torch.testing.assert_close(features["workspace"], state)
    assert features["unimodal"]["words"].equal(latents()["words"].double())
    assert features["concat"].equal(torch.cat(list(latents().values()), dim=1).double())


def test_a_mispaired_state_is_that_of_rows_with_one_domain_shifted():
    features = workspace_features(workspace(), latents())
    names = [f"{name} by {lag}" for name in ("film", "words") for lag in (12, 24, 36)]
    assert list(features["mispaired"]) == names
    shifted = {**latents(), "words": latents()["words"].roll(12, dims=0)}
    expected = workspace().encode(shifted, latents=True).code.double()
    torch.testing.assert_close(features["mispaired"]["words by 12"], expected)
    assert not torch.allclose(features["mispaired"]["film by 12"], expected)


def test_the_additive_part_of_a_sum_is_the_sum_itself():
    tracks = {name: x.double() for name, x in latents().items()}

    def model(given):
        return given["film"].square()[:, :2] + given["words"].sin()[:, :2]

    found = additive_part(model, tracks, lags=list(range(EVENTS)))
    offset = found - model(tracks)
    torch.testing.assert_close(offset, offset[:1].expand(EVENTS, 2))


def test_the_additive_part_of_a_product_of_centred_tracks_vanishes():
    tracks = {name: x.double() - x.double().mean(dim=0) for name, x in latents().items()}
    found = additive_part(lambda t: t["film"] * t["words"][:, :3], tracks, list(range(EVENTS)))
    torch.testing.assert_close(found, torch.zeros_like(found))


def test_of_three_domains_no_pair_leaves_its_interaction_in_the_additive_part():
    tracks = {name: track(1, seed).double() for seed, name in enumerate("abc")}
    tracks = {name: x - x.mean() for name, x in tracks.items()}
    found = additive_part(lambda t: t["b"] * t["c"] + t["a"], tracks, list(range(EVENTS)))
    rest = found - tracks["a"]
    torch.testing.assert_close(rest, rest[:1].expand(EVENTS, 1))


def test_the_untrained_workspace_differs_in_its_weights_alone():
    made = workspace()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    fresh = untrained_copy(made)
    assert {**fresh.config(), "seed": 0} == made.config()
    assert [(n, p.shape) for n, p in fresh.named_parameters()] == [
        (n, p.shape) for n, p in made.named_parameters()
    ]
    assert fresh.standardizer("film") is not made.standardizer("film")  # it may move by itself
    standard = latents()["film"]
    assert (
        fresh.standardizer("film")
        .standardize(standard)
        .equal(made.standardizer("film").standardize(standard))
    )
    assert not fresh.encode(latents(), latents=True).code.equal(
        made.encode(latents(), latents=True).code
    )
    assert all(value.equal(before[name]) for name, value in made.state_dict().items())


def test_untrained_and_unmatched_states_are_given_where_asked_for():
    other = workspace(seed=5)
    features = workspace_features(workspace(), latents(), untrained=True, unmatched=other)
    assert list(features)[-2:] == ["untrained", "unmatched"]
    torch.testing.assert_close(
        features["unmatched"], other.encode(latents(), latents=True).code.double()
    )
    assert not torch.allclose(features["untrained"], features["workspace"])


def test_an_unmatched_workspace_of_other_networks_is_refused():
    with pytest.raises(DomainError, match="differs from the probed one in num_layers"):
        workspace_features(workspace(), latents(), unmatched=workspace(num_layers=1))
    wider = GlobalWorkspace(
        {name: GivenLatents(LatentSpec.continuous(5)) for name in ("film", "words")},
        dim=6,
        hidden_dim=8,
    )
    with pytest.raises(DomainError, match='differs from the probed one in its domain "film"'):
        workspace_features(workspace(), latents(), unmatched=wider)


def test_what_cannot_be_probed_is_refused_with_a_reason():
    with pytest.raises(DomainError, match='no domain "music"'):
        workspace_features(workspace(), {**latents(), "music": track(2, 2)})
    with pytest.raises(DomainError, match="no fused state"):
        workspace_features(workspace(topology="direct"), latents())
    with pytest.raises(DataError, match="two domains or more"):
        workspace_features(workspace(), {"film": track(3, 0)})
    with pytest.raises(DataError, match="'words': 5"):
        control_features(lambda t: t["film"], {"film": track(3, 0), "words": track(4, 1)[:5]})
