"""FuseMix keeps the contract of an augmentation, its adapters that of networks."""

import pytest
from globalworkspace_fusemix.adapters import FuseMixAdapters
from globalworkspace_fusemix.mixing import FuseMix

from globalworkspace.testing import AugmentationConformance, NetworkConformance


class TestFuseMix(AugmentationConformance):
    @pytest.fixture
    def augmentation(self):
        return FuseMix()


class TestFuseMixRowByRow(AugmentationConformance):
    @pytest.fixture
    def augmentation(self):
        return FuseMix(0.2, granularity="sample")


class TestAdapters(NetworkConformance):
    @pytest.fixture
    def network(self):
        return FuseMixAdapters


class TestWideAdapters(NetworkConformance):
    @pytest.fixture
    def network(self):
        return FuseMixAdapters

    @pytest.fixture
    def sizes(self):
        return {"expansion": 8, "num_layers": 1}
