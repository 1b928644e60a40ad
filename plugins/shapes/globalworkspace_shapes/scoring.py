"""How right a translation is, judged by the shape's attributes whatever the target domain.

Decoded attributes are read off directly; a sentence is parsed by the grammar that wrote it; a
picture's latent is read by a small probe trained on rendered pictures whose attributes are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalworkspace.errors import DataError
from globalworkspace_shapes.attributes import (
    CLASSES,
    LIGHTNESS_RANGE,
    SIZE_RANGE,
    ShapeAttributes,
)
from globalworkspace_shapes.captions import PLACE_LOW, PLACE_SPAN, CaptionFacts, read_caption

FACTORS = ("x", "y", "size", "rotation", "r", "g", "b")
"""Factors scored by R²; rotation as the mean of its cosine and sine."""

_MIDDLE = PLACE_LOW + PLACE_SPAN / 2
_GRAY = sum(LIGHTNESS_RANGE) / 2 / 255
_NOTHING = CaptionFacts(
    category=-1,
    size_bin=-1,
    size_range=(float(SIZE_RANGE[0]), float(SIZE_RANGE[1])),
    color_name="",
    rgb=(_GRAY, _GRAY, _GRAY),
    x=_MIDDLE,
    y=_MIDDLE,
    place_tolerance=PLACE_SPAN / 2,
    rotation=None,
    rotation_tolerance=None,
)

Facts = dict[str, Tensor]
"""`shape` -> (N,) class index; each numeric factor -> (N,), rotation -> (N, 2) as (cos, sin)."""


def facts_of_attributes(columns: Mapping[str, Sequence[float] | Sequence[str] | Tensor]) -> Facts:
    """The facts in a decoded table of attributes, classes given as names or indices."""
    shape = columns["shape"]
    indices = [CLASSES.index(value) if isinstance(value, str) else int(value) for value in shape]
    facts = {name: torch.as_tensor(columns[name], dtype=torch.float32) for name in FACTORS}
    return facts | {"shape": torch.tensor(indices), "rotation": on_circle(facts["rotation"])}


def facts_of_captions(captions: Sequence[str]) -> Facts:
    """The facts that sentences tell; a word's middle value stands for all it can mean.

    A sentence that the grammar cannot read tells nothing: its class is wrong, and its numbers are
    the middle of all that there are.
    """
    read = [_read(text) for text in captions]
    angles = torch.tensor([0.0 if fact.rotation is None else fact.rotation for fact in read])
    told = torch.tensor([fact.rotation is not None for fact in read])
    numbers = {
        "shape": torch.tensor([fact.category for fact in read]),
        "x": torch.tensor([float(fact.x) for fact in read]),
        "y": torch.tensor([float(fact.y) for fact in read]),
        "size": torch.tensor([sum(fact.size_range) / 2.0 for fact in read]),
        "rotation": on_circle(angles) * told[:, None],
    }
    colors = torch.tensor([list(fact.rgb) for fact in read], dtype=torch.float32)
    return numbers | {name: colors[:, i] for i, name in enumerate("rgb")}


def _read(text: str) -> CaptionFacts:
    try:
        return read_caption(text)
    except DataError:
        return _NOTHING


def on_circle(angles: Tensor) -> Tensor:
    """Radians (N,) -> (cos, sin), (N, 2)."""
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def score(found: Facts, truth: Facts) -> dict[str, float]:
    """Share of right classes under `class`, and R² of every factor."""
    scores = {"class": float((found["shape"] == truth["shape"]).double().mean())}
    for name in FACTORS:
        guess, true = found[name].double(), truth[name].double()
        variance = (true - true.mean(dim=0)).square().mean(dim=0)
        scores[name] = float((1 - (guess - true).square().mean(dim=0) / variance).mean())
    return scores


class LatentProbe(nn.Module):
    """Reads a shape's facts off picture latents.

    Args:
        latents: (N, D) latents of pictures.
        attributes: What these pictures show.
        steps: Training steps of 512 rows.
        seed: Of weights and batches.
    """

    def __init__(
        self, latents: Tensor, attributes: ShapeAttributes, *, steps: int = 1500, seed: int = 0
    ) -> None:
        super().__init__()
        self.register_buffer("mean", latents.mean(dim=0))
        self.register_buffer("std", latents.std(dim=0).clamp(min=1e-6))
        numbers = _numbers(facts_of_attributes(attributes.columns()))
        self.register_buffer("low", numbers.mean(dim=0))
        self.register_buffer("unit", numbers.std(dim=0))
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net = nn.Sequential(
                nn.Linear(latents.shape[1], 256),
                nn.SiLU(),
                nn.Linear(256, 256),
                nn.SiLU(),
                nn.Linear(256, 3 + 8),
            )
        optimizer = torch.optim.AdamW(self.net.parameters(), lr=3e-3, weight_decay=1e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
        targets = (numbers - self.low) / self.unit
        for _ in range(steps):
            rows = torch.randint(len(latents), (512,), generator=generator)
            output = self._read(latents[rows])
            loss = F.mse_loss(output[:, 3:], targets[rows]) + 0.3 * F.cross_entropy(
                output[:, :3], attributes.category[rows]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        self.requires_grad_(False)

    def _read(self, latents: Tensor) -> Tensor:
        result: Tensor = self.net((latents - self.mean) / self.std)
        return result

    @torch.no_grad()
    def read(self, latents: Tensor) -> Facts:
        """(N, D) -> facts."""
        output = self._read(latents.cpu().float())
        numbers = output[:, 3:] * self.unit + self.low
        names = ("x", "y", "size", "r", "g", "b")
        facts = {name: numbers[:, i] for i, name in enumerate(names)}
        return facts | {"shape": output[:, :3].argmax(dim=1), "rotation": numbers[:, 6:]}


def _numbers(facts: Facts) -> Tensor:
    return torch.cat(
        [
            torch.stack([facts[n] for n in ("x", "y", "size", "r", "g", "b")], dim=1),
            facts["rotation"],
        ],
        dim=1,
    )
