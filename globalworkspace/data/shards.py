"""Latents larger than memory: files of equally many rows, memory-mapped, each checked once.

    manifest.json              what the shards are of, and how many
    shard-000000.safetensors   `latents` (rows, D)
    shard-000000.json          its rows and SHA-256, written last: the shard is whole

Encoding is a job that any number of processes or machines may share through the folder: worker w of
W makes the shards w, w + W, ... that are not there yet. Each is written beside its place, synced
and renamed, so that stopping anything costs one shard at most.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from globalworkspace.errors import CheckpointError
from globalworkspace.files import digest_file, digest_json, sweep, write_file, writing

FORMAT_VERSION = 1
MANIFEST = "manifest.json"


class ShardedLatents:
    """Latents (M, D) in the files of a folder, read where they are asked for.

    Args:
        folder: What `write_shards` and `finish_shards` made.

    Raises:
        CheckpointError: If there is no whole manifest.
    """

    ndim = 2
    device = torch.device("cpu")

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            found = json.loads((self.folder / MANIFEST).read_text())
            claimed = found.pop("digest")
            self.key: str = found["key"]
            self.shape = torch.Size((int(found["rows"]), int(found["dim"])))
            self.shard_rows = int(found["shard_rows"])
            sound = claimed == digest_json(found) and found["format_version"] == FORMAT_VERSION
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            sound = False
        if not sound:
            raise CheckpointError(
                f'"{self.folder / MANIFEST}" is missing, damaged or of another format version. '
                f'Delete the folder "{self.folder}": the latents are made again.'
            )
        self._open: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def num_shards(self) -> int:
        """Number of files."""
        return -(-len(self) // self.shard_rows)

    def numel(self) -> int:
        """Number of values."""
        return self.shape.numel()

    def shard(self, index: int) -> Tensor:
        """The latents (rows, D) of one shard, mapped into memory.

        Raises:
            CheckpointError: If the file is missing or damaged; each is checked when first used.
        """
        if index not in self._open:
            entry = read_shard_entry(self.folder, index)
            file = shard_file(self.folder, index)
            rows = min(self.shard_rows, len(self) - index * self.shard_rows)
            if entry is None or entry["key"] != self.key or entry["rows"] != rows:
                raise CheckpointError(f'The shard "{file}" is missing. {self._remedy(file)}')
            try:
                sound = digest_file(file) == entry["sha256"]
                latents = load_file(file)["latents"] if sound else None
            except Exception:  # the file is at fault, whatever safetensors raises
                latents = None
            if latents is None or tuple(latents.shape) != (rows, self.shape[1]):
                raise CheckpointError(f'The shard "{file}" is damaged. {self._remedy(file)}')
            self._open[index] = latents
        return self._open[index]

    def __getitem__(self, items: Tensor) -> Tensor:
        """The latents (B, D) at positions (B,) int64."""
        items = items.cpu()
        found = torch.empty(len(items), self.shape[1])
        shards = items // self.shard_rows
        for index in shards.unique().tolist():
            here = shards == index
            found[here] = self.shard(index)[items[here] - index * self.shard_rows]
        return found

    def split(self, rows: int) -> Iterator[Tensor]:
        """All latents in order, at most `rows` at a time, none across two shards."""
        for index in range(self.num_shards):
            yield from self.shard(index).split(rows)

    def prefetch(self, shards: list[int]) -> None:
        """Tell the system that these shards are read next, where it can be told."""
        if not hasattr(os, "posix_fadvise"):
            return
        for index in shards:
            handle = os.open(shard_file(self.folder, index), os.O_RDONLY)
            try:
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(handle)

    def _remedy(self, file: Path) -> str:
        return (
            f'Delete "{file.with_suffix(".json").name}" beside it and encode again: only what is '
            "missing is made."
        )


def shard_file(folder: Path, index: int) -> Path:
    """Where a shard lies."""
    return folder / f"shard-{index:06d}.safetensors"


def read_shard_entry(folder: Path, index: int) -> dict[str, Any] | None:
    """What is noted of a shard: key, rows, sha256; None if it is not there, or not whole."""
    file = shard_file(folder, index)
    try:
        entry: dict[str, Any] = json.loads(file.with_suffix(".json").read_text())
        whole = entry["bytes"] == file.stat().st_size and {"key", "rows", "sha256"} <= entry.keys()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return entry if whole else None


def write_shards(
    folder: Path,
    key: str,
    rows: int,
    shard_rows: int,
    encode: Callable[[slice], Tensor],
    *,
    worker: int = 0,
    workers: int = 1,
) -> int:
    """Make this worker's share of the shards that are not there yet.

    Args:
        folder: Theirs; made when needed.
        key: Digest of what the latents are of; shards of another are made again.
        rows: Of all shards together, M.
        shard_rows: Of each, but for the last.
        encode: A stretch of the rows -> their latents (n, D).
        worker: This worker, from 0.
        workers: How many there are.

    Returns:
        How many shards it made.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    made = 0
    for index in range(worker, -(-rows // shard_rows), workers):
        stretch = slice(index * shard_rows, min((index + 1) * shard_rows, rows))
        entry = read_shard_entry(folder, index)
        size = stretch.stop - stretch.start
        if entry is not None and entry["key"] == key and entry["rows"] == size:
            continue
        content = save({"latents": encode(stretch).float().cpu().contiguous()})
        file = shard_file(folder, index)
        file.with_suffix(".json").unlink(missing_ok=True)  # never beside a file it is not of
        write_file(file, content)
        noted = {
            "key": key,
            "rows": size,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        write_file(file.with_suffix(".json"), json.dumps(noted))
        made += 1
    return made


def finish_shards(folder: Path, key: str, rows: int, dim: int, shard_rows: int) -> bool:
    """Write the manifest if every shard is there; whether it was. Any worker may, last or not."""
    for index in range(-(-rows // shard_rows)):
        entry = read_shard_entry(folder, index)
        if entry is None or entry["key"] != key:
            return False
    manifest: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "key": key,
        "rows": rows,
        "dim": dim,
        "shard_rows": shard_rows,
    }
    manifest["digest"] = digest_json(manifest)
    write_file(folder / MANIFEST, json.dumps(manifest, indent=2))
    return True
