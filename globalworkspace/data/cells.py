"""Cells: how they are counted, taken and digested, whatever holds them."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import attrs
import numpy as np
import torch
from torch import Tensor

from globalworkspace.errors import DataError
from globalworkspace.moving import onto
from globalworkspace.references import digest_files


@runtime_checkable
class LazyLatents(Protocol):
    """Latents (M, D) that are read where they are asked for."""

    @property
    def shard_rows(self) -> int:
        """How many rows lie together, in one file."""

    def __len__(self) -> int: ...

    def __getitem__(self, items: Tensor) -> Tensor:
        """The latents (B, D) at positions (B,) int64."""

    def split(self, rows: int) -> Iterator[Tensor]:
        """All latents in order, at most `rows` at a time."""

    def prefetch(self, shards: list[int]) -> None:
        """Say which files are read next."""


@attrs.frozen
class Alternatives(Sequence[Any]):
    """A cell of several interchangeable items (five captions, say); one is drawn per use."""

    items: tuple[Any, ...] = attrs.field(converter=tuple)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        """The item (or items) at `index`."""
        return self.items[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


def is_missing(cell: Any) -> bool:
    """Whether a cell says "not observed": None, NaN, or alternatives without an item."""
    if cell is None:
        return True
    if isinstance(cell, (float, np.floating)):
        return math.isnan(cell)
    return isinstance(cell, Alternatives) and len(cell) == 0


def num_cells(name: str, cells: Any) -> int:
    """How many items `cells` holds; `name` is its domain, for messages."""
    if isinstance(cells, Mapping):
        lengths = {key: len(values) for key, values in cells.items()}
        if len(set(lengths.values())) != 1:
            raise DataError(f'Domain "{name}": its columns need one common length; got {lengths}.')
        return next(iter(lengths.values()))
    if isinstance(cells, str) or not hasattr(cells, "__len__") or not hasattr(cells, "__getitem__"):
        raise DataError(
            f'Domain "{name}": {type(cells).__name__} is no column. Give a list, a tensor or a '
            "mapping of equally long columns."
        )
    return len(cells)


def take_cells(cells: Any, items: Tensor) -> Any:
    """The items at positions (B,) int64, as a raw batch of the same kind as `cells`."""
    if isinstance(cells, Tensor):
        return cells.index_select(0, onto(items, cells.device))
    if isinstance(cells, LazyLatents):
        return cells[items]
    if isinstance(cells, np.ndarray):
        return cells[items.numpy()]
    if isinstance(cells, Mapping):
        return {key: take_cells(values, items) for key, values in cells.items()}
    return [cells[i] for i in items.tolist()]


def digest_cells(cells: Any) -> str | None:
    """SHA-256 of the content (files and folders, too); None if some of it cannot be digested."""
    digest = hashlib.sha256()
    try:
        _update(digest, cells)
    except _Undigestible:
        return None
    return digest.hexdigest()


class _Undigestible(Exception):
    pass


def _update(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        digest.update(f"tensor {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    elif isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"array {value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Path):
        digest.update(f"file {value.suffix}\0".encode())  # its content counts, not where it lies
        if value.is_dir():
            digest.update(digest_files(value).encode())
        else:
            _update_file(digest, str(value))
    elif isinstance(value, str):
        digest.update(f"text {value}\0".encode())
        if len(value) < 1024 and "\n" not in value and os.path.isfile(value):
            _update_file(digest, value)
    elif isinstance(value, bytes):
        digest.update(b"bytes" + value)
    elif value is None or isinstance(value, (bool, int, float, np.generic)):
        digest.update(f"{type(value).__name__} {value!r}\0".encode())
    elif isinstance(value, Mapping):
        for key in sorted(value):
            digest.update(f"key {key}\0".encode())
            _update(digest, value[key])
    elif isinstance(value, (list, tuple, Alternatives)):
        digest.update(f"list {len(value)}".encode())
        for item in value:
            _update(digest, item)
    elif attrs.has(type(value)):  # a cell of a plugin's own: its fields are its content
        digest.update(type(value).__qualname__.encode())
        for field in attrs.fields(type(value)):
            _update(digest, getattr(value, field.name))
    elif (
        hasattr(value, "tobytes") and hasattr(value, "mode") and hasattr(value, "size")
    ):  # a picture held in memory
        digest.update(f"{value.mode} {value.size}".encode() + value.tobytes())
    else:
        raise _Undigestible


def _update_file(digest: Any, path: str) -> None:
    try:
        with open(path, "rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    except OSError:
        raise _Undigestible from None
