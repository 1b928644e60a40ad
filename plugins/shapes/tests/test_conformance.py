"""The domain module that comes with Simple Shapes keeps the contract of a domain module."""

from __future__ import annotations

import pytest
import torch
from globalworkspace_shapes.attributes import sample_attributes
from globalworkspace_shapes.render import render
from torch import Tensor

from globalworkspace import DomainModule, load_domain
from globalworkspace.testing import DomainConformance


class TestPictureVAE(DomainConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def module(cls) -> DomainModule:
        return load_domain("package:globalworkspace_shapes/weights/picture")

    @pytest.fixture(scope="class")
    @classmethod
    def batch(cls) -> Tensor:
        return torch.as_tensor(render(sample_attributes(4, torch.Generator().manual_seed(0))))
