"""Latents of a table: computed once, batch by batch, kept in memory or on disk under a fingerprint.

The key is a digest of content: the domain module (class, config, weights) and the cells. A second
run with the same module and data does not encode again; a column that cannot be digested is encoded
again, and a message says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from globalworkspace.data.cells import digest_cells, take_cells
from globalworkspace.data.table import Column, Table
from globalworkspace.domain import DomainModule, encode_checked
from globalworkspace.errors import CheckpointError, DomainError

log = logging.getLogger(__name__)
FORMAT_VERSION = 1
Precision = Literal["fp32", "bf16"]
PROBE, AGREEMENT = 32, 0.999
"""How many cells are encoded both ways before bfloat16 is trusted, and the smallest cosine."""


@attrs.frozen(kw_only=True)
class EncodingConfig:
    """How a table is encoded, see `encode_table`."""

    precision: Precision = attrs.field(
        default="fp32", validator=attrs.validators.in_(("fp32", "bf16"))
    )
    """`bf16`: bfloat16 autocast for the domains whose latents stay the same."""
    batch_size: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.ge(1))
    )
    """Cells per call of `encode`; None: each domain's own choice."""


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
    batch_size: int | None = None,
    progress: bool = False,
    precision: Precision = "fp32",
) -> Table:
    """Encode every cell of `table` once.

    Args:
        domains: Domain -> module; each column of the table needs one.
        table: Raw data.
        store: Where latents are looked up and kept; None: memory only.
        batch_size: Cells per call of `encode`; None: each module's own `cells_per_call`.
        progress: Show a bar with cells/s for each domain.
        precision: `"bf16"`: encode under bfloat16 autocast, about twice to four times as fast where
            the machine has it; a domain whose first latents then differ (cosine below 0.999) is
            encoded in float32 all the same, and a message says so.

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
            name, domains[name], table[name], table.origin, store, batch_size, progress, precision
        )
    return Table(columns, table.origin)


def _encode_column(
    name: str,
    module: DomainModule,
    column: Column,
    origin: Tensor,
    store: LatentStore | None,
    batch_size: int | None,
    progress: bool,
    precision: Precision,
) -> Column:
    present = column.present
    counts = column.count[present]
    used = column.items_of_rows()
    rows_of_items = origin[present].repeat_interleave(counts)
    items, inverse = used.unique(return_inverse=True)
    rows = torch.empty(len(items), dtype=torch.int64)
    rows[inverse] = rows_of_items
    content: str | None = None
    if store is not None:
        content = digest_cells(take_cells(column.cells, items))
        if content is None:
            log.warning(
                'The cells of domain "%s" cannot be digested; they are encoded again in every run.',
                name,
            )
    latents = _stored(store, module, content, precision)
    if latents is None and precision == "bf16":
        if not _agrees(name, module, column.cells, items[:PROBE]):
            precision = "fp32"
            latents = _stored(store, module, content, precision)
    if latents is None:
        size = batch_size or module.cells_per_call
        with _precision(module, precision):
            latents = encode_items(name, module, column.cells, items, rows, size, progress)
        if store is not None and content is not None:
            store.put(_key(module, content, precision), latents, name)
    position = torch.zeros(int(items.max()) + 1 if len(items) else 1, dtype=torch.int64)
    position[items] = torch.arange(len(items))
    first = torch.zeros_like(column.first)
    first[present] = position[column.first[present]]
    return Column(latents, first, column.count)


def _key(module: DomainModule, content: str, precision: Precision) -> str:
    """Of what decides the latents: the module, the cells, and how they are encoded."""
    marked = f"{module.fingerprint()} {content}" + (" bf16" if precision == "bf16" else "")
    return hashlib.sha256(marked.encode()).hexdigest()


def _stored(
    store: LatentStore | None, module: DomainModule, content: str | None, precision: Precision
) -> Tensor | None:
    if store is None or content is None:
        return None
    return store.get(_key(module, content, precision))


def _precision(
    module: DomainModule, precision: Precision
) -> contextlib.AbstractContextManager[Any]:
    if precision == "fp32":
        return contextlib.nullcontext()
    weight = next(module.parameters(), None)
    return torch.autocast("cpu" if weight is None else weight.device.type, torch.bfloat16)


@torch.no_grad()
def _agrees(name: str, module: DomainModule, cells: Any, items: Tensor) -> bool:
    """Whether the first latents are the same in bfloat16, as far as directions go."""
    if not len(items):
        return True
    found = []
    for precision in ("fp32", "bf16"):
        with _precision(module, precision):
            try:
                found.append(module.encode(take_cells(cells, items)).float())
            except Exception:  # encoding proper says what is wrong, and with which row
                return True
    cosine = float(F.cosine_similarity(found[0], found[1], dim=1).min())
    if cosine >= AGREEMENT:
        return True
    log.warning(
        'Domain "%s" is encoded in float32: in bfloat16 its latents differ (cosine %.4f, at least '
        "%g is wanted).",
        name,
        cosine,
        AGREEMENT,
    )
    return False


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
