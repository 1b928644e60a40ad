"""Encoding a table: every cell once, batch by batch, in memory or into files.

The latents are kept under a digest of content: the domain module (class, config, weights), the
cells, and the precision. A second run with the same module and data does not encode again; a column
that cannot be digested is encoded again, and a message says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalworkspace.data.cells import digest_cells, take_cells
from globalworkspace.data.encoded_items import encode_items
from globalworkspace.data.latent_store import LatentStore
from globalworkspace.data.shards import ShardedLatents, finish_shards, write_shards
from globalworkspace.data.table import Column, Table
from globalworkspace.data.unreadable import Unreadable, hide_unreadable
from globalworkspace.domain import DomainModule
from globalworkspace.errors import CheckpointError, ConfigError, DomainError
from globalworkspace.processes import Processes

log = logging.getLogger(__name__)
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
    shard_rows: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.ge(1))
    )
    """Latents of domains with more cells stay in files of so many rows; None: in memory."""
    unreadable: Unreadable = attrs.field(
        default="stop", validator=attrs.validators.in_(("stop", "skip"))
    )
    """A cell that cannot be encoded: `stop` names it; `skip` counts it as missing, with a warning
    that tells how many and which rows."""


def encode_table(
    domains: Mapping[str, DomainModule],
    table: Table,
    *,
    store: LatentStore | None = None,
    batch_size: int | None = None,
    progress: bool = False,
    precision: Precision = "fp32",
    shard_rows: int | None = None,
    unreadable: Unreadable = "stop",
    processes: Processes | None = None,
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
        shard_rows: Put the latents of a domain with more cells than that into files of so many rows
            in the store, and leave them there: for latents larger than memory.
        unreadable: `"skip"`: a cell that cannot be encoded counts as missing, with a warning that
            names the rows; a row may then hold nothing at all, see `without_unreadable`.
        processes: Those that encode together: shards are shared among them; what is no shard the
            first encodes, and the others find it in the store.

    Returns:
        A table of the same rows whose cells are float32 latents (M, D), or `ShardedLatents`.

    Raises:
        ConfigError: If latents shall go into files and there is no store.
        DomainError: If a module breaks its contract or cannot read a cell, naming domain and row.
    """
    missing = [name for name in table if name not in domains]
    if missing:
        raise DomainError(
            f'The table has a domain "{missing[0]}" and the workspace has {", ".join(domains)}.'
        )
    if shard_rows is not None and store is None:
        raise ConfigError(
            f"shard_rows={shard_rows} puts latents into files, and there is no store for them. "
            "Give store=LatentStore(folder)."
        )
    together = processes or Processes()
    columns = {}
    for name in table:
        job = _Job.of(name, domains[name], table[name], table.origin, store, precision, unreadable)
        options: dict[str, Any] = {"batch_size": batch_size, "progress": progress}
        latents: Tensor | ShardedLatents
        if store is not None and job.sharded(shard_rows):
            assert shard_rows is not None
            latents = _sharded(job, store, shard_rows, together, options)
        else:
            with together.first_before_others() if store else contextlib.nullcontext():
                latents = _whole(job, store, options)
        columns[name] = Column(latents, job.first, table[name].count)
        if unreadable == "skip":
            columns[name] = hide_unreadable(name, columns[name], table.origin)
    return Table(columns, table.origin)


def encode_share(
    domains: Mapping[str, DomainModule],
    table: Table,
    *,
    store: LatentStore,
    shard_rows: int,
    worker: int,
    workers: int,
    batch_size: int | None = None,
    progress: bool = False,
    precision: Precision = "fp32",
    unreadable: Unreadable = "stop",
) -> dict[str, bool]:
    """One worker's share of encoding a table, without a word to the other workers.

    Worker 0 also encodes what is too small for shards. Any number of workers may run at the same
    time or one after the other, on machines that share the store's folder, and be started again.

    Args:
        domains: See `encode_table`.
        table: See `encode_table`; the same for each worker.
        store: See `encode_table`.
        shard_rows: Rows per file.
        worker: This one, from 0.
        workers: How many there are.
        batch_size: See `encode_table`.
        progress: See `encode_table`.
        precision: See `encode_table`.
        unreadable: See `encode_table`.

    Returns:
        Domain -> whether its latents are complete now.
    """
    done = {}
    for name in table:
        job = _Job.of(name, domains[name], table[name], table.origin, store, precision, unreadable)
        options: dict[str, Any] = {"batch_size": batch_size, "progress": progress}
        if job.sharded(shard_rows):
            folder = job.write(store, shard_rows, worker, workers, options)
            done[name] = job.finish(folder, shard_rows)
        elif worker == 0:
            _whole(job, store, options)
            done[name] = True
        else:
            done[name] = job.stored(store) is not None
    return done


def _whole(job: _Job, store: LatentStore | None, options: Mapping[str, Any]) -> Tensor:
    """Latents (M, D) in memory, from the store or encoded now."""
    latents = job.stored(store)
    if latents is None:
        latents = job.encode(slice(None), options)
        if store is not None and job.key is not None:
            store.put(job.key, latents, job.name)
    return latents


