import json
import os
import signal

import pytest
import torch

from globalworkspace.data import shards as module
from globalworkspace.data.shards import ShardedLatents, finish_shards, shard_file, write_shards
from globalworkspace.errors import CheckpointError

ROWS, DIM, EACH = 23, 3, 5


def latents(scale=1.0):
    return scale * torch.arange(ROWS * DIM).reshape(ROWS, DIM).float()


def write(folder, values=None, key="k", **options):
    values = latents() if values is None else values
    asked = []

    def encode(stretch):
        asked.append(stretch)
        return values[stretch]

    write_shards(folder, key, ROWS, EACH, encode, **options)
    return asked


@pytest.fixture
def folder(tmp_path):
    write(tmp_path)
    assert finish_shards(tmp_path, "k", ROWS, DIM, EACH)
    return tmp_path


def test_any_rows_are_read_in_the_order_asked_for(folder):
    found = ShardedLatents(folder)
    items = torch.randint(ROWS, (50,), generator=torch.Generator().manual_seed(0))
    assert torch.equal(found[items], latents()[items])
    assert (len(found), found.num_shards, tuple(found.shape)) == (ROWS, 5, (ROWS, DIM))
    assert torch.equal(torch.cat(list(found.split(2))), latents())
    assert found[torch.empty(0, dtype=torch.int64)].shape == (0, DIM)
    found.prefetch([0, 4])


def test_workers_make_every_shard_once_between_them(tmp_path):
    asked = [write(tmp_path, worker=w, workers=3) for w in range(2)]
    assert not finish_shards(tmp_path, "k", ROWS, DIM, EACH)  # the third has not come yet
    asked.append(write(tmp_path, worker=2, workers=3))
    assert finish_shards(tmp_path, "k", ROWS, DIM, EACH)
    starts = sorted(stretch.start for share in asked for stretch in share)
    assert starts == [0, 5, 10, 15, 20]
    assert torch.equal(ShardedLatents(tmp_path)[torch.arange(ROWS)], latents())


def test_only_what_is_missing_is_made_again(folder):
    assert write(folder) == []
    shard_file(folder, 2).with_suffix(".json").unlink()
    shard_file(folder, 3).write_bytes(b"cut short")
    assert [stretch.start for stretch in write(folder)] == [10, 15]
    assert torch.equal(ShardedLatents(folder)[torch.arange(ROWS)], latents())


def test_other_data_or_another_module_makes_all_anew(folder):
    assert len(write(folder, latents(2.0), key="other")) == 5
    assert not finish_shards(folder, "k", ROWS, DIM, EACH)
    assert finish_shards(folder, "other", ROWS, DIM, EACH)
    assert torch.equal(ShardedLatents(folder)[torch.arange(ROWS)], latents(2.0))


@pytest.mark.parametrize(
    "moment", ["before the shard", "before its rename", "before its entry", "before the next"]
)
def test_a_worker_killed_at_any_moment_costs_one_shard_at_most(tmp_path, monkeypatch, moment):
    pid = os.fork()
    if pid == 0:  # the child is killed while it writes its third file of a kind
        calls = {"replace": 0, "encode": 0}
        replace = os.replace

        def die(*_):
            os.kill(os.getpid(), signal.SIGKILL)

        def watched(source, target):
            calls["replace"] += 1
            which = {"before its rename": 3, "before its entry": 4}.get(moment)
            if calls["replace"] == which:
                die()
            replace(source, target)

        def encode(stretch):
            calls["encode"] += 1
            if calls["encode"] == {"before the shard": 2, "before the next": 3}.get(moment):
                die()
            return latents()[stretch]

        os.replace = watched
        write_shards(tmp_path, "k", ROWS, EACH, encode)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    made = len(write(tmp_path))
    assert made == (3 if moment == "before the next" else 4)
    assert finish_shards(tmp_path, "k", ROWS, DIM, EACH)
    assert torch.equal(ShardedLatents(tmp_path)[torch.arange(ROWS)], latents())


def damage(kind, folder):
    file = shard_file(folder, 1)
    if kind == "a flipped bit":
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    elif kind == "a truncated shard":
        file.write_bytes(file.read_bytes()[:-4])
    elif kind == "a missing shard":
        file.unlink()
    elif kind == "two shards exchanged":
        other = shard_file(folder, 2)
        first, second = file.read_bytes(), other.read_bytes()
        file.write_bytes(second)
        other.write_bytes(first)
    elif kind == "another key":
        entry = json.loads(file.with_suffix(".json").read_text()) | {"key": "other"}
        file.with_suffix(".json").write_text(json.dumps(entry))
    elif kind == "an edited manifest":
        text = (folder / module.MANIFEST).read_text()
        (folder / module.MANIFEST).write_text(text.replace('"rows": 23', '"rows": 25'))
    elif kind == "no manifest":
        (folder / module.MANIFEST).unlink()


@pytest.mark.parametrize(
    "kind",
    [
        "a flipped bit",
        "a truncated shard",
        "a missing shard",
        "two shards exchanged",
        "another key",
        "an edited manifest",
        "no manifest",
    ],
)
def test_damage_is_noticed_before_a_row_is_used(folder, kind):
    damage(kind, folder)
    with pytest.raises(CheckpointError, match=r"(shard-000001|manifest).*Delete"):
        ShardedLatents(folder)[torch.tensor([7])]


def test_a_shard_is_checked_once_and_only_when_it_is_needed(folder, monkeypatch):
    checked = []
    digest = module.digest_file
    monkeypatch.setattr(
        module, "digest_file", lambda file: checked.append(file.name) or digest(file)
    )
    found = ShardedLatents(folder)
    assert not checked
    for _ in range(3):
        found[torch.tensor([0, 1, 21])]
    assert checked == ["shard-000000.safetensors", "shard-000004.safetensors"]
