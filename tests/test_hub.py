"""The hub itself cannot be reached by tests: a stand-in keeps repositories as its cache does."""

import shutil
import types
from pathlib import Path

import pytest
import torch
from core_domains import Vector

from globalworkspace import GlobalWorkspace
from globalworkspace.errors import CheckpointError, ConfigError
from globalworkspace.files import digest_file

REPOSITORY = "someone/shapes-and-words"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Repositories in a folder; snapshots are links to blobs, as in the real cache."""
    import huggingface_hub

    home = types.SimpleNamespace(repositories=tmp_path / "hub", cache=tmp_path / "cache", calls=[])

    class Api:
        def __init__(self, token=None):
            home.calls.append(("token", token))

        def create_repo(self, repository, private=None, exist_ok=False):
            home.calls.append(("create", repository, private, exist_ok))
            (home.repositories / repository).mkdir(parents=True, exist_ok=exist_ok)

        def upload_folder(self, repo_id, folder_path, commit_message):
            home.calls.append(("upload", commit_message))
            shutil.copytree(folder_path, home.repositories / repo_id, dirs_exist_ok=True)
            (home.repositories / repo_id / ".gitattributes").write_text("*.safetensors lfs\n")
            return types.SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")

    def snapshot_download(repository, revision, token, cache_dir, allow_patterns):
        kept = home.repositories / repository
        if not kept.is_dir():
            raise huggingface_hub.errors.LocalEntryNotFoundError("404: no such repository.")
        root = home.cache / f"models--{repository.replace('/', '--')}"
        snapshot = root / "snapshots" / (revision or "main")
        shutil.rmtree(snapshot, ignore_errors=True)
        (root / "blobs").mkdir(parents=True, exist_ok=True)
        names = [p.relative_to(kept).as_posix() for p in kept.rglob("*") if p.is_file()]
        for name in huggingface_hub.utils.filter_repo_objects(names, allow_patterns=allow_patterns):
            blob = root / "blobs" / digest_file(kept / name)
            shutil.copy(kept / name, blob)
            (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
            (snapshot / name).symlink_to(blob)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return home


@pytest.fixture
def workspace():
    return GlobalWorkspace({"a": Vector(3), "b": Vector(2)}, dim=4, seed=3)


def modules():
    return {"a": Vector(3), "b": Vector(2)}


def test_what_is_pushed_is_loaded_by_its_name(hub, workspace):
    address = workspace.push_to_hub(REPOSITORY, private=True, token="t", message="first")
    assert address == f"https://hub/{REPOSITORY}/commit/1"
    assert hub.calls == [("token", "t"), ("create", REPOSITORY, True, True), ("upload", "first")]
    again = GlobalWorkspace.from_pretrained(REPOSITORY, modules())
    cells = torch.randn(5, 3)
    there, here = (w.translate({"a": cells}, "b", latents=True) for w in (again, workspace))
    assert torch.equal(there, here)
    card = (hub.repositories / REPOSITORY / "README.md").read_text()
    assert f'from_pretrained("{REPOSITORY}")' in card and "library_name: globalworkspace" in card


def test_nothing_but_what_is_read_is_fetched(hub, workspace):
    workspace.push_to_hub(REPOSITORY)
    (hub.repositories / REPOSITORY / "pytorch_model.bin").write_bytes(b"a pickle, say")
    GlobalWorkspace.from_pretrained(REPOSITORY, modules(), revision="v1")
    fetched = {p.name for p in hub.cache.rglob("snapshots/v1/*")}
    assert {"config.json", "model.safetensors", "manifest.json", "README.md"} <= fetched
    assert not {"pytorch_model.bin", ".gitattributes"} & fetched


def test_the_model_card_may_be_edited_and_nothing_else(hub, workspace):
    workspace.push_to_hub(REPOSITORY)
    (hub.repositories / REPOSITORY / "README.md").write_text("# What it is for\n")
    GlobalWorkspace.from_pretrained(REPOSITORY, modules())
    weights = hub.repositories / REPOSITORY / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match="does not match its digest"):
        GlobalWorkspace.from_pretrained(REPOSITORY, modules())


def test_a_workspace_that_is_saved_on_disk_holds_its_card_to_a_digest(workspace, tmp_path):
    workspace.save_pretrained(tmp_path / "saved")
    (tmp_path / "saved/README.md").write_text("another")
    with pytest.raises(CheckpointError, match="README.md.*does not match"):
        GlobalWorkspace.from_pretrained(tmp_path / "saved", modules())


def test_a_folder_of_that_name_comes_first(hub, workspace, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workspace.save_pretrained(Path("someone/else"))
    GlobalWorkspace.from_pretrained("someone/else", modules())
    assert hub.calls == []


def test_what_the_hub_refuses_is_an_error_that_names_the_repository(hub, workspace):
    with pytest.raises(CheckpointError, match='"someone/nothing" cannot be used: 404.*folder of a'):
        GlobalWorkspace.from_pretrained("someone/nothing")
    for name in ("nothing", "a/b/c", "../x"):
        with pytest.raises(ConfigError, match="write owner/name"):
            workspace.push_to_hub(name)
