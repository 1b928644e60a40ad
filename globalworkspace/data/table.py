"""One row table: a column per domain, a missing cell means "not observed".

Which rows are matched follows from which cells are there; nobody writes index arithmetic. Raw data
and latents live in the same class: encoding a table gives a table whose cells are latents.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs
import torch
from torch import Tensor

from globalworkspace.data.cells import Alternatives, is_missing, num_cells, take_cells
from globalworkspace.errors import DataError

Group = tuple[str, ...]
"""The domains a row has, in the table's order."""

Unmatched = Literal["disjoint", "unlinked"]


@attrs.frozen(eq=False)
class Column:
    """The cells of one domain and which of them each row has.

    Row r owns items `first[r] ... first[r] + count[r] - 1` of `cells`: none when missing, several
    when the cell holds alternatives.
    """

    cells: Any
    """M items: a list, a tensor (M, ...), or a mapping of equally long tensors or lists."""
    first: Tensor
    """(N,) int64."""
    count: Tensor
    """(N,) int64."""

    def __len__(self) -> int:
        return len(self.first)

    @property
    def present(self) -> Tensor:
        """(N,) bool: which rows have this domain."""
        return self.count > 0

    def take(self, rows: Sequence[int] | Tensor) -> Any:
        """The first alternative of each given row, as a raw batch.

        Raises:
            DataError: If one of the rows has no such cell.
        """
        rows = torch.as_tensor(rows, dtype=torch.int64)
        missing = (self.count[rows] == 0).nonzero().flatten()
        if len(missing):
            raise DataError(
                f"Row {int(rows[missing[0]])} has no such cell; take only rows where `present` "
                "is true."
            )
        return take_cells(self.cells, self.first[rows])

    def items_of_rows(self) -> Tensor:
        """Positions in `cells` of every item that a row has, alternatives too, in row order."""
        counts = self.count[self.present]
        before = (counts.cumsum(0) - counts).repeat_interleave(counts)
        within = torch.arange(int(counts.sum())) - before
        return self.first[self.present].repeat_interleave(counts) + within

    def select(self, rows: Tensor) -> Column:
        """The column of the given rows, cells shared."""
        return Column(self.cells, self.first[rows], self.count[rows])

    def keep(self, mask: Tensor) -> Column:
        """The same column with the cells of rows outside `mask` (N,) bool missing."""
        return Column(
            self.cells, self.first, torch.where(mask, self.count, torch.zeros_like(self.count))
        )


