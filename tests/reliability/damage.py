"""Checkpoints, stored latents and saved workspaces that are damaged, and what reading them says.

    python tests/reliability/damage.py [--number 1000]

Each is a copy of a sound folder with one thing done to it. Reading it must end in a
`CheckpointError` that names a file of it and what to do, and a run must go on from the checkpoint
before. Prints what was counted as JSON.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from core_domains import Vector, small_table, small_workspace
from crash import register

from globalworkspace import LatentStore, Trainer, TrainerConfig
from globalworkspace.data.shards import ShardedLatents, finish_shards, write_shards
from globalworkspace.errors import CheckpointError
from globalworkspace.files import digest_json
from globalworkspace.objectives.translation import Translation
from globalworkspace.pretrained import load_workspace
from globalworkspace.training.checkpoint import newest_checkpoint

KEY, ROWS, DIM, SHARD = "k" * 64, 50, 4, 16
REMEDIES = ("Use another copy", "elete ", "pip install")
NAMES = ("left", "right", "third")


def make(home):
    """Sound folders: kind -> the folder."""
    workspace, table = small_workspace((4, 6, 3)), small_table(dims=(4, 6, 3))
    config = TrainerConfig(steps=4, checkpoint_every=2, device="cpu", progress=False)
    Trainer(config, [Translation()]).fit(workspace, table, run_dir=home / "run")
    workspace.save_pretrained(home / "workspace")
    latents = torch.randn(ROWS, DIM, generator=torch.Generator().manual_seed(0))
    LatentStore(home / "store").put(KEY, latents, "left")
    write_shards(home / "shards", KEY, ROWS, SHARD, lambda rows: latents[rows])
    assert finish_shards(home / "shards", KEY, ROWS, DIM, SHARD)
    return {
        "checkpoint": home / "run" / "checkpoints" / "step-000000004",
        "workspace": home / "workspace",
        "latents": home / "store" / KEY[:32],
        "latents in shards": home / "shards",
    }


def read(kind, folder):
    """Read all of a folder as the library does."""
    if kind == "checkpoint":
        found = newest_checkpoint(folder.parent)
        if found != folder:
            assert found == folder.parent / "step-000000002"
            raise CheckpointError(_passed_over(folder))
    elif kind == "workspace":
        modules = dict(zip(NAMES, map(Vector, (4, 6, 3)), strict=True))
        load_workspace(folder, modules)
    elif kind == "latents":
        LatentStore(folder.parent).get(KEY)
    else:
        latents = ShardedLatents(folder)
        assert latents.key == KEY, "of other cells"
        list(latents.split(ROWS))


def _passed_over(folder):
    """What a run says of the checkpoint that it passes over."""
    from globalworkspace.folders import verify_folder

    try:
        verify_folder(folder)
    except CheckpointError as error:
        return str(error)
    raise AssertionError(f"{folder} is sound and was passed over")


# ---- damages: (folder, files, generator) -> whether anything changed


def truncate(folder, files, generator):
    file = generator.choice(files)
    content = file.read_bytes()
    file.write_bytes(content[: generator.randrange(len(content))])


def flip(folder, files, generator):
    file = generator.choice(files)
    content = bytearray(file.read_bytes())
    content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    file.write_bytes(content)


def zero(folder, files, generator):
    file = generator.choice(files)
    content = bytearray(file.read_bytes())
    start, size = generator.randrange(len(content)), generator.choice([1, 16, 512])
    content[start : start + size] = bytes(len(content[start : start + size]))
    file.write_bytes(content)


def swap(folder, files, generator):
    one, other = generator.sample(files, 2)
    before = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(before)


def rename(folder, files, generator):
    file = generator.choice(files)
    file.rename(file.with_name(generator.choice(["renamed", file.name + ".bak", "x-" + file.name])))


def edit(folder, files, generator):
    """Another value in a JSON file."""
    file = generator.choice([f for f in files if f.suffix == ".json"])
    content = json.loads(file.read_text())
    at, value = content, None
    while isinstance(at, (dict, list)) and at:
        holder = at
        key = generator.choice(list(at)) if isinstance(at, dict) else generator.randrange(len(at))
        at = at[key]
    value = {"int": 7, "str": "edited", "float": 0.5}.get(type(at).__name__, 1)
    holder[key] = value if value != at else "another"
    file.write_text(json.dumps(content))


def newer(folder, files, generator):
    """A format of the future, sound in itself."""
    file = folder / "manifest.json"
    content = json.loads(file.read_text())
    content.pop("digest")
    content["format_version"] = generator.randrange(3, 99)
    content["digest"] = digest_json(content)
    file.write_text(json.dumps(content))


DAMAGES = {
    "cut short": (truncate, 300),
    "one bit flipped": (flip, 400),
    "a block of zeros": (zero, 100),
    "two files swapped": (swap, 50),
    "a file renamed": (rename, 50),
    "JSON edited": (edit, 80),
    "a newer format": (newer, 20),
}
"""Damage -> how it is done, and how often among 1,000."""


def damages(home, number, seed=0):
    """Damage that many copies; counts by kind of damage and of folder, and what was wrong."""
    generator = random.Random(seed)
    sound = make(home / "sound")
    for kind, folder in sound.items():
        read(kind, folder)
    accepted, unclear = [], []
    by_damage, by_kind = collections.Counter(), collections.Counter()
    plan = [name for name, (_, share) in DAMAGES.items() for _ in range(share * number // 1000)]
    for index, name in enumerate(plan):
        kind = list(sound)[index % len(sound)]
        root = sound[kind].parent if kind in ("checkpoint", "latents") else sound[kind]
        folder = home / "damaged" / sound[kind].relative_to(root)
        while True:
            shutil.rmtree(home / "damaged", ignore_errors=True)
            shutil.copytree(root, home / "damaged")
            files = sorted(f for f in folder.rglob("*") if f.is_file())
            before = {f: f.read_bytes() for f in files}
            DAMAGES[name][0](folder, files, generator)
            if any(not f.exists() or f.read_bytes() != content for f, content in before.items()):
                break
        by_damage[name] += 1
        by_kind[kind] += 1
        try:
            read(kind, folder)
        except CheckpointError as error:
            said = str(error)
            if str(folder) not in said or not any(remedy in said for remedy in REMEDIES):
                unclear.append(f"{kind}, {name}: {said}")
        except Exception as error:
            accepted.append(f"{kind}, {name}: {type(error).__name__}: {error}")
        else:
            accepted.append(f"{kind}, {name}")
    return {
        "corruptions": sum(by_damage.values()),
        "accepted": accepted,
        "unclear": unclear,
        "by_damage": dict(by_damage),
        "by_kind": dict(by_kind),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=1000)
    args = parser.parse_args()
    register()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(damages(Path(folder).resolve(), args.number)))


if __name__ == "__main__":
    main()
