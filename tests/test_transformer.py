"""Frozen states as a step of scikit-learn pipelines.

`sklearn.utils.estimator_checks.check_estimator` is not run: it feeds arrays of numbers of its own
shapes to every estimator, and what a transformer takes here is what its domain's module takes. What
it would check and applies (clone, set_params, unfitted use, pickles, names of features) is below.
"""

import builtins
import copy
import importlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from core_domains import Vector, Weighted, small_workspace, two_views
from script_domains import Numbers, Words
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from globalworkspace import GlobalWorkspace
from globalworkspace.errors import CheckpointError, ConfigError, DataError, DomainError
from globalworkspace.transformer import WorkspaceTransformer

CELLS = {name: values[:40] for name, values in two_views().items()}
CLASSES = (CELLS["left"][:, 0] > 0).long().numpy()


@pytest.fixture
def workspace():
    ws = small_workspace()
    ws.fit_standardizers(two_views())
    return ws


def states(workspace, given, rows=slice(None)):
    return workspace.encode({n: cells[rows] for n, cells in given.items()}).code.numpy()


@pytest.mark.parametrize("form", [torch.Tensor.tolist, torch.Tensor.numpy, lambda x: x])
@pytest.mark.parametrize("batch_size", [None, 7])
def test_one_domain_gives_its_states(workspace, form, batch_size):
    transformer = WorkspaceTransformer(workspace, "left", batch_size=batch_size)
    found = transformer.fit_transform(form(CELLS["left"]))
    assert found.shape == (40, 5) and found.dtype == np.float32
    np.testing.assert_allclose(found, states(workspace, {"left": CELLS["left"]}), atol=1e-6)


@pytest.mark.parametrize("domain", [None, ["left", "right"], ("right", "left")])
def test_several_domains_are_fused(workspace, domain):
    found = WorkspaceTransformer(workspace, domain).fit_transform(CELLS)
    np.testing.assert_allclose(found, states(workspace, CELLS), atol=1e-6)


def test_only_the_domains_asked_for_are_read(workspace):
    given = {**CELLS, "left": ["no vector"] * 40, "label": CLASSES}
    found = WorkspaceTransformer(workspace, ["right"]).fit_transform(given)
    np.testing.assert_allclose(found, states(workspace, {"right": CELLS["right"]}), atol=1e-6)


def test_rows_may_lack_domains(workspace):
    left, right = (CELLS[name].tolist() for name in ("left", "right"))
    rows = [{"left": left[i], "right": right[i]} for i in range(4)]
    del rows[1]["left"]
    rows[2]["right"] = None
    transformer = WorkspaceTransformer(workspace).fit(rows)
    found = transformer.transform(rows)
    np.testing.assert_allclose(found[[0, 3]], states(workspace, CELLS)[[0, 3]], atol=1e-6)
    alone = {"right": CELLS["right"][1:2]}
    np.testing.assert_allclose(found[1:2], states(workspace, alone), atol=1e-6)
    alone = {"left": CELLS["left"][2:3]}
    np.testing.assert_allclose(found[2:3], states(workspace, alone), atol=1e-6)
    named = WorkspaceTransformer(workspace, ["left", "right"]).fit(rows)
    np.testing.assert_allclose(named.transform(rows), found, atol=1e-6)
    np.testing.assert_allclose(named.transform(rows[1:2]), found[1:2], atol=1e-6)


@pytest.mark.parametrize("topology", ["shared", "direct"])
def test_latents_need_no_domain_module(topology):
    ws = small_workspace(topology=topology)
    expected = ws.encode(CELLS, latents=True).code.numpy()
    for form in (torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.double):
        given = {name: form(values) for name, values in CELLS.items()}
        transformer = WorkspaceTransformer(ws, latents=True)
        np.testing.assert_allclose(transformer.fit_transform(given), expected, atol=1e-6)
        assert len(transformer.get_feature_names_out()) == expected.shape[1]
    rows = [{"left": CELLS["left"][0].numpy()}, {"right": CELLS["right"][1]}]
    found = WorkspaceTransformer(ws, latents=True).fit_transform(rows)
    alone = ws.encode({"left": CELLS["left"][:1]}, latents=True).code.numpy()
    np.testing.assert_allclose(found[:1], alone, atol=1e-6)


