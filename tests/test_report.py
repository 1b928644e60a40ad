import json
import tomllib

import pytest
from run_files import CONFIG, things, write_csv

from globalworkspace.components import build_evaluations
from globalworkspace.errors import ConfigError, PluginError
from globalworkspace.experiment import run_experiment
from globalworkspace.registry import Registration, get_registry
from globalworkspace.report import Section


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, script_kinds):
    monkeypatch.chdir(tmp_path)
    write_csv(things())
    return tmp_path


def config(**sections):
    return tomllib.loads(CONFIG) | sections


def register(category, kind):
    """A registration whose target is a function of this file; the fixture removes it again."""
    get_registry().registrations.append(
        Registration(
            category=category,
            kind=kind,
            owner="script",
            target=f"{__name__}:{kind.replace('-', '_')}",
            summary="",
            distribution="a script",
            version="0",
        )
    )


@pytest.fixture
def own_kinds(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this())


def _this():
    import types

    module = types.ModuleType(__name__)
    vars(module).update(globals())
    return module


def counting(workspace, held_out, *, offset: int = 0):
    rows = {name: int(held_out.raw[name].present.sum()) for name in held_out.raw}
    assert len(held_out.raw) == len(held_out.latents)
    return {"rows": {name: count + offset for name, count in rows.items()}}


def judged_rows(experiment):
    rows = [[name, str(count)] for name, count in experiment.evaluation["counting"]["rows"].items()]
    return Section(title="Rows <judged>", headings=["domain", "rows"], rows=rows, note="a & b")


def nothing_to_say(experiment):
    return None


def failing(experiment):
    raise ZeroDivisionError("oh no")


def a_string(experiment):
    return "no section"


def test_a_run_leaves_a_report_of_figures_and_translations(folder):
    made = run_experiment(config(), folder / "run", progress=False)
    page = (folder / "run/report.html").read_text()
    error = made.evaluation["translation"]["place -> look"]
    assert f"<th scope=row>place -&gt; look</th><td>{error:.3f}</td>" in page
    for title in ("Loss of each family", "Error of each direction"):
        assert f"{title} on training rows; dashed: on held-out rows</figcaption>" in page
    wall = page[page.index("<h3>From place</h3>") : page.index("<h3>From look</h3>")]
    assert wall.count("<tr>") == 1 + min(7, len(made.held_out.raw))
    truth = made.held_out.raw["look"].take([0])[0]
    told = "".join(
        f'<li><span class="word">{name}</span> {value:.4g}</li>' for name, value in truth.items()
    )
    assert f'<span class="word">truth:</span> <ul class="facts">{told}</ul>' in wall


def test_further_evaluations_are_reported_under_their_kind(folder, own_kinds):
    register("evaluation", "counting")
    entries = [{"kind": "counting"}, {"kind": "counting", "offset": 100}]
    made = run_experiment(config(evaluations=entries), folder / "run", progress=False)
    saved = json.loads((folder / "run/evaluation.json").read_text())
    rows = len(made.held_out.raw)
    assert saved["counting"] == {"rows": {"place": rows, "look": rows}}
    assert saved["counting_#2"] == {"rows": {"place": rows + 100, "look": rows + 100}}
    assert set(saved["translation"]) == {"place -> look", "look -> place"}


def test_settings_of_the_standard_evaluations_replace_theirs(folder):
    entries = [{"kind": "retrieval", "ks": [2], "gallery_size": 5}]
    made = run_experiment(config(evaluations=entries), folder / "run", progress=False)
    assert list(made.evaluation["retrieval"]["place -> look"]) == [2]
    assert "recall@2" in (folder / "run/report.html").read_text()


@pytest.mark.parametrize(
    ("entries", "error", "message"),
    [
        ({"kind": "retrieval"}, ConfigError, "double brackets"),
        ([{}], ConfigError, r"\[\[evaluations\]\] number 1 needs the setting kind; known: .*retr"),
        ([{"kind": "retreival"}], PluginError, 'number 1: .*Did you mean "retrieval"'),
        ([{"kind": "retrieval", "galery_size": 3}], ConfigError, "number 1.*galery_size"),
    ],
)
def test_bad_evaluations_name_the_section(entries, error, message):
    with pytest.raises(error, match=message):
        build_evaluations(entries)


def test_sections_of_plugins_come_after_the_cores_and_are_escaped(folder, own_kinds):
    register("evaluation", "counting")
    register("report-section", "judged-rows")
    register("report-section", "nothing-to-say")
    run_experiment(config(evaluations=[{"kind": "counting"}]), folder / "run", progress=False)
    page = (folder / "run/report.html").read_text()
    assert ">Rows &lt;judged&gt;</h2><p>a &amp; b</p>" in page
    assert page.index(">Translations</h2>") < page.index(">Rows &lt;judged&gt;</h2>")
    assert "nothing-to-say" not in page


@pytest.mark.parametrize(
    ("kind", "reason"), [("failing", "ZeroDivisionError: oh no"), ("a-string", "returned str")]
)
def test_a_section_that_fails_is_a_line_of_the_report_and_a_warning(
    folder, own_kinds, kind, reason
):
    register("report-section", kind)
    with pytest.warns(UserWarning, match=f'"{kind}" of plugin "script" failed: .*{reason}'):
        run_experiment(config(), folder / "run", progress=False)
    page = (folder / "run/report.html").read_text()
    assert reason in page
    assert ">Figures</h2>" in page


