"""A run's folder: what a training run leaves behind, and how it is opened again.

config.json        the resolved settings
metrics.jsonl      losses and validation errors, a line per logged step
timings.jsonl      what the clock said at each of them
evaluation.json    translation errors, retrieval and further evaluations on held-out rows
report.html        figures and translations to look at
checkpoints/       for resuming
workspace/         what GlobalWorkspace.from_pretrained reads
galleries/<name>/  the items that a domain without a decoder of its own answers with
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from globalworkspace.data.cells import take_cells
from globalworkspace.data.table import Table
from globalworkspace.errors import CheckpointError, ConfigError
from globalworkspace.files import discard
from globalworkspace.folders import (
    is_there,
    load_json,
    load_tensors,
    save_tensors,
    verify_folder,
    write_folder,
    write_text,
)
from globalworkspace.gallery import GalleryDecoding
from globalworkspace.training.checkpoint import has_checkpoints
from globalworkspace.workspace import GlobalWorkspace

CONFIG = "config.json"
_FREE_SECTIONS, _FREE_SETTINGS = ("evaluations", "test"), ("progress", "device")


def refuse_another(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise a `ConfigError` if the folder holds checkpoints of a training by another config.

    What only says how to judge, or where to compute, may differ.

    Args:
        folder: The run folder.
        config: Nested settings.
    """
    file = folder / CONFIG
    if not file.is_file() or not has_checkpoints(folder / "checkpoints"):
        return
    before, now = _flat(load_json(file)), _flat(json.loads(json.dumps(config, default=str)))
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if changed:
        raise ConfigError(
            f'"{folder}" holds a run with another {", ".join(changed)}. Go on with the same '
            "config, give another folder by --out, or begin anew by --restart, which removes what "
            "is there."
        )


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """`[section] setting` -> value, without what may differ."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if name in _FREE_SECTIONS:
            continue
        if isinstance(value, Mapping):
            inner = {k: v for k, v in value.items() if k not in _FREE_SETTINGS}
            found |= {f"[{name}] {key}": setting for key, setting in inner.items()}
        else:
            found[name] = value
    return found


def clear_run(folder: Path, mark: str) -> None:
    """Remove an earlier run's `mark` and checkpoints: they must not pass for the new one's."""
    discard(folder / "checkpoints")
    if (folder / mark).is_dir():
        discard(folder / mark)
    (folder / mark).unlink(missing_ok=True)


def save_run(
    folder: str | Path,
    workspace: GlobalWorkspace,
    raw: Table | None = None,
    latents: Table | None = None,
) -> None:
    """Save a trained workspace into a run folder, with the galleries of its domains.

    Args:
        folder: The run folder.
        workspace: The trained workspace.
        raw: Rows whose cells become the galleries of domains that decode by example (strings and
            file paths only), saved and given to those that have none.
        latents: The same rows, encoded.
    """
    home = Path(folder)
    workspace.save_pretrained(home / "workspace")
    if raw is None or latents is None:
        return
    for name, module in workspace.domains.items():
        if not isinstance(module, GalleryDecoding) or name not in raw.columns:
            continue
        present = raw[name].present
        cells = take_cells(raw[name].cells, raw[name].first[present])
        if isinstance(cells, list) and all(isinstance(cell, (str, Path)) for cell in cells):
            codes = latents[name].cells[latents[name].first[present]]
            kept, seen = [], set()
            for position, cell in enumerate(cells):
                if str(cell) not in seen:
                    seen.add(str(cell))
                    kept.append(position)
            gallery, codes = [cells[i] for i in kept], codes[torch.tensor(kept)]
            save_gallery(home, name, gallery, codes)
            if module.gallery is None:
                module.set_gallery(gallery, codes)


def save_gallery(
    folder: str | Path, name: str, cells: Sequence[str | Path], latents: Tensor
) -> None:
    """Save the gallery of one domain: strings or file paths, and their latents (len(cells), D)."""

    def fill(scratch: Path) -> None:
        are_files = [isinstance(cell, Path) for cell in cells]
        entries = [str(cell.absolute()) if isinstance(cell, Path) else cell for cell in cells]
        write_text(
            scratch / "cells.json",
            json.dumps({"files": all(are_files), "cells": entries}, ensure_ascii=False),
        )
        save_tensors(scratch / "latents.safetensors", {"latents": latents})

    write_folder(Path(folder) / "galleries" / name, fill)


def load_run(folder: str | Path) -> GlobalWorkspace:
    """The trained workspace of a run folder, its galleries in place.

    Raises:
        CheckpointError: If the folder holds no finished run, or is damaged.
    """
    home = Path(folder).expanduser()
    if not is_there(home / "workspace"):
        raise CheckpointError(
            f'"{home}" holds no trained workspace. Give the folder that a finished '
            '"globalworkspace train" or "demo" wrote.'
        )
    workspace = GlobalWorkspace.from_pretrained(home / "workspace")
    for name, module in workspace.domains.items():
        gallery = home / "galleries" / name
        if isinstance(module, GalleryDecoding) and is_there(gallery):
            verify_folder(gallery)
            entry: dict[str, Any] = load_json(gallery / "cells.json")
            cells = [Path(cell) for cell in entry["cells"]] if entry["files"] else entry["cells"]
            module.set_gallery(cells, load_tensors(gallery / "latents.safetensors")["latents"])
    return workspace
