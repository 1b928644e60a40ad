from pathlib import Path

import pytest
import torch
from script_domains import Numbers, Words

from globalworkspace import Alternatives, GlobalWorkspace, Table, encode_table
from globalworkspace.errors import CheckpointError, ConfigError
from globalworkspace.files import write_json
from globalworkspace.folders import write_folder
from globalworkspace.run_folder import clear_run, load_run, refuse_another, save_run

pytestmark = pytest.mark.usefixtures("script_kinds")


@pytest.fixture
def saved(tmp_path):
    workspace = GlobalWorkspace({"word": Words(), "number": Numbers()}, dim=4)
    words = ["bee", "ant", Alternatives(["bee", "cow"]), None]
    table = Table.from_columns({"word": words, "number": [{"x": i, "y": 1} for i in range(4)]})
    latents = encode_table(workspace.domains, table)
    save_run(tmp_path, workspace, table, latents)
    return workspace, tmp_path


def test_a_gallery_holds_each_item_once_with_its_latent(saved):
    workspace, folder = saved
    loaded = load_run(folder).domains["word"]
    assert loaded.gallery == ["bee", "ant"]
    assert loaded.decode(Words().encode(["ant", "bee"])) == ["ant", "bee"]


def test_a_loaded_run_translates_as_the_saved_one_does(saved):
    workspace, folder = saved
    inputs = {"number": [{"x": 1, "y": 1}]}
    before = workspace.eval().encode(inputs).code
    assert torch.equal(load_run(folder).encode(inputs).code, before)


def test_files_come_back_as_paths(tmp_path):
    class Files(Words):
        def encode(self, raw):
            return super().encode([Path(cell).stem for cell in raw])

    workspace = GlobalWorkspace({"word": Files(), "number": Numbers()}, dim=4)
    files = [tmp_path / "ant.txt", tmp_path / "bee.txt"]
    for file in files:
        file.write_text("")
    rows = [{"x": i, "y": 1} for i in range(2)]
    table = Table.from_columns({"word": files, "number": rows})
    save_run(tmp_path, workspace, table, encode_table(workspace.domains, table))
    with pytest.warns(UserWarning, match='Domain "word" works on latents only'):
        load_run(tmp_path)
    text = (tmp_path / "galleries/word/cells.json").read_text()
    assert str(files[0]) in text and '"files": true' in text


def test_a_damaged_gallery_is_refused(saved):
    _, folder = saved
    (folder / "galleries/word/cells.json").write_text("{}")
    with pytest.raises(CheckpointError, match="does not match its digest"):
        load_run(folder)


def test_a_folder_without_a_workspace_says_what_to_give(tmp_path):
    with pytest.raises(CheckpointError, match="holds no trained workspace"):
        load_run(tmp_path)


def test_only_a_run_by_another_config_is_refused(tmp_path):
    config = {"recipe": "paper", "training": {"steps": 3, "device": "cpu"}, "test": {"a": 1}}
    write_json(tmp_path / "config.json", config)
    other = {"training": {"steps": 4, "device": "cuda"}, "workspace": {"dim": 2}}
    refuse_another(tmp_path, other)  # nothing is trained yet
    write_folder(tmp_path / "checkpoints/step-000000003", lambda folder: None)
    refuse_another(tmp_path, config)
    refuse_another(tmp_path, config | {"training": {"steps": 3}, "test": {}, "evaluations": []})
    with pytest.raises(ConfigError, match=r"another recipe, \[training\] steps, \[workspace\] dim"):
        refuse_another(tmp_path, other)


@pytest.mark.parametrize("is_folder", [False, True])
def test_clearing_removes_the_mark_and_the_checkpoints_alone(tmp_path, is_folder):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "kept").write_text("")
    (tmp_path / "mark").mkdir() if is_folder else (tmp_path / "mark").write_text("")
    clear_run(tmp_path, "mark")
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
    clear_run(tmp_path, "mark")
