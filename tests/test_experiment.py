import json
import tomllib

import pytest
from run_files import CONFIG, things, write_csv
from script_domains import Numbers

from globalworkspace import DomainModule, GlobalWorkspace, Table
from globalworkspace.components import build_domains, load_table, match_rows
from globalworkspace.errors import ConfigError, DataError, DomainError
from globalworkspace.experiment import run_experiment
from globalworkspace.registry import Registration, get_registry


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, script_kinds):
    monkeypatch.chdir(tmp_path)
    write_csv(things())
    return tmp_path


def config(**sections):
    return tomllib.loads(CONFIG) | sections


def test_a_run_returns_the_trained_workspace_and_its_figures(folder):
    made = run_experiment(config(), folder / "run", progress=False)
    assert made.folder == folder / "run"
    assert set(made.evaluation["translation"]) == {"place -> look", "look -> place"}
    assert json.loads((folder / "run/config.json").read_text()) == config()
    assert made.workspace.standardized == {"place", "look"} and not made.workspace.training


def test_two_runs_of_one_config_agree_to_the_last_digit(folder):
    first = run_experiment(config(), folder / "a", progress=False).evaluation
    second = run_experiment(config(), folder / "b", progress=False).evaluation
    assert first["translation"] == second["translation"]
    assert first["retrieval"] == second["retrieval"]


def test_a_run_resumed_half_way_ends_where_an_uninterrupted_one_does(folder, monkeypatch):
    whole = run_experiment(config(), folder / "a", progress=False).evaluation
    from globalworkspace.training.run import Run

    step = Run._step

    def stop(run):
        if run.step == 4:
            raise KeyboardInterrupt
        return step(run)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_step", stop)
        with pytest.raises(KeyboardInterrupt):
            run_experiment(config(), folder / "b", progress=False)
    resumed = run_experiment(config(), folder / "b", progress=False).evaluation
    assert resumed["translation"] == whole["translation"]


def test_a_new_run_does_not_inherit_the_checkpoints_of_the_last(folder):
    run_experiment(config(), folder / "a", progress=False)
    shorter = config(training=config()["training"] | {"steps": 2})
    run_experiment(shorter, folder / "a", resume=False, progress=False)
    assert [p.name for p in (folder / "a/checkpoints").iterdir()] == ["step-000000002"]


def test_a_bad_setting_leaves_an_earlier_run_as_it_is(folder):
    run_experiment(config(), folder / "a", progress=False)
    before = sorted(p.name for p in (folder / "a").rglob("*"))
    with pytest.raises(ConfigError):
        run_experiment(config(workspace={"dmi": 3}), folder / "a", progress=False)
    assert sorted(p.name for p in (folder / "a").rglob("*")) == before


def test_an_unknown_column_or_no_kind_is_named():
    with pytest.raises(ConfigError, match=r"\[data\] needs the setting kind; known: .*folder"):
        load_table({}, {}, "[data]")
    with pytest.raises(DataError, match='asks for the column "z"'):
        load_table({"kind": "table", "path": "things.csv"}, {"place": ["x", "z"]}, "[data]")


@pytest.fixture
def table_kind(monkeypatch):
    """A data set kind whose function knows nothing of columns."""
    import script_domains

    def load(rows: int = 4):
        return Table.from_columns({"a": list(range(rows)), "b": list(range(rows))})

    monkeypatch.setattr(script_domains, "load", load, raising=False)
    names = {"owner": "script", "summary": "", "distribution": "a script", "version": "0"}
    get_registry().registrations.append(
        Registration(category="dataset", kind="pairs", target="script_domains:load", **names)
    )


def test_a_data_set_with_names_of_its_own_is_renamed_to_the_domains(table_kind):
    table = load_table({"kind": "pairs", "rows": 5}, {"left": "a", "right": "b"}, "[data]")
    assert table.domains == ("left", "right") and len(table) == 5
    with pytest.raises(ConfigError, match=r"\[domains.left\]: .*'c'; it has a, b"):
        load_table({"kind": "pairs"}, {"left": "c"}, "[data]")


def test_matches_can_be_set_per_set_of_domains():
    cells = list(range(30))
    table = Table.from_columns({"a": cells, "b": cells, "c": cells})
    entries = [{"between": ["a", "b"], "count": 4}, {"between": ["b", "c"], "count": 3, "seed": 1}]
    groups = match_rows(table, entries).groups()
    assert len(groups["a", "b"]) == 4 and len(groups["b", "c"]) == 3
    with pytest.raises(ConfigError, match="need `between` and `count` each"):
        match_rows(table, [{"count": 4}, {"count": 3}])


def test_settings_that_depend_on_the_cells_are_completed_from_the_rows_that_have_them():
    table = Table.from_columns({"place": [None, {"x": 1, "y": 2, "z": 3}], "other": [1, 2]})
    module = build_domains({"place": {"kind": "script-sized"}}, table)["place"]
    assert module.latent.dim == 3


def test_a_domain_named_twice_is_refused_in_python():
    with pytest.raises(DataError, match='Domain "place" is named twice'):
        Table.from_columns([("place", [1]), ("place", [2])])
    with pytest.raises(DomainError, match='Domain "place" is named twice'):
        GlobalWorkspace([("place", Numbers()), ("place", Numbers())])


def test_no_domain_at_all_is_refused():
    with pytest.raises(ConfigError, match=r"no section \[domains\]"):
        run_experiment({"data": {"kind": "table"}}, "run")
    with pytest.raises(ConfigError, match="names no domain"):
        run_experiment(config(domains={}), "run")


def test_every_domain_of_a_run_is_frozen(folder):
    made = run_experiment(config(), folder / "run", progress=False)
    assert all(
        isinstance(m, DomainModule) and not m.training for m in made.workspace.domains.values()
    )
