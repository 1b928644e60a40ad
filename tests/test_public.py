"""What importing costs, what is public, and that the core names no modality."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import globalworkspace

SOURCE = Path(globalworkspace.__file__).parent
MODALITY = re.compile(r"\b(image|caption|audio|bert|timm|whisper)\b", re.IGNORECASE)


FORMATS = re.compile(r"\b(image|audio)/\w+|</?audio\b|image-rendering|== 'audio'")
"""Media types, HTML and CSS, which a sheet of renderings must speak."""


def imported_by(code):
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=SOURCE.parent)
    return {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line}


@pytest.mark.parametrize(
    "code",
    [
        "import globalworkspace",
        "from globalworkspace import hookimpl, WorkspaceError",
        "import globalworkspace.registry as r; r.get_registry().kinds('domain')",
    ],
)
def test_importing_and_listing_plugins_imports_nothing_heavy(code):
    roots = {name.split(".")[0] for name in imported_by(code)}
    assert "globalworkspace" in roots
    assert roots.isdisjoint({"torch", "timm", "torchvision", "transformers", "datasets", "scipy"})


def test_every_public_name_is_there_and_listed():
    for name in globalworkspace.__all__:
        assert getattr(globalworkspace, name) is not None
    assert set(globalworkspace.__all__) <= set(dir(globalworkspace))
    with pytest.raises(AttributeError, match="no attribute 'Modality'"):
        globalworkspace.Modality  # noqa: B018


def without_docstrings_and_comments(source):
    tree = ast.parse(source)
    for node in ast.walk(tree):
        value = node.value if isinstance(node, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            value.value = ""
    return ast.unparse(tree)


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda f: f.name)
def test_the_core_names_no_modality(file):
    code = FORMATS.sub("", without_docstrings_and_comments(file.read_text()))
    found = [line for line in code.splitlines() if MODALITY.search(line)]
    assert not found, f"{file.name}: {found}"


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda f: f.name)
def test_nothing_is_pickled(file):
    code = without_docstrings_and_comments(file.read_text())
    assert not re.search(r"\bpickle\b|torch\.(save|load)\(|np\.load\(", code)


@pytest.mark.parametrize(
    "module", ["domain", "latents", "workspace", "data.table", "training.trainer"]
)
def test_examples_in_docstrings_run(module):
    import doctest
    import importlib

    failed, tried = doctest.testmod(importlib.import_module(f"globalworkspace.{module}"))
    assert tried > 0 and failed == 0
