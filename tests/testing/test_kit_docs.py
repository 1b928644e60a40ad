"""What the kit's own documentation says holds."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

from globalworkspace.testing.augmentation import AUGMENTATION_CHECKS
from globalworkspace.testing.domain import DOMAIN_CHECKS
from globalworkspace.testing.evaluation import EVALUATION_CHECKS
from globalworkspace.testing.fusion import FUSION_CHECKS
from globalworkspace.testing.network import NETWORK_CHECKS
from globalworkspace.testing.objective import OBJECTIVE_CHECKS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "testing-a-plugin.md"
ALL = [
    *DOMAIN_CHECKS,
    *OBJECTIVE_CHECKS,
    *EVALUATION_CHECKS,
    *AUGMENTATION_CHECKS,
    *FUSION_CHECKS,
    *NETWORK_CHECKS,
]


def test_the_example_in_a_docstring_runs():
    failed, tried = doctest.testmod(importlib.import_module("globalworkspace.testing.domain"))
    assert tried > 0 and failed == 0


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.__name__)
def test_every_check_says_in_a_sentence_what_it_checks(check):
    assert re.match(r"[A-Z`].*\.", check.__doc__)


def test_the_page_lists_every_check_and_no_other():
    listed = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(listed) == {check.__name__ for check in ALL}


def test_the_failure_that_the_page_shows_is_what_the_kit_prints(capsys):
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (first, code), (second, shown) = blocks[:2]
    assert (first, second) == ("python", "text")
    exec(code, {"__name__": "docs"})
    assert capsys.readouterr().out == shown
