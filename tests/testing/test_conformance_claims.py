"""The figures in docs/results/claims.json are those of the script that wrote them."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "tests" / "benchmarks"


@pytest.mark.slow
def test_the_committed_conformance_figures_hold(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    spec = importlib.util.spec_from_file_location("conformance", BENCHMARKS / "conformance.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    claims = json.loads((ROOT / "docs" / "results" / "claims.json").read_text())
    measured = script.measure()
    assert {name: claims[name]["value"] for name in measured} == measured
    assert {claims[name]["command"] for name in measured} == {script.COMMAND}
    assert measured["conformance_broken_modules"] >= 12
    broken, caught = measured.values()
    assert broken == caught
