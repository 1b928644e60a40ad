"""FuseMix keeps the contract of an augmentation, as it is and with its settings."""

import pytest
from globalworkspace_fusemix.mixing import FuseMix

from globalworkspace.testing import AugmentationConformance


class TestFuseMix(AugmentationConformance):
    @pytest.fixture
    def augmentation(self):
        return FuseMix()


class TestFuseMixRowByRow(AugmentationConformance):
    @pytest.fixture
    def augmentation(self):
        return FuseMix(0.2, granularity="sample")
