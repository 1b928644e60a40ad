"""The conformance kit: does a domain module, or whatever else a plugin brings, keep its contract?

In a test suite, subclass a class and give it what to judge::

    class TestThermometer(DomainConformance):
        @pytest.fixture
        def module(self):
            return Thermometer()

        @pytest.fixture
        def batch(self):
            return [20.5, 21.0, 3.0]

Without pytest, `check_domain(module, batch)` runs the same checks and raises with all that failed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from globalworkspace.testing.augmentation import check_augmentation as check_augmentation
    from globalworkspace.testing.checks import ConformanceError as ConformanceError
    from globalworkspace.testing.checks import Failure as Failure
    from globalworkspace.testing.classes import AugmentationConformance as AugmentationConformance
    from globalworkspace.testing.classes import DomainConformance as DomainConformance
    from globalworkspace.testing.classes import EvaluationConformance as EvaluationConformance
    from globalworkspace.testing.classes import FusionConformance as FusionConformance
    from globalworkspace.testing.classes import NetworkConformance as NetworkConformance
    from globalworkspace.testing.classes import ObjectiveConformance as ObjectiveConformance
    from globalworkspace.testing.domain import check_domain as check_domain
    from globalworkspace.testing.evaluation import check_evaluation as check_evaluation
    from globalworkspace.testing.fusion import check_fusion as check_fusion
    from globalworkspace.testing.network import check_network as check_network
    from globalworkspace.testing.objective import check_objective as check_objective

_HOME = {
    "AugmentationConformance": "classes",
    "ConformanceError": "checks",
    "DomainConformance": "classes",
    "EvaluationConformance": "classes",
    "Failure": "checks",
    "FusionConformance": "classes",
    "NetworkConformance": "classes",
    "ObjectiveConformance": "classes",
    "check_augmentation": "augmentation",
    "check_domain": "domain",
    "check_evaluation": "evaluation",
    "check_fusion": "fusion",
    "check_network": "network",
    "check_objective": "objective",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'globalworkspace.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(f"globalworkspace.testing.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
