import warnings

import pytest
from run_files import things, write_config, write_csv

from globalworkspace.cli import main

PLACE = '--from=place={"x": 3, "y": 0.5}'


@pytest.fixture(autouse=True)
def run(tmp_path, monkeypatch, script_kinds, capsys):
    """A trained run of numbers, words and pictures."""
    monkeypatch.chdir(tmp_path)
    write_csv(things())
    more = '[domains.word]\nkind = "script-words"\n\n[domains.sound]\nkind = "script-heavy"\n'
    write_config(("[workspace]", more + 'column = ["size", "age"]\n\n[workspace]'))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["train", "run.toml", "--quiet"]) == 0
    assert "24 of 26 latent dimensions are dead" in capsys.readouterr().err  # words of two letters
    yield


@pytest.fixture
def translate(capsys):
    def call(*words):
        code = main(["translate", "runs/run", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_several_items_are_fused_and_the_answer_is_printed(translate):
    code, shown, _ = translate(PLACE, "--from=word=aaac", "--to", "look")
    assert code == 0 and len(eval(shown)) == 2


def test_a_gallery_answers_with_its_items_best_first(translate):
    assert translate(PLACE, "--to", "word")[1].strip() in ("aaac", "bbbc")
    lines = translate(PLACE, "--to", "word", "--top", "5")[1].splitlines()
    assert {line.split(". ")[1] for line in lines} == {"aaac", "bbbc"}
    assert lines[0].startswith("1. ")


def test_an_answer_that_is_no_text_becomes_a_file(translate, tmp_path):
    code, shown, _ = translate(PLACE, "--to", "sound")
    assert code == 0 and shown.strip() == "runs/run/translations/sound.png"
    assert (tmp_path / shown.strip()).read_bytes() == b"png"
    assert translate(PLACE, "--to", "sound", "--out", "a/b.png")[1].strip() == "a/b.png"


@pytest.mark.parametrize(
    "words, message",
    [
        (["--from=plce=3", "--to", "look"], 'no domain "plce"; it has place, look'),
        ([PLACE, "--to", "lok"], 'no domain "lok"'),
        ([PLACE, PLACE, "--to", "look"], "names a domain twice"),
        (["--from=place", "--to", "look"], "is not DOMAIN=ITEM"),
        (['--from=place={"x": 3', "--to", "look"], "looks like JSON"),
        ([PLACE, "--to", "look", "--top", "0"], "at least 1"),
        (['--from=place={"x": "a", "y": 1}', "--to", "look"], "is no number"),
    ],
)
def test_an_item_that_cannot_be_used_is_one_message(words, message, translate):
    code, _, errors = translate(*words)
    assert code == 2 and message in errors and len(errors.splitlines()) == 1, errors


def test_a_folder_without_a_run_and_a_damaged_one_are_refused(capsys, tmp_path):
    assert main(["translate", "nowhere", PLACE, "--to", "look"]) == 2
    assert "holds no trained workspace" in capsys.readouterr().err
    (tmp_path / "runs/run/workspace/config.json").write_text("{}")
    assert main(["translate", "runs/run", PLACE, "--to", "look"]) == 2
    assert "does not match its digest" in capsys.readouterr().err
