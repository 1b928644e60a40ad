import json
import re

import pytest
from core_domains import Vector

import globalworkspace as gw
from globalworkspace.cli import main
from globalworkspace.errors import ConfigError, DataError

pytestmark = pytest.mark.filterwarnings("ignore:Domain .* latent dimensions are dead")
QUICK = {"steps": 6, "validate_every": 3, "batch_size": 8, "device": "cpu", "progress": False}
COLUMNS = {
    "size": [float(k) for k in range(40)],
    "age": [2.0 * k if k % 4 else None for k in range(40)],
    "note": [f"thing number {k} of all" for k in range(40)],
    "color": ["red", "green"] * 20,
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def facts(*columns):
    return {"kind": "attributes", "column": list(columns)}


def test_columns_and_kinds_become_a_run_that_translates_and_shows_itself(home):
    run = gw.fit(COLUMNS, {"body": facts("size", "age"), "note": "bert"}, **QUICK)
    assert run.folder.name == "fit-1" and "translation" in run.evaluation
    found = run.translate({"note": "thing number 7 of all"}, to="body")
    assert set(found) == {"size", "age"} and all(isinstance(v, float) for v in found.values())
    many = run.translate({"note": ["thing number 7 of all", "another"]}, to="body")
    assert len(many["size"]) == 2
    assert run.translate({"body": {"size": 3.0, "age": 6.0}}, to="note") in COLUMNS["note"]
    page = run.report().read_text()
    assert "<h2" in page and "http-equiv" in page
    shown = run._repr_html_()
    assert shown.startswith('<iframe srcdoc="&lt;!doctype html&gt;') and shown.count("<") == 2
    assert re.match(r"Run of body, note in runs/fit-1: mean translation error \d", repr(run))


def test_rows_that_lack_a_column_of_a_joined_domain_are_unmatched(home):
    run = gw.fit(COLUMNS, {"body": facts("size", "age"), "note": "bert"}, **QUICK)
    groups = {g: len(rows) for g, rows in run.experiment.training.groups().items()}
    held = len(run.experiment.held_out.raw)
    assert groups[("note",)] == 10 and groups[("body", "note")] + held == 30
    row = int(run.experiment.held_out.raw.origin[0])
    cell = run.experiment.held_out.raw["body"].take([0])[0]
    assert cell == {"size": COLUMNS["size"][row], "age": COLUMNS["age"][row]}


def test_domains_are_proposed_where_none_are_given(home):
    run = gw.fit(COLUMNS, **QUICK)
    assert set(run.workspace.domains) == {"attributes", "note"}
    assert run.workspace.domains["attributes"].latent.dim == 3  # age, color; size counts the rows


def test_modules_and_tables_are_taken_as_they_are(home):
    table = gw.Table.from_columns(
        {"a": [[0.0, k] for k in range(30)], "b": [[k, 1.0 * k] for k in range(30)]}
    )
    run = gw.fit(table, {"a": Vector(2), "b": Vector(2)}, out="mine", match={"count": 12}, **QUICK)
    assert run.folder.name == "mine"
    groups = run.experiment.training.groups()
    assert len(groups[("a",)]) + len(groups[("b",)]) == 18


def test_retrieve_finds_held_out_items_or_those_of_a_gallery(home):
    run = gw.fit(COLUMNS, {"body": facts("size", "age"), "note": "bert"}, **QUICK)
    held = run.experiment.held_out.raw["body"]
    own = held.take([int(held.present.nonzero()[0])])[0]
    found = run.retrieve({"body": own}, to="body", top=2)
    assert len(found) == 2 and found[0][1] == own and found[0][0] == pytest.approx(1, abs=1e-4)
    notes = run.retrieve({"body": own}, to="note", top=3)
    assert [value for value, _ in notes] == sorted((v for v, _ in notes), reverse=True)
    assert {item for _, item in notes} <= set(COLUMNS["note"])


def test_the_path_of_a_file_is_read_as_init_would(home, capsys):
    from run_files import write_csv

    write_csv(
        [{k: v[i] if v[i] is not None else "" for k, v in COLUMNS.items()} for i in range(40)]
    )
    run = gw.fit("things.csv", **QUICK, out="runs/file")
    assert set(run.workspace.domains) == {"attributes", "note"}
    assert main(["report", "runs/file", "--quiet"]) == 0


def test_a_run_on_rows_of_a_script_cannot_be_opened_from_the_command_line(home, capsys):
    run = gw.fit(COLUMNS, {"body": facts("size", "age"), "note": "bert"}, **QUICK)
    assert main(["report", str(run.folder)]) == 2
    assert "were given in Python" in capsys.readouterr().err
    assert json.loads((run.folder / "config.json").read_text())["training"]["steps"] == 6


@pytest.mark.parametrize(
    ("domains", "error", "message"),
    [
        (
            {"size": "bert", "nte": "bert"},
            DataError,
            '"nte" asks for the column "nte"; the data has',
        ),
        ({"note": 3, "size": facts("size")}, ConfigError, '"note" is given as int'),
        ({"note": "brt", "size": facts("size")}, gw.WorkspaceError, 'Did you mean "bert"'),
    ],
)
def test_domains_that_do_not_fit_are_named(home, domains, error, message):
    with pytest.raises(error, match=re.escape(message)):
        gw.fit(COLUMNS, domains, **QUICK)
    assert not (home / "runs").exists()


def test_settings_that_do_not_fit_are_named(home):
    with pytest.raises(ConfigError, match=r"\[training\].*stepz"):
        gw.fit(COLUMNS, {"body": facts("size"), "note": "bert"}, stepz=3)


def test_items_and_lists_are_not_mixed(home):
    run = gw.fit(COLUMNS, {"body": facts("size", "age"), "note": "bert"}, **QUICK)
    with pytest.raises(DataError, match="list of as many for each"):
        run.translate({"note": ["a"], "body": {"size": 1.0, "age": 2.0}}, to="note")
    with pytest.raises(DataError, match='no domain "bdy"'):
        run.retrieve({"note": "a"}, to="bdy")


@pytest.mark.filterwarnings("ignore:Domain .* works on latents only")
def test_domains_given_as_modules_are_not_lost_by_another_evaluation(home, capsys):
    from run_files import write_csv

    write_csv([{"x": k, "y": 2 * k} for k in range(3, 43)])

    class Number(Vector):
        def encode(self, raw):
            return super().encode([[float(value)] for value in raw])

    both = {"x": facts("x"), "y": Number(1)}
    run = gw.fit("things.csv", both, **QUICK)
    before = (run.folder / "evaluation.json").read_text()
    assert main(["evaluate", str(run.folder), "--quiet"]) == 2
    assert "were given in Python" in capsys.readouterr().err
    assert (run.folder / "evaluation.json").read_text() == before


def test_a_file_that_no_kind_reads_is_fine_where_modules_do(home):
    rows = [json.dumps({"u": [float(k), 1.0], "v": [2.0 * k, 3.0 + k]}) for k in range(30)]
    (home / "rows.jsonl").write_text("\n".join(rows))

    class First(Vector):
        def encode(self, raw):
            return super().encode([[v] if isinstance(v, float) else v for v in raw])

    run = gw.fit("rows.jsonl", {"u": First(1), "v": First(1)}, **QUICK)
    assert run.folder.exists()
    assert len(run.retrieve({"u": [3.0]}, to="v", top=2)) == 2
    with pytest.raises(DataError, match="lists of one will do"):
        run.retrieve({"u": [3.0, 4.0]}, to="v")
