"""Folders of safetensors and JSON that are either whole or not there.

A folder is written beside its final place, a manifest with the size and SHA-256 of each file (and
of itself) goes in last, all of it is synced, and one rename makes it visible. What is loaded is
verified first, and only files inside the folder are read. No pickle anywhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from globalworkspace.errors import CheckpointError
from globalworkspace.files import (
    digest_file,
    digest_json,
    move_folder,
    scratch_for,
    sweep,
    sync,
    writing,
)
from globalworkspace.versions import versions

MANIFEST = "manifest.json"
FORMAT_VERSION = 2
"""1 had no sizes and no versions of what wrote it; it is still read."""
LARGEST_JSON = 1 << 28
"""Bytes of the largest JSON file that is read."""


def write_folder(
    folder: Path,
    fill: Callable[[Path], None],
    about: Mapping[str, Any] | None = None,
    *,
    editable: Sequence[str] = (),
) -> None:
    """Make `folder` hold exactly what `fill` writes, in one step.

    Args:
        folder: The final place.
        fill: Writes files into the empty folder it is given.
        about: JSON-able, for the manifest: what made it.
        editable: Files that nothing reads and people may change; the manifest leaves them out.

    Raises:
        CheckpointError: If there is a folder of that name that this function did not write.
        StorageError: If it cannot be written; what was there before still is.
    """
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep(folder.parent)
        if folder.exists() and not (folder / MANIFEST).is_file() and any(folder.iterdir()):
            raise CheckpointError(
                f'"{folder}" holds files that globalworkspace did not write. '
                "Choose an empty or new folder."
            )
        with scratch_for(folder) as scratch:
            scratch.mkdir()
            fill(scratch)
            files = sorted(path for path in scratch.rglob("*") if path.is_file())
            with writing(folder, sum(path.stat().st_size for path in files)):
                held = [f for f in files if f.relative_to(scratch).as_posix() not in editable]
                write_text(
                    scratch / MANIFEST, json.dumps(_manifest(scratch, held, about), indent=2)
                )
                for path in [*scratch.rglob("*"), scratch]:
                    sync(path)
                move_folder(scratch, folder)
                sync(folder.parent)


def _manifest(
    folder: Path, files: Sequence[Path], about: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What says which files belong to a folder, and of itself whether it is whole."""
    manifest: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "files": {
            path.relative_to(folder).as_posix(): {
                "bytes": path.stat().st_size,
                "sha256": digest_file(path),
            }
            for path in files
        },
        "versions": versions(),
        "about": dict(about or {}),
    }
    return manifest | {"digest": digest_json(manifest)}


def verify_folder(folder: Path) -> None:
    """Check every file of a folder that `write_folder` made.

    Raises:
        CheckpointError: If it is missing, damaged, incomplete, of a newer format, or names a file
            outside.
    """
    for name, (size, digest) in _claims(folder).items():
        path = folder / name
        try:
            if not path.is_file():
                raise CheckpointError(f'"{path}" is missing. Use another copy.')
            if not any(path.resolve().is_relative_to(home) for home in _homes(folder)):
                raise CheckpointError(f'"{path}" is a link to a file outside. Use another copy.')
            matches = size in (None, path.stat().st_size) and digest_file(path) == digest
        except OSError as error:  # a name too long for a file system, say
            raise CheckpointError(
                f'"{path}" cannot be read: {error.strerror}. Use another copy.'
            ) from error
        if not matches:
            raise CheckpointError(
                f'"{path}" does not match its digest: it was edited or damaged. Use another copy.'
            )


def _claims(folder: Path) -> dict[str, tuple[int | None, str]]:
    """File -> (bytes, SHA-256), as a manifest says that is sound in itself."""
    file = folder / MANIFEST
    if not file.exists():
        sweep(folder.parent)  # a writer that died may have set the folder aside
    if not file.is_file():
        raise CheckpointError(
            f'"{folder}" holds no {MANIFEST}: it was not saved by globalworkspace, or not whole. '
            "Use another copy."
        )
    manifest = load_json(file)
    try:
        claimed = manifest.pop("digest")
        sound = claimed == digest_json(manifest)
        version, files = manifest["format_version"], dict(manifest["files"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f'"{file}" is damaged ({type(error).__name__}). Use another copy.'
        ) from None
    if not sound:
        raise CheckpointError(
            f'"{file}" does not match its own digest: it was edited or damaged. Use another copy.'
        )
    if version not in range(1, FORMAT_VERSION + 1):
        raise CheckpointError(
            f'"{folder}" has format version {version}, this globalworkspace reads 1 to '
            f"{FORMAT_VERSION}. Install a newer one: pip install -U globalworkspace."
        )
    found: dict[str, tuple[int | None, str]] = {}
    for name, claim in files.items():
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or os.path.isabs(name) or "\\" in name:
            raise CheckpointError(f'"{file}" names "{name}", outside its folder. Do not use it.')
        try:
            found[name] = (None, claim) if version == 1 else (claim["bytes"], claim["sha256"])
        except (KeyError, TypeError):
            raise CheckpointError(
                f'"{file}" says nothing usable of "{name}". Use another copy.'
            ) from None
    return found


def _homes(folder: Path) -> Iterator[Path]:
    """Where a folder's files may lie: in it, or where the Hugging Face cache keeps its files."""
    home = folder.resolve()
    yield home
    for parent in home.parents:
        if parent.name == "snapshots":
            yield parent.parent / "blobs"


def is_there(folder: Path) -> bool:
    """Whether there is such a folder, even if its writer died before it had put the new one up."""
    if not folder.is_dir():
        sweep(folder.parent)
    return folder.is_dir()


def write_text(file: Path, text: str) -> None:
    """Write a file of a folder that is being filled."""
    content = text.encode()
    with writing(file, len(content)):
        file.write_bytes(content)


def save_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors to one safetensors file of a folder that is being filled."""
    ready = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with writing(file, sum(value.nbytes for value in ready.values())):
        save_file(ready, file)


def load_tensors(file: Path) -> dict[str, Tensor]:
    """Read a safetensors file of a verified folder.

    Raises:
        CheckpointError: If it cannot be read.
    """
    try:
        return load_file(file)
    except (
        Exception
    ) as error:  # safetensors raises several types; the file is at fault in each case
        raise CheckpointError(f'"{file}" cannot be read: {error}. Use another copy.') from error


def load_json(file: Path) -> Any:
    """Read a JSON file.

    Raises:
        CheckpointError: If it cannot be read, is too large, or nested too deeply.
    """
    try:
        if file.stat().st_size > LARGEST_JSON:
            raise ValueError(f"it is larger than {LARGEST_JSON:,} bytes")
        return json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f'"{file}" cannot be read: {error}. Use another copy.') from error
