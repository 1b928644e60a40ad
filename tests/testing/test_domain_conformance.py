"""Each broken module is caught by the check it is made for, and by no other."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from globalworkspace.domain import Decodes, HasAssets, Prepares, Renders, Trainable
from globalworkspace.errors import DataError
from globalworkspace.registry import get_registry
from globalworkspace.testing import ConformanceError, DomainConformance, Failure, check_domain
from globalworkspace.testing.checks import CheckFailed, NotJudged, state_of
from globalworkspace.testing.classes import _test
from globalworkspace.testing.domain import DOMAIN_CHECKS

sys.path.insert(0, str(Path(__file__).parent))
from broken_modules import BROKEN, OneColumnShort, Sound, cells, make  # noqa: E402


def failures(cls, **options) -> tuple[Failure, ...]:
    try:
        check_domain(make(cls), cells(), **options)
    except ConformanceError as error:
        return error.failures
    return ()


def test_a_sound_module_with_every_capability_passes_every_check():
    module = make()
    capabilities = (Decodes, Trainable, Prepares, Renders, HasAssets)
    assert all(isinstance(module, capability) for capability in capabilities)
    results = check_domain(module, cells(), other_batch=cells()[:1], plugin="light_plugin")
    assert results == {check.__name__: "passed" for check in DOMAIN_CHECKS}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda cls: cls.__name__)
def test_a_broken_module_fails_the_check_it_is_made_for_and_no_other(broken):
    assert [failure.check for failure in failures(broken)] == [BROKEN[broken]]


def test_a_plugin_module_that_imports_its_kinds_is_caught_and_no_other_check_fails():
    (failure,) = failures(Sound, plugin="heavy_plugin")
    assert failure.check == "the_plugin_module_is_light"
    assert "also imports torch, numpy, broken_modules" in failure.wrong
    (failure,) = failures(Sound, plugin="no_such_plugin")
    assert "cannot be imported on its own" in failure.wrong


def test_every_check_has_a_broken_module():
    caught = {*BROKEN.values(), "the_plugin_module_is_light"}
    assert caught == {check.__name__ for check in DOMAIN_CHECKS}


def test_all_failures_come_at_once_each_with_what_was_wrong_expected_and_to_do():
    class Twice(OneColumnShort):
        def fingerprint(self):
            return ""

    with pytest.raises(ConformanceError) as caught:
        check_domain(make(Twice), cells())
    first, second = caught.value.failures
    assert first.check == "encode_returns_one_row_per_cell"
    assert second.check == "the_fingerprint_is_the_same_for_the_same_module"
    total = len(DOMAIN_CHECKS)
    assert str(caught.value).startswith(f"Twice fails 2 of {total} checks:\n")
    for failure in caught.value.failures:
        for text in (failure.wrong, failure.expected, failure.remedy):
            assert text and text in str(caught.value)


def test_an_error_in_the_module_is_a_failure_with_its_message():
    class Raises(Sound):
        def render(self, raw):
            raise KeyError("no such colour")

    (failure,) = failures(Raises)
    assert failure.check == "renderings_show_every_item"
    assert failure.wrong == "KeyError: 'no such colour'"


def test_the_module_the_cells_the_registry_and_the_generators_are_left_as_they_were():
    module, batch = make(), cells()
    before, registered = state_of(module), list(get_registry().registrations)
    kept, chance = copy.deepcopy(batch), torch.get_rng_state()
    check_domain(module, batch)
    assert batch == kept and module.training and get_registry().registrations == registered
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in module.parameters())
    assert torch.equal(chance, torch.get_rng_state())


def test_cells_may_be_a_tensor_or_a_mapping_of_columns():
    from core_domains import Vector

    results = check_domain(Vector(2), torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
    assert results["each_row_depends_on_its_own_cell_only"] == "passed"
    assert results["the_loss_is_one_finite_value_per_cell"].startswith("not judged: it has no")


class TestASoundModule(DomainConformance):
    plugin = "light_plugin"

    @pytest.fixture
    def module(self):
        return make()

    @pytest.fixture
    def batch(self):
        return cells()


def test_the_class_has_a_test_for_each_check_that_fails_and_skips_as_the_check_says():
    names = {name for name in dir(DomainConformance) if name.startswith("test_")}
    assert names == {f"test_{check.__name__}" for check in DOMAIN_CHECKS}
    case = DomainConformance()

    def fails(_):
        raise CheckFailed("a", "b", "c")

    def says_nothing(_):
        raise NotJudged("it has no decode()")

    with pytest.raises(CheckFailed):
        _test(fails)(case, None)
    with pytest.raises(pytest.skip.Exception, match="no decode"):
        _test(says_nothing)(case, None)


def test_check_domain_needs_no_pytest():
    code = (
        "import sys; from globalworkspace.testing import check_domain, ConformanceError; "
        "import torch; from core_domains import Vector; check_domain(Vector(2), torch.eye(2)); "
        "assert 'pytest' not in sys.modules and '_pytest' not in sys.modules"
    )
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_importing_the_kit_imports_no_torch():
    code = "import sys, globalworkspace.testing; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_batch_of_one_cell_is_refused():
    with pytest.raises(DataError, match="holds 1 cells; give two or more"):
        check_domain(make(), cells()[:1])


@pytest.mark.parametrize("fault", ["raises", "differs"])
def test_a_module_that_fails_on_the_machines_accelerator_is_caught(monkeypatch, fault):
    class Moves(Sound):
        moved = False

        def to(self, *args, **kwargs):
            self.moved = True
            return super().to(*args, **kwargs)

        def encode(self, raw):
            if self.moved and fault == "raises":
                raise RuntimeError("found at least two devices")
            latents = super().encode(raw)
            return latents * 1.1 if self.moved else latents

    accelerator = "current_accelerator"
    monkeypatch.setattr(torch.accelerator, accelerator, lambda **options: None)
    assert failures(Moves) == ()
    cpu = torch.device("cpu")  # stands for an accelerator
    monkeypatch.setattr(torch.accelerator, accelerator, lambda **options: cpu)
    (failure,) = failures(Moves)
    assert failure.check == "everything_follows_the_module_to_another_device"
    assert failure.wrong.startswith("On cpu ")
