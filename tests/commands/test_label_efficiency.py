"""`globalworkspace label-efficiency`."""

import json

import pytest

from globalworkspace.cli import main

CONFIG = """
[data]
kind = "table"
path = "{path}"

[domains.place]
kind = "attributes"
column = ["x", "y"]

[domains.look]
kind = "attributes"
column = ["edge", "area"]

[workspace]
dim = 4
hidden_dim = 16
"""


@pytest.fixture
def config(tmp_path):
    rows = [
        {"x": i % 7, "y": i % 5, "edge": i % 7 + i % 5, "area": (i % 7) * 2} for i in range(600)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    file = tmp_path / "numbers.toml"
    file.write_text(CONFIG.format(path=tmp_path / "rows.jsonl"))
    return file


@pytest.mark.slow
def test_a_quick_figure(config, tmp_path, capsys):
    pytest.importorskip("globalworkspace_attributes")
    out = tmp_path / "out"
    assert main(["label-efficiency", str(config), "--out", str(out), "--quick", "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert "place -> look: normalised error" in printed
    assert "times fewer pairs, default against supervised" in printed
    assert (out / "label-efficiency.png").stat().st_size > 10_000
    lines = json.loads((out / "label-efficiency.json").read_text())
    assert {line.get("recipe") or line["baseline"] for line in lines} >= {"supervised", "default"}


@pytest.mark.parametrize(
    ("arguments", "extra", "said"),
    [
        (["--pairs", "many"], "", "whole numbers with commas"),
        (["--recipes", "papper"], "", 'Did you mean "paper"'),
        ([], "[data.match]\ncount = 3\n", "[data.match] has no place here"),
        ([], "[[objectives]]\nkind = 'cycle'\n", 'no setting "objectives"'),
        ([], "[label_efficiency]\nsteppes = 3\n", 'Did you mean "steps"'),
        (["--pairs", "5000"], "", "too few are left"),
    ],
)
def test_what_cannot_be_done_is_said(config, tmp_path, capsys, arguments, extra, said):
    pytest.importorskip("globalworkspace_attributes")
    config.write_text(config.read_text() + extra)
    out = str(tmp_path / "out")
    assert main(["label-efficiency", str(config), "--out", out, "--quiet", *arguments]) != 0
    assert said in capsys.readouterr().err
