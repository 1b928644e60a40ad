"""Folders of safetensors and JSON that are either whole or not there.

A folder is written beside its final place, every file is synced, a manifest with the SHA-256 of
each file (and of itself) goes in last, and one rename makes it visible. What is loaded is verified
first. No pickle anywhere.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from globalworkspace.errors import CheckpointError
from globalworkspace.files import digest_file, digest_json, sync

MANIFEST = "manifest.json"
FORMAT_VERSION = 1


def write_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make `folder` hold exactly what `fill` writes, in one step.

    Args:
        folder: The final place.
        fill: Writes files into the empty folder it is given.

    Raises:
        CheckpointError: If there is a folder of that name that this function did not write.
    """
    if folder.exists() and not (folder / MANIFEST).is_file() and any(folder.iterdir()):
        raise CheckpointError(
            f'"{folder}" holds files that globalworkspace did not write. '
            "Choose an empty or new folder."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".writing-{folder.name}-", dir=folder.parent))
    try:
        fill(scratch)
        files = sorted(path for path in scratch.rglob("*") if path.is_file())
        manifest: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "files": {str(path.relative_to(scratch)): digest_file(path) for path in files},
        }
        manifest["digest"] = digest_json(manifest)
        (scratch / MANIFEST).write_text(json.dumps(manifest, indent=2))
        for path in [*files, scratch / MANIFEST]:
            sync(path)
        sync(scratch)
        scratch.chmod(0o755)
        if folder.exists():
            doomed = Path(tempfile.mkdtemp(prefix=f".replaced-{folder.name}-", dir=folder.parent))
            os.rename(folder, doomed / "old")
            os.rename(scratch, folder)
            shutil.rmtree(doomed)
        else:
            os.rename(scratch, folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def verify_folder(folder: Path) -> None:
    """Check every file of a folder that `write_folder` made.

    Raises:
        CheckpointError: If it is missing, damaged, incomplete, or of a newer format.
    """
    file = folder / MANIFEST
    try:
        manifest = json.loads(file.read_text())
        claimed = manifest.pop("digest")
        sound = claimed == digest_json(manifest)
        version, files = manifest["format_version"], dict(manifest["files"])
    except FileNotFoundError:
        raise CheckpointError(
            f'"{folder}" holds no {MANIFEST}: it was not saved by globalworkspace, or not whole.'
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f'"{file}" is damaged ({type(error).__name__}). Use another copy.'
        ) from None
    if not sound:
        raise CheckpointError(
            f'"{file}" does not match its own digest: it was edited or damaged. Use another copy.'
        )
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f'"{folder}" has format version {version}, this globalworkspace reads '
            f"{FORMAT_VERSION}. Install a newer globalworkspace."
        )
    for name, digest in files.items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f'"{path}" is missing. Use another copy.')
        if digest_file(path) != digest:
            raise CheckpointError(
                f'"{path}" does not match its digest: it was edited or damaged. Use another copy.'
            )


def save_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors to one safetensors file."""
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, file)


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
        raise CheckpointError(f'"{file}" cannot be read: {error}') from error


def load_json(file: Path) -> Any:
    """Read a JSON file of a verified folder."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f'"{file}" cannot be read: {error}') from error


def write_checkpoint(
    folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]
) -> None:
    """Write `step-*` below `folder` (state.safetensors and state.json), and drop the oldest."""

    def fill(scratch: Path) -> None:
        save_tensors(scratch / "state.safetensors", tensors)
        (scratch / "state.json").write_text(json.dumps(state))

    write_folder(checkpoint_folder(folder, step), fill)
    prune_checkpoints(folder)


def checkpoint_folder(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies below `folder`."""
    return folder / f"step-{step:09d}"


def step_of(folder: Path) -> int:
    """The step of a checkpoint's folder."""
    return int(folder.name.removeprefix("step-"))


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole `step-*` folder, by scanning; None if there is none."""
    for candidate in sorted(folder.glob("step-*"), reverse=True):
        try:
            verify_folder(candidate)
        except CheckpointError:
            continue
        return candidate
    return None


def prune_checkpoints(folder: Path, keep: int = 2) -> None:
    """Remove all but the newest `keep` `step-*` folders."""
    for old in sorted(folder.glob("step-*"), reverse=True)[keep:]:
        shutil.rmtree(old, ignore_errors=True)
