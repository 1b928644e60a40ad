"""Shared set-up: one thread, and the helper modules of this folder on the path."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # import mode importlib leaves helpers to us
for folder in ("browser", "processes", "reliability"):
    sys.path.insert(0, str(Path(__file__).parent / folder))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    yield


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def script_kinds():
    """The kinds of `script_domains` in the registry, as if a plugin brought them."""
    from script_domains import registration

    from globalworkspace.registry import get_registry

    registrations = get_registry().registrations
    before = list(registrations)
    kinds = ("Numbers", "Words", "Fittable", "Heavy", "Sized")
    registrations += [registration(kind) for kind in kinds]
    yield
    registrations[:] = before