def test_data_frames_of_domains_and_of_one_domains_columns(workspace):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({name: values.tolist() for name, values in CELLS.items()})
    frame["label"] = CLASSES
    expected = states(workspace, CELLS)
    both = WorkspaceTransformer(workspace, ["left", "right"])
    np.testing.assert_allclose(both.fit_transform(frame), expected, atol=1e-6)
    scores = cross_val_score(make_pipeline(both, LogisticRegression()), frame, CLASSES, cv=2)
    assert scores.shape == (2,)

    numbers = pandas.DataFrame(CELLS["left"].numpy(), columns=list("abcd"))
    latents = WorkspaceTransformer(workspace, "left", latents=True).set_output(transform="pandas")
    found = latents.fit_transform(numbers.set_index(numbers.index + 100))
    assert list(found.columns) == [f"workspacetransformer{i}" for i in range(5)]
    assert list(found.index) == list(range(100, 140))
    expected = states(workspace, {"left": CELLS["left"]})
    np.testing.assert_allclose(found.to_numpy(), expected, atol=1e-6)

    class Named(Vector):
        def encode(self, raw):
            return torch.tensor([raw["a"], raw["b"]]).float().T

    ws = GlobalWorkspace({"table": Named(2)}, dim=3)
    found = WorkspaceTransformer(ws, "table", batch_size=9).fit_transform(numbers)
    expected = ws.encode({"table": CELLS["left"][:, :2]}, latents=True).code.numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_pipeline_learns_from_states_of_raw_cells():
    ws = GlobalWorkspace({"word": Words(), "number": Numbers()}, dim=8)
    words = ["a", "bb", "ccc", "dddd", "eeeee", "ffffff"] * 5
    longer = [len(word) > 3 for word in words]
    classifier = make_pipeline(WorkspaceTransformer(ws, "word"), StandardScaler())
    classifier.steps.append(("classifier", LogisticRegression(C=100)))
    assert classifier.fit(words, longer).score(words, longer) == 1.0
    assert classifier[:-1].get_feature_names_out()[0] == "workspacetransformer0"


def test_a_classifier_on_one_domain_reads_the_states_of_another(workspace):
    both = WorkspaceTransformer(workspace)
    classifier = make_pipeline(both, LogisticRegression()).fit(CELLS, CLASSES)
    assert classifier.predict({"right": CELLS["right"]}).shape == (40,)


