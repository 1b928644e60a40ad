import json
from pathlib import Path

import pytest
from run_files import things, write_csv

from globalworkspace.cli import main

CONFIG = """\
[data]
kind = "table"
path = "things.csv"

[domain]
kind = "script-fittable"
column = ["size", "age"]

[training]
steps = 4
batch_size = 8
checkpoint_every = 2
validate_every = 2
device = "cpu"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, script_kinds):
    monkeypatch.chdir(tmp_path)
    write_csv(things())
    Path("fit.toml").write_text(CONFIG)


def test_a_fitted_domain_can_be_used_in_a_run(capsys):
    assert main(["fit-domain", "fit.toml", "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert 'pretrained = "runs/fit/domain"' in shown and "reconstructions.html" in shown
    Path("run.toml").write_text(
        CONFIG.replace("[domain]", "[domains.look]").replace(
            'kind = "script-fittable"', 'pretrained = "runs/fit/domain"'
        )
        + '\n[domains.place]\nkind = "script-numbers"\ncolumn = ["x", "y"]\n'
    )
    assert main(["train", "run.toml", "--quiet"]) == 0


def test_the_same_command_goes_on_and_restart_begins_anew(capsys):
    assert main(["fit-domain", "fit.toml", "--quiet"]) == 0
    timings = Path("runs/fit/timings.jsonl")
    Path("runs/fit/domain").rename("elsewhere")
    assert main(["fit-domain", "fit.toml", "--quiet"]) == 0
    assert Path("runs/fit/domain").is_dir()
    assert main(["fit-domain", "fit.toml", "--quiet", "--restart"]) == 0
    lines = map(json.loads, timings.read_text().splitlines())
    assert [line["step"] for line in lines if "started" in line] == [0, 4, 0]


def test_resuming_with_another_setting_or_other_data_is_one_message(capsys):
    assert main(["fit-domain", "fit.toml", "--quiet"]) == 0
    Path("runs/fit/domain").rename("elsewhere")
    config = Path("fit.toml").read_text()
    Path("fit.toml").write_text(config.replace("[training]", "latent_dim = 4\n\n[training]"))
    capsys.readouterr()
    assert main(["fit-domain", "fit.toml", "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "was made with another latent_dim of the module" in line
    Path("fit.toml").write_text(config)
    write_csv(things(rows=30))
    assert main(["fit-domain", "fit.toml", "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "was made with other cells" in line and "another folder" in line


@pytest.mark.parametrize(
    "change, message",
    [
        (("[domain]", "[domian]"), 'Did you mean "domain"?'),
        (("script-fittable", "script-numbers"), "Numbers has no unimodal_loss"),
        (("script-fittable", "script-fitable"), 'Did you mean "script-fittable"?'),
        (("steps = 4", "stpes = 4"), 'Did you mean "steps"?'),
        (("steps = 4", "steps = 4.5"), "steps is 4.5; a whole number"),
        (('column = ["size", "age"]', 'column = "sise"'), 'Did you mean "size"?'),
    ],
)
def test_a_config_that_does_not_fit_is_one_message(change, message, capsys):
    Path("fit.toml").write_text(CONFIG.replace(*change))
    assert main(["fit-domain", "fit.toml", "--quiet"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0]
