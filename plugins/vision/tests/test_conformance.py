"""Both kinds of pictures keep the contract of a domain module."""

from __future__ import annotations

import pytest
import torch
from globalworkspace_vision.image_vae import ImageVAE
from globalworkspace_vision.timm_encoder import TimmDomain
from torch import Tensor

from globalworkspace.testing import DomainConformance


class TestImageVAE(DomainConformance):
    @pytest.fixture
    def module(self) -> ImageVAE:
        torch.manual_seed(0)
        return ImageVAE(picture_size=16, latent_dim=5, widths=(4, 8), hidden_dim=16, batch_size=3)

    @pytest.fixture
    def batch(self) -> Tensor:
        return torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


class TestTimm(DomainConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def module(cls) -> TimmDomain:
        return TimmDomain("test_efficientnet", weights="none", seed=1, batch_size=2)

    @pytest.fixture
    def batch(self) -> Tensor:
        return torch.rand(3, 3, 40, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
class TestTimmFromAPackage(TestTimm):
    @pytest.fixture(scope="class")
    @classmethod
    def module(cls) -> TimmDomain:
        return TimmDomain("tf_efficientnet_lite0")