def test_a_grid_search_chooses_the_classifiers_strength(workspace):
    pipeline = make_pipeline(WorkspaceTransformer(workspace, "left"), LogisticRegression())
    grid = {"logisticregression__C": [0.01, 1.0, 100.0]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(CELLS["left"].tolist(), CLASSES)
    assert search.best_score_ > 0.5
    assert search.best_estimator_[0].workspace is workspace
    batches = GridSearchCV(pipeline, {"workspacetransformer__batch_size": [3, None]}, cv=2)
    batches.fit(CELLS["left"].numpy(), CLASSES)
    first, second = batches.cv_results_["mean_test_score"]
    assert first == second

    rows = [{name: cells[i].tolist() for name, cells in CELLS.items()} for i in range(40)]
    fused = make_pipeline(WorkspaceTransformer(workspace), LogisticRegression())
    assert GridSearchCV(fused, grid, cv=3).fit(rows, CLASSES).best_score_ > 0.5


def test_a_clone_shares_the_workspace_and_is_not_fitted(workspace, monkeypatch):
    monkeypatch.setattr(
        GlobalWorkspace, "__deepcopy__", lambda *_: pytest.fail("copied"), raising=False
    )
    first = WorkspaceTransformer(workspace, ["left"], latents=True, batch_size=3)
    first.set_output(transform="default").fit(CELLS)
    second = clone(first)
    assert second.workspace is workspace and second.get_params() == first.get_params()
    assert second.domain is not first.domain
    assert second._sklearn_output_config == first._sklearn_output_config
    with pytest.raises(NotFittedError):
        second.transform(CELLS)
    assert first.workspace is workspace  # and the first still works
    assert first.transform(CELLS).shape == (40, 5)


def test_settings_can_be_changed(workspace):
    transformer = WorkspaceTransformer(workspace, "left")
    before = transformer.fit_transform(CELLS["left"])
    assert transformer.get_params() == {
        "workspace": workspace,
        "domain": "left",
        "latents": False,
        "batch_size": None,
    }
    transformer.set_params(domain="right", workspace=small_workspace(seed=1))
    assert not np.allclose(transformer.fit_transform(CELLS["right"]), before)
    with pytest.raises(ValueError, match="Invalid parameter 'layer'"):
        transformer.set_params(layer=3)
    assert "WorkspaceTransformer" in repr(transformer)


def test_states_are_frozen_also_in_the_middle_of_a_training():
    ws = small_workspace(dropout=0.5)
    expected = ws.encode(CELLS).code.numpy()
    ws.train()
    transformer = WorkspaceTransformer(ws).fit(CELLS)
    np.testing.assert_allclose(transformer.transform(CELLS), expected, atol=1e-6)
    assert ws.training
    assert all(p.grad is None for p in ws.parameters())


def test_cells_are_encoded_in_batches():
    class Counting(Weighted):
        sizes = []

        def encode(self, raw):
            self.sizes.append(len(raw))
            assert not torch.is_grad_enabled()
            return super().encode(raw)

    ws = GlobalWorkspace({"left": Counting(4)}, dim=3)
    WorkspaceTransformer(ws, "left", batch_size=16).fit_transform(CELLS["left"])
    assert Counting.sizes == [16, 16, 8]


# ---- by path


@pytest.fixture
def saved(workspace, tmp_path, script_kinds):
    ws = GlobalWorkspace({"number": Numbers(), "word": Words()}, dim=4)
    ws.save_pretrained(tmp_path / "run" / "workspace")
    return ws, tmp_path / "run"


@pytest.mark.parametrize("inner", ["", "workspace"], ids=["run folder", "saved workspace"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_loaded_by_fit(saved, inner, kind):
    ws, run = saved
    words = ["a", "bb", "ccc"]
    transformer = WorkspaceTransformer(kind(run / inner), "word")
    found = transformer.fit(words).transform(words)
    np.testing.assert_allclose(found, ws.encode({"word": words}).code.numpy(), atol=1e-6)
    assert transformer.workspace == kind(run / inner)
    assert clone(transformer).workspace == kind(run / inner)


def test_only_the_path_is_pickled(saved, monkeypatch, tmp_path):
    ws, run = saved
    monkeypatch.chdir(run)
    transformer = WorkspaceTransformer("workspace", "word").fit(["a"])
    content = pickle.dumps(transformer)
    assert len(content) < 1000
    monkeypatch.chdir(tmp_path)  # as a worker may be elsewhere
    there = pickle.loads(content)
    found = there.transform(["a", "bb"])
    np.testing.assert_allclose(found, ws.encode({"word": ["a", "bb"]}).code.numpy(), atol=1e-6)
    assert there.workspace_ is there.workspace_
    assert copy.deepcopy(transformer).transform(["a"]).shape == (1, 4)


def test_a_workspace_at_hand_is_pickled_whole():
    ws = small_workspace()
    transformer = WorkspaceTransformer(ws, "left").fit(CELLS["left"])
    there = pickle.loads(pickle.dumps(transformer))
    np.testing.assert_array_equal(
        there.transform(CELLS["left"]), transformer.transform(CELLS["left"])
    )


def test_a_path_without_a_workspace_is_refused_by_fit(tmp_path):
    transformer = WorkspaceTransformer(tmp_path / "nothing", "left")
    with pytest.raises(CheckpointError, match='nothing" is no folder'):
        transformer.fit(CELLS["left"])


# ---- what is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"domain": "lefft"}, r'no domain "lefft"; it has left, right\. Did you mean "left"\?'),
        ({"domain": ["left", "middle"]}, r"domain=\['left', 'middle'\]: .*\"middle\""),
        ({"domain": []}, "names no domain"),
        ({"domain": "left", "batch_size": 0}, "batch_size=0 must be"),
        ({"domain": "left", "workspace": 3}, "workspace is a int"),
    ],
)
def test_settings_that_do_not_fit_are_refused_by_fit(workspace, settings, message):
    transformer = WorkspaceTransformer(**({"workspace": workspace} | settings))
    with pytest.raises(ConfigError, match=message):
        transformer.fit(CELLS["left"])


@pytest.mark.parametrize(
    ("domain", "given", "error", "message"),
    [
        (None, CELLS["left"], DataError, r"X is a Tensor\. For several domains give a mapping"),
        (None, "left", DataError, "X is a str"),
        (None, [], DataError, "X holds no cell"),
        (None, {"left": [None]}, DataError, "X holds no cell"),
        (None, {"middle": CELLS["left"]}, DomainError, 'X: .*no domain "middle"; it has left'),
        (None, [{"middle": 1}], DomainError, 'X: .*no domain "middle"; it has left'),
        (["left", "right"], {"left": CELLS["left"]}, DataError, 'X has no "right"; it has left'),
        (None, {"left": [[0.0] * 4], "right": [[0.0] * 6] * 2}, DataError, "unequal lengths"),
        ("left", "red", DataError, '"left": str is no column'),
        ("left", [[0.0] * 4, None], DataError, "Row 1 has no domain"),
    ],
)
def test_an_x_of_another_form_is_refused(workspace, domain, given, error, message):
    transformer = WorkspaceTransformer(workspace, domain)
    with pytest.raises(error, match=message):
        transformer.fit(given)
    with pytest.raises(error, match=message):
        transformer.fit(CELLS if domain != "left" else CELLS["left"]).transform(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((3, 5)), r'"left": X holds latents of shape \(5,\); they have 4'),
        ([[0.0] * 4, [0.0] * 3], '"left": X holds no latents'),
        ([["a"] * 4], '"left": X holds no latents'),
    ],
)
def test_what_is_no_latent_is_refused(workspace, given, message):
    with pytest.raises(DataError, match=message):
        WorkspaceTransformer(workspace, "left", latents=True).fit(given)


def test_a_cell_that_cannot_be_encoded_is_named_by_its_row(workspace):
    cells = CELLS["left"].clone()
    cells[30, 1] = float("nan")
    transformer = WorkspaceTransformer(workspace, "left", batch_size=8).fit(cells)
    with pytest.raises(DomainError, match='"left".* row 30'):
        transformer.transform(cells)


def test_an_unfitted_transformer_says_so(workspace):
    transformer = WorkspaceTransformer(workspace, "left")
    for use in (transformer.transform, transformer.get_feature_names_out):
        with pytest.raises(NotFittedError):
            use(CELLS["left"])


def test_without_scikit_learn_the_message_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == "sklearn":
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "globalworkspace.transformer")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'globalworkspace\[sklearn\]'"):
        importlib.import_module("globalworkspace.transformer")


def test_the_core_does_not_import_scikit_learn():
    code = "import sys, globalworkspace.workspace, globalworkspace.training.trainer, "
    code += (
        "globalworkspace.export; assert not {'sklearn', 'onnx', 'onnxscript'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})
