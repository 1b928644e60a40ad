"""The fusion and the networks keep the contract of their kind, with every aggregate."""

from typing import get_args

import pytest
from globalworkspace_mmvm import GaussianNetworks, Posteriors
from globalworkspace_mmvm.fusion import Aggregate

from globalworkspace import LatentSpec
from globalworkspace.fusion import ACTIVATIONS
from globalworkspace.testing import FusionConformance, NetworkConformance

DIM = 4


@pytest.fixture(params=ACTIVATIONS)
def activation(request):
    return request.param


@pytest.fixture(params=get_args(Aggregate))
def fusion(request, activation):
    return Posteriors(DIM, activation, request.param)


class TestPosteriorsOfMeansAndVariances(FusionConformance):
    code_dim = 2 * DIM


class TestPosteriorsThatAreSampled(FusionConformance):
    code_dim = 3 * DIM


@pytest.fixture
def network():
    return GaussianNetworks


class TestGaussianNetworks(NetworkConformance):
    pass


class TestGaussianNetworksWithALinearPath(NetworkConformance):
    @pytest.fixture
    def spec(self):
        return LatentSpec.continuous(4)

    @pytest.fixture
    def sizes(self):
        return {"linear_path": True}
