"""What every earlier version saved is read, or refused with what to do."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from core_domains import Vector
from safetensors.torch import load_file

from globalworkspace import LatentStore
from globalworkspace.data.shards import ShardedLatents
from globalworkspace.errors import CheckpointError
from globalworkspace.folders import FORMAT_VERSION, verify_folder
from globalworkspace.pretrained import load_workspace
from globalworkspace.training.checkpoint import newest_checkpoint

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from make import KEY, ROWS, latents, train  # noqa: E402

FORMATS = [int(folder.name.removeprefix("format-")) for folder in HERE.glob("format-*")]


@pytest.fixture(params=sorted(FORMATS))
def saved(request, tmp_path):
    """A copy of what a version saved."""
    return Path(shutil.copytree(HERE / f"format-{request.param}", tmp_path / "saved"))


def test_there_is_one_of_every_format():
    assert sorted(FORMATS) == list(range(1, FORMAT_VERSION + 1))
    for number in FORMATS:
        manifest = json.loads((HERE / f"format-{number}/workspace/manifest.json").read_text())
        assert manifest["format_version"] == number


def test_a_workspace_is_loaded(saved):
    workspace = load_workspace(saved / "workspace", {"left": Vector(4), "right": Vector(6)})
    weights = load_file(saved / "workspace/model.safetensors")
    for name, value in workspace.state_dict().items():
        assert torch.equal(value, weights[name]), name
    assert [len(cell) for cell in workspace.translate({"left": torch.ones(2, 4)}, "right")] == [
        6,
        6,
    ]


def test_a_finished_run_is_known_as_such(saved):
    assert newest_checkpoint(saved / "run/checkpoints").name == "step-000000004"
    workspace, result = train(saved / "run")
    weights = load_file(saved / "workspace/model.safetensors")
    for name, value in workspace.state_dict().items():
        torch.testing.assert_close(value, weights[name])
    assert result.history[-1]["step"] == 4


def test_a_run_goes_on(saved):
    shutil.rmtree(saved / "run/checkpoints/step-000000004")
    workspace, _ = train(saved / "run")
    weights = load_file(saved / "workspace/model.safetensors")
    for name, value in workspace.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=1e-4, atol=1e-6)


def test_stored_latents_are_read(saved):
    assert torch.equal(LatentStore(saved / "store").get(KEY), latents())


def test_damaged_latents_are_refused(saved):
    (file,) = (saved / "store").glob("*/latents.safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="does not match its digest.*delete the folder"):
        LatentStore(saved / "store").get(KEY)


def test_latents_in_shards_are_read(saved):
    stored = ShardedLatents(saved / "shards")
    assert torch.equal(torch.cat(list(stored.split(ROWS))), latents())


def test_a_format_to_come_says_how_to_read_it(saved):
    file = saved / "workspace/manifest.json"
    manifest = json.loads(file.read_text())
    manifest["format_version"] = FORMAT_VERSION + 1
    from globalworkspace.files import digest_json

    manifest["digest"] = digest_json({k: v for k, v in manifest.items() if k != "digest"})
    file.write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="pip install -U globalworkspace"):
        verify_folder(saved / "workspace")
