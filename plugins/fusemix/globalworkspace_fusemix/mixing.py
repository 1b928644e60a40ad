"""The augmentation: each row of a matched group is mixed with another, alike in every domain.

FuseMix (Vouitsis et al. 2024, arXiv 2312.10144), on standard latents z of the domains d of a row:

    lambda ~ Beta(alpha, alpha),    z~_d = lambda z_d + (1 - lambda) z'_d

with one coefficient lambda and one other row z' for all domains. So the mixed latents belong
together as the rows do: if one domain is a linear map of another, it still is after mixing.

The authors' code draws one lambda for a batch and mixes its first half with its second. Here every
row is mixed with its successor in a random order, and the batch keeps its size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from globalworkspace.augmentation import Augmentation, partners
from globalworkspace.errors import ConfigError, DomainError
from globalworkspace.latents import LatentSpec
from globalworkspace.moving import onto


class FuseMix(Augmentation):
    """Mixes each row with another one, by one coefficient and with one partner for all domains.

    Predictions are compared with the mixed latents.

    Args:
        alpha: Of the Beta distribution; 1: uniform. Towards 0 rows stay as they are (or become
            their partner); 0: they stay.
        granularity: `"batch"`: one coefficient for all rows of a group, as in the authors' code;
            `"sample"`: one for each row.
        discrete: `"refuse"`: parts whose values cannot be interpolated are an error; `"mix"`: they
            are mixed, too: a class becomes shares of two classes, an angle's (cos, sin) a point
            within the circle, a sequence's mask a share of there being something.
        share: What all domains have in common: `"both"`; or, as a control that destroys what
            FuseMix is about, the `"partner"` or the `"coefficient"` alone: each domain then draws
            its own of the other.

    Raises:
        ConfigError: If a setting is out of range.

    Example:
        >>> rows = {"a": torch.tensor([[0.0], [1.0], [2.0]])}
        >>> rows["b"] = 10 * rows["a"]
        >>> specs = {name: LatentSpec.continuous(1) for name in rows}
        >>> mixed = FuseMix().apply(rows, specs, torch.Generator().manual_seed(0))
        >>> torch.allclose(mixed["b"], 10 * mixed["a"])
        True
    """

    targets = "view"

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        granularity: Literal["batch", "sample"] = "batch",
        discrete: Literal["refuse", "mix"] = "refuse",
        share: Literal["both", "partner", "coefficient"] = "both",
    ) -> None:
        if not alpha >= 0:
            raise ConfigError(f"fusemix: alpha={alpha} must be at least 0.")
        if granularity not in ("batch", "sample"):
            raise ConfigError(
                f'fusemix: granularity="{granularity}" is unknown; write "batch" or "sample".'
            )
        if discrete not in ("refuse", "mix"):
            raise ConfigError(
                f'fusemix: discrete="{discrete}" is unknown; write "refuse" or "mix".'
            )
        if share not in ("both", "partner", "coefficient"):
            raise ConfigError(
                f'fusemix: share="{share}" is unknown; write "both", "partner" or "coefficient".'
            )
        self.alpha, self.granularity, self.discrete = alpha, granularity, discrete
        self.share = share

    def apply(
        self,
        latents: Mapping[str, Tensor],
        specs: Mapping[str, LatentSpec],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """See `Augmentation.apply`.

        Raises:
            DomainError: If a part cannot be interpolated, and is not to be mixed all the same.
        """
        if self.discrete == "refuse":
            for name in latents:
                _refuse_discrete(name, specs[name])
        if self.alpha == 0:
            return dict(latents)
        number = len(next(iter(latents.values())))
        drawn = 1 if self.granularity == "batch" else number

        def shares() -> Tensor:
            return coefficients(self.alpha, drawn, generator)

        share = shares() if self.share != "partner" else None
        partner = partners(number, generator) if self.share != "coefficient" else None
        return {
            name: _mixed(
                values,
                shares() if share is None else share,
                partners(number, generator) if partner is None else partner,
            )
            for name, values in latents.items()
        }


_TRIES = 10
"""Candidates for a Gamma variable; each is taken with a chance of 0.95 or more."""


def coefficients(alpha: float, number: int, generator: torch.Generator) -> Tensor:
    """Draws of Beta(alpha, alpha), (number, 1) float64; their variance is 1 / (4 (2 alpha + 1)).

    A Beta variable is the share of one of two Gamma variables in their sum. These are drawn as
    Marsaglia and Tsang (2000) do, of shape alpha + 1 and times u^(1 / alpha), in logarithms: a
    small alpha makes them smaller than any number. What is drawn does not depend on what was drawn
    before, so that a captured step can draw it anew.
    """
    double = torch.float64
    normal = torch.randn(_TRIES, 2, number, 1, generator=generator, dtype=double)
    uniform = torch.rand(_TRIES, 2, number, 1, generator=generator, dtype=double)
    boost = torch.rand(2, number, 1, generator=generator, dtype=double)
    d = alpha + 2 / 3
    cube = (1 + normal / math.sqrt(9 * d)).clamp(min=0) ** 3
    taken = uniform.log() < normal.square() / 2 + d - d * cube + d * cube.log()
    first = taken.long().argmax(dim=0, keepdim=True)
    gamma = (d * cube).gather(0, first)[0].log() + boost.log() / alpha
    return (gamma[0] - gamma[1]).nan_to_num(0.0).sigmoid()


def _mixed(values: Tensor, share: Tensor, partner: Tensor) -> Tensor:
    share = onto(share, values.device).to(values.dtype)
    return share * values + (1 - share) * values[onto(partner, values.device)]


def _refuse_discrete(domain: str, spec: LatentSpec) -> None:
    fixed = [part for part in spec.parts if not part.interpolable]
    if fixed:
        part = fixed[0]
        raise DomainError(
            f'fusemix: part "{part.name}" of domain "{domain}" is {part.kind}, and a value between '
            'two of its values is none. Set discrete = "mix" to mix it all the same (a class '
            "becomes shares of two classes), or take objectives with this view off the domain by "
            "`exclude`."
        )
