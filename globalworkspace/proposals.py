"""A config proposed for data that is there: which columns become domains, and of which kinds.

Kinds that tell which cells are for them (`globalworkspace.domain.Suits`) are asked about each
column; what is known of formats is theirs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch

from globalworkspace.data.cells import Alternatives, is_missing
from globalworkspace.data.readers import FILE_COLUMN, read_records, table_of_records
from globalworkspace.data.table import Column, Table
from globalworkspace.domain import Suits
from globalworkspace.errors import DataError
from globalworkspace.registry import get_registry

TABLES = (".csv", ".jsonl", ".parquet")
_LOOKED_AT = 200
"""Cells of a column that the kinds are shown."""


@attrs.define(kw_only=True)
class ProposedDomain:
    """A section [domains.NAME]."""

    name: str
    kind: str
    columns: list[str]
    joined: bool
    """Whether its columns make one cell together."""


@attrs.define(kw_only=True)
class Proposal:
    """What a config would say."""

    data: dict[str, Any]
    """[data]"""
    domains: list[ProposedDomain]
    left_out: dict[str, str]
    """Column -> why it is no domain."""
    rows: int
    matched: int
    """Rows that hold two of the domains or more."""

    def config(self, **sections: Mapping[str, Any]) -> dict[str, Any]:
        """The config as nested settings, with further sections."""
        domains = {
            entry.name: {
                "kind": entry.kind,
                "column": entry.columns if entry.joined else entry.columns[0],
            }
            for entry in self.domains
        }
        return {"data": dict(self.data), "domains": domains, **sections}


def propose(path: str | Path) -> Proposal:
    """Look at a table file, or at a folder with one, and propose a config.

    Raises:
        DataError: If there is no table, or nothing in it that an installed kind reads.
    """
    data, table = read_data(path)
    return propose_domains(table, data, str(path))


def propose_domains(table: Table, data: Mapping[str, Any], where: str = "the table") -> Proposal:
    """Propose domains for the columns of a table.

    Args:
        table: A column per column.
        data: What [data] is to say.
        where: What the table is called in messages.

    Raises:
        DataError: If no installed kind reads any of its columns.
    """
    asked = {name: entry.load() for name, entry in get_registry().kinds("domain").items()}
    kinds = {name: kind for name, kind in asked.items() if isinstance(kind, Suits)}
    domains: list[ProposedDomain] = []
    left_out: dict[str, str] = {}
    for column in table:
        cells = _some(table, column)
        if _counts(cells):
            left_out[column] = "it numbers the rows"
            continue
        scores = {name: kind.suits(cells) for name, kind in kinds.items()}
        best = max(scores, key=scores.__getitem__, default="")
        if not best or scores[best] <= 0:
            left_out[column] = "no installed kind reads such cells"
            continue
        joined = kinds[best].joins_columns
        same = next((d for d in domains if joined and d.kind == best), None)
        if same is not None:
            same.columns.append(column)
        else:
            name = _unused(best if joined else _name(column), [d.name for d in domains])
            domains.append(ProposedDomain(name=name, kind=best, columns=[column], joined=joined))
    if not domains:
        known = ", ".join(kinds) or "none that proposes itself is installed"
        raise DataError(
            f'Nothing in "{where}" is for an installed kind ({known}). Install an add-on '
            "(globalworkspace doctor lists them), or write the config by hand."
        )
    held = torch.stack(
        [torch.stack([table[c].present for c in d.columns]).all(dim=0) for d in domains]
    )
    return Proposal(
        data=dict(data),
        domains=domains,
        left_out=left_out,
        rows=len(table),
        matched=int((held.sum(dim=0) >= 2).sum()),
    )


def joined_columns(table: Table, columns: Mapping[str, str | Sequence[str]]) -> Table:
    """The table of domains: of several columns, one mapping per row; missing where one of them is.

    Args:
        table: A column per column.
        columns: Domain -> column, or several that form one cell together.
    """
    made: dict[str, Column] = {}
    for name, wanted in columns.items():
        if isinstance(wanted, str):
            made[name] = table[wanted]
            continue
        whole = torch.stack([table[column].present for column in wanted]).all(dim=0)
        rows = whole.nonzero().flatten()
        taken = {column: _items(table[column].take(rows)) for column in wanted}
        cells = [dict(zip(taken, row, strict=True)) for row in zip(*taken.values(), strict=True)]
        first = whole.long().cumsum(0) - 1
        made[name] = Column(cells, first.clamp(min=0), whole.long())
    return Table(made, table.origin)


def read_data(path: str | Path) -> tuple[dict[str, Any], Table]:
    """What [data] is to say of a table file, or of a folder with one, and its table.

    Columns without a cell, and rows without one, are left out of the table.

    Raises:
        DataError: If there is no table, or several.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        found = sorted(file for file in place.iterdir() if file.suffix in TABLES)
        named = [file for file in found if file.stem == "metadata"] or found
        if not named:
            raise DataError(
                f'"{place}" holds no table that says what belongs together. Write metadata.csv '
                f"there: a header {FILE_COLUMN} and a column for all else you know, a line a file."
            )
        if len(named) > 1:
            names = ", ".join(file.name for file in named)
            raise DataError(f'"{place}" holds several tables ({names}). Name one of them.')
        file = named[0]
    elif place.is_file():
        file = place
    else:
        raise DataError(f'"{place}" does not exist. Name a folder or a table file.')
    records = read_records(file)
    known = list(dict.fromkeys(name for record in records for name in record))
    held = [n for n in known if not all(is_missing(record.get(n)) for record in records)]
    records = [
        {name: record.get(name) for name in held}
        for record in records
        if not all(is_missing(record.get(name)) for name in held)
    ]
    table = table_of_records(records, None, str(file))
    files = _file_columns(table, file.parent)
    if not files:
        return {"kind": "table", "path": str(file)}, table
    for record in records:
        for name in files:
            if not is_missing(record[name]):
                record[name] = file.parent / str(record[name])
    data: dict[str, Any] = {"kind": "folder", "path": str(file.parent)}
    if file.stem != "metadata":
        data["metadata"] = file.name
    if files != [FILE_COLUMN]:
        data["files"] = files
    return data, table_of_records(records, None, str(file))


