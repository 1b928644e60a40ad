"""Whatever a cell holds of a picture -> one float tensor; and back to PNG for those who look.

Resizing is bicubic with antialiasing in torch, the same for files and tensors. torchvision is not
needed.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from globalworkspace.domain import Rendering
from globalworkspace.errors import ConfigError, DomainError

Resize = Literal["crop", "squash"]
"""`"crop"`: the shorter side becomes the size, the middle is kept; `"squash"`: both sides do."""

RANGE_TOLERANCE = 1e-4
THUMBNAIL = 160
"""Longest side of a rendering in pixels."""


ENDINGS = frozenset(Image.registered_extensions())
"""How names of picture files end."""


def check_resize(resize: str) -> None:
    """Refuse an unknown resize policy.

    Raises:
        ConfigError: If it is neither "crop" nor "squash".
    """
    if resize not in ("crop", "squash"):
        raise ConfigError(
            f'resize="{resize}" is unknown. Choose "crop" (keep the middle) or "squash" (keep all).'
        )


def load_pictures(cells: Any, size: int, resize: str = "crop", first: int = 0) -> Tensor:
    """A batch of cells -> (B, 3, size, size) float32 in [0, 1].

    Args:
        cells: A tensor (B, C, H, W), or a sequence whose items are tensors (C, H, W), arrays (H, W)
            or (H, W, C), PIL pictures, file paths, encoded bytes, or mappings with "bytes" and
            "path" as Hugging Face `datasets` has them. C is 1, 3 or 4; integers are 0..255 (uint8),
            floats lie in [0, 1]. Transparency is laid on white.
        size: Pixels per side.
        resize: `"crop"` or `"squash"`.
        first: Position of the first cell in the batch, for messages.

    Raises:
        DomainError: If a cell is no picture, naming its position and its file.
    """
    check_resize(resize)
    if isinstance(cells, Tensor):
        if cells.ndim != 4:
            raise DomainError(
                f"A batch of pictures as one tensor needs the shape (batch, channels, height, "
                f"width); got "
                f"{tuple(cells.shape)}. For a single picture write picture[None]."
            )
        if len(cells) == 0:
            return torch.zeros(0, 3, size, size, device=cells.device)
        return _resize(_from_tensor(cells, first, "Pictures"), size, resize)
    if isinstance(cells, (str, bytes, Path, Image.Image, Mapping)) or not isinstance(
        cells, (Sequence, np.ndarray)
    ):
        raise DomainError(
            f"A batch of pictures is a list or a tensor; got one {type(cells).__name__}. Put it "
            f"in a list: [picture]."
        )
    if len(cells) == 0:
        return torch.zeros(0, 3, size, size)
    pictures = [
        _resize(load_picture(cell, first + i)[None], size, resize) for i, cell in enumerate(cells)
    ]
    return torch.cat(pictures)


def load_picture(cell: Any, position: int = 0) -> Tensor:
    """One cell -> (3, H, W) float32 in [0, 1] in its own size; see `load_pictures`.

    Raises:
        DomainError: If it is no picture, naming its position and its file.
    """
    where = f"Picture {position} of the batch"
    if isinstance(cell, Tensor):
        if cell.ndim != 3:
            raise DomainError(
                f"{where} has shape {tuple(cell.shape)}; a tensor picture needs (channels, "
                f"height, width)."
            )
        return _from_tensor(cell[None], position, "Picture")[0]
    if isinstance(cell, np.ndarray):
        if cell.ndim not in (2, 3):
            raise DomainError(
                f"{where} has shape {cell.shape}; an array picture needs (height, width[, "
                f"channels])."
            )
        pixels = torch.from_numpy(np.array(cell))
        return _from_tensor(
            (pixels[None] if cell.ndim == 2 else pixels.permute(2, 0, 1))[None], position, "Picture"
        )[0]
    if isinstance(cell, Image.Image):
        return _from_pil(cell, position)
    source, name = cell, ""
    if isinstance(cell, Mapping) and {"bytes", "path"} & set(cell):
        data, path = cell.get("bytes"), cell.get("path")
        source, name = (path if data is None else data), str(path or "")
    if isinstance(source, (bytes, bytearray)):
        stream: Any = io.BytesIO(source)
    elif isinstance(source, (str, os.PathLike)):
        stream, name = os.fspath(source), os.fspath(source)
    else:
        raise DomainError(
            f"{where} is of type {type(cell).__name__}; expected a tensor, an array, a PIL "
            f"picture, a file path, or a "
            'mapping with "bytes" or "path".'
        )
    file = f' ("{name}")' if name else ""
    try:
        with Image.open(stream) as image:
            image.load()
            return _from_pil(image, position, file)
    except DomainError:
        raise
    except FileNotFoundError as error:
        raise DomainError(
            f"{where}{file} does not exist. Correct the path or leave the cell missing."
        ) from error
    except Exception as error:  # each decoder fails in its own way
        raise DomainError(
            f"{where}{file} cannot be read as a picture: {type(error).__name__}: {error}. Replace "
            f"it or leave the "
            "cell missing."
        ) from error


def to_png(picture: Tensor) -> bytes:
    """A picture (3, H, W) or (1, H, W), float in [0, 1] or uint8, as the bytes of a PNG file."""
    pixels = picture.detach().cpu()
    if pixels.is_floating_point():
        pixels = (pixels.float().clamp(0, 1) * 255).round().to(torch.uint8)
    array = pixels.permute(1, 2, 0).numpy()
    stream = io.BytesIO()
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(stream, format="PNG")
    return stream.getvalue()


def render_pictures(raw: Any) -> list[Rendering]:
    """A batch of cells -> PNG renderings, shrunk to at most `THUMBNAIL` pixels a side."""
    renderings = []
    for position, cell in enumerate(raw):
        picture = load_picture(cell, position)
        height, width = picture.shape[1:]
        path = cell.get("path") if isinstance(cell, Mapping) else cell
        alt = f"picture of {width} x {height} pixels"
        if isinstance(path, (str, os.PathLike)):
            alt = f"picture {Path(path).name}"
        if max(height, width) > THUMBNAIL:
            scale = THUMBNAIL / max(height, width)
            picture = _interpolate(
                picture[None], max(1, round(height * scale)), max(1, round(width * scale))
            )[0]
        renderings.append(Rendering(media_type="image/png", data=to_png(picture), alt=alt))
    return renderings


def _from_pil(image: Image.Image, position: int, file: str = "") -> Tensor:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):  # 16 bits a pixel, which conversion to RGB would clip
        pixels = torch.from_numpy(np.asarray(upright).astype(np.float32) / 65535)[None]
    elif upright.mode == "F":
        pixels = torch.from_numpy(np.array(upright))[None]
    else:
        mode = "RGBA" if upright.has_transparency_data else "RGB"
        pixels = torch.from_numpy(np.array(upright.convert(mode))).permute(2, 0, 1)
    return _from_tensor(pixels[None], position, "Picture", file)[0]


def _from_tensor(pixels: Tensor, position: int, word: str, file: str = "") -> Tensor:
    """(B, C, H, W) of any allowed kind -> (B, 3, H, W) float32."""
    last = position + len(pixels) - 1
    where = f"{word} {position}{f' to {last}' if last > position else ''} of the batch{file}"
    if pixels.shape[1] not in (1, 3, 4) or 0 in pixels.shape[2:]:
        raise DomainError(
            f"{where}: {pixels.shape[1]} channels of {pixels.shape[2]} x {pixels.shape[3]} "
            f"pixels; expected 1, 3 or 4 "
            "channels (tensors: channels first; arrays: channels last)."
        )
    if pixels.dtype == torch.uint8:
        pixels = pixels.float() / 255
    elif pixels.is_floating_point():
        pixels = pixels.float()
        inside = (
            ((pixels >= -RANGE_TOLERANCE) & (pixels <= 1 + RANGE_TOLERANCE)).flatten(1).all(dim=1)
        )
        if not inside.all():
            bad = int((~inside).nonzero()[0, 0])
            raise DomainError(
                f"Picture {position + bad} of the batch{file} has values from "
                f"{pixels[bad].min():.4g} to "
                f"{pixels[bad].max():.4g}; float pictures lie in [0, 1]. Divide by 255, or undo a "
                f"normalisation."
            )
        pixels = pixels.clamp(0, 1)
    else:
        raise DomainError(
            f"{where}: dtype {pixels.dtype}; expected uint8 (0 to 255) or float (0 to 1)."
        )
    if pixels.shape[1] == 4:
        alpha = pixels[:, 3:]
        pixels = pixels[:, :3] * alpha + (1 - alpha)
    return pixels.expand(-1, 3, -1, -1)


def _resize(pictures: Tensor, size: int, resize: str) -> Tensor:
    height, width = pictures.shape[2:]
    if resize == "crop" and height != width:
        scale = size / min(height, width)
        pictures = _interpolate(
            pictures, max(size, round(height * scale)), max(size, round(width * scale))
        )
        top, left = (pictures.shape[2] - size) // 2, (pictures.shape[3] - size) // 2
        return pictures[:, :, top : top + size, left : left + size]
    return _interpolate(pictures, size, size)


def _interpolate(pictures: Tensor, height: int, width: int) -> Tensor:
    if tuple(pictures.shape[2:]) == (height, width):
        return pictures
    return F.interpolate(pictures, (height, width), mode="bicubic", antialias=True).clamp(0, 1)
