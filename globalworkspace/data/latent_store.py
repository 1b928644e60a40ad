"""Latents on disk, under a digest of what they are of.

The key is a digest of content, see `encoding`. What is loaded is verified first.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from globalworkspace.errors import CheckpointError
from globalworkspace.files import digest_file

FORMAT_VERSION = 1


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
            CheckpointError: If the stored file does not match its digest.
        """
        entry = self.folder / key[:32]
        if not entry.is_dir():
            return None
        file = entry / "latents.safetensors"
        try:
            manifest = json.loads((entry / "manifest.json").read_text())
            sound = manifest["key"] == key and manifest["sha256"] == digest_file(file)
        except (OSError, ValueError, KeyError, TypeError):
            sound = False
        if not sound:
            raise CheckpointError(
                f'The stored latents "{file}" are damaged. Delete the folder "{entry}": they '
                "are made again."
            )
        return load_file(file)["latents"]

    def shards_folder(self, key: str, shard_rows: int) -> Path:
        """Where the shards of `key` lie, see `globalworkspace.data.shards`."""
        return self.folder / f"{key[:32]}-by-{shard_rows}"

    def knows(self, key: str) -> bool:
        """Whether latents of `key` are there, whole or in shards."""
        return any(self.folder.glob(f"{key[:32]}*")) if self.folder.is_dir() else False

    def put(self, key: str, latents: Tensor, domain: str) -> None:
        """Store latents (M, D) in one step, so that no half-written entry is ever seen."""
        self.folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".writing-", dir=self.folder))
        try:
            file = scratch / "latents.safetensors"
            save_file({"latents": latents.contiguous()}, file)
            manifest = {
                "format_version": FORMAT_VERSION,
                "key": key,
                "domain": domain,
                "rows": len(latents),
                "dim": latents.shape[1],
                "sha256": digest_file(file),
            }
            (scratch / "manifest.json").write_text(json.dumps(manifest, indent=2))
            entry = self.folder / key[:32]
            if not entry.exists():
                os.rename(scratch, entry)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
