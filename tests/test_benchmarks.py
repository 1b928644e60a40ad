"""The benchmark scripts, which no suite runs as a whole, can at least be imported."""

import subprocess
import sys
from pathlib import Path

HOME = Path(__file__).parent / "benchmarks"
IMPORTS = """
import importlib, sys, traceback
sys.path[:0] = [{home!r}, {examples!r}]
failed = []
for name in {names!r}:
    try:
        importlib.import_module(name)
    except Exception:
        failed.append(name)
        traceback.print_exc()
sys.exit(len(failed))
"""


def test_every_script_finds_what_it_imports():
    script = IMPORTS.format(
        home=str(HOME),
        examples=str(HOME.parents[1] / "examples"),
        names=sorted(path.stem for path in HOME.glob("*.py")),
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