def _sharded(
    job: _Job,
    store: LatentStore,
    shard_rows: int,
    together: Processes,
    options: Mapping[str, Any],
) -> ShardedLatents:
    """Latents (M, D) in files, which the processes make between them."""
    folder = job.write(store, shard_rows, together.rank, together.size, options)
    together.wait()
    if together.first and not job.finish(folder, shard_rows):
        raise CheckpointError(
            f'Some shards of domain "{job.name}" vanished from "{folder}" while they were made. '
            "Run the same command again: only what is missing is made."
        )
    together.wait()
    return ShardedLatents(folder)


@attrs.frozen(eq=False, kw_only=True)
class _Job:
    """The items of one column that are to be encoded, and what decides their latents."""

    name: str
    module: DomainModule
    cells: Any
    items: Tensor
    """(M,) int64, positions in `cells`."""
    rows: Tensor
    """(M,) int64, a row of the source that has each item, for messages."""
    first: Tensor
    """(N,) int64, where each row's latents begin."""
    key: str | None
    """Digest of module, cells and precision; None: not to be kept."""
    precision: Precision
    unreadable: Unreadable

    @classmethod
    def of(
        cls,
        name: str,
        module: DomainModule,
        column: Column,
        origin: Tensor,
        store: LatentStore | None,
        precision: Precision,
        unreadable: Unreadable,
    ) -> _Job:
        """What one column has to encode."""
        present = column.present
        counts = column.count[present]
        items, inverse = column.items_of_rows().unique(return_inverse=True)
        rows = torch.empty(len(items), dtype=torch.int64)
        rows[inverse] = origin[present].repeat_interleave(counts)
        position = torch.zeros(int(items.max()) + 1 if len(items) else 1, dtype=torch.int64)
        position[items] = torch.arange(len(items))
        first = torch.zeros_like(column.first)
        first[present] = position[column.first[present]]
        content = None
        if store is not None:
            content = digest_cells(take_cells(column.cells, items))
            if content is None:
                log.warning(
                    'The cells of domain "%s" cannot be digested; they are encoded again in every '
                    "run.",
                    name,
                )
        if content is not None and unreadable == "skip":
            content += " skip"  # where NaN may stand
        key = None if content is None else _key(module, content, precision)
        known = key is not None and store is not None and store.knows(key)
        if precision == "bf16" and not known:
            if not _agrees(name, module, column.cells, items[:PROBE]):
                precision = "fp32"
                key = None if content is None else _key(module, content, precision)
        return cls(
            name=name,
            module=module,
            cells=column.cells,
            items=items,
            rows=rows,
            first=first,
            key=key,
            precision=precision,
            unreadable=unreadable,
        )

    def sharded(self, shard_rows: int | None) -> bool:
        """Whether the latents go into files: they are more than one holds, and have a key."""
        return shard_rows is not None and self.key is not None and len(self.items) > shard_rows

    def stored(self, store: LatentStore | None) -> Tensor | None:
        """The latents as the store has them."""
        return None if store is None or self.key is None else store.get(self.key)

    def encode(self, stretch: slice, options: Mapping[str, Any]) -> Tensor:
        """Latents (n, D) of a stretch of the items."""
        with _precision(self.module, self.precision):
            return encode_items(
                self.name,
                self.module,
                self.cells,
                self.items[stretch],
                self.rows[stretch],
                options["batch_size"] or self.module.cells_per_call,
                options["progress"],
                self.unreadable,
            )

    def write(
        self,
        store: LatentStore,
        shard_rows: int,
        worker: int,
        workers: int,
        options: Mapping[str, Any],
    ) -> Path:
        """Make a worker's share of the shards; their folder."""
        assert self.key is not None
        folder = store.shards_folder(self.key, shard_rows)
        write_shards(
            folder,
            self.key,
            len(self.items),
            shard_rows,
            lambda stretch: self.encode(stretch, options),
            worker=worker,
            workers=workers,
        )
        return folder

    def finish(self, folder: Path, shard_rows: int) -> bool:
        """Declare the shards whole, if they are."""
        assert self.key is not None
        dim = self.module.latent.dim
        return finish_shards(folder, self.key, len(self.items), dim, shard_rows)


def _key(module: DomainModule, content: str, precision: Precision) -> str:
    """Of what decides the latents: the module, the cells, and how they are encoded."""
    marked = f"{module.fingerprint()} {content}" + (" bf16" if precision == "bf16" else "")
    return hashlib.sha256(marked.encode()).hexdigest()


@contextlib.contextmanager
def _precision(module: DomainModule, precision: Precision) -> Iterator[None]:
    """How a module computes inside; in bfloat16 convolutions lay channels last, for speed."""
    if precision == "fp32":
        yield
        return
    weight = next(module.parameters(), None)
    convolves = any(isinstance(part, nn.Conv2d) for part in module.modules())
    if convolves:
        module.to(memory_format=torch.channels_last)
    try:
        with torch.autocast("cpu" if weight is None else weight.device.type, torch.bfloat16):
            yield
    finally:
        if convolves:
            module.to(memory_format=torch.contiguous_format)


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
