"""One class per column type: how its cells become a latent part, and back.

Each `encode` takes a whole column at once, so that 100,000 rows of tensors take milliseconds, and
looks for the culprit only after something failed. Numbers are checked in float64: NaN, infinity and
None are errors, because a row that lacks an attribute should be missing as a whole.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import attrs
import torch
from torch import Tensor

from globalworkspace.errors import ConfigError, DomainError
from globalworkspace.latents import Part

Category = str | int | bool
MAX_INFERRED_CATEGORIES = 1000
"""A column with more distinct strings than this is taken for text, not for categories."""


class Column(Protocol):
    """A column type with its settings: `Categorical`, `Continuous` or `Circular`."""

    type: ClassVar[str]

    def part(self, name: str) -> Part:
        """The latent part of this column."""

    def encode(self, name: str, cells: Any) -> Tensor:
        """N cells -> (N, part.dim) float32."""

    def decode(self, latents: Tensor) -> Any:
        """(N, part.dim) -> N cells."""

    def config(self) -> dict[str, Any]:
        """JSON-able settings, `type` included."""

    def text(self, cell: Any) -> str:
        """One decoded cell for a reader."""


@attrs.frozen(kw_only=True)
class Categorical:
    """One of a known list of names, whole numbers or booleans; its part is one-hot."""

    type: ClassVar[str] = "categorical"
    categories: tuple[Category, ...] = attrs.field(converter=tuple)

    def part(self, name: str) -> Part:
        """A categorical part with one column per category."""
        return Part(name=name, size=len(self.categories), kind="categorical")

    def encode(self, name: str, cells: Any) -> Tensor:
        """Category names, or positions where named categories meet an integer tensor -> one-hot.

        Raises:
            DomainError: On a cell that is none of the categories, with column and row.
        """
        if hasattr(cells, "dtype"):
            cells = torch.as_tensor(cells) if _is_numeric(cells) else cells.tolist()
        positions = self._from_tensor(name, cells) if isinstance(cells, Tensor) else None
        if positions is None:
            positions = self._from_cells(
                name, cells.tolist() if isinstance(cells, Tensor) else cells
            )
        latents = torch.zeros(len(positions), len(self.categories))
        return latents.scatter_(1, positions[:, None], 1.0)

    def _from_tensor(self, name: str, cells: Tensor) -> Tensor | None:
        """Positions, where an integer tensor holds them; None when cells are the categories."""
        cells = _flat(name, cells).cpu()
        if cells.is_floating_point() or cells.is_complex():
            raise DomainError(
                f'Column "{name}" is categorical and was given a {cells.dtype} tensor. Give '
                "category names or an integer tensor of positions 0 to "
                f"{len(self.categories) - 1}; known categories: {self._known()}."
            )
        if not isinstance(self.categories[0], str):
            return None
        positions = cells.long()
        bad = ((positions < 0) | (positions >= len(self.categories))).nonzero()
        if len(bad):
            row = int(bad[0, 0])
            raise DomainError(
                f'Column "{name}", row {row}: position {int(positions[row])} is outside 0 to '
                f"{len(self.categories) - 1}. Known categories, in order: {self._known()}."
            )
        return positions

    def _from_cells(self, name: str, cells: Sequence[Any]) -> Tensor:
        place = {(type(category), category): i for i, category in enumerate(self.categories)}
        try:
            found = [place[type(cell), cell] for cell in cells]
        except (KeyError, TypeError):
            found = [self._position(name, row, cell, place) for row, cell in enumerate(cells)]
        return torch.tensor(found, dtype=torch.int64)

    def _position(
        self, name: str, row: int, cell: Any, place: Mapping[tuple[Any, Category], int]
    ) -> int:
        """One cell, slowly: scalars of tensors and arrays are unpacked, all else is an error."""
        value = cell.item() if hasattr(cell, "item") and getattr(cell, "ndim", 1) == 0 else cell
        named = isinstance(self.categories[0], str)
        if named and isinstance(value, int) and isinstance(cell, Tensor):
            return int(self._from_tensor(name, cell[None])[0])  # type: ignore[index]
        if isinstance(value, (str, int, bool)):
            found = place.get((type(value), value))
            if found is not None:
                return found
        message = f'Column "{name}", row {row}: {_shown(value)} is none of the categories: '
        message += f"{self._known()}."
        if isinstance(value, str) and named:
            close = difflib.get_close_matches(value, map(str, self.categories), n=1)
            message += f' Did you mean "{close[0]}"?' if close else ""
        elif named and isinstance(value, int):
            message += " Positions are read from integer tensors only; give the name, or a tensor."
        raise DomainError(message + " Correct the cell or add the category to the column's config.")

    def decode(self, latents: Tensor) -> list[Category]:
        """One-hot, probabilities or logits (N, categories) -> each row's likeliest category."""
        return [self.categories[i] for i in latents.argmax(dim=1).tolist()]

    def config(self) -> dict[str, Any]:
        """`{"type": "categorical", "categories": [...]}`."""
        return {"type": self.type, "categories": list(self.categories)}

    def text(self, cell: Any) -> str:
        """The category as it is written."""
        return str(cell)

    def _known(self) -> str:
        shown = ", ".join(str(category) for category in self.categories[:20])
        return shown + (", …" if len(self.categories) > 20 else "")


