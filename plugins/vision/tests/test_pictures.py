from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from globalworkspace_vision.pictures import load_pictures, render_pictures, to_png
from PIL import Image

from globalworkspace.errors import ConfigError, DomainError


def _array(height: int = 6, width: int = 6, seed: int = 0) -> np.ndarray:
    shape = (height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def _png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def test_every_kind_of_cell_gives_the_same_picture(tmp_path: Path) -> None:
    array = _array()
    path = tmp_path / "a.png"
    path.write_bytes(_png(array))
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    cells: list[Any] = [
        tensor,
        tensor.float() / 255,
        array,
        Image.fromarray(array),
        path,
        str(path),
        _png(array),
        {"bytes": _png(array), "path": None},
        {"bytes": None, "path": str(path)},
    ]
    pictures = load_pictures(cells, 6)
    expected = tensor.float() / 255
    assert pictures.shape == (9, 3, 6, 6) and pictures.dtype == torch.float32
    for picture in pictures:
        torch.testing.assert_close(picture, expected)
    torch.testing.assert_close(load_pictures(tensor[None], 6)[0], expected)


def test_an_undecoded_column_of_datasets_is_read() -> None:
    datasets = pytest.importorskip("datasets")
    column = datasets.Dataset.from_dict(
        {"photo": [{"bytes": _png(_array()), "path": None}]},
        features=datasets.Features({"photo": datasets.Image(decode=False)}),
    )
    assert load_pictures([column[0]["photo"]], 6).shape == (1, 3, 6, 6)


def test_transparency_is_laid_on_white_before_resizing() -> None:
    array = np.zeros((4, 4, 4), dtype=np.uint8)
    array[:, :2] = [255, 0, 0, 255]
    array[:, 2:] = [0, 0, 0, 0]
    expected = torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    for cell in (array, Image.fromarray(array)):
        torch.testing.assert_close(load_pictures([cell], 4)[0][:, 0, [0, 3]], expected)
    squeezed = load_pictures([array], 1)[0].flatten()
    torch.testing.assert_close(squeezed, torch.tensor([1.0, 0.5, 0.5]), atol=0.02, rtol=0)


def test_grey_and_palette_pictures_become_rgb() -> None:
    grey = np.arange(36, dtype=np.uint8).reshape(6, 6)
    expected = torch.from_numpy(grey).float().expand(3, 6, 6) / 255
    torch.testing.assert_close(
        load_pictures([grey, Image.fromarray(grey), grey[..., None]], 6)[1], expected
    )
    deep = Image.fromarray((np.arange(36).reshape(6, 6) * 257).astype(np.uint16))
    torch.testing.assert_close(load_pictures([deep], 6)[0], expected)
    palette = Image.fromarray(_array()).convert("P", palette=Image.Palette.ADAPTIVE)
    wanted = torch.from_numpy(np.array(palette.convert("RGB"))).permute(2, 0, 1) / 255
    torch.testing.assert_close(load_pictures([palette], 6)[0], wanted)


def test_crop_keeps_the_middle_and_squash_keeps_all() -> None:
    picture = torch.zeros(3, 4, 8)
    picture[:, :, :2] = 1
    assert load_pictures([picture], 4, "crop").max() == 0
    assert load_pictures([picture], 4, "squash")[0, 0, :, 0].min() > 0.9
    with pytest.raises(ConfigError, match="crop"):
        load_pictures([picture], 4, "stretch")


def test_resizing_agrees_with_pillow() -> None:
    array = _array(40, 40)
    theirs = np.array(Image.fromarray(array).resize((16, 16), Image.Resampling.BICUBIC))
    ours = load_pictures([array], 16)[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(ours - theirs).max() < 1.5


def test_a_picture_turned_by_its_camera_is_put_upright() -> None:
    stream = io.BytesIO()
    picture = Image.fromarray(_array(4, 4))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(stream, "PNG", exif=exif)
    turned = torch.from_numpy(np.rot90(_array(4, 4), -1).copy()).permute(2, 0, 1) / 255
    torch.testing.assert_close(load_pictures([stream.getvalue()], 4)[0], turned)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (torch.zeros(5, 4, 4), "5 channels"),
        (torch.zeros(4, 4), "shape"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "int64"),
        (torch.full((3, 4, 4), 200.0), r"200.*\[0, 1\]"),
        (torch.full((3, 4, 4), float("nan")), "nan"),
        (np.zeros((4, 4, 7), dtype=np.uint8), "7 channels"),
        (7, "of type int"),
        (None, "of type NoneType"),
    ],
)
def test_a_wrong_cell_is_named_by_position(cell: Any, message: str) -> None:
    with pytest.raises(DomainError, match=f"Picture 1 of the batch.*{message}"):
        load_pictures([torch.zeros(3, 4, 4), cell], 4)


def test_a_wrong_picture_in_a_tensor_batch_is_named_by_position() -> None:
    pictures = torch.zeros(3, 3, 4, 4)
    pictures[2] = 9
    with pytest.raises(DomainError, match="Picture 12 of the batch"):
        load_pictures(pictures, 4, first=10)
    with pytest.raises(DomainError, match="picture\\[None\\]"):
        load_pictures(pictures[0], 4)


@pytest.mark.parametrize("keep", [0, 40, 120])
def test_a_damaged_file_is_named_with_its_position(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(_png(_array(20, 20))[:keep])
    with pytest.raises(DomainError, match="Picture 1 of the batch .*broken.png.*cannot be read"):
        load_pictures([_array(), path], 4)


def test_a_missing_file_is_named_with_its_position(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="Picture 0 of the batch .*none.png.*does not exist"):
        load_pictures([{"bytes": None, "path": str(tmp_path / "none.png")}], 4)


def test_one_picture_in_place_of_a_batch_is_refused_and_no_pictures_give_none() -> None:
    with pytest.raises(DomainError, match="Put it in a list"):
        load_pictures(Image.fromarray(_array()), 4)
    assert load_pictures([], 4).shape == (0, 3, 4, 4)
    assert load_pictures(torch.zeros(0, 3, 8, 8), 4).shape == (0, 3, 4, 4)


def test_a_png_holds_the_picture_exactly() -> None:
    tensor = torch.from_numpy(_array()).permute(2, 0, 1)
    for picture in (tensor, tensor.float() / 255):
        read = np.array(Image.open(io.BytesIO(to_png(picture))))
        assert (read == _array()).all()


def test_renderings_are_small_pngs_with_a_name(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(_png(_array(400, 200)))
    file, tensor = render_pictures([path, torch.zeros(3, 5, 7)])
    assert Image.open(io.BytesIO(file.data)).size == (80, 160)
    assert (file.media_type, file.alt) == ("image/png", "picture cat.png")
    assert tensor.alt == "picture of 7 x 5 pixels"
