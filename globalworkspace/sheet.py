"""A page that shows items side by side, with tables, figures and players.

One self-contained HTML file: everything embedded, nothing fetched, all text escaped. Light and dark
follow the reader's system or a button; tables too wide for a phone scroll by themselves.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from attrs import validators as v

from globalworkspace.domain import Rendering
from globalworkspace.files import write_file

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"


@attrs.frozen(kw_only=True)
class Stack:
    """A cell of several items, one below the other, each with a word before it."""

    items: Sequence[tuple[str, Rendering | Facts | str]]
    """(the word, the item)."""


@attrs.frozen(kw_only=True)
class Facts:
    """A cell of named values."""

    items: Sequence[tuple[str, str]]


Item = Rendering | Facts | str
Cell = Item | Stack


@attrs.frozen(kw_only=True)
class Grid:
    """A table of a section."""

    headings: Sequence[str]
    """One per column."""
    rows: Sequence[Sequence[Cell]]
    """Each as long as `headings`; its first cell is its heading."""
    title: str = ""
    shades: Sequence[Sequence[float | None]] = ()
    """How strongly each cell is tinted, in [0, 1]; None: not at all. Empty: none of them."""
    folded: bool = False
    """Shown as its title, to be opened by a click."""


@attrs.frozen(kw_only=True)
class Colouring:
    """What the points of a figure may be coloured by."""

    values: Sequence[Sequence[float | None]]
    """Per group of points, one number a point; None: unknown."""
    names: Sequence[str] = ()
    """Of classes, by number; empty: the values are quantities."""


@attrs.frozen(kw_only=True)
class Figure:
    """A drawing of a section."""

    svg: str
    """Markup of a plotting library, taken as it is; see `globalworkspace.report.plots`."""
    alt: str
    """What it shows, in words."""
    title: str = ""
    groups: Sequence[str] = ()
    """Ids of the groups of points that `colourings` are about."""
    colourings: Mapping[str, Colouring] = attrs.field(factory=dict)
    """Name -> what to colour the points by; the reader chooses."""
    wide: bool = attrs.field(default=False, validator=v.instance_of(bool))
    """Whether it takes the width of the page."""


@attrs.frozen(kw_only=True)
class Section:
    """A titled part of a page: a paragraph, a table, then further tables and figures."""

    title: str
    headings: Sequence[str] = ()
    """One per column."""
    rows: Sequence[Sequence[Cell]] = ()
    """Each as long as `headings`."""
    note: str = ""
    """A paragraph above the table."""
    parts: Sequence[Grid | Figure] = ()
    """Below the table. Figures that follow one another stand side by side."""


def write_sheet(
    file: str | Path, title: str, headings: Sequence[str], rows: Sequence[Sequence[Cell]]
) -> None:
    """Write a page of one table.

    Args:
        file: The `.html` file.
        title: Shown on top.
        headings: One per column.
        rows: Each as long as `headings`.
    """
    write_page(file, title, [Section(title="", headings=headings, rows=rows)])


def write_page(file: str | Path, title: str, sections: Sequence[Section], lead: str = "") -> None:
    """Write a page of several sections, one below the other.

    Args:
        file: The `.html` file.
        title: Shown on top.
        sections: In order.
        lead: A sentence below the title.
    """
    script, digest = script_of("page.js")
    page = (
        environment()
        .get_template("page.html")
        .render(
            title=title,
            lead=lead,
            sections=[_for_template(section) for section in sections],
            style=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
            script=script,
            digest=digest,
        )
    )
    write_file(Path(file), page)


def script_of(name: str) -> tuple[str, str]:
    """A page's script, the switch of its theme before it, and the digest that a policy names."""
    text = "".join((TEMPLATES / n).read_text(encoding="utf-8") for n in ("theme.js", name))
    return text, base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def environment() -> Environment:
    """Where pages are made: all that is put into a template is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "medium": _medium,
        "facts": _facts,
        "text": _text,
        "data_url": _data_url,
    }
    return environment


def _for_template(section: Section) -> dict[str, Any]:
    """A section with its tables and figures in runs: figures of a run stand side by side."""
    parts: list[Grid | Figure] = list(section.parts)
    if section.headings:
        parts.insert(0, Grid(headings=section.headings, rows=section.rows, title=""))
    runs: list[dict[str, Any]] = []
    for part in parts:
        kind = "grid" if isinstance(part, Grid) else "figures"
        entry = part if isinstance(part, Grid) else _figure(part)
        if kind == "figures" and runs and runs[-1]["kind"] == kind:
            runs[-1]["items"].append(entry)
        else:
            runs.append({"kind": kind, "items": [entry]})
    return {"title": section.title, "note": section.note, "runs": runs}


def _figure(figure: Figure) -> dict[str, Any]:
    choices = {
        name: {"values": colouring.values, "names": list(colouring.names)}
        for name, colouring in figure.colourings.items()
    }
    data = json.dumps({"groups": list(figure.groups), "colourings": choices}, ensure_ascii=True)
    for character in "<>&":  # inside of a script element nothing is unescaped but JSON
        data = data.replace(character, f"\\u{ord(character):04x}")
    return {"figure": figure, "data": data}


def _medium(item: Cell) -> str:
    """How a cell is shown: `text`, `stack`, `facts`, `play` or `see`."""
    if isinstance(item, (Stack, Facts)):
        return "stack" if isinstance(item, Stack) else "facts"
    if not isinstance(item, Rendering) or item.media_type.startswith("text/"):
        return "text"
    if item.media_type == "application/json":
        return "text" if _named(item) is None else "facts"
    return "play" if item.media_type.partition("/")[0] == "audio" else "see"


def _facts(item: Rendering | Facts) -> Sequence[tuple[str, str]]:
    if isinstance(item, Facts):
        return item.items
    return _named(item) or []


def _named(item: Rendering) -> list[tuple[str, str]] | None:
    """The named values of a JSON rendering; None: it is no object."""
    try:
        found = json.loads(item.data)
    except ValueError:
        return None
    return [(n, str(value)) for n, value in found.items()] if isinstance(found, dict) else None


def _text(item: Rendering | str) -> str:
    return item if isinstance(item, str) else item.data.decode("utf-8", errors="replace")


def _data_url(item: Rendering) -> str:
    return f"data:{item.media_type};base64,{base64.b64encode(item.data).decode()}"
