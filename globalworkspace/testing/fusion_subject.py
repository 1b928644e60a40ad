"""What the checks of a fusion get."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping

import attrs
import torch
from torch import Tensor

from globalworkspace.fusion import Fusion, State
from globalworkspace.testing.checks import (
    NotJudged,
    apart,
    global_seed,
)
from globalworkspace.testing.toys import TOY_DOMAINS

ROWS = 12

Codes = dict[str, Tensor]


@attrs.frozen(eq=False)
class FusionSubject:
    """What the checks of a fusion get."""

    original: Fusion
    code_dim: int | None = None
    """Columns of a code; None: those of the workspace."""
    plugin: str | None = None

    def fusion(self) -> Fusion:
        """A copy in eval mode."""
        if not isinstance(self.original, Fusion):
            raise NotJudged("it is no Fusion")
        return copy.deepcopy(self.original).eval()

    def codes(self, number: int = ROWS, dtype: torch.dtype = torch.float32) -> Codes:
        """Codes of three domains, always the same."""
        width = self.fusion().dim if self.code_dim is None else self.code_dim
        chance = torch.Generator().manual_seed(0)
        drawn = torch.randn(len(TOY_DOMAINS), number, width, generator=chance, dtype=torch.float64)
        return dict(zip(TOY_DOMAINS, drawn.to(dtype).unbind(), strict=True))

    def gaps(self) -> dict[str, Tensor]:
        """Which rows have which domains: every non-empty subset of the three."""
        subsets = 1 + torch.arange(ROWS) % (2 ** len(TOY_DOMAINS) - 1)
        return {name: (subsets >> i) % 2 == 1 for i, name in enumerate(TOY_DOMAINS)}

    def fuse(
        self, codes: Codes, present: Mapping[str, Tensor] | None = None, seed: int | None = None
    ) -> State:
        """The state of copies of the codes, by a copy of the fusion."""
        fusion = self.fusion().to(next(iter(codes.values())).dtype)
        return fusion.fuse(
            {n: code.clone() for n, code in codes.items()}, present, generator_of(seed)
        )

    def fault(self, state: object, codes: Codes) -> str | None:
        """What is wrong with a state's shapes and dtypes."""
        if not isinstance(state, State):
            return f"is a {type(state).__name__}, no State"
        code = next(iter(codes.values()))
        narrow = (len(code), self.original.dim)
        for name, wanted in (("code", narrow), ("before", tuple(code.shape)), ("logvar", narrow)):
            values = getattr(state, name)
            if name == "logvar" and values is None:
                continue
            if tuple(values.shape) != wanted or values.dtype != code.dtype:
                return f"has {name} {tuple(values.shape)} {values.dtype}, not {wanted} {code.dtype}"
        return None

    def need_finite(self, state: State, codes: Codes) -> None:
        """Say `NotJudged` if a state is not as it should be, which other checks are for."""
        if self.fault(state, codes):
            raise NotJudged("its state has other shapes or dtypes")
        if not all(values.isfinite().all() for values in parts_of(state).values()):
            raise NotJudged("its state is not finite")

    def sound(
        self, codes: Codes, present: Mapping[str, Tensor] | None = None, seed: int | None = None
    ) -> State:
        """The same as `fuse`, not judged where another check says what is wrong."""
        found = []
        for elsewhere in (1, 2):
            try:
                with global_seed(elsewhere):
                    found.append(self.fuse(codes, present, seed))
            except Exception as error:
                raise NotJudged(f"it raises {type(error).__name__}: {error}") from error
            self.need_finite(found[-1], codes)
        if apart(found[0].code, found[1].code):
            raise NotJudged("its state is not the same every time")
        return found[0]

    def rebuilt(self) -> Fusion:
        """One of the same settings after a round trip through JSON, without the weights."""
        fusion = self.fusion()
        try:
            config = json.loads(json.dumps(fusion.config(), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise NotJudged(f"config() is not JSON-able: {error}") from error
        return type(fusion)(dim=fusion.dim, activation=fusion.activation, **config).eval()

    def weights(self, seed: int | None) -> tuple[Tensor, Tensor]:
        """What `select` gives for rows with gaps, and which domains are there; (n, B) both."""
        here = torch.stack(list(self.gaps().values()))
        codes = torch.stack(list(self.codes().values())).masked_fill(~here[:, :, None], 0.0)
        return self.fusion().select(codes, here, generator_of(seed)), here


def generator_of(seed: int | None) -> torch.Generator | None:
    """A generator of that seed; None: no chance."""
    return None if seed is None else torch.Generator().manual_seed(seed)


def parts_of(state: State) -> dict[str, Tensor]:
    """Name -> what a state has of code, before and logvar."""
    return {name: value for name, value in attrs.asdict(state).items() if value is not None}