def _file_columns(table: Table, folder: Path) -> list[str]:
    """The columns whose cells are names of files in a folder."""
    found = []
    for column in table:
        cells = _some(table, column)
        if cells and all(isinstance(c, str) and len(c) < 200 and "\n" not in c for c in cells):
            if all((folder / cell).exists() for cell in cells):
                found.append(column)
    return found


def _some(table: Table, column: str) -> list[Any]:
    """Some cells of a column, the first of alternatives."""
    rows = table.rows_with(column)[:_LOOKED_AT]
    cells = _items(table[column].take(rows))
    return [cell[0] if isinstance(cell, Alternatives) else cell for cell in cells]


def _items(batch: Any) -> list[Any]:
    """A raw batch as a list of its items."""
    if isinstance(batch, Mapping):
        columns = {name: _items(values) for name, values in batch.items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return batch.tolist() if isinstance(batch, torch.Tensor) else list(batch)


def _unused(name: str, taken: Sequence[str]) -> str:
    """A name that no other domain has."""
    number, found = 2, name
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    return found


def _counts(cells: Sequence[Any]) -> bool:
    """Whether cells are 0, 1, 2, ... or 1, 2, 3, ..."""
    if len(cells) < 3 or not all(isinstance(cell, (int, float)) for cell in cells):
        return False
    return all(b - a == 1 for a, b in zip(cells, cells[1:], strict=False)) and cells[0] in (0, 1)


def _name(column: str) -> str:
    """A column's name as that of a domain."""
    if column == FILE_COLUMN:
        return "file"
    name = re.sub(r"[^A-Za-z0-9_-]", "_", column.removesuffix("_" + FILE_COLUMN))
    return name if re.match(r"[A-Za-z_]", name) else f"_{name}"


def toml_text(config: Mapping[str, Any], comment: str = "") -> str:
    """A config as TOML: sections of texts, numbers, truth values and lists."""
    lines = [f"# {line}" for line in comment.splitlines()]
    top = {name: value for name, value in config.items() if not isinstance(value, Mapping)}
    lines += [f"{_key(name)} = {_toml(value)}" for name, value in top.items()]
    for name, value in config.items():
        if isinstance(value, Mapping):
            lines += _section(_key(name), value)
    return "\n".join(lines) + "\n"


def _section(path: str, values: Mapping[str, Any]) -> list[str]:
    plain = {n: v for n, v in values.items() if not isinstance(v, Mapping)}
    inner = {n: v for n, v in values.items() if isinstance(v, Mapping)}
    lines = ["", f"[{path}]"] if plain or not inner else []
    lines += [f"{_key(name)} = {_toml(value)}" for name, value in plain.items()]
    for name, value in inner.items():
        lines += _section(f"{path}.{_key(name)}", value)
    return lines


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _toml(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)
