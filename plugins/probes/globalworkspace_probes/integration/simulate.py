"""Simulated sites of which it is known what they respond to.

Events are ordered, and neighbouring ones are alike: the tracks of both domains and the noise of
every site are autoregressive. The protocol is validated on these sites; they say nothing of brains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs
import torch
from torch import Tensor

from globalworkspace.errors import ConfigError, did_you_mean
from globalworkspace.randomness import derived_generator

INTERACTION = "interaction"
NULL_KINDS = ("vision", "language", "additive", "nonlinear vision", "noise")
HARDER_NULL_KINDS = (
    "nonlinear language",
    "nonlinear vision + language",
    "nonlinear vision + nonlinear language",
)
"""Further ones that no function of both domains together explains."""
KINDS = (*NULL_KINDS, INTERACTION)

Parts = Mapping[str, Tensor]


@attrs.frozen(eq=False, kw_only=True)
class SimulatedSites:
    """Tracks of two domains and the responses to them."""

    tracks: dict[str, Tensor]
    """`vision` and `language` -> (events, dim)."""
    responses: Tensor
    """(sites, events, bins) float64."""
    kinds: tuple[str, ...]
    """What each site responds to."""

    def of_kind(self, flags: Tensor) -> dict[str, int]:
        """Kind -> how many of its sites are flagged, for flags (sites,) bool."""
        return {
            kind: sum(
                yes for yes, own in zip(flags.tolist(), self.kinds, strict=True) if own == kind
            )
            for kind in dict.fromkeys(self.kinds)
        }


def simulate_sites(
    seed: int,
    *,
    kinds: Sequence[str] = KINDS,
    sites: int = 40,
    events: int = 1200,
    bins: int = 1,
    dim: int = 8,
    persistence: float = 0.8,
    signal: float = 0.3,
) -> SimulatedSites:
    """Draw tracks and responses.

    A site responds to a random mixture, of variance 1, of the columns of its kind: `vision` v,
    `language` l, `interaction` the products v_k l_k, `nonlinear vision` the products v_k v_(k+1);
    kinds that are joined by +, and `additive`, to the sum of two such mixtures. With several bins
    the first half of them holds noise alone.

    Args:
        seed: Of everything.
        kinds: Some of `KINDS` and `HARDER_NULL_KINDS`; kinds may be joined by " + ".
        sites: Of each kind.
        events: Ordered in time.
        bins: Time bins of each response.
        dim: Columns of each track, 2 at least.
        persistence: Correlation of neighbouring events, of tracks and noise, in [0, 1).
        signal: Share of the response's variance that is no noise, in (0, 1).

    Raises:
        ConfigError: On an unknown kind, or a number out of range.

    Example:
        >>> simulate_sites(0, sites=2, events=50).responses.shape
        torch.Size([12, 50, 1])
    """
    if not 0 <= persistence < 1 or not 0 < signal < 1 or min(sites, bins, dim - 1, events - 1) < 1:
        raise ConfigError(
            f"persistence={persistence}, signal={signal}, sites={sites}, bins={bins}, dim={dim} "
            f"and events={events} were given; persistence lies in [0, 1), signal in (0, 1), there "
            "is a site and a bin, and there are 2 columns and events at least."
        )
    chance = derived_generator("simulated sites", seed)
    vision = _autoregressive(events, dim, persistence, chance)
    language = _autoregressive(events, dim, persistence, chance)
    parts = {
        "vision": vision,
        "language": language,
        INTERACTION: vision * language,
        "nonlinear vision": vision * vision.roll(1, dims=1),
        "nonlinear language": language * language.roll(1, dims=1),
        "noise": torch.zeros_like(vision),
    }
    found = []
    for kind in kinds:
        told = _told(kind, parts, sites, chance)  # (events, sites)
        noise = _autoregressive(events, sites * bins, persistence, chance)
        noise = _standard(noise).view(events, sites, bins)
        seen = (torch.arange(bins) >= bins // 2).double() * (kind != "noise")
        heard = told[:, :, None] * (signal * seen).sqrt() + noise * (1 - signal * seen).sqrt()
        found.append(heard.transpose(0, 1))
    return SimulatedSites(
        tracks={"vision": vision, "language": language},
        responses=torch.cat(found),
        kinds=tuple(kind for kind in kinds for _ in range(sites)),
    )


def rich_model(tracks: Mapping[str, Tensor]) -> Tensor:
    """A multimodal model that holds every part of the simulated sites: (events, 5 dim).

    It has better features of each domain alone than the tracks are, too: what it predicts better
    need not be integration.
    """
    vision, language = tracks["vision"], tracks["language"]
    own = [x * x.roll(1, dims=1) for x in (vision, language)]
    return torch.cat([vision, language, vision * language, *own], dim=1)


def _told(kind: str, parts: Parts, sites: int, chance: torch.Generator) -> Tensor:
    """What `sites` sites of a kind respond to, (events, sites), each of variance 1."""
    names = ["vision", "language"] if kind == "additive" else kind.split(" + ")
    for name in names:
        if name not in parts:
            raise ConfigError(
                f'The kind "{kind}" is unknown; known: {", ".join(parts)}, additive, and sums of '
                f'them as "vision + language".{did_you_mean(name, parts)}'
            )
    total = torch.zeros(len(parts["vision"]), sites, dtype=torch.float64)
    for name in names:
        weights = torch.randn(parts[name].shape[1], sites, generator=chance, dtype=torch.float64)
        total = total + _standard(parts[name] @ weights)
    return _standard(total)


def _standard(values: Tensor) -> Tensor:
    spread = values.std(dim=0, correction=0)
    return (values - values.mean(dim=0)) / torch.where(spread > 0, spread, 1.0)


def _autoregressive(
    events: int, columns: int, persistence: float, chance: torch.Generator
) -> Tensor:
    """Stationary AR(1) columns (events, columns) of variance 1."""
    shocks = torch.randn(events, columns, generator=chance, dtype=torch.float64)
    rows = [shocks[0]]
    fresh = math.sqrt(1 - persistence**2)
    for shock in shocks[1:]:
        rows.append(persistence * rows[-1] + fresh * shock)
    return torch.stack(rows)
