import csv
import tomllib
from pathlib import Path

import pytest
from run_files import things, write_csv

from globalworkspace.cli import main
from globalworkspace.data.readers import read_folder
from globalworkspace.errors import DataError
from globalworkspace.proposals import propose, toml_text
from globalworkspace.registry import get_registry

pytestmark = pytest.mark.filterwarnings("ignore:Domain .* latent dimensions are dead")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_things(file="things.csv"):
    colors = ("red", "green")
    rows = [
        {
            "number": k,
            "note": f"the {k} th of all things" if k % 3 else "",
            "color": colors[k % 2],
            "size": row["size"],
        }
        for k, row in enumerate(things())
    ]
    Path(file).parent.mkdir(exist_ok=True)
    write_csv(rows, file)


def answer(monkeypatch, *lines):
    waiting = list(lines)

    def take(question):
        print(question)
        if not waiting:
            raise EOFError
        return waiting.pop(0)

    monkeypatch.setattr("builtins.input", take)
    return waiting


def test_a_table_becomes_a_config_that_trains(capsys):
    write_things()
    assert main(["init", "things.csv", "--yes"]) == 0
    shown = capsys.readouterr().out
    assert "40 rows, 26 of them with two of these domains or more" in shown
    assert "number is left out: it numbers the rows" in shown
    config = tomllib.loads(Path("things.toml").read_text())
    assert config["data"] == {"kind": "table", "path": "things.csv"}
    assert config["domains"] == {
        "note": {"kind": "bert", "column": "note"},
        "attributes": {"kind": "attributes", "column": ["color", "size"]},
    }
    assert main(["train", "things.toml", "--quiet", "--set", "training.steps=3"]) == 0


def test_a_folder_whose_table_names_files_in_a_column_of_another_name(capsys):
    from PIL import Image

    Path("seen").mkdir()
    rows = []
    for k in range(12):
        Image.new("RGB", (8, 8), (20 * k, 0, 0)).save(f"seen/{k}.png")
        rows.append({"photo": f"{k}.png", "note": f"how red it is: {k}"})
    write_csv(rows, "seen/captions.csv")
    found = propose("seen")
    assert found.data == {
        "kind": "folder",
        "path": "seen",
        "metadata": "captions.csv",
        "files": ["photo"],
    }
    assert [(d.name, d.kind) for d in found.domains] == [("photo", "timm"), ("note", "bert")]
    assert propose("seen/captions.csv").data == found.data
    table = read_folder(**{k: v for k, v in found.data.items() if k != "kind"})
    assert table["photo"].cells[3] == Path("seen/3.png")
    with pytest.raises(DataError, match="no column image; it has photo, note"):
        read_folder("seen", metadata="captions.csv", files=["image"])


def test_answers_rename_change_and_leave_out(monkeypatch, capsys):
    write_things()
    waiting = answer(monkeypatch, "words", "brt", "bert", "facts", "", "many", "250", "mine.toml")
    assert main(["init", "things.csv"]) == 0
    assert waiting == []
    captured = capsys.readouterr()
    assert 'Did you mean "bert"?' in captured.out
    assert '"many" is no whole number' in captured.err
    config = tomllib.loads(Path("mine.toml").read_text())
    assert list(config["domains"]) == ["words", "facts"]
    assert config["training"] == {"steps": 250}
    assert "globalworkspace train mine.toml" in captured.out


def test_one_domain_is_too_few(monkeypatch, capsys):
    write_things()
    answer(monkeypatch, "-", "facts", "")
    assert main(["init", "things.csv"]) == 2
    assert "a workspace joins two or more" in capsys.readouterr().err
    assert not Path("things.toml").exists()


def test_answers_that_end_write_nothing(monkeypatch, capsys):
    write_things()
    answer(monkeypatch, "words")
    assert main(["init", "things.csv"]) == 2
    assert "with --yes" in capsys.readouterr().err
    assert not Path("things.toml").exists()


