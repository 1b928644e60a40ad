import json

import pytest
import torch

from globalworkspace import folders
from globalworkspace.errors import CheckpointError, StorageError
from globalworkspace.training import checkpoint


def fill(text="hello"):
    def write(folder):
        (folder / "inner").mkdir()
        (folder / "inner" / "a.txt").write_text(text)
        folders.save_tensors(folder / "t.safetensors", {"x": torch.arange(3.0)})

    return write


def test_a_whole_folder_verifies_and_reads_back(tmp_path):
    folders.write_folder(tmp_path / "f", fill())
    folders.verify_folder(tmp_path / "f")
    assert folders.load_tensors(tmp_path / "f/t.safetensors")["x"].tolist() == [0, 1, 2]
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_failure_while_writing_leaves_the_old_folder_untouched(tmp_path):
    folders.write_folder(tmp_path / "f", fill("old"))

    def half(folder):
        (folder / "a.txt").write_text("new")
        raise OSError("disk full")

    with pytest.raises(StorageError, match="disk full.*what was saved before is still there"):
        folders.write_folder(tmp_path / "f", half)
    folders.verify_folder(tmp_path / "f")
    assert (tmp_path / "f/inner/a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_newer_folder_replaces_an_older_one_whole(tmp_path):
    folders.write_folder(tmp_path / "f", fill("old"))
    folders.write_folder(tmp_path / "f", lambda folder: (folder / "b").write_text("new"))
    assert sorted(p.name for p in (tmp_path / "f").iterdir()) == ["b", "manifest.json"]


@pytest.mark.parametrize("name", ["inner/a.txt", "t.safetensors", "manifest.json"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "delete"])
def test_every_damage_names_the_file(tmp_path, name, harm):
    folders.write_folder(tmp_path / "f", fill())
    file = tmp_path / "f" / name
    content = file.read_bytes()
    if harm == "delete":
        file.unlink()
    elif harm == "flip":
        file.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    else:
        file.write_bytes(content[:-3])
    with pytest.raises(CheckpointError, match=file.name):
        folders.verify_folder(tmp_path / "f")


def test_a_rewritten_manifest_does_not_match_its_own_digest(tmp_path):
    folders.write_folder(tmp_path / "f", fill())
    file = tmp_path / "f/manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["files"]["t.safetensors"]
    file.write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="its own digest"):
        folders.verify_folder(tmp_path / "f")


def test_a_newer_format_says_so(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(folders, "FORMAT_VERSION", 3)
        folders.write_folder(tmp_path / "f", fill())
    with pytest.raises(CheckpointError, match="version 3, this globalworkspace reads 1 to 2.*pip"):
        folders.verify_folder(tmp_path / "f")


def test_the_newest_whole_checkpoint_is_found_and_old_ones_go(tmp_path):
    assert checkpoint.newest_checkpoint(tmp_path) is None
    for step in (1, 2, 10):
        folders.write_folder(tmp_path / f"step-{step:09d}", fill())
    assert checkpoint.newest_checkpoint(tmp_path).name == "step-000000010"
    (tmp_path / "step-000000010/t.safetensors").write_bytes(b"")
    assert checkpoint.newest_checkpoint(tmp_path).name == "step-000000002"
    checkpoint.prune_checkpoints(tmp_path, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000000002", "step-000000010"]
