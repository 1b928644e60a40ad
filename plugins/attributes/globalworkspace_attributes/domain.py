"""Table columns as a domain: nothing is learned, each column is a named part of the latent.

Because a part knows its kind, a category is compared by cross-entropy, an angle on the circle and a
number in standard units, instead of all by one squared error over hand-scaled values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from globalworkspace import DomainModule, LatentSpec, Rendering
from globalworkspace.errors import ConfigError, DomainError
from globalworkspace_attributes import columns as column_types

MOST_CATEGORIES = 50
"""A column with more different words is taken for text."""


class AttributesDomain(DomainModule):
    """A table's columns: categorical, continuous or circular, one latent part each.

    Args:
        columns: Column -> its config, in latent order: `{"type": "categorical", "categories":
            [...]}`, `{"type": "continuous"}`, `{"type": "circular", "period": 360}` (default 2 pi),
            or the bare type as a string. Columns of the data that are not named here are left out.

    Raises:
        ConfigError: On an unknown type or setting, or one that `complete_config` has yet to fill
            in.

    Example:
        >>> domain = AttributesDomain({"shape": {"categories": ["egg", "kite"]}, "x": "continuous"})
        >>> domain.encode([{"shape": "kite", "x": 3.0}]).tolist()
        [[0.0, 1.0, 3.0]]
    """

    def __init__(self, columns: Mapping[str, Any]) -> None:
        super().__init__()
        if not isinstance(columns, Mapping) or not columns:
            raise ConfigError(
                f"The columns of an attributes domain are {columns!r}. "
                'Give at least one, as {"x": "continuous"}, or let complete_config() find them.'
            )
        self.columns = {
            str(name): column_types.build(name, given) for name, given in columns.items()
        }
        self.latent = LatentSpec(tuple(column.part(name) for name, column in self.columns.items()))

    joins_columns: ClassVar[bool] = True

    @classmethod
    def suits(cls, cells: Sequence[Any]) -> float:
        """Numbers, truth values, and words that recur."""
        if all(isinstance(cell, (int, float)) for cell in cells):
            return 0.9
        if not all(isinstance(cell, str) for cell in cells):
            return 0.0
        kinds, long = len(set(cells)), any(len(cell.split()) > 3 for cell in cells)
        return 0.0 if long or kinds > MOST_CATEGORIES or 2 * kinds > len(cells) else 0.8

    @torch.no_grad()
    def encode(self, raw: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Tensor:
        """Encode N rows.

        Args:
            raw: N mappings, one per row, or a mapping of columns of N cells (tensors, arrays or
                lists). Categorical cells are categories; an integer tensor over named categories
                holds positions.

        Returns:
            (N, D) float32 on the CPU: one-hot, number, or (cos, sin), column after column.

        Raises:
            DomainError: On a missing column, an unknown category, NaN or a cell of a wrong type,
                with column and row.
        """
        cells = self._by_column(raw)
        return torch.cat(
            [column.encode(name, cells[name]) for name, column in self.columns.items()], dim=1
        )

    def decode(self, latents: Tensor) -> dict[str, Any]:
        """Latents (N, D) -> column -> N cells.

        Returns:
            Categorical columns as a list of categories (the likeliest), continuous ones as a float
            tensor (N,), circular ones as a float tensor (N,) in [0, period).
        """
        pieces = self.latent.split(latents.detach().cpu())
        return {name: column.decode(pieces[name]) for name, column in self.columns.items()}

    def render(self, raw: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[Rendering]:
        """N rows -> N JSON objects of column -> text, in words a line of `describe`."""
        return [
            Rendering(
                media_type="application/json",
                data=json.dumps(row, ensure_ascii=False).encode(),
                alt=_line(row),
            )
            for row in self._texts(raw)
        ]

    def describe(self, raw: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[str]:
        """N rows -> N lines as `shape: egg · x: 12.3`; cells are checked as in `encode`."""
        return [_line(row) for row in self._texts(raw)]

    def _texts(self, raw: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
        table = self.decode(self.encode(raw))
        texts = [
            [column.text(cell) for cell in _as_list(table[name])]
            for name, column in self.columns.items()
        ]
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*texts, strict=True)]

    def config(self) -> dict[str, Any]:
        """`{"columns": {name: {"type": ..., ...}}}`, complete."""
        return {"columns": {name: column.config() for name, column in self.columns.items()}}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> AttributesDomain:
        """Build the domain of `config()`.

        Raises:
            ConfigError: Also on a key other than `columns`.
        """
        _check_keys(config)
        return cls(config.get("columns", {}))

    @classmethod
    def complete_config(cls, config: Mapping[str, Any], cells: Any) -> dict[str, Any]:
        """Fill in what the training cells tell.

        Args:
            config: May leave out the categories of categorical columns (then: all that occur,
                sorted), give `"auto"` as a type (strings and booleans: categorical; numbers:
                continuous), or leave out `columns` (then: every column, `"auto"`).
            cells: Training rows: a sequence of mappings (None: missing) or a mapping of columns.

        Returns:
            A config that needs no completing; the one given is not changed.

        Raises:
            ConfigError: On unknown keys, or a column whose cells fit no type.
            DomainError: If a column is not in the data.
        """
        _check_keys(config)
        if not isinstance(cells, Mapping):
            cells = [cell for cell in cells if cell is not None]
        present = _names(cells)
        wanted = config.get("columns") or dict.fromkeys(present, "auto")
        if not isinstance(wanted, Mapping):
            raise ConfigError(
                f'columns is {wanted!r}; give a mapping such as {{"x": "continuous"}}.'
            )
        if not wanted:
            raise ConfigError(
                "There are no training cells to find the columns in. Give columns in the config."
            )
        return {
            "columns": {
                name: column_types.complete(name, given, _column(name, cells, present))
                for name, given in wanted.items()
            }
        }

    def _by_column(self, raw: Any) -> dict[str, Any]:
        if not isinstance(raw, Mapping) and (isinstance(raw, str) or not isinstance(raw, Sequence)):
            raise DomainError(
                f"Attributes were given as a {type(raw).__name__}; give a list of mappings, one "
                "per row, "
                "or a mapping of columns."
            )
        if not isinstance(raw, Mapping):
            for row, cell in enumerate(raw):
                if not isinstance(cell, Mapping):
                    raise DomainError(
                        f"Row {row} of the attributes is a {type(cell).__name__}; give a mapping "
                        "of "
                        f"{', '.join(self.columns)} to values."
                    )
        present = _names(raw)
        cells = {name: _column(name, raw, present) for name in self.columns}
        if isinstance(raw, Mapping):
            lengths = {name: _length(name, values) for name, values in cells.items()}
            if len(set(lengths.values())) > 1:
                shown = ", ".join(f'"{name}": {length}' for name, length in lengths.items())
                raise DomainError(
                    f"Attribute columns have unequal lengths ({shown}). Give one value per row in "
                    "each."
                )
        return cells


def _check_keys(config: Mapping[str, Any]) -> None:
    for key in config:
        if key != "columns":
            raise ConfigError(
                "An attributes domain has no setting "
                f'"{key}".{column_types.nearest(str(key), ["columns"])}'
            )


def _names(cells: Any) -> list[str]:
    """Columns of a table, in order of first appearance."""
    if isinstance(cells, Mapping):
        return list(cells)
    for row, cell in enumerate(cells):
        if not isinstance(cell, Mapping):
            raise DomainError(
                f"Row {row} of the attributes is a {type(cell).__name__}; a mapping of columns to "
                'values is needed. In a config file, list the columns: column = ["x"].'
            )
    return list(dict.fromkeys(name for cell in cells for name in cell))


def _column(name: str, cells: Any, present: Sequence[str]) -> Any:
    if isinstance(cells, Mapping):
        if name in cells:
            return cells[name]
        row = ""
    else:
        try:
            return [cell[name] for cell in cells]
        except KeyError:
            row = f"Row {next(i for i, cell in enumerate(cells) if name not in cell)}: "
    raise DomainError(
        f'{row}column "{name}" is missing from the '
        f"attributes.{column_types.nearest(name, present)} "
        "Add it to the data, or take it out of the domain's columns."
    )


def _length(name: str, values: Any) -> int:
    if isinstance(values, str) or not hasattr(values, "__len__") or getattr(values, "ndim", 1) == 0:
        raise DomainError(
            f'Column "{name}" is the single value {values!r}; give one value per row, as '
            f"[{values!r}]."
        )
    return len(values)


def _line(row: Mapping[str, str]) -> str:
    return " · ".join(f"{name}: {text}" for name, text in row.items())


def _as_list(values: Any) -> list[Any]:
    return values.tolist() if isinstance(values, Tensor) else values