@attrs.frozen(kw_only=True)
class Continuous:
    """A real number; its part is that number, standardised by the workspace."""

    type: ClassVar[str] = "continuous"

    def part(self, name: str) -> Part:
        """A continuous part of one dimension."""
        return Part(name=name, size=1)

    def encode(self, name: str, cells: Any) -> Tensor:
        """N numbers -> (N, 1)."""
        return _numbers(name, cells).float()[:, None]

    def decode(self, latents: Tensor) -> Tensor:
        """(N, 1) -> (N,) float32."""
        return latents[:, 0].float()

    def config(self) -> dict[str, Any]:
        """`{"type": "continuous"}`."""
        return {"type": self.type}

    def text(self, cell: Any) -> str:
        """Four significant digits."""
        return f"{float(cell):.4g}"


@attrs.frozen(kw_only=True)
class Circular:
    """A number whose end meets its beginning, as an angle; its part is (cos, sin)."""

    type: ClassVar[str] = "circular"
    period: float = math.tau
    """What one turn is: 2 pi for radians, 360 for degrees, 24 for hours."""

    def part(self, name: str) -> Part:
        """A circular part of one angle."""
        return Part(name=name, size=1, kind="circular")

    def encode(self, name: str, cells: Any) -> Tensor:
        """N numbers, any number of turns away -> (N, 2)."""
        angle = _numbers(name, cells) * (math.tau / self.period)
        return torch.stack([angle.cos(), angle.sin()], dim=1).float()

    def decode(self, latents: Tensor) -> Tensor:
        """(N, 2) of any length -> (N,) float32 in [0, period)."""
        turns = torch.atan2(latents[:, 1].double(), latents[:, 0].double()) / math.tau
        value = (turns.remainder(1.0) * self.period).float()
        return torch.where(value >= self.period, torch.zeros_like(value), value)

    def config(self) -> dict[str, Any]:
        """`{"type": "circular", "period": ...}`."""
        return {"type": self.type, "period": self.period}

    def text(self, cell: Any) -> str:
        """Four significant digits."""
        return f"{float(cell):.4g}"


TYPES: dict[str, tuple[str, ...]] = {
    "categorical": ("categories",),
    "continuous": (),
    "circular": ("period",),
    "auto": (),
}
"""Column type -> its settings; `auto` is settled by `complete`."""


def parse(name: str, given: Any) -> dict[str, Any]:
    """Bring one column's config into its long form, `{"type": ..., ...}`, with settings checked.

    Raises:
        ConfigError: On an unknown type or setting, or a value out of range.
    """
    if isinstance(given, str):
        given = {"type": given}
    if not isinstance(given, Mapping):
        raise ConfigError(
            f'Column "{name}": {_shown(given)} is no column config. Write "continuous", '
            '"circular", '
            '"categorical", "auto" or {"type": ..., ...}.'
        )
    settings = dict(given)
    kind = settings.pop("type", "categorical" if "categories" in settings else None)
    if kind is None:
        raise ConfigError(f'Column "{name}" has no type. Add "type": one of {", ".join(TYPES)}.')
    if kind not in TYPES:
        raise ConfigError(
            f'Column "{name}" has the unknown type {kind!r}.{nearest(str(kind), TYPES)}'
        )
    for key in settings:
        if key not in TYPES[kind]:
            known = ("type", *TYPES[kind])
            raise ConfigError(
                f'Column "{name}" ({kind}) has no setting "{key}".{nearest(key, known)}'
            )
    if settings.get("categories") is not None:
        settings["categories"] = _checked_categories(name, settings["categories"])
    else:
        settings.pop("categories", None)
    if "period" in settings:
        period = settings["period"]
        number = isinstance(period, (int, float)) and not isinstance(period, bool)
        if not (number and math.isfinite(period) and period > 0):
            raise ConfigError(
                f'Column "{name}" has the period {_shown(period)}; it must be a number above 0.'
            )
        settings["period"] = float(period)
    return {"type": kind, **settings}


def build(name: str, given: Any) -> Column:
    """The column that a complete config describes.

    Raises:
        ConfigError: If it is wrong, or needs the training data to be completed.
    """
    settings = parse(name, given)
    kind = settings.pop("type")
    if kind == "auto" or (kind == "categorical" and "categories" not in settings):
        lack = "its type" if kind == "auto" else "its categories"
        raise ConfigError(
            f'Column "{name}" leaves {lack} to the data. Give {lack}, or complete the config '
            "first: "
            "AttributesDomain.complete_config(config, cells)."
        )
    types: dict[str, Any] = {
        "categorical": Categorical,
        "continuous": Continuous,
        "circular": Circular,
    }
    column: Column = types[kind](**settings)
    return column


