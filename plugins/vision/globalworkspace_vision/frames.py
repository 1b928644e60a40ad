"""The domain kind `frames`: clips, through any kind for pictures that looks at one frame at a time.

No network is added: a frozen module must not hold untrained weights. Either the frames' latents are
averaged, which forgets their order, or they stay a sequence, and the workspace, which is trained,
pools it by attention.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageSequence
from torch import Tensor

from globalworkspace.domain import Decodes, DomainModule, HasAssets, Rendering
from globalworkspace.errors import ConfigError, DomainError
from globalworkspace.gallery import GalleryDecoding
from globalworkspace.latents import LatentSpec, Part, pack_sequence, unpack_sequence
from globalworkspace.pretrained import build_domain, kind_of, load_domain
from globalworkspace_vision.pictures import ENDINGS, THUMBNAIL, load_picture

POOLINGS = ("mean", "none")
FRAME_MILLISECONDS = 120
"""How long a rendered clip shows each frame; a clip has no clock of its own."""


class FramesDomain(DomainModule):
    """Clips as the latents of their frames, averaged or as a sequence.

    Args:
        frame: The module that sees the frames: `{"kind": "timm", ...}` with the kind's own
            settings, or `{"pretrained": folder}` of a saved domain.
        pooling: `"mean"`: the mean of the frames' latents (B, F), which does not know their order;
            cannot decode. `"none"`: a sequence of them, (B, max_frames * (F + 1)), which the
            workspace's network `attention` pools; decodes if the frames' kind has a decoder.
        max_frames: Of a longer clip this many are taken, evenly spaced, first and last included.
        batch_size: Frames in memory at once, at least those of one clip.

    Raises:
        ConfigError: On a wrong setting, or a kind whose latents cannot be averaged or strung
            together: it must have continuous parts only.
        PluginError: If the kind of `frame` is unknown.

    Example:
        >>> frame = {"kind": "image-vae", "picture_size": 32, "latent_dim": 16}
        >>> clip = FramesDomain(frame, pooling="none", max_frames=4)
        >>> latents = clip.encode([torch.rand(6, 3, 32, 32), torch.rand(2, 3, 32, 32)])
        >>> latents.shape, [len(frames) for frames in clip.decode(latents)]
        (torch.Size([2, 68]), [4, 2])
    """

    stores_weights: bool  # type: ignore[misc]  # as the frames' module does
    decode: Callable[[Tensor], list[Any]]
    """Latents (B, max_frames * (F + 1)) -> B clips; only there where clips can be decoded."""

    def __init__(
        self,
        frame: Mapping[str, Any],
        pooling: str = "mean",
        max_frames: int = 16,
        batch_size: int = 256,
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ConfigError(
                f'pooling="{pooling}" is unknown. Choose "mean" (one latent, order forgotten) or '
                '"none" (the sequence of latents).'
            )
        if max_frames < 1 or batch_size < 1:
            raise ConfigError(
                f"max_frames={max_frames} and batch_size={batch_size} must be at least 1."
            )
        self.pooling, self.max_frames, self.batch_size = pooling, max_frames, batch_size
        self.frame = _build(frame)
        self.stores_weights = self.frame.stores_weights
        size = self.frame.latent.dim
        if pooling == "mean":
            self.latent = LatentSpec.continuous(size, name="clip")
            return
        part = Part(name="frames", kind="sequence", size=size, length=max_frames)
        self.latent = LatentSpec((part,))
        if isinstance(self.frame, Decodes) and not isinstance(self.frame, GalleryDecoding):
            self.decode = self._decode

    def config(self) -> dict[str, Any]:
        """Settings; those of the frames' module under `frame`, never a path."""
        registration = kind_of(self.frame)
        assert registration is not None  # it was built by its kind
        kind = f"{registration.owner}:{registration.kind}"
        return {
            "frame": {"kind": kind, **self.frame.config()},
            "pooling": self.pooling,
            "max_frames": self.max_frames,
            "batch_size": self.batch_size,
        }

    @torch.no_grad()
    def encode(self, raw: Any) -> Tensor:
        """Clips -> latents (B, D), on the module's device.

        Args:
            raw: B clips, each a tensor (T, C, H, W) or a list of pictures, both as `load_pictures`
                takes them, a folder of pictures (in the order of their names), or an animated
                picture file; T may differ from clip to clip. Or a tensor (B, T, C, H, W).

        Raises:
            DomainError: If a clip has no frame, or a frame is no picture, naming both.
        """
        _check_batch(raw)
        device = next((p.device for p in self.frame.parameters()), torch.device("cpu"))
        latents = [torch.zeros(0, self.latent.dim, device=device)]
        step = max(1, self.batch_size // self.max_frames)
        for start in range(0, len(raw), step):
            numbers = range(start, min(start + step, len(raw)))
            clips = [self._frames(raw[number], number) for number in numbers]
            latents.append(self._pool(self._encode_frames(clips)))
        return torch.cat(latents)

    def render(self, raw: Any) -> list[Rendering]:
        """Each clip as an animated GIF of at most `max_frames` frames."""
        _check_batch(raw)
        clips = (self._frames(clip, number) for number, clip in enumerate(raw))
        return [_gif(frames) for frames in clips]

    def fingerprint(self) -> str:
        """Digest of what decides the latents: the frames' module and how frames are pooled."""
        settings = [type(self).__qualname__, self.pooling, self.max_frames]
        described = json.dumps([*settings, self.frame.fingerprint()])
        return hashlib.sha256(described.encode()).hexdigest()

    def save_assets(self, folder: Path) -> None:
        """The files of the frames' module, if it has any."""
        if isinstance(self.frame, HasAssets):
            self.frame.save_assets(folder)

    def load_assets(self, folder: Path) -> None:
        """Give the frames' module its files back."""
        if isinstance(self.frame, HasAssets):
            self.frame.load_assets(folder)

    def _frames(self, clip: Any, number: int) -> list[Tensor]:
        """At most `max_frames` frames (3, H, W) of a clip."""
        cells = _cells(clip, number)
        chosen = evenly(len(cells), self.max_frames)
        try:
            return [load_picture(cells[i], i) for i in chosen]
        except DomainError as error:
            raise DomainError(f"Clip {number} of the batch: {_of_clip(error)}") from error

    def _encode_frames(self, clips: list[list[Tensor]]) -> list[Tensor]:
        """Frames of each clip -> their latents (T, F)."""
        frames = [frame for clip in clips for frame in clip]
        alike = len({frame.shape for frame in frames}) == 1
        found = self.frame.encode(torch.stack(frames) if alike else frames)
        return list(found.split([len(clip) for clip in clips]))

    def _pool(self, clips: list[Tensor]) -> Tensor:
        if self.pooling == "mean":
            return torch.stack([latents.mean(dim=0) for latents in clips])
        values = clips[0].new_zeros(len(clips), self.max_frames, clips[0].shape[1])
        mask = torch.zeros(values.shape[:2], dtype=torch.bool, device=values.device)
        for row, latents in enumerate(clips):
            values[row, : len(latents)] = latents
            mask[row, : len(latents)] = True
        return pack_sequence(values, mask)

    def _decode(self, latents: Tensor) -> list[Any]:
        """Latents (B, D) -> B clips: the positions that are more likely there than not."""
        values, mask = unpack_sequence(latents, self.frame.latent.dim)
        likeliest = mask == mask.max(dim=1, keepdim=True).values
        there = (mask > 0.5) | (likeliest & (mask.max(dim=1, keepdim=True).values <= 0.5))
        # the latents of a prediction fade with the probability of their position
        whole = values[there] / mask[there].clamp(min=1e-3)[:, None]
        assert isinstance(self.frame, Decodes)
        frames = self.frame.decode(whole)
        ends = there.sum(dim=1).cumsum(dim=0).tolist()
        return [frames[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def evenly(length: int, most: int) -> list[int]:
    """Positions of `length` frames to take: all, or `most` evenly spaced ones with both ends.

    Example:
        >>> evenly(3, 5), evenly(9, 5), evenly(9, 1)
        ([0, 1, 2], [0, 2, 4, 6, 8], [4])
    """
    if length <= most:
        return list(range(length))
    if most == 1:
        return [(length - 1) // 2]
    return [round(i * (length - 1) / (most - 1)) for i in range(most)]


def _build(frame: Mapping[str, Any]) -> DomainModule:
    where = "The setting frame of a clip"
    if not isinstance(frame, Mapping) or ("kind" in frame) == ("pretrained" in frame):
        raise ConfigError(
            f"{where} is {frame!r}. Write the kind of its frames with that kind's settings, "
            '{"kind": "timm"}, or {"pretrained": folder} of a saved domain.'
        )
    options = dict(frame)
    if "pretrained" in options:
        if len(options) > 1:
            raise ConfigError(f"{where} has pretrained and more: {frame!r}. Leave the rest out.")
        module = load_domain(options["pretrained"])
    else:
        module = build_domain(str(options.pop("kind")), options)
    unfit = [part for part in module.latent.parts if part.kind != "continuous"]
    if unfit or isinstance(module, FramesDomain):
        reason = f'a {unfit[0].kind} part "{unfit[0].name}"' if unfit else "clips for cells"
        raise ConfigError(
            f"{where} names {type(module).__name__}, which has {reason}; its latents can be "
            "neither averaged nor strung together. Choose a kind for pictures with real values."
        )
    return module


def _check_batch(raw: Any) -> None:
    if isinstance(raw, Tensor) and raw.ndim != 5:
        raise DomainError(
            "A batch of clips as one tensor needs the shape (batch, frames, channels, height, "
            f"width); got {tuple(raw.shape)}. For a single clip write [clip]."
        )
    if not isinstance(raw, (Tensor, np.ndarray)) and (
        isinstance(raw, (str, bytes, os.PathLike)) or not isinstance(raw, Sequence)
    ):
        raise DomainError(
            f"A batch of clips is a list or a tensor; got one {type(raw).__name__}. Put it in a "
            "list: [clip]."
        )


def _cells(clip: Any, number: int) -> Sequence[Any]:
    """The frames of a clip as cells that `load_picture` takes."""
    where = f"Clip {number} of the batch"
    if isinstance(clip, (str, os.PathLike)):
        found = _from_path(Path(clip).expanduser(), where)
    elif isinstance(clip, (Tensor, np.ndarray)):
        if clip.ndim != 4:
            raise DomainError(
                f"{where} has shape {tuple(clip.shape)}; it needs (frames, channels, height, "
                "width), an array (frames, height, width, channels)."
            )
        found = list(clip)
    elif isinstance(clip, Sequence) and not isinstance(clip, bytes):
        found = clip
    else:
        raise DomainError(
            f"{where} is of type {type(clip).__name__}; expected a tensor (frames, channels, "
            "height, width), a list of pictures, a folder of them, or an animated picture file."
        )
    if len(found) == 0:
        raise DomainError(f"{where} has no frame. Give at least one, or leave the cell missing.")
    return found


def _from_path(path: Path, where: str) -> Sequence[Any]:
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in ENDINGS)
        if not found:
            raise DomainError(
                f'{where}: the folder "{path}" holds no picture. Write its frames there as 000.png '
                "and so on, or leave the cell missing."
            )
        return found
    if not path.exists():
        raise DomainError(
            f'{where}: "{path}" does not exist. Correct the path or leave the cell missing.'
        )
    try:
        with Image.open(path) as image:
            return [frame.copy() for frame in ImageSequence.Iterator(image)]
    except Exception as error:  # each decoder fails in its own way
        raise DomainError(
            f'{where}: "{path}" cannot be read as an animated picture: {type(error).__name__}: '
            f"{error}. Extract its frames into a folder of pictures and give that."
        ) from error


def _of_clip(error: DomainError) -> str:
    return str(error).replace("Picture", "Frame", 1).replace(" of the batch", "", 1)


def _gif(frames: list[Tensor]) -> Rendering:
    height, width = frames[0].shape[1:]
    pictures = []
    for frame in frames:
        pixels = (frame.detach().cpu() * 255).round().to(torch.uint8)
        picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        pictures.append(picture.resize(pictures[0].size if pictures else picture.size))
    stream = io.BytesIO()
    pictures[0].save(
        stream,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=FRAME_MILLISECONDS,
        loop=0,
    )
    alt = f"clip of {len(frames)} frames of {width} x {height} pixels"
    return Rendering(media_type="image/gif", data=stream.getvalue(), alt=alt)
