"""The networks: what codes hold, where noise comes from, and what goes only together."""

import pytest
import torch
from globalworkspace_mmvm.networks import MOST_LOGVAR, GaussianNetworks

from globalworkspace import GlobalWorkspace, LatentSpec
from globalworkspace.errors import ConfigError
from globalworkspace.given_latents import GivenLatents
from globalworkspace.initializers import cca
from globalworkspace.networks import rows_among
from globalworkspace.standard_table import standardize_table

SPEC = LatentSpec.continuous(4)


def encoder(dim=3):
    torch.manual_seed(0)
    return GaussianNetworks.encoder(SPEC, dim, hidden_dim=8, num_layers=2)


def test_a_code_is_mean_and_log_variance_and_in_training_noise():
    network, latents = encoder(), torch.randn(5, 4)
    still = network.eval()(latents)
    assert still.shape == (5, 6) and torch.equal(still, network(latents))
    moving = network.train()(latents)
    assert moving.shape == (5, 9) and torch.equal(moving[:, :6], still)
    assert not torch.equal(moving[:, 6:], network(latents)[:, 6:])


def test_noise_is_standard_normal_and_a_function_of_the_steps_seed():
    network, latents = encoder().train(), torch.randn(5000, 4)
    torch.manual_seed(1)
    noise = network(latents)[:, 6:].detach()
    torch.manual_seed(1)
    assert torch.equal(network(latents)[:, 6:], noise)
    assert float(noise.mean()) == pytest.approx(0, abs=0.03)
    assert float(noise.std()) == pytest.approx(1, abs=0.03)


def test_noise_is_the_same_however_processes_share_the_rows():
    network, latents = encoder().train(), torch.randn(7, 4)
    torch.manual_seed(1)
    whole = network(latents)[:, 6:]
    for index in (torch.arange(3), torch.arange(3, 7), torch.tensor([5, 2])):
        torch.manual_seed(1)
        with rows_among(7, index):
            assert torch.equal(network(latents[index])[:, 6:], whole[index])


def test_log_variances_stay_within_bounds_and_are_free_near_zero():
    network = encoder().eval()
    far, near = 1e6 * torch.randn(50, 4), 0.1 * torch.randn(50, 4)
    assert network(far)[:, 3:].abs().max() <= MOST_LOGVAR < network.network(far)[:, 3:].abs().max()
    torch.testing.assert_close(
        network(near)[:, 3:], network.network(near)[:, 3:], rtol=0.01, atol=0
    )


def test_a_frozen_domain_gives_its_mean_in_training(gaussian_workspace):
    workspace = gaussian_workspace(names="ab")
    workspace.set_trainable({"b"})
    workspace.train()
    assert workspace.encoder("a")(torch.zeros(2, 4)).shape == (2, 6)
    assert workspace.encoder("b")(torch.zeros(2, 3)).shape == (2, 9)
    fused = workspace.fusion.fuse(
        {n: workspace.encoder(n)(torch.zeros(2, size)) for n, size in (("a", 4), ("b", 3))}
    )
    assert fused.code.shape == (2, 3) and fused.code.isfinite().all()


def test_the_networks_without_their_fusion_are_refused_when_used():
    domains = {name: GivenLatents(SPEC) for name in "ab"}
    workspace = GlobalWorkspace(domains, dim=3, networks=dict.fromkeys("ab", "gaussian-mlp"))
    with pytest.raises(ConfigError, match='fusion = "posteriors"'):
        workspace.translate({"a": torch.zeros(2, 4)}, to="b", latents=True)


def test_the_fusion_without_its_networks_is_refused_when_used():
    workspace = GlobalWorkspace({"a": GivenLatents(SPEC)}, dim=3, fusion="posteriors")
    with pytest.raises(ConfigError, match='network "gaussian-mlp"'):
        workspace.encode({"a": torch.zeros(2, 4)}, latents=True)


def test_the_closed_form_initializer_says_that_it_cannot_set_them(gaussian_workspace, rows):
    workspace, table = gaussian_workspace(linear_path=True, names="ab"), rows(40, "ab")
    with pytest.raises(ConfigError, match="GaussianEncoder has none"):
        cca(workspace, standardize_table(workspace, table))
