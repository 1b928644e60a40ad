"""Every domain kind and every domain module that this repository ships goes through the kit.

Read from the text of the plugins' tests, which are run by themselves: a class that pytest collects,
that descends from `DomainConformance`, and whose fixture `module` makes the kind or loads the
weights.
"""

import ast
import importlib
import tomllib
from pathlib import Path

import pytest

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"


def kinds():
    """(plugin folder, kind, class) of each domain kind that our entry points register."""
    found = []
    for file in sorted(PLUGINS.glob("*/pyproject.toml")):
        points = tomllib.loads(file.read_text())["project"]["entry-points"]["globalworkspace"]
        for name in points.values():
            module = importlib.import_module(name)
            if hasattr(module, "register_domains"):
                module.register_domains(
                    register=lambda kind, target, summary, home=file.parent: found.append(
                        (home, kind, target.partition(":")[2])
                    )
                )
    return found


def weights():
    """(plugin folder, reference) of each saved module that comes with a plugin."""
    found = []
    for file in sorted(PLUGINS.glob("*/*/weights/*/config.json")):
        plugin, package, _, name, _ = file.relative_to(PLUGINS).parts
        found.append((PLUGINS / plugin, f"package:{package}/weights/{name}"))
    return found


def judged(text):
    """Names and texts from which the conformance classes in a test file make their modules."""
    tree = ast.parse(text)
    helpers = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    kit, words = {"DomainConformance"}, set()
    for node in tree.body:
        if not isinstance(node, ast.ClassDef) or not kit & {
            getattr(base, "id", getattr(base, "attr", "")) for base in node.bases
        }:
            continue
        kit.add(node.name)
        waiting = [x for x in node.body if getattr(x, "name", "") == "module"]
        while waiting and node.name.startswith("Test"):
            for part in ast.walk(waiting.pop()):
                word = getattr(part, "id", getattr(part, "value", None))
                if isinstance(word, str) and word not in words:
                    words.add(word)
                    waiting += [helpers[word]] if word in helpers else []
    return words


def judged_by_tests_of(home):
    return set().union(*(judged(file.read_text()) for file in (home / "tests").glob("test_*.py")))


def test_there_are_kinds_and_weights_to_look_for():
    assert {"attributes", "frames", "text-autoencoder", "whisper"} <= {
        kind for _, kind, _ in kinds()
    }
    assert "package:globalworkspace_shapes/weights/caption" in [name for _, name in weights()]


@pytest.mark.parametrize("home, kind, cls", kinds(), ids=[kind for _, kind, _ in kinds()])
def test_a_registered_kind_goes_through_the_kit(home, kind, cls):
    assert cls in judged_by_tests_of(home), (
        f'No DomainConformance class in {home}/tests makes a {cls}, the kind "{kind}". Add one.'
    )


@pytest.mark.parametrize("home, reference", weights(), ids=[name for _, name in weights()])
def test_a_shipped_module_goes_through_the_kit(home, reference):
    assert reference in judged_by_tests_of(home), (
        f"No DomainConformance class in {home}/tests loads {reference}. Add one."
    )


@pytest.mark.parametrize(
    "text",
    [
        "class TestClock(object):\n    def module(self): return Clock()",
        "class Clocks(DomainConformance):\n    def module(self): return Clock()",
        "class TestClock(DomainConformance):\n    def batch(self): return Clock()",
    ],
)
def test_a_class_that_is_no_test_of_the_module_does_not_count(text):
    assert "Clock" not in judged(text)


@pytest.mark.parametrize(
    "text",
    [
        "class TestClock(DomainConformance):\n    def module(self): return Clock()",
        "class A(DomainConformance): ...\nclass TestB(A):\n    def module(self): return Clock()",
        "def made(): return Clock()\nclass TestA(DomainConformance):\n    def module(self): made()",
    ],
)
def test_a_class_that_makes_the_module_counts(text):
    assert "Clock" in judged(text)
