"""Latents on disk, under a digest of what they are of.

The key is a digest of content, see `encoding`. What is loaded is verified first.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from globalworkspace.errors import CheckpointError
from globalworkspace.files import digest_file
from globalworkspace.folders import (
    MANIFEST,
    load_json,
    load_tensors,
    save_tensors,
    verify_folder,
    write_folder,
    write_text,
)

LATENTS, ENTRY = "latents.safetensors", "entry.json"
_FORMAT_1 = {"format_version", "key", "domain", "rows", "dim", "sha256"}
"""What manifest.json said in format 1, of its one file and of what is now in entry.json."""


class LatentStore:
    """Latents on disk, a folder per (domain module, cells).

    Args:
        folder: Where they are kept; made when first needed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def get(self, key: str) -> Tensor | None:
        """The latents (M, D) stored under `key`, or None.

        Raises:
            CheckpointError: If what is stored does not match its digests, or is of another key.
        """
        entry = self.folder / key[:32]
        if not entry.is_dir():
            return None
        try:
            if _verified(entry)["key"] != key:
                raise CheckpointError(f'"{entry}" is of other cells, or of another module.')
            return load_tensors(entry / LATENTS)["latents"]
        except CheckpointError as error:
            raise CheckpointError(
                f"The stored latents cannot be used: {error} If there is no other copy, delete the "
                f'folder "{entry}": they are made again.'
            ) from error

    def shards_folder(self, key: str, shard_rows: int) -> Path:
        """Where the shards of `key` lie, see `globalworkspace.data.shards`."""
        return self.folder / f"{key[:32]}-by-{shard_rows}"

    def knows(self, key: str) -> bool:
        """Whether latents of `key` are there, whole or in shards."""
        return any(self.folder.glob(f"{key[:32]}*")) if self.folder.is_dir() else False

    def put(self, key: str, latents: Tensor, domain: str) -> None:
        """Store latents (M, D) in one step, so that no half-written entry is ever seen.

        Raises:
            StorageError: If they cannot be written.
        """

        def fill(scratch: Path) -> None:
            save_tensors(scratch / LATENTS, {"latents": latents})
            entry = {"key": key, "domain": domain, "rows": len(latents), "dim": latents.shape[1]}
            write_text(scratch / ENTRY, json.dumps(entry))

        if not (self.folder / key[:32]).is_dir():
            write_folder(self.folder / key[:32], fill)


def _verified(entry: Path) -> dict[str, Any]:
    """What a folder of latents says of itself, if its files are what was written."""
    if not (entry / ENTRY).exists() and (entry / MANIFEST).is_file():
        manifest = load_json(entry / MANIFEST)
        if isinstance(manifest, dict) and manifest.keys() == _FORMAT_1:
            file = entry / LATENTS
            if not file.is_file() or digest_file(file) != manifest["sha256"]:
                raise CheckpointError(f'"{file}" is missing or does not match its digest.')
            return manifest
    verify_folder(entry)
    found: dict[str, Any] = load_json(entry / ENTRY)
    return found
