"""Raw items as cells of a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from globalworkspace.domain import Decodes, DomainModule, Renders
from globalworkspace.errors import DomainError
from globalworkspace.sheet import Facts, Item

if TYPE_CHECKING:
    from globalworkspace.data.table import Column
    from globalworkspace.fusion import State
    from globalworkspace.workspace import GlobalWorkspace

_LONGEST = 200


def shown(module: DomainModule, column: Column, rows: Tensor) -> list[Item]:
    """The cells of some rows, as a page shows them."""
    return cells(module, column.take(rows), len(rows))


def cells(module: DomainModule, raw: Any, count: int) -> list[Item]:
    """A raw batch of `count` items: rendered where the module can, rows as facts, else in words."""
    rendered = module.render(raw) if isinstance(module, Renders) else None
    if rendered is not None:
        return list(rendered)
    if isinstance(raw, Mapping):
        return [
            Facts(items=[(str(name), _value(values[k])) for name, values in raw.items()])
            for k in range(count)
        ]
    if all(isinstance(raw[k], Mapping) for k in range(count)):
        return [
            Facts(items=[(str(name), _value(value)) for name, value in raw[k].items()])
            for k in range(count)
        ]
    return [_words(raw[k]) for k in range(count)]


def decoded(workspace: GlobalWorkspace, state: State, to: str) -> list[Item] | None:
    """What a domain makes of a state; None without a decoder, or without a gallery."""
    module = workspace.domains[to]
    if not isinstance(module, Decodes):
        return None
    try:
        return cells(module, workspace.decode(state, to), len(state))
    except DomainError:  # a domain that answers from a gallery and has none
        return None


def _value(item: Any) -> str:
    """One value of a row; numbers to four digits."""
    item = item.item() if isinstance(item, torch.Tensor) and item.numel() == 1 else item
    return f"{item:.4g}" if isinstance(item, float) else _words(item)


def _words(item: Any) -> str:
    text = str(item.tolist() if isinstance(item, torch.Tensor) else item)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
