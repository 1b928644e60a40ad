"""Latents of a table: computed once, batch by batch, kept in memory or on disk under a fingerprint.

The key is a digest of content: the domain module (class, config, weights) and the cells. A second
run with the same module and data does not encode again; a column that cannot be digested is encoded
again, and a message says so.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm.auto import tqdm

from globalworkspace.data.cells import digest_cells, take_cells
from globalworkspace.data.table import Column, Table
from globalworkspace.domain import DomainModule, encode_checked
from globalworkspace.errors import CheckpointError, DomainError

log = logging.getLogger(__name__)
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
            sound = manifest["key"] == key and manifest["sha256"] == _digest(file)
        except (OSError, ValueError, KeyError, TypeError):
            sound = False
        if not sound:
            raise CheckpointError(
                f'The stored latents "{file}" are damaged. Delete the folder "{entry}": they '
                "are made again."
            )
        return load_file(file)["latents"]

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
                "sha256": _digest(file),
            }
            (scratch / "manifest.json").write_text(json.dumps(manifest, indent=2))
            entry = self.folder / key[:32]
            if not entry.exists():
                os.rename(scratch, entry)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def encode_table(
    domains: Mapping[str, DomainModule],
    table: Table,
    *,
    store: LatentStore | None = None,
    batch_size: int = 256,
    progress: bool = False,
) -> Table:
    """Encode every cell of `table` once.

    Args:
        domains: Domain -> module; each column of the table needs one.
        table: Raw data.
        store: Where latents are looked up and kept; None: memory only.
        batch_size: Cells per call of `encode`.
        progress: Show a bar with cells/s for each domain.

    Returns:
        A table of the same rows whose cells are float32 latents (M, D).

    Raises:
        DomainError: If a module breaks its contract or cannot read a cell, naming domain and row.
    """
    missing = [name for name in table if name not in domains]
    if missing:
        raise DomainError(
            f'The table has a domain "{missing[0]}" and the workspace has {", ".join(domains)}.'
        )
    columns = {}
    for name in table:
        columns[name] = _encode_column(
            name, domains[name], table[name], table.origin, store, batch_size, progress
        )
    return Table(columns, table.origin)


def _encode_column(
    name: str,
    module: DomainModule,
    column: Column,
    origin: Tensor,
    store: LatentStore | None,
    batch_size: int,
    progress: bool,
) -> Column:
    present = column.present
    counts = column.count[present]
    used = column.items_of_rows()
    rows_of_items = origin[present].repeat_interleave(counts)
    items, inverse = used.unique(return_inverse=True)
    rows = torch.empty(len(items), dtype=torch.int64)
    rows[inverse] = rows_of_items
    key = None
    latents: Tensor | None = None
    if store is not None:
        content = digest_cells(take_cells(column.cells, items))
        if content is None:
            log.warning(
                'The cells of domain "%s" cannot be digested; they are encoded again in every run.',
                name,
            )
        else:
            key = hashlib.sha256(f"{module.fingerprint()} {content}".encode()).hexdigest()
            latents = store.get(key)
    if latents is None:
        latents = encode_items(name, module, column.cells, items, rows, batch_size, progress)
        if store is not None and key is not None:
            store.put(key, latents, name)
    position = torch.zeros(int(items.max()) + 1 if len(items) else 1, dtype=torch.int64)
    position[items] = torch.arange(len(items))
    first = torch.zeros_like(column.first)
    first[present] = position[column.first[present]]
    return Column(latents, first, column.count)


def encode_items(
    name: str,
    module: DomainModule,
    cells: Any,
    items: Tensor,
    rows: Tensor,
    batch_size: int,
    progress: bool,
) -> Tensor:
    """Encode the given items of `cells` in batches; (len(items), D) float32 on the CPU."""
    pieces = []
    with tqdm(
        total=len(items), desc=f"encode {name}", unit="cell", disable=not progress, leave=False
    ) as bar:
        for start in range(0, len(items), batch_size):
            chunk, chunk_rows = (
                items[start : start + batch_size],
                rows[start : start + batch_size].tolist(),
            )
            try:
                encoded = encode_checked(name, module, take_cells(cells, chunk), chunk_rows)
            except Exception as error:  # a module may fail with anything; the row is what helps
                if isinstance(error, DomainError) and f'"{name}"' in str(error):
                    raise
                reason = error if isinstance(error, DomainError) else _named(error)
                culprit = _culprit(module, cells, chunk, chunk_rows)
                raise DomainError(f'Domain "{name}", row {culprit}: {reason}') from error
            pieces.append(encoded.detach().float().cpu())
            bar.update(len(chunk))
    return torch.cat(pieces) if pieces else torch.zeros(0, module.latent.dim)


def _culprit(module: DomainModule, cells: Any, items: Tensor, rows: list[int]) -> str:
    """The first row of a failing batch that fails alone; the range when none does."""
    for item, row in zip(items, rows, strict=True):
        try:
            with torch.no_grad():
                module.encode(take_cells(cells, item[None]))
        except Exception:  # the failure that is being explained
            return str(row)
    return f"{rows[0]} to {rows[-1]}"


def _named(error: Exception) -> str:
    return f"encode() failed with {type(error).__name__}: {error}. Check that cell."


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
