"""The regulariser of a VAE with one posterior for a row: its divergence from N(0, I)."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from globalworkspace.data.sampler import Segment
from globalworkspace.objectives.base import Context, Objective
from globalworkspace.route import Route, Walk
from globalworkspace.routes import Walked, joined
from globalworkspace_mmvm.divergence import kl_to_standard
from globalworkspace_mmvm.posterior import posterior_of


class StandardPrior(Objective):
    """`KL(q || N(0, I))` of the posterior of all domains of a row together.

    With the fusion's `aggregate` it is the regulariser of the joint VAEs that the MMVM VAE is
    measured against; the reconstruction beside it is `fused` (and `demi_cycle` on rows of one
    domain). Where the fusion draws what takes part (`"mixture"`, `"mopoe"`), the divergence of
    what was drawn estimates the mean over what can be, as those models have it. Deterministic
    states count as Gaussians of variance 1.

    Args:
        weight: See `Objective`; for the relation to beta see `MixturePrior`.
        exclude: Domains that are left out of the posterior.
    """

    name = "standard_prior"
    has_directions = False

    def routes(self, segment: Segment) -> Iterable[Route]:
        """See `Objective.routes`."""
        names = self._judged(segment)
        if names:
            yield Route(names)

    def loss(self, walked: Walked, context: Context) -> dict[str, Tensor]:
        """See `Objective.loss`: one key per set of domains."""
        pieces: dict[str, list[Tensor]] = {}
        for index, segment in enumerate(walked.segments):
            names = self._judged(segment)
            if names:
                found = posterior_of(walked.states[Walk(Route(names), index)])
                values = kl_to_standard(found.mean, found.logvar)
                pieces.setdefault(" + ".join(names), []).append(values)
        return {key: joined(rows) for key, rows in pieces.items()}

    def _judged(self, segment: Segment) -> tuple[str, ...]:
        return tuple(name for name in segment.group if name not in self.exclude)
