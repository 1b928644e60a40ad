"""A page that shows items side by side.

One self-contained HTML file: everything embedded, all text escaped.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import attrs

from globalworkspace.domain import Rendering
from globalworkspace.files import write_file

_STYLE = (
    ":root{color-scheme:light dark}body{font:15px/1.4 system-ui,sans-serif;margin:1.5rem}"
    "table{border-collapse:collapse}h2{margin-top:2rem}.wide{overflow-x:auto}"
    "th,td{padding:.35rem .7rem;text-align:left;vertical-align:middle}"
    "th{font-weight:600;border-bottom:1px solid #8888}"
    "td{border-bottom:1px solid #8883;max-width:22rem}"
    "img{width:64px;min-height:64px;image-rendering:pixelated;background:#000}"
    "[controls]{width:13rem}"
)

Cell = Rendering | str


@attrs.frozen(kw_only=True)
class Section:
    """A titled table of a page."""

    title: str
    headings: Sequence[str]
    """One per column."""
    rows: Sequence[Sequence[Cell]]
    """Each as long as `headings`."""
    note: str = ""
    """A paragraph above the table."""


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
    _write(file, title, _table(headings, rows))


def write_page(file: str | Path, title: str, sections: Sequence[Section]) -> None:
    """Write a page of several tables, one below the other."""
    body = "".join(
        f"<h2>{html.escape(section.title)}</h2>"
        + (f"<p>{html.escape(section.note)}</p>" if section.note else "")
        + (_table(section.headings, section.rows) if section.headings else "")
        for section in sections
    )
    _write(file, title, body)


def _write(file: str | Path, title: str, body: str) -> None:
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport "
        'content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{html.escape(title)}</h1>{body}</html>"
    )
    write_file(Path(file), page)


def _table(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    head = "".join(f"<th scope=col>{html.escape(text)}</th>" for text in headings)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(item)}</td>" for item in row) + "</tr>" for row in rows
    )
    return (
        f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(item: Cell) -> str:
    if isinstance(item, str):
        return html.escape(item)
    if item.media_type.startswith("text/"):
        return html.escape(item.data.decode("utf-8", errors="replace"))
    source = f"data:{html.escape(item.media_type)};base64,{base64.b64encode(item.data).decode()}"
    alt = html.escape(item.alt, quote=True)
    if item.media_type.partition("/")[0] == "audio":
        return f'<audio controls src="{source}" title="{alt}"></audio>'
    return f'<img src="{source}" alt="{alt}">'
