"""The example with clips: what it feeds, and that only the order of frames tells the way."""

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

EXAMPLE = Path(__file__).parents[1] / "examples" / "clips.py"


@pytest.fixture(scope="module")
def clips():
    spec = importlib.util.spec_from_file_location("clips_example", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_shapes_go_the_way_that_the_table_says(clips):
    frames, motions = clips.make(200, 0)
    assert frames.shape == (200, 8, 3, 32, 32) and frames.dtype == torch.uint8
    assert clips.within_45_degrees(clips.way_of(list(frames)), motions["way"]) == 1
    backwards = clips.way_of(list(frames.flip(1)))
    assert clips.within_45_degrees(backwards + math.pi, motions["way"]) == 1


def test_a_guess_is_a_quarter_of_the_time_within_45_degrees(clips):
    ways = clips.make(1000, 1)[1]["way"]
    shuffled = ways[torch.randperm(1000, generator=torch.Generator().manual_seed(0))]
    assert abs(clips.within_45_degrees(shuffled, ways) - clips.CHANCE["way right"]) < 0.05
    assert abs(float(clips.apart(shuffled, ways).mean()) - clips.CHANCE["way off by"]) < 5


@pytest.mark.slow
def test_the_way_is_read_from_sequences_and_not_from_means(tmp_path):
    sizes = ("--items", "1200", "--pairs", "400", "--steps", "250")
    done = subprocess.run(
        [sys.executable, EXAMPLE, *sizes, "--out", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["mean, mlp"]["way right"] < 0.4
    assert figures["sequence, attention"]["way right"] > 0.8
    assert figures["sequence, attention"]["drawn right"] > 0.8
    assert min(figures[arm]["class"] for arm in figures if arm != "chance") > 0.6
    assert (tmp_path / "sheet.html").read_text().count("data:image/gif") == 12
