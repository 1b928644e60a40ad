"""The demo's picture sheet: source | translated | truth, for every direction."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from globalworkspace_shapes.attributes import CLASSES, ShapeAttributes
from globalworkspace_shapes.render import render

CELL_WIDTH, CELL_HEIGHT, MARGIN, TITLE = 190, 104, 8, 30
PICTURE = 72
INK, FAINT, PAPER = (25, 25, 30), (110, 110, 120), (250, 250, 248)

Item = Tensor | str | Mapping[str, Any]
"""A picture (3, S, S), a sentence, or one row of attributes."""


def draw_sheet(
    file: Path, directions: Mapping[str, Sequence[tuple[Item, Item, Item]]], heading: str
) -> None:
    """Draw `file` (PNG): a block per direction, a row per item with its three cells.

    Args:
        file: Where to.
        directions: Title -> items as (source, translated, truth).
        heading: Line on top.
    """
    blocks = list(directions.items())
    per_row = 2
    rows = max(len(items) for _, items in blocks)
    block_width, block_height = (
        3 * CELL_WIDTH + 4 * MARGIN,
        TITLE + 16 + rows * CELL_HEIGHT + 2 * MARGIN,
    )
    size = (per_row * block_width + MARGIN, 36 + -(-len(blocks) // per_row) * block_height)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((2 * MARGIN, 10), heading, font=_font(16), fill=INK)
    for number, (title, items) in enumerate(blocks):
        left, top = (
            (number % per_row) * block_width + MARGIN,
            36 + (number // per_row) * block_height,
        )
        draw.text((left + MARGIN, top + 6), title, font=_font(16), fill=INK)
        for column, name in enumerate(("source", "translated", "truth")):
            draw.text(
                (left + MARGIN + column * (CELL_WIDTH + MARGIN), top + TITLE),
                name,
                font=_font(11),
                fill=FAINT,
            )
        for row, cells in enumerate(items):
            for column, cell in enumerate(cells):
                x, y = (
                    left + MARGIN + column * (CELL_WIDTH + MARGIN),
                    top + TITLE + 16 + row * CELL_HEIGHT,
                )
                _draw_cell(sheet, draw, cell, x, y)
    sheet.save(file)


def _draw_cell(sheet: Image.Image, draw: ImageDraw.ImageDraw, cell: Item, x: int, y: int) -> None:
    if isinstance(cell, str):
        lines = textwrap.wrap(cell, 33)
        shown = lines if len(lines) <= 7 else [*lines[:6], lines[6] + " …"]
        draw.multiline_text((x, y), "\n".join(shown), font=_font(11), fill=INK, spacing=2)
    elif isinstance(cell, Tensor):
        sheet.paste(_picture(cell), (x, y))
    else:
        sheet.paste(_picture(render(_as_shape(cell))[0]), (x, y))
        shape = cell["shape"] if isinstance(cell["shape"], str) else CLASSES[int(cell["shape"])]
        color = ", ".join(f"{float(cell[name]):.2f}" for name in "rgb")
        text = (
            f"{shape}\nx {float(cell['x']):.1f}  y {float(cell['y']):.1f}\nsize "
            f"{float(cell['size']):.1f}\n"
            f"turn {torch.rad2deg(torch.tensor(float(cell['rotation']))):.0f}°\nrgb {color}"
        )
        draw.multiline_text((x + PICTURE + 6, y), text, font=_font(11), fill=INK, spacing=2)


def _as_shape(cell: Mapping[str, Any]) -> ShapeAttributes:
    shape = CLASSES.index(cell["shape"]) if isinstance(cell["shape"], str) else int(cell["shape"])
    numbers = {name: torch.tensor([float(cell[name])]) for name in ("x", "y", "size", "rotation")}
    color = torch.tensor([[float(cell[name]) for name in "rgb"]]).clamp(0, 1)
    return ShapeAttributes(category=torch.tensor([shape]), color=color, **numbers)


def _picture(picture: Tensor) -> Image.Image:
    if picture.is_floating_point():
        picture = (picture.clamp(0, 1) * 255).round().to(torch.uint8)
    image = Image.fromarray(picture.permute(1, 2, 0).contiguous().cpu().numpy())
    return image.resize((PICTURE, PICTURE), Image.Resampling.NEAREST)


def _font(size: int) -> Any:
    return ImageFont.load_default(size)
