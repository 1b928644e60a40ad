from pathlib import Path

import torch
from globalworkspace_shapes.attributes import sample_attributes
from globalworkspace_shapes.render import render
from globalworkspace_shapes.sheet import draw_sheet
from PIL import Image


def test_a_sheet_shows_pictures_sentences_and_attributes(tmp_path: Path) -> None:
    attributes = sample_attributes(2, torch.Generator().manual_seed(0))
    pictures, columns = render(attributes), attributes.columns()
    row = {name: values[0] for name, values in columns.items()}
    items = [
        (pictures[0], "a small red egg " * 20, row),
        (pictures[1].float() / 255, "", row | {"shape": "egg", "r": 1.7}),
    ]
    draw_sheet(
        tmp_path / "sheet.png",
        {"picture -> caption": items, "caption -> picture": items[:1]},
        "two directions",
    )
    sheet = Image.open(tmp_path / "sheet.png").convert("RGB")
    colors = {tuple(round(c / 32) for c in color) for _, color in sheet.getcolors(1 << 24)}
    shown = tuple(round(float(c) * 255 / 32) for c in attributes.color[0])
    assert shown in colors
    assert sheet.width > 1000 and sheet.height > 200