def complete(name: str, given: Any, cells: Any) -> dict[str, Any]:
    """The column's long config with the type and categories that its training cells tell.

    Raises:
        ConfigError: If the cells are neither numbers nor a list of categories.
    """
    settings = parse(name, given)
    if settings["type"] not in ("auto", "categorical") or "categories" in settings:
        return settings
    if hasattr(cells, "dtype"):
        cells = (torch.unique(cells) if isinstance(cells, Tensor) else cells).tolist()
    values = {c.item() if hasattr(c, "item") else c for c in cells if c.__hash__ is not None}
    simple = all(cell.__hash__ is not None for cell in cells)
    discrete = bool(values) and simple and all(isinstance(v, (str, bool)) for v in values)
    if settings["type"] == "auto" and not discrete:
        if (
            values
            and simple
            and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
        ):
            return {"type": "continuous"}
        kinds = ", ".join(sorted({type(cell).__name__ for cell in cells})) or "nothing"
        raise ConfigError(
            f'Column "{name}": no type fits cells of {kinds}. Make them all numbers, all strings '
            "or all "
            "booleans, or leave the column out."
        )
    if len(values) > MAX_INFERRED_CATEGORIES:
        raise ConfigError(
            f'Column "{name}" has {len(values)} distinct values in {len(cells)} cells: text or an '
            "identifier, "
            "not categories. Leave it out by listing the other columns, or give its categories."
        )
    ordered = sorted(
        values, key=lambda value: (type(value).__name__, str(value) if value is None else value)
    )
    return {"type": "categorical", "categories": _checked_categories(name, ordered)}


def nearest(given: str, known: Any) -> str:
    """The end of a message about an unknown name: the nearest known one, and all of them."""
    names = list(known)
    close = difflib.get_close_matches(given, names, n=1)
    return (f' Did you mean "{close[0]}"?' if close else "") + f" Known: {', '.join(names)}."


def _checked_categories(name: str, given: Any) -> list[Category]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not len(given):
        raise ConfigError(
            f'Column "{name}": categories are {_shown(given)}; give a list with at least one.'
        )
    kinds = {type(category) for category in given}
    if len(kinds) > 1 or not kinds <= {str, int, bool}:
        shown = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ConfigError(
            f'Column "{name}": categories are of {shown}; make them all strings, all whole numbers '
            "or all booleans."
        )
    twice = [c for c in given if list(given).count(c) > 1] if len(set(given)) < len(given) else []
    if twice:
        raise ConfigError(f'Column "{name}" names the category {_shown(twice[0])} twice.')
    return list(given)


def _numbers(name: str, cells: Any) -> Tensor:
    """N cells -> (N,) float64, finite."""
    values = None
    if hasattr(cells, "dtype") and _is_numeric(cells):
        values = _flat(name, torch.as_tensor(cells))
    if values is not None:
        if values.dtype == torch.bool or values.is_complex():
            raise DomainError(
                f'Column "{name}" takes numbers and was given a {values.dtype} tensor. Convert it, '
                "or make the "
                "column categorical."
            )
        values = values.detach().cpu().double()
    else:
        cells = cells.tolist() if hasattr(cells, "tolist") else cells
        if not all(type(cell) in (float, int) for cell in cells):
            cells = [_number(name, row, cell) for row, cell in enumerate(cells)]
        values = torch.tensor(cells, dtype=torch.float64)
    bad = (~values.isfinite()).nonzero()
    if len(bad):
        row = int(bad[0, 0])
        raise DomainError(
            f'Column "{name}", row {row}: {values[row].item()} is not a finite number. '
            "Correct the cell, or leave the row's attributes out as a missing cell (None)."
        )
    return values


def _number(name: str, row: int, cell: Any) -> float:
    value = cell.item() if hasattr(cell, "item") and getattr(cell, "ndim", 1) == 0 else cell
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    remedy = (
        "Leave the row's attributes out as a missing cell (None), or fill it in."
        if value is None
        else "Convert it to a number, or make the column categorical."
    )
    raise DomainError(f'Column "{name}", row {row}: {_shown(value)} is not a number. {remedy}')


def _flat(name: str, values: Tensor) -> Tensor:
    if values.ndim != 1:
        raise DomainError(
            f'Column "{name}" has the shape {tuple(values.shape)}; give one value per row, shape '
            "(rows,)."
        )
    return values


def _is_numeric(array: Any) -> bool:
    return isinstance(array, Tensor) or getattr(array.dtype, "kind", "O") in "biufc"


def _shown(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    kind = "" if isinstance(value, str) or value is None else f" ({type(value).__name__})"
    return (text if len(text) <= 60 else text[:57] + "…") + kind
