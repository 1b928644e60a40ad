"""`globalworkspace train`: what it leaves, and one clear message for every bad input."""

import json
from pathlib import Path

import pytest
from run_files import things, write_config, write_csv

from globalworkspace.cli import main

PLACE = 'kind = "script-numbers"\ncolumn = ["x", "y"]'


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, script_kinds):
    monkeypatch.chdir(tmp_path)
    write_csv(things())
    return tmp_path


def refused(capsys, *words):
    """Run `train`, expect exit code 2 and one line without a traceback; returns the line."""
    assert main(["train", "run.toml", "--quiet", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), lines
    return lines[0]


def test_a_run_prints_every_direction_and_leaves_a_whole_folder(capsys):
    write_config()
    assert main(["train", "run.toml", "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert "place -> look" in shown and "look -> place" in shown and "Saved in runs/run" in shown
    home = Path("runs/run")
    names = {"config.json", "metrics.jsonl", "evaluation.json", "checkpoints", "latents"}
    assert names | {"workspace"} <= {path.name for path in home.iterdir()}
    figures = json.loads((home / "evaluation.json").read_text())
    assert figures["rows"] == "validation" and "place -> look" in figures["translation"]


def test_a_test_section_is_what_is_reported(capsys):
    write_csv(things(10, seed=5), "test.csv")
    write_config(("[workspace]", '[test]\nkind = "table"\npath = "test.csv"\n\n[workspace]'))
    assert main(["train", "run.toml", "--quiet"]) == 0
    assert "on test rows" in capsys.readouterr().out


def test_a_run_that_is_begun_anew_does_not_encode_again(monkeypatch):
    write_config()
    assert main(["train", "run.toml", "--quiet"]) == 0

    def fail(*_):
        raise AssertionError("encoded again")

    monkeypatch.setattr("globalworkspace.data.encoding.encode_items", fail)
    assert main(["train", "run.toml", "--quiet", "--restart"]) == 0


def test_the_same_command_goes_on_and_another_config_is_refused(capsys):
    write_config()
    assert main(["train", "run.toml", "--quiet"]) == 0
    whole = (Path("runs/run") / "evaluation.json").read_text()
    (Path("runs/run") / "evaluation.json").unlink()
    assert main(["train", "run.toml", "--quiet"]) == 0
    again = json.loads((Path("runs/run") / "evaluation.json").read_text())
    assert again["translation"] == json.loads(whole)["translation"]
    timings = Path("runs/run/timings.jsonl").read_text().splitlines()
    begun = [line for line in map(json.loads, timings) if "started" in line]
    assert [line["step"] for line in begun] == [0, 6]
    write_config(("steps = 6", "steps = 4"))
    capsys.readouterr()
    assert "another [training] steps" in (said := refused(capsys)) and "--restart" in said
    assert json.loads((Path("runs/run") / "evaluation.json").read_text()) == again
    assert main(["train", "run.toml", "--quiet", "--restart"]) == 0
    assert max(Path("runs/run/checkpoints").iterdir()).name == "step-000000004"


@pytest.mark.parametrize(
    "change, message",
    [
        (("script-numbers", "script-number"), '[domains.place]: .*"script-number"'),
        (("script-numbers", "script-number"), 'Did you mean "script-numbers"?'),
        (("[training]", "[trainig]"), 'no setting "trainig".*Did you mean "training"?'),
        (("steps =", "stpes ="), '[training] has no setting "stpes".*Did you mean "steps"?'),
        (("hidden_dim", "hiden_dim"), '"hiden_dim".*Did you mean "hidden_dim"?'),
        ((PLACE, PLACE + "\ndmi = 2"), '[domains.place] has no setting "dmi".*"dim"?'),
        (('column = ["x", "y"]', 'colum = "x"'), '"colum".*Did you mean "column"?'),
        (("path =", "pth ="), '[data] has no setting "pth".*Did you mean "path"?'),
        (('["x", "y"]', '["x", "ages"]'), 'Domain "place".*"ages".*Did you mean "age"?'),
        (('["x", "y"]', "5"), "[domains.place]: column is 5"),
        (("[domains.look]", "[domains.place]"), "twice"),
        (("[domains.look]", '[domains."my look"]'), "'my look' is no domain name"),
        (("steps = 6", 'steps = "six"'), "[training]: steps is 'six'; a whole number"),
        (("steps = 6", "steps = 0"), "[training]: 'steps' must be >= 1"),
        (("things.csv", "thing.csv"), '"thing.csv" does not exist'),
        (('device = "cpu"', 'device = "toaster"'), '"toaster" cannot be used'),
        (('kind = "table"', 'kind = "tabel"'), 'Did you mean "table"?'),
        (("dim = 4", 'dim = 4\nfusion = "meen"'), 'Did you mean "mean"?'),
        ((PLACE, 'pretrained = "nowhere"\ncolumn = ["x", "y"]'), '[domains.place]: "nowhere"'),
        ((PLACE, 'column = ["x", "y"]'), "[domains.place] needs the setting kind"),
    ],
)
def test_a_config_that_does_not_fit_is_one_message(change, message, capsys):
    write_config(change)
    found = refused(capsys)
    for piece in message.split(".*"):
        assert piece in found, found
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "match, message",
    [
        ("cuont = 5", 'Did you mean "count"?'),
        ("count = 500", "500 matched rows of place, look"),
        ('count = "5"', "[data.match]: count is '5'"),
        ("count = 0", "No row is matched (40 rows"),
        ("count = 5", "Of 5 matched rows 1 is held out"),
        ('count = 9\nbetween = ["place", "lok"]', '"lok"'),
    ],
)
def test_a_match_that_does_not_fit_is_one_message(match, message, capsys):
    write_config(("[domains.place]", f"[data.match]\n{match}\n\n[domains.place]"))
    assert message in refused(capsys)


@pytest.mark.parametrize(
    "section, message",
    [
        ('[[objectives]]\nkind = "trnslation"', 'Did you mean "translation"?'),
        ('[[objectives]]\nkind = "cycle"\nwieght = 1', 'Did you mean "weight"?'),
        ('[[objectives]]\nkind = "cycle"\nexclude = ["lok"]', 'the domain "lok"'),
        ('[objectives]\nkind = "cycle"', "[[objectives]]"),
        ("[validation]\nshare = 2", "between 0 and 1"),
        ('[initializer]\nkind = "cca"', "linear_path"),
        ('[initializer]\nkind = "cca"\nfold = 3', 'Did you mean "folds"?'),
    ],
)
def test_another_section_that_does_not_fit_is_one_message(section, message, capsys):
    write_config(("[workspace]", section + "\n\n[workspace]"))
    assert message in refused(capsys)


def test_a_test_section_that_cannot_be_read_is_found_before_training(capsys):
    write_config(("[workspace]", '[test]\nkind = "table"\npath = "no.csv"\n\n[workspace]'))
    assert '"no.csv" does not exist' in refused(capsys) and not Path("runs").exists()


@pytest.mark.parametrize(
    "fault, message",
    [
        ("shape", 'Domain "place" returned latents of shape (32, 1); its latent has 2 dimensions'),
        ("dtype", 'Domain "place" returned latents of dtype torch.int64'),
        ("type", 'Domain "place" returned latents of list'),
        ("nan", 'Domain "place" returned NaN or infinity for row 17. Check that cell'),
    ],
)
def test_a_module_that_breaks_its_contract_is_named_with_the_row(fault, message, capsys):
    # unmatched rows stay in training, so that row 17 is encoded there and not in validation
    rows = [{**row, **({"size": ""} if row["x"] == 17 else {})} for row in things(41)]
    write_csv(rows)
    write_config((PLACE, f'{PLACE}\nfault = "{fault}"'))
    found = refused(capsys)
    assert message.replace("(32, 1)", "(33, 1)") in found or message in found, found


def changed(row, **cells):
    return [{**r, **(cells if r["x"] == row else {})} for r in things()]


@pytest.mark.parametrize(
    "rows, pieces",
    [
        ([{**row, "size": ""} for row in things()], ['Domain "look" is empty', "40 rows"]),
        (changed(17, y="", size=""), ["Row 17 has no domain at all", "Remove the row"]),
        (
            [{**r, ("y" if r["x"] % 2 else "size"): ""} for r in things()],
            ["No row is matched", "20 {place}", "fill in more cells"],
        ),
        (changed(17, age="old"), ['Domain "look", row 17: ', "Correct the cell"]),
    ],
)
def test_a_table_that_cannot_be_used_is_one_message(rows, pieces, capsys):
    write_csv(rows)
    write_config()
    found = refused(capsys)
    assert all(piece in found for piece in pieces), found


def test_a_table_that_is_no_text_is_one_message(capsys):
    Path("things.csv").write_bytes(bytes(range(256)))
    write_config()
    assert "things.csv" in refused(capsys)


def test_a_corrupt_picture_in_row_17_is_named_with_domain_row_and_file(capsys):
    pytest.importorskip("globalworkspace_vision")
    image = pytest.importorskip("PIL.Image")
    from globalworkspace.registry import get_registry

    if "image-vae" not in get_registry().kinds("domain"):
        pytest.skip("globalworkspace-vision is not installed")
    Path("pictures").mkdir()
    rows = [{"file_name": f"{row['x']}.png", **row} for row in things()]
    for row in rows:
        image.new("RGB", (8, 8), (row["x"], 0, 0)).save(f"pictures/{row['file_name']}")
    Path("pictures/17.png").write_bytes(b"\x89PNG no picture")
    write_csv(rows, "pictures/metadata.csv")
    write_config(
        ('kind = "table"\npath = "things.csv"', 'kind = "folder"\npath = "pictures"'),
        (PLACE, 'kind = "image-vae"\npicture_size = 16\nlatent_dim = 4\ncolumn = "file_name"'),
    )
    found = refused(capsys)
    assert 'Domain "place", row 17' in found and "17.png" in found and "Replace it" in found