@attrs.frozen(eq=False)
class Table:
    """Rows over named domains.

    Build one with `Table.from_columns`, `Table.from_dataset` or a data set kind of the registry.

    Example:
        >>> photos, captions = ["a.png", "b.png", None], ["a cat", None, "a dog"]
        >>> table = Table.from_columns({"photo": photos, "caption": captions})
        >>> {", ".join(group): len(rows) for group, rows in table.groups().items()}
        {'photo': 1, 'caption': 1, 'photo, caption': 1}
    """

    columns: Mapping[str, Column]
    origin: Tensor
    """(N,) int64: the row of the source that each row came from, for messages."""

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Table:
        """Build a table from one sequence of cells per domain.

        Args:
            columns: Domain -> cells: a list (None or NaN: missing; `Alternatives([...])`: several),
                a tensor (N, ...), or a mapping of equally long tensors or lists.

        Raises:
            DataError: On columns of unequal length, a domain named twice, a domain without a cell,
                or a row without one.
        """
        pairs = list(columns.items()) if isinstance(columns, Mapping) else list(columns)
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f'Domain "{twice[0]}" is named twice. Give each domain its own name.')
        if not pairs:
            raise DataError("The table has no domain. Give at least one column.")
        built = {name: _column(name, cells) for name, cells in pairs}
        lengths = {name: len(column) for name, column in built.items()}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f'"{name}": {length}' for name, length in lengths.items())
            raise DataError(
                f"Columns have unequal lengths ({shown}). Put None where a row lacks a domain."
            )
        table = cls(built, torch.arange(lengths[names[0]]))
        table.check()
        return table

    @classmethod
    def from_dataset(cls, dataset: Any, keys: Mapping[str, str] | Sequence[str]) -> Table:
        """Build a table from a torch or Hugging Face data set of dicts, one item per row.

        Items are read once to see what is missing (a missing key, None or NaN) and kept.

        Args:
            dataset: Anything with `len()` and integer indexing whose items are mappings.
            keys: Domain -> key of the item, or the keys themselves where both are the same.
        """
        named = dict(keys) if isinstance(keys, Mapping) else {key: key for key in keys}
        cells: dict[str, list[Any]] = {name: [] for name in named}
        for row in range(len(dataset)):
            item = dataset[row]
            if not isinstance(item, Mapping):
                raise DataError(
                    f"Row {row} of the data set is a {type(item).__name__}; a mapping is needed."
                )
            for name, key in named.items():
                cells[name].append(item.get(key))
        for name, key in named.items():
            if all(is_missing(cell) for cell in cells[name]):
                raise DataError(
                    f'No row of the data set has the key "{key}" asked for as domain "{name}".'
                )
        return cls.from_columns(cells)

    def check(self) -> None:
        """Raise a `DataError` if a domain has no cell or a row has none."""
        if len(self) == 0:
            raise DataError("The table has no rows.")
        for name, column in self.columns.items():
            if not bool(column.present.any()):
                raise DataError(
                    f'Domain "{name}" is empty: none of {len(self)} rows has it. Leave it out '
                    "or check its column."
                )
        empty = (
            (~torch.stack([c.present for c in self.columns.values()]).any(dim=0))
            .nonzero()
            .flatten()
        )
        if len(empty):
            raise DataError(
                f"Row {int(self.origin[empty[0]])} has no domain at all ({len(empty)} such "
                "rows). Remove the row or fill one cell."
            )

    def __len__(self) -> int:
        return len(self.origin)

    def __getitem__(self, domain: str) -> Column:
        """The column of `domain`."""
        try:
            return self.columns[domain]
        except KeyError:
            raise DataError(
                f'The table has no domain "{domain}"; it has {", ".join(self.columns)}.'
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    @property
    def domains(self) -> tuple[str, ...]:
        """Domain names, in column order."""
        return tuple(self.columns)

    def groups(self) -> dict[Group, Tensor]:
        """Group -> its rows, (n,) int64; smaller groups first."""
        if not self.columns:
            return {}
        # rows are sorted by what they hold: column by column, so that memory stays small
        found: dict[Group, Tensor] = {(): torch.arange(len(self))}
        for name, column in self.columns.items():
            present, split = column.present, {}
            for group, rows in found.items():
                has = present[rows]
                for members, part in (((*group, name), rows[has]), (group, rows[~has])):
                    if len(part):
                        split[members] = part
            found = split
        rank = {name: i for i, name in enumerate(self.columns)}
        return dict(
            sorted(
                found.items(), key=lambda entry: (len(entry[0]), [rank[name] for name in entry[0]])
            )
        )

    def matched_rows(self) -> Tensor:
        """(n,) int64: rows with two or more domains."""
        return (
            torch.stack([column.present for column in self.columns.values()])
            .sum(dim=0)
            .ge(2)
            .nonzero()
            .flatten()
        )

    def rows_with(self, domain: str, *others: str) -> Tensor:
        """(n,) int64: rows that have all of the given domains.

        Raises:
            DataError: If there is no such domain.
        """
        present = [self[name].present for name in (domain, *others)]
        return torch.stack(present).all(dim=0).nonzero().flatten()

    def select(self, rows: Sequence[int] | Tensor) -> Table:
        """The given rows as a new table."""
        rows = torch.as_tensor(rows, dtype=torch.int64)
        return Table(
            {name: column.select(rows) for name, column in self.columns.items()}, self.origin[rows]
        )

    def only(self, domains: Iterable[str]) -> Table:
        """The given domains as a new table; rows without any of them are left out."""
        picked = {name: self[name] for name in domains}
        rows = torch.stack([c.present for c in picked.values()]).any(dim=0).nonzero().flatten()
        return Table(picked, self.origin).select(rows)

    def match(
        self,
        count: int | Mapping[Sequence[str], int] | None = None,
        *,
        fraction: float | None = None,
        between: Sequence[str] | None = None,
        seed: int = 0,
        unmatched: Unmatched = "disjoint",
    ) -> Table:
        """Simulate few matched rows by hiding the matching of all others.

        For one seed the chosen rows are nested: those for 100 are among those for 200.

        Args:
            count: How many rows stay matched; or several domain sets -> counts, as `{("photo",
                "caption"): 500}`.
            fraction: Instead of `count`: the share of the rows that could.
            between: The domains that stay linked in a matched row (default: all); its other cells
                are hidden or unlinked.
            seed: Of the choice.
            unmatched: `"disjoint"`: any other row keeps one cell only, its counterpart is truly
                absent. `"unlinked"`: it keeps every cell, but each in a row of its own.

        Raises:
            DataError: If more rows are asked for than have all the domains.
        """
        if unmatched not in ("disjoint", "unlinked"):
            raise DataError(f'unmatched={unmatched!r} is unknown; write "disjoint" or "unlinked".')
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        linked = torch.zeros(len(self), len(self.columns), dtype=torch.bool)
        free = torch.ones(len(self), dtype=torch.bool)
        for group, wanted in self._match_requests(count, fraction, between):
            mask = torch.tensor([name in group for name in self.columns])
            able = torch.stack([self[name].present for name in group]).all(dim=0) & free
            candidates = order[able[order]]
            number = round(wanted * len(candidates)) if isinstance(wanted, float) else wanted
            if number > len(candidates):
                raise DataError(
                    f"{number} matched rows of {', '.join(group)} were asked for; only "
                    f"{len(candidates)} rows have "
                    "all of them and are not taken by another set."
                )
            chosen = candidates[:number]
            linked[chosen] = mask
            free[chosen] = False
        present = torch.stack([column.present for column in self.columns.values()], dim=1)
        single = present & ~linked
        if unmatched == "disjoint":
            single &= free[:, None]  # the hidden cells of a matched row are absent, too
            draw = torch.rand(single.shape, generator=torch.Generator().manual_seed(seed + 1))
            kept = draw.masked_fill(~single, -1.0).argmax(dim=1)
            single &= torch.arange(single.shape[1]) == kept[:, None]
        rows, which = single.nonzero(as_tuple=True)
        matched = (~free).nonzero().flatten()
        all_rows = torch.cat([matched, rows])
        keep = torch.cat([linked[matched], torch.eye(len(self.columns), dtype=torch.bool)[which]])
        columns = {
            name: column.select(all_rows).keep(keep[:, i])
            for i, (name, column) in enumerate(self.columns.items())
        }
        return Table(columns, self.origin[all_rows])

    def _match_requests(
        self,
        count: int | Mapping[Sequence[str], int] | None,
        fraction: float | None,
        between: Sequence[str] | None,
    ) -> list[tuple[Group, int | float]]:
        if (count is None) == (fraction is None):
            raise DataError("Give match() either a count or a fraction.")
        if isinstance(count, Mapping):
            if between is not None:
                raise DataError(
                    "Give match() either counts per set of domains or `between`, not both."
                )
            requests: list[tuple[Group, int | float]] = [
                (tuple(group), number) for group, number in count.items()
            ]
        else:
            amount: int | float = float(fraction) if fraction is not None else int(count or 0)
            requests = [(tuple(between if between is not None else self.domains), amount)]
        for group, number in requests:
            unknown = [name for name in group if name not in self.columns]
            if unknown:
                raise DataError(
                    f'match() names the domain "{unknown[0]}"; the table has '
                    f"{', '.join(self.columns)}."
                )
            if len(set(group)) < 2:
                raise DataError(
                    f"A matched row links at least two domains; match() got {list(group)}."
                )
            if number < 0 or (isinstance(number, float) and number > 1):
                raise DataError(
                    f"match() was asked for {number} rows; a count is at least 0, a fraction "
                    "between 0 and 1."
                )
        return requests

    def hold_out(self, share: float = 0.2, seed: int = 0) -> tuple[Table, Table]:
        """Split off a share of the matched rows of every group for validation.

        Of N matched rows, `ceil(share * N)` are validation: N counts both. Unmatched rows all stay
        in training.

        Returns:
            (training, validation) tables.

        Raises:
            DataError: If the share is not in (0, 1) or no row is matched.
        """
        if not 0 < share < 1:
            raise DataError(f"The validation share is {share}; it must lie between 0 and 1.")
        generator = torch.Generator().manual_seed(seed)
        held = []
        for group, rows in self.groups().items():
            if len(group) >= 2 and len(rows) >= 2:
                number = min(math.ceil(round(share * len(rows), 9)), len(rows) - 1)
                held.append(rows[torch.randperm(len(rows), generator=generator)[:number]])
        if not held:
            raise DataError(
                "There are too few matched rows to hold any out. Give rows with two or more "
                "domains."
            )
        mask = torch.zeros(len(self), dtype=torch.bool)
        mask[torch.cat(held)] = True
        return self.select((~mask).nonzero().flatten()), self.select(mask.nonzero().flatten())

    def describe(self) -> str:
        """One line: how many rows of each group."""
        counts = (f"{len(rows):,} {{{', '.join(group)}}}" for group, rows in self.groups().items())
        return f"{len(self):,} rows: " + ", ".join(counts)


def _column(name: str, cells: Any) -> Column:
    number = num_cells(name, cells)
    if isinstance(cells, (Tensor, Mapping)) or not isinstance(cells, Sequence):
        return Column(cells, torch.arange(number), torch.ones(number, dtype=torch.int64))
    if not any(isinstance(cell, Alternatives) or is_missing(cell) for cell in cells):
        return Column(cells, torch.arange(number), torch.ones(number, dtype=torch.int64))
    items: list[Any] = []
    first, count = [], []
    for cell in cells:
        held = list(cell) if isinstance(cell, Alternatives) else [] if is_missing(cell) else [cell]
        first.append(len(items))
        count.append(len(held))
        items.extend(held)
    return Column(
        items, torch.tensor(first, dtype=torch.int64), torch.tensor(count, dtype=torch.int64)
    )
