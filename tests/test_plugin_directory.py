"""The directory page names what first-party plugins bring, and nothing else."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest

from globalworkspace import builtin
from globalworkspace.registry import CATEGORIES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "plugins.md").read_text()


def brought(module):
    """Every kind that a plugin module registers."""
    kinds = []
    for hook in CATEGORIES.values():
        if hasattr(module, hook):
            getattr(module, hook)(register=lambda kind, target, summary="": kinds.append(kind))
    return kinds


def plugins():
    found = {"globalworkspace": builtin}
    for file in sorted((ROOT / "plugins").glob("*/pyproject.toml")):
        project = tomllib.loads(file.read_text())["project"]
        for module in project["entry-points"]["globalworkspace"].values():
            found[project["name"]] = importlib.import_module(module)
    return found


ROWS = {match[1]: match[2] for match in re.finditer(r"(?m)^\| `([a-z-]+)`[^|]*\|([^|]*)\|", PAGE)}


def test_every_distribution_has_a_row():
    assert set(ROWS) == set(plugins())


@pytest.mark.parametrize("distribution", sorted(plugins()))
def test_a_row_names_each_kind_and_no_other(distribution):
    kinds = brought(plugins()[distribution])
    assert len(kinds) >= 1
    assert set(re.findall(r"`([^`]+)`", ROWS[distribution])) == set(kinds)