def test_a_config_that_is_there_is_kept(capsys):
    write_things()
    Path("things.toml").write_text("mine = 1\n")
    assert main(["init", "things.csv", "--yes"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert Path("things.toml").read_text() == "mine = 1\n"
    assert main(["init", "things.csv", "--yes", "--force"]) == 0
    assert "[data]" in Path("things.toml").read_text()


def test_what_cannot_be_proposed_is_named(capsys, tmp_path):
    Path("empty").mkdir()
    Path("two").mkdir()
    write_things("two/a.csv")
    write_things("two/b.csv")
    write_csv([{"row": str(k)} for k in range(9)], "rows.csv")
    for path, message in (
        ("nowhere", "does not exist"),
        ("empty", "Write metadata.csv there"),
        ("two", "several tables (a.csv, b.csv)"),
        ("rows.csv", "Nothing in"),
    ):
        assert main(["init", path, "--yes"]) == 2
        assert message in capsys.readouterr().err
    assert list(tmp_path.glob("*.toml")) == []


def test_a_config_as_toml_is_read_back_the_same():
    config = {
        "recipe": "paper",
        "data": {"kind": "table", "path": 'a "quoted" C:\\path', "match": {"count": 3}},
        "domains": {"a b": {"column": ["x", "y"], "on": True}, "é": {"share": 0.5}},
    }
    assert tomllib.loads(toml_text(config, "first\nsecond")) == config
    assert toml_text(config, "first\nsecond").startswith("# first\n# second\n")


@pytest.mark.parametrize("kind", ["attributes", "bert", "timm", "whisper"])
def test_kinds_say_no_to_what_they_cannot_read(kind):
    loaded = get_registry().load("domain", kind)
    assert loaded.suits([object(), object()]) == 0
    assert loaded.suits([Path("a.xyz")]) == 0


def test_kinds_tell_files_words_and_sentences_apart():
    cells = {
        "timm": [Path("a.png"), Path("b.JPG")],
        "whisper": [Path("a.wav"), Path("b.flac")],
        "bert": ["a sentence of some words", "another one, as long"],
        "attributes": ["red", "green", "red", "green"],
    }
    kinds = {name: get_registry().load("domain", name) for name in cells}
    for name, given in cells.items():
        scores = {other: kind.suits(given) for other, kind in kinds.items()}
        assert max(scores, key=scores.__getitem__) == name, (name, scores)


def test_cells_of_csv_are_what_kinds_are_asked_about(tmp_path):
    with open("numbers.csv", "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows([["a", "b"], *([k * 7 % 5, f"a note on {k}"] for k in range(20))])
    assert {d.kind for d in propose("numbers.csv").domains} == {"attributes", "bert"}


def test_columns_and_rows_without_a_cell_are_left_out():
    rows = [{"a": k * 7 % 5, "b": f"a note on {k}", "c": ""} for k in range(20)]
    write_csv([*rows, {"a": "", "b": "", "c": ""}], "holes.csv")
    found = propose("holes.csv")
    assert [d.columns for d in found.domains] == [["a"], ["b"]] and found.rows == 20


def test_two_columns_do_not_get_one_name():
    rows = [{"attributes": f"a long note on {k}", "size": k * 3 % 7} for k in range(20)]
    write_csv(rows, "twice.csv")
    names = [d.name for d in propose("twice.csv").domains]
    assert names == ["attributes", "attributes_2"]


def test_matched_rows_need_every_column_of_a_joined_domain():
    rows = [
        {"a": k % 5, "b": "" if k % 2 else k % 3, "c": f"a note on number {k}"} for k in range(20)
    ]
    write_csv(rows, "gaps.csv")
    assert propose("gaps.csv").matched == 10


def test_columns_that_are_tensors_or_mappings_are_read_by_their_items():
    import torch

    from globalworkspace import Table
    from globalworkspace.proposals import propose_domains

    table = Table.from_columns({"x": torch.rand(20), "note": [f"a note on {k}" for k in range(20)]})
    assert {d.kind for d in propose_domains(table, {}).domains} == {"attributes", "bert"}


def test_a_name_is_not_given_twice(monkeypatch, capsys):
    write_things()
    answer(monkeypatch, "words", "", "words", "facts", "", "250", "mine.toml")
    assert main(["init", "things.csv"]) == 0
    assert 'Another domain is called "words"' in capsys.readouterr().out
