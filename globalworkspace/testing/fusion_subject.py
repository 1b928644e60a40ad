"""What the checks of a fusion get."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from functools import partial

import attrs
import torch
from torch import Tensor

from globalworkspace.fusion import Fusion, State
from globalworkspace.testing.checks import NotJudged, apart
from globalworkspace.testing.module_checks import twice
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
        call = partial(self.fuse, codes, present, seed)
        first, second = twice(call, lambda state: self.need_finite(state, codes), "it")
        if apart(first.code, second.code):
            raise NotJudged("its state is not the same every time")
        return first

    def rebuilt(self) -> Fusion:
        """One of the same settings after a round trip through JSON, without the weights."""
        fusion = self.fusion()
        try:
            config = json.loads(json.dumps(fusion.config(), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise NotJudged(f"config() is not JSON-able: {error}") from error
        return type(fusion)(dim=fusion.dim, activation=fusion.activation, **config).eval()

    def weights(self, seed: int | None) -> tuple[Tensor, str | None]:
        """What `select` gives for rows with gaps, (n, B), and what is wrong with it."""
        here = torch.stack(list(self.gaps().values()))
        codes = torch.stack(list(self.codes().values())).masked_fill(~here[:, :, None], 0.0)
        weights = self.fusion().select(codes, here, generator_of(seed))
        return weights, _shares_fault(weights, here)

    def sound_weights(self, seed: int | None) -> Tensor:
        """The same, not judged where another check says what is wrong."""
        weights, fault = self.weights(seed)
        if fault:
            raise NotJudged("its weights are no shares")
        return weights


def _shares_fault(weights: Tensor, here: Tensor) -> str | None:
    """What is wrong with the weights (n, B) of the domains of each row."""
    if weights.shape != here.shape:
        return f"have shape {tuple(weights.shape)}, not {tuple(here.shape)}"
    if not (weights >= 0).all():
        return "hold a negative share, or NaN"
    if weights[~here].any():
        return "are not 0 where a domain is missing"
    difference = apart(weights.sum(dim=0), torch.ones(weights.shape[1]))
    return f"do not sum to 1 over the domains of a row: {difference}" if difference else None


def generator_of(seed: int | None) -> torch.Generator | None:
    """A generator of that seed; None: no chance."""
    return None if seed is None else torch.Generator().manual_seed(seed)


def parts_of(state: State) -> dict[str, Tensor]:
    """Name -> what a state has of code, before and logvar."""
    return {name: value for name, value in attrs.asdict(state).items() if value is not None}
