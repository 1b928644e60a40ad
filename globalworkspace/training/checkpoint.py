"""The checkpoints of a run: `step-*` folders, of which the newest whole one counts.

No file says which that is: all are looked at, and a damaged one is passed over with a warning.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from globalworkspace.errors import CheckpointError
from globalworkspace.files import discard, sweep
from globalworkspace.folders import save_tensors, verify_folder, write_folder, write_text

log = logging.getLogger(__name__)


def write_checkpoint(
    folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]
) -> None:
    """Write `step-*` below `folder` (state.safetensors and state.json), and drop the oldest.

    `state["config"]` goes into the manifest, too.
    """

    def fill(scratch: Path) -> None:
        save_tensors(scratch / "state.safetensors", tensors)
        write_text(scratch / "state.json", json.dumps(state))

    write_folder(
        checkpoint_folder(folder, step), fill, {"step": step, "config": state.get("config")}
    )
    prune_checkpoints(folder)


def checkpoint_folder(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies below `folder`."""
    return folder / f"step-{step:09d}"


def step_of(folder: Path) -> int:
    """The step of a checkpoint's folder."""
    return int(folder.name.removeprefix("step-"))


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole `step-*` folder, by scanning; None if there is none."""
    if folder.is_dir():
        sweep(folder)
    for candidate in _steps(folder):
        try:
            verify_folder(candidate)
        except CheckpointError as error:
            log.warning("the checkpoint %s is passed over: %s", candidate.name, error)
            continue
        return candidate
    return None


def has_checkpoints(folder: Path) -> bool:
    """Whether there is a `step-*` folder, be it whole or damaged."""
    if folder.is_dir():
        sweep(folder)
    return bool(_steps(folder))


def prune_checkpoints(folder: Path, keep: int = 2) -> None:
    """Remove all but the newest `keep` `step-*` folders."""
    for old in _steps(folder)[keep:]:
        discard(old)


def _steps(folder: Path) -> list[Path]:
    """All `step-*` folders, the newest first."""
    return sorted((p for p in folder.glob("step-*") if p.name[5:].isdigit()), reverse=True)
