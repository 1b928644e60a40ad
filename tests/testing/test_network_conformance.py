"""Core networks pass; each broken kind is caught by the check it is made for, and no other."""

import sys
from pathlib import Path

import pytest

from globalworkspace import builtin
from globalworkspace.latents import LatentSpec
from globalworkspace.networks import AttentionNetworks, MLPNetworks
from globalworkspace.registry import get_registry
from globalworkspace.testing import ConformanceError, NetworkConformance, check_network
from globalworkspace.testing.network import NETWORK_CHECKS

sys.path.insert(0, str(Path(__file__).parent))
from broken_networks import BROKEN_NETWORKS, Sound  # noqa: E402

VALUES = LatentSpec.continuous(4)


def core_kinds():
    kinds = []
    builtin.register_networks(lambda kind, target, summary: kinds.append(kind))
    return kinds


@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("kind", core_kinds())
def test_every_core_kind_passes_every_check(kind, num_layers):
    network = get_registry().load("network", kind)
    assert set(check_network(network, num_layers=num_layers).values()) == {"passed"}


def test_a_kind_is_judged_with_the_latent_and_the_settings_that_are_given():
    assert set(check_network(MLPNetworks, spec=VALUES, dim=1).values()) == {"passed"}
    assert set(check_network(MLPNetworks, linear_path=True).values()) == {"passed"}
    with pytest.raises(ConformanceError, match="pools sequences, and this latent has none"):
        check_network(AttentionNetworks, spec=VALUES)
    with pytest.raises(ConformanceError, match="num_heads=5 must divide hidden_dim=16"):
        check_network(AttentionNetworks, num_heads=5)


@pytest.mark.parametrize("broken", BROKEN_NETWORKS, ids=lambda cls: cls.__name__)
def test_a_broken_kind_fails_the_check_it_is_made_for_and_no_other(broken):
    with pytest.raises(ConformanceError) as caught:
        check_network(broken)
    failures = [failure.check for failure in caught.value.failures]
    assert failures == [BROKEN_NETWORKS[broken]]


def test_every_check_of_networks_has_a_broken_one():
    assert set(check_network(Sound, plugin="light_plugin").values()) == {"passed"}
    with pytest.raises(ConformanceError) as caught:
        check_network(Sound, plugin="heavy_plugin")
    (failure,) = caught.value.failures
    caught_somewhere = {*BROKEN_NETWORKS.values(), failure.check}
    assert caught_somewhere == {check.__name__ for check in NETWORK_CHECKS}


def test_what_makes_no_networks_is_told():
    with pytest.raises(ConformanceError, match="has no encoder"):
        check_network(object())


class TestAttention(NetworkConformance):
    dim = 3

    @pytest.fixture
    def network(self):
        return AttentionNetworks

    @pytest.fixture
    def sizes(self):
        return {"num_heads": 2, "num_queries": 1}


class TestMLPOfValues(NetworkConformance):
    @pytest.fixture
    def network(self):
        return MLPNetworks

    @pytest.fixture
    def spec(self):
        return VALUES