def test_augmentations_and_callbacks_of_a_config_take_part(folder):
    changed = config(
        augmentations={"noisy": {"kind": "noise", "scale": 0.2}},
        objectives=[{"kind": "translation"}, {"kind": "contrastive", "view": "noisy"}],
        callbacks=[{"kind": "early-stop", "patience": 1}, {"kind": "snapshots", "every": 3}],
    )
    made = run_experiment(changed, folder / "run", progress=False)
    assert (folder / "run/snapshots/step-000000003/config.json").is_file()
    plain = config(objectives=[{"kind": "translation"}, {"kind": "contrastive"}])
    other = run_experiment(plain, folder / "plain", progress=False)
    assert made.evaluation["translation"] != other.evaluation["translation"]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"augmentations": {"a": {}}},
            r"\[augmentations.a\] needs the setting kind; known: .*noise",
        ),
        ({"augmentations": {"a": {"kind": "noise", "scale": "much"}}}, "scale is 'much'"),
        ({"callbacks": [{"kind": "early-stop", "patience": 0}]}, "number 1: patience=0"),
        ({"objectives": [{"kind": "translation", "view": 3}]}, "view is 3"),
        ({"objectives": [{"kind": "translation", "view": "a"}]}, 'view "a" is no augmentation'),
    ],
)
def test_bad_sections_are_named_before_training(folder, sections, message):
    with pytest.raises(ConfigError, match=message):
        run_experiment(config(**sections), folder / "run", progress=False)


def test_a_run_whose_latents_are_in_shards_has_every_section(folder):
    made = run_experiment(config(encoding={"shard_rows": 8}), folder / "run", progress=False)
    page = (folder / "run/report.html").read_text()
    assert "failed:" not in page
    assert all(f">{title}</h2>" in page for title in ("Noise, and missing domains", "Translations"))
    assert made.evaluation["translation"]


def test_direct_translators_have_a_report_without_searches(folder):
    direct = {"topology": "direct", "hidden_dim": 8}
    run_experiment(config(workspace=direct), folder / "run", progress=False)
    page = (folder / "run/report.html").read_text()
    assert "failed:" not in page and ">Retrieval</h2>" not in page
    assert "Direct translators share no states" in page


def test_a_dashed_line_has_the_colour_of_the_line_it_belongs_to():
    import re

    from globalworkspace.report.plots import curves

    lines = {"a": [(1, 2.0), (2, 1.0)], "b": [(1, 3.0), (2, 2.5)]}
    svg = curves("c", lines, across="", up="", dashed={"b": [(1, 4.0), (2, 3.0)], "d": []})
    dashes = re.findall(r'style="[^"]*stroke-dasharray[^"]*stroke: (var[^;"]*)', svg)
    assert dashes == ["var(--c1)"]
    assert ">a</text>" in svg and ">d</text>" not in svg
    alone = curves("c", {"a": []}, across="", up="", dashed={"a": [(1, 4.0), (2, 3.0)]})
    assert ">a</text>" in alone, "a line that is there has a name"


@pytest.mark.parametrize("log", ["old", "unvalidated"])
def test_curves_of_a_log_that_has_one_side_only(folder, log):
    import attrs

    from globalworkspace.report.training import learning_curves

    made = run_experiment(config(), folder / "run", progress=False)
    drop = {
        "old": {"validation_families", "training"},
        "unvalidated": {"validation", "validation_families", "training"},
    }[log]
    file = folder / "run/metrics.jsonl"
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    kept = [{k: v for k, v in entry.items() if k not in drop} for entry in entries]
    file.write_text("".join(json.dumps(entry) + "\n" for entry in kept))
    section = learning_curves(attrs.evolve(made))
    titles = [figure.title for figure in section.parts]
    assert titles == ["Loss of each family", "Error of each direction"][: len(titles)]
    assert len(titles) == (2 if log == "old" else 1)


def test_of_many_classes_the_frequent_ones_have_names():
    import torch

    from globalworkspace.report.states import _classes

    names = [f"n{k}" for k in range(60)]
    told = torch.tensor([59] * 5 + [3] * 4 + list(range(60)))
    values, kept = _classes(told, names)
    assert len(kept) == 40 and kept[-1] == "21 others"
    shown = [kept[int(v)] for v in values]
    assert shown[0] == "n59" and shown[5] == "n3"
    assert all(name in (f"n{k}", "21 others") for name, k in zip(shown, told.tolist(), strict=True))
    assert shown.count("21 others") == 21
    few = _classes(told % 40, names[:40])
    assert few[1] == names[:40] and few[0].tolist() == (told % 40).tolist()


def test_labels_of_any_kind_are_in_the_legend():
    from globalworkspace.report.plots import curves, scatter

    svg = curves("a", {"_old": [(1, 2), (2, 3)], "$x<": [(1, 1), (2, 2)]}, across="", up="")
    assert ">_old<" in svg and "$x&lt;" in svg
    import numpy as np

    svg, groups = scatter("b", {"_1c": np.zeros((2, 2)), "d": np.ones((3, 2))})
    assert ">_1c<" in svg and groups == ["b-points-0", "b-points-1"]
    assert svg.count("<use") >= 5
