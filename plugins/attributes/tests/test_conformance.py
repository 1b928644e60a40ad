"""Attributes keep the contract of a domain module, as rows and as columns."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from globalworkspace_attributes import AttributesDomain

from globalworkspace.testing import DomainConformance

COLUMNS = {
    "shape": {"type": "categorical", "categories": ["diamond", "egg", "triangle"]},
    "x": {"type": "continuous"},
    "rotation": {"type": "circular", "period": math.tau},
}


class TestRows(DomainConformance):
    @pytest.fixture
    def module(self) -> AttributesDomain:
        return AttributesDomain(COLUMNS)

    @pytest.fixture
    def batch(self) -> Any:
        return [
            {"shape": "egg", "x": 1.5, "rotation": 0.25},
            {"shape": "triangle", "x": -2.0, "rotation": 3.0},
            {"shape": "egg", "x": 0.0, "rotation": 6.0},
        ]


class TestColumns(TestRows):
    @pytest.fixture
    def batch(self) -> Any:
        return {
            "shape": ["egg", "diamond"],
            "x": torch.tensor([1.5, 30.0]),
            "rotation": torch.tensor([0.25, 5.0]),
        }
