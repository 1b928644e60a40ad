"""What the checks of a kind of networks get."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from globalworkspace.latents import LatentSpec, Part
from globalworkspace.testing.checks import NotJudged, apart, global_seed
from globalworkspace.testing.module_checks import twice
from globalworkspace.testing.toys import random_latents

ROWS = 12
SIDES = ("encoder", "decoder")
TOY_SPEC = LatentSpec(
    (
        Part(name="values", size=2),
        Part(name="class", size=3, kind="categorical"),
        Part(name="angle", size=1, kind="circular"),
        Part(name="steps", size=2, kind="sequence", length=3),
    )
)
"""What the latents are made of: a part of each kind."""
TOY_DIM = 5
_SIZES: Mapping[str, Any] = {
    "hidden_dim": 16,
    "num_layers": 2,
    "dropout": 0.0,
    "linear_path": False,
}
"""What a workspace gives to every kind."""


@attrs.frozen(eq=False)
class NetworkSubject:
    """What the checks of networks get."""

    network: Any
    spec: LatentSpec = TOY_SPEC
    dim: int = TOY_DIM
    plugin: str | None = None
    sizes: Mapping[str, Any] = attrs.field(factory=dict)

    def given(self, other: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The keywords that a network is made with."""
        return {**_SIZES, **self.sizes, **(other or {})}

    def build(self, side: str, other: Mapping[str, Any] | None = None) -> Any:
        """The encoder or the decoder, its weights by torch's global generator."""
        return getattr(self.network, side)(self.spec, self.dim, **self.given(other))

    def made(
        self, side: str, other: Mapping[str, Any] | None = None, *, seed: int = 1
    ) -> nn.Module:
        """The same in eval mode, not judged where it cannot be built."""
        try:
            with global_seed(seed):
                module = self.build(side, other)
        except Exception as error:
            raise NotJudged(f"{side}() raises {type(error).__name__}: {error}") from error
        if not isinstance(module, nn.Module):
            raise NotJudged(f"{side}() makes no module")
        return module.eval()

    def rows(self, side: str, number: int = ROWS, dtype: torch.dtype = torch.float32) -> Tensor:
        """Standard latents for the encoder, states for the decoder; always the same."""
        chance = torch.Generator().manual_seed(0)
        if side == "encoder":
            return random_latents(self.spec, ROWS, chance)[:number].to(dtype)
        return torch.randn(ROWS, self.dim, generator=chance)[:number].tanh().to(dtype)

    def fault(self, side: str, found: object, rows: Tensor) -> str | None:
        """What is wrong with an output's shape and dtype."""
        if not isinstance(found, Tensor):
            return f"gives a {type(found).__name__}"
        size, multiples = (self.dim, True) if side == "encoder" else (self.spec.dim, False)
        width = found.shape[1] if found.ndim == 2 else 0
        fits = width >= size and width % size == 0 if multiples else width == size
        if not fits or len(found) != len(rows) or found.dtype != rows.dtype:
            shown = f"{tuple(found.shape)} {found.dtype}"
            return f"gives {shown} for rows {tuple(rows.shape)} {rows.dtype}"
        return None

    def need_finite(self, side: str, found: Tensor, rows: Tensor) -> None:
        """Say `NotJudged` if an output is not as it should be, which other checks are for."""
        if self.fault(side, found, rows):
            raise NotJudged(f"the {side} gives other shapes or dtypes")
        if not found.isfinite().all():
            raise NotJudged(f"the {side} gives values that are not finite")

    def sound(self, side: str, module: nn.Module, rows: Tensor) -> Tensor:
        """What a copy gives, not judged where another check says what is wrong."""
        call = partial(output, module, rows)
        first, second = twice(call, lambda x: self.need_finite(side, x, rows), f"the {side}")
        if apart(first, second):
            raise NotJudged(f"the {side} does not give the same every time")
        return first


def output(module: nn.Module, rows: Tensor) -> Tensor:
    """What a copy of the module gives for a copy of the rows."""
    found: Tensor = copy.deepcopy(module).to(rows.dtype)(rows.clone())
    return found
