"""Items of one column -> latents, batch by batch; whose fault it is where that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from globalworkspace.bars import unwatched
from globalworkspace.data.cells import take_cells
from globalworkspace.data.unreadable import Unreadable
from globalworkspace.domain import DomainModule, encode_checked
from globalworkspace.errors import DomainError


def encode_items(
    name: str,
    module: DomainModule,
    cells: Any,
    items: Tensor,
    rows: Tensor,
    batch_size: int,
    progress: bool,
    unreadable: Unreadable = "stop",
) -> Tensor:
    """Encode the given items of `cells` in batches; (len(items), D) float32 on the CPU.

    With `unreadable="skip"`, NaN stands for what cannot be encoded.
    """

    def encode(chosen: Tensor, chosen_rows: list[int]) -> Tensor:
        return encode_checked(name, module, take_cells(cells, chosen), chosen_rows)

    pieces = []
    with tqdm(
        total=len(items),
        desc=f"encode {name}",
        unit="cell",
        disable=unwatched(progress),
        leave=False,
    ) as bar:
        for start in range(0, len(items), batch_size):
            chunk, chunk_rows = (
                items[start : start + batch_size],
                rows[start : start + batch_size].tolist(),
            )
            try:
                encoded = encode(chunk, chunk_rows)
            except Exception as error:  # a module may fail with anything; the row is what helps
                singly = None
                if unreadable == "skip":
                    singly = _singly(encode, chunk, chunk_rows, module.latent.dim)
                if singly is not None:
                    pieces.append(singly)
                    bar.update(len(chunk))
                    continue
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


def _singly(
    encode: Callable[[Tensor, list[int]], Tensor], items: Tensor, rows: list[int], dim: int
) -> Tensor | None:
    """Latents (n, D) of cells that were encoded one by one, NaN where that failed.

    Args:
        encode: Positions of cells, and their rows for messages -> latents.
        items: (n,) int64, the positions.
        rows: Of the cells.
        dim: D.

    Returns:
        None if every one failed: then it is hardly the cells.
    """
    found = torch.full((len(items), dim), torch.nan)
    for index, (item, row) in enumerate(zip(items, rows, strict=True)):
        try:
            found[index] = encode(item[None], [row])[0].float().cpu()
        except Exception:  # a module may fail with anything; such a cell is what is passed over
            continue
    return found if bool(found.isfinite().any()) else None
