"""What looks at runs that are there: runs, compare, evaluate, report, retrieve."""

import json
import shutil
import warnings
from pathlib import Path

import pytest
from run_files import things, write_config, write_csv

from globalworkspace.cli import main

PLACE = '--from=place={"x": 3, "y": 0.5}'
WORDS = '[domains.word]\nkind = "script-words"\n\n[domains.sound]\nkind = "script-heavy"\n'


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two runs, of 6 and of 4 steps, made once; tests get copies."""
    import os

    from script_domains import registration

    from globalworkspace.registry import get_registry

    home, before = tmp_path_factory.mktemp("runs"), os.getcwd()
    kinds = get_registry().registrations
    kept = list(kinds)
    kinds += [registration(kind) for kind in ("Numbers", "Words", "Heavy")]
    os.chdir(home)
    try:
        write_csv(things())
        write_config(("[workspace]", WORDS + 'column = ["size", "age"]\n\n[workspace]'))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert main(["train", "run.toml", "--quiet"]) == 0
            shorter = ["--set", "training.steps=4", "--out", "runs/short"]
            assert main(["train", "run.toml", "--quiet", *shorter]) == 0
    finally:
        os.chdir(before)
        kinds[:] = kept
    return home


@pytest.fixture
def home(trained, tmp_path, monkeypatch, script_kinds):
    shutil.copytree(trained, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def told(capsys, *words, code=0):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main([*words]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_a_change_on_the_command_line_is_what_is_run_and_recorded(home):
    assert json.loads(Path("runs/short/config.json").read_text())["training"]["steps"] == 4
    page = Path("runs/short/report.html").read_text()
    assert "globalworkspace train run.toml --set training.steps=4 --out runs/short" in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("training", "write section.name=value"),
        ("data.path.more=1", 'data.path is "things.csv", not a section'),
        ("training.stepz=1", 'no setting "stepz"'),
        ("training.steps=few", "few"),
    ],
)
def test_a_change_that_does_not_fit_is_named(home, capsys, change, message):
    words = ["train", "run.toml", "--quiet", "--out", "runs/new"]
    assert message in told(capsys, *words, "--set", change, code=2)


def test_runs_are_listed_with_their_figures(home, capsys):
    (home / "runs/begun").mkdir()
    (home / "runs/begun/config.json").write_text('{"training": {"steps": 9}, "domains": {"a": {}}}')
    (home / "runs/begun/metrics.jsonl").write_text('{"step": 3}\n')
    (home / "runs/notes").mkdir()
    found = {entry["run"]: entry for entry in json.loads(told(capsys, "runs", "--json"))}
    assert set(found) == {"runs/run", "runs/short", "runs/begun"}
    errors = json.loads(Path("runs/run/evaluation.json").read_text())["translation"]
    assert found["runs/run"]["error"] == pytest.approx(sum(errors.values()) / len(errors))
    assert found["runs/run"]["domains"] == ["place", "look", "word", "sound"]
    assert found["runs/begun"]["state"] == "at step 3 of 9" and not found["runs/begun"]["finished"]
    text = told(capsys, "runs")
    assert f"{found['runs/run']['error']:.3f}" in text and "finished, 4 steps" in text


def test_runs_says_where_there_are_none(home, capsys):
    (home / "empty").mkdir()
    assert told(capsys, "runs", "empty") == '"empty" holds no run.\n'
    assert "does not exist" in told(capsys, "runs", "nowhere", code=2)


def test_compare_shows_what_differs_and_all_figures(home, capsys):
    shown = told(capsys, "compare", "runs/run", "runs/short", "--html", "both.html")
    settings = shown.split("Settings that differ\n")[1].split("\n\n")[0].splitlines()[1:]
    assert [line.split() for line in settings] == [["training.steps", "6", "4"]]
    error = json.loads(Path("runs/short/evaluation.json").read_text())["translation"]
    line = next(line for line in shown.splitlines() if line.startswith("place -> look"))
    assert line.split()[-1] == f"{error['place -> look']:.3f}"
    page = Path("both.html").read_text()
    assert "Mean validation error" in page and "runs/short" in page and "<svg" in page


def test_compare_names_what_is_no_finished_run(home, capsys):
    assert '"runs/x" holds no evaluation.json' in told(
        capsys, "compare", "runs/run", "runs/x", code=2
    )
    assert "two run folders" in told(capsys, "compare", "runs/run", code=2)


def test_evaluate_gives_the_figures_again_and_writes_them(home, capsys):
    before = json.loads(Path("runs/run/evaluation.json").read_text())
    Path("runs/run/report.html").unlink()
    Path("runs/run/evaluation.json").write_text(json.dumps(before | {"translation": {}}))
    shown = told(capsys, "evaluate", "runs/run", "--quiet", "--out", "again.json")
    assert f"{before['translation']['place -> look']:.3f}" in shown
    after = json.loads(Path("runs/run/evaluation.json").read_text())
    assert after == before == json.loads(Path("again.json").read_text())
    assert (
        "globalworkspace train run.toml --out runs/run" in Path("runs/run/report.html").read_text()
    )


def test_evaluate_by_other_rows_leaves_the_run_as_it_is(home, capsys):
    before = {p.name: p.read_bytes() for p in Path("runs/run").iterdir() if p.is_file()}
    write_csv(things(12, seed=5), "other.csv")
    changes = ["--set", "test.kind=table", "--set", "test.path=other.csv"]
    shown = told(capsys, "evaluate", "runs/run", "--quiet", *changes)
    assert "on test rows" in shown
    assert before == {p.name: p.read_bytes() for p in Path("runs/run").iterdir() if p.is_file()}


def test_report_writes_the_page_again(home, capsys):
    before = Path("runs/run/report.html").read_text()
    Path("runs/run/report.html").unlink()
    assert told(capsys, "report", "runs/run", "--quiet").strip() == "runs/run/report.html"
    assert Path("runs/run/report.html").read_text() == before


def test_a_folder_that_no_config_describes_cannot_be_opened_again(home, capsys):
    Path("runs/run/config.json").unlink()
    assert "holds no config.json" in told(capsys, "report", "runs/run", code=2)
    assert "holds no trained workspace" in told(capsys, "evaluate", "runs/x", code=2)


def test_retrieve_ranks_the_training_rows_of_a_domain(home, capsys):
    answers = json.loads(told(capsys, "retrieve", "runs/run", PLACE, "--to", "place", "--json"))
    assert [answer["rank"] for answer in answers] == [1, 2, 3, 4, 5]
    likeness = [answer["likeness"] for answer in answers]
    assert likeness == sorted(likeness, reverse=True)
    itself = f'--from=place={{"x": 7, "y": {things()[7]["y"]}}}'
    best = told(capsys, "retrieve", "runs/run", itself, "--to", "place", "--top", "1")
    assert best.startswith("1. 1.000")


def test_retrieve_looks_in_a_gallery_or_in_another_file(home, capsys):
    shown = told(capsys, "retrieve", "runs/run", PLACE, "--to", "word").splitlines()
    assert {line.split()[-1] for line in shown} == {"aaac", "bbbc"}
    write_csv([row | {"word": "zzz"} for row in things(5)], "other.csv")
    shown = told(capsys, "retrieve", "runs/run", PLACE, "--to", "word", "--among", "other.csv")
    assert {line.split()[-1] for line in shown.splitlines()} == {"zzz"}


def test_retrieve_writes_what_is_no_text_to_files(home, capsys):
    shown = told(capsys, "retrieve", "runs/run", PLACE, "--to", "sound", "--top", "2")
    files = [line.split()[-1] for line in shown.splitlines()]
    assert files == ["runs/run/retrieved/sound-1.png", "runs/run/retrieved/sound-2.png"]
    assert Path(files[1]).read_bytes() == b"png"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([PLACE, "--to", "lok"], 'no domain "lok"'),
        ([PLACE, "--to", "look", "--top", "0"], "at least 1"),
        ([PLACE, "--to", "look", "--among", "no.csv"], "does not exist"),
        (["--from=plce=3", "--to", "look"], 'no domain "plce"'),
    ],
)
def test_retrieve_names_what_cannot_be_used(home, capsys, words, message):
    assert message in told(capsys, "retrieve", "runs/run", *words, code=2)


def test_a_run_is_not_judged_by_rows_that_it_was_trained_on(home, capsys):
    before = {p.name: p.read_bytes() for p in Path("runs/run").iterdir() if p.is_file()}
    write_csv(things(41))
    for command in ("evaluate", "report"):
        shown = told(capsys, command, "runs/run", "--quiet", code=2)
        assert "are not those it was trained on" in shown and "--set test.kind" in shown
    assert before == {p.name: p.read_bytes() for p in Path("runs/run").iterdir() if p.is_file()}
    changes = ["--set", "test.kind=table", "--set", "test.path=things.csv"]
    assert "on test rows" in told(capsys, "evaluate", "runs/run", "--quiet", *changes)


def test_saved_workspaces_are_no_runs(home, capsys):
    assert [entry["run"] for entry in json.loads(told(capsys, "runs", "runs/run", "--json"))] == [
        "runs/run"
    ]
