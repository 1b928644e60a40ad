"""The MMVM VAE's regulariser as an objective (arXiv 2403.05300)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import attrs
import torch
from torch import Tensor

from globalworkspace.data.sampler import Segment
from globalworkspace.errors import ConfigError
from globalworkspace.moving import onto
from globalworkspace.objectives.base import Context, Objective
from globalworkspace.objectives.schedules import Schedule, Weight, schedule_of
from globalworkspace.randomness import derived_generator
from globalworkspace.route import Route, Walk
from globalworkspace.routes import Walked, joined
from globalworkspace_mmvm.divergence import kl_to_standard, mixture, pairwise
from globalworkspace_mmvm.posterior import Posterior, posterior_of

Estimator = Literal["pairwise", "mixture"]


class MixturePrior(Objective):
    """Each domain's posterior is drawn to the posteriors of all domains of its row.

    On matched rows it is R_m of `divergence.pairwise` or `divergence.mixture`. On rows of one
    domain it is `alpha * KL(q || N(0, I))`; with `alpha = 0` they take no part. The family is the
    mean over domains of the mean over rows, so the paper's regulariser, a sum over M domains, is M
    times the family. Deterministic states count as Gaussians of variance 1: `pairwise` then is
    half their mean squared distance.

    Args:
        weight: See `Objective`. The paper's beta is `weight * D / (2 variance)`, where the
            reconstruction is `demi_cycle` with weight 1, D its number of components and
            `variance` that of the Gaussian likelihood in standardised units.
        exclude: Domains that are left alone.
        estimator: `"pairwise"`: the closed form of the authors' code; `"mixture"`: the paper's
            formula, one sample of each posterior.
        alpha: Share of the standard normal, a number from 0 to 1 or a schedule over steps.

    Raises:
        ConfigError: On an unknown estimator, or if alpha leaves [0, 1].
    """

    name = "mmvm"
    has_directions = False

    def __init__(
        self,
        weight: Weight = 1.0,
        *,
        exclude: Sequence[str] = (),
        estimator: Estimator = "pairwise",
        alpha: Weight = 0.0,
    ) -> None:
        super().__init__(weight, exclude=exclude)
        if estimator not in get_args(Estimator):
            raise ConfigError(
                f'mmvm: estimator="{estimator}" is unknown; write "pairwise" or "mixture".'
            )
        self.estimator, self.alpha = estimator, _share(alpha)

    def routes(self, segment: Segment) -> Iterable[Route]:
        """See `Objective.routes`."""
        for name in self._judged(segment):
            yield Route((name,))

    def loss(self, walked: Walked, context: Context) -> dict[str, Tensor]:
        """See `Objective.loss`: one key per domain, rows of all groups that have it pooled."""
        pieces: dict[str, list[Tensor]] = {}
        drawn: dict[str, list[Tensor]] = {}
        for index, segment in enumerate(walked.segments):
            names = self._judged(segment)
            if not names:
                continue
            found = [posterior_of(walked.states[Walk(Route((n,)), index)]) for n in names]
            if self.estimator == "mixture" and any(p.noise is None for p in found):
                for place, name in enumerate(names):
                    if name not in drawn:
                        drawn[name] = _noise(walked.segments, name, found[place].mean, context)
                    found[place] = attrs.evolve(found[place], noise=drawn[name][index])
            for name, rows in zip(names, self._values(found, context).unbind(), strict=True):
                pieces.setdefault(name, []).append(rows)
        return {name: joined(rows) for name, rows in pieces.items()}

    def _judged(self, segment: Segment) -> list[str]:
        """The domains of a segment whose posteriors are judged."""
        names = [name for name in segment.group if name not in self.exclude]
        alone = len(names) == 1 and self.alpha.start == self.alpha.end == 0
        return [] if alone else names

    def _values(self, found: Sequence[Posterior], context: Context) -> Tensor:
        """(M, B) of the M posteriors of a segment's rows."""
        means = torch.stack([posterior.mean for posterior in found])
        logvars = torch.stack([posterior.logvar for posterior in found])
        constant = self.alpha.start == self.alpha.end  # a step that is not looked at is captured
        alpha = self.alpha.end if constant else self.alpha.at(context.step)
        if len(found) == 1:
            return alpha * kl_to_standard(means, logvars)
        if self.estimator == "pairwise":
            return pairwise(means, logvars, alpha)
        noise = torch.stack([p.noise for p in found if p.noise is not None])
        return mixture(means, logvars, noise, alpha)


def _share(alpha: Weight) -> Schedule:
    try:
        schedule = schedule_of(alpha)
    except ConfigError as error:
        raise ConfigError(f"mmvm: alpha={alpha!r} is no share: {error}") from error
    if max(schedule.start, schedule.end) > 1:
        raise ConfigError(
            f"mmvm: alpha={schedule} must lie in [0, 1]: it is the standard normal's share."
        )
    return schedule


def _noise(segments: Sequence[Segment], name: str, like: Tensor, context: Context) -> list[Tensor]:
    """Noise (rows, W) for each segment, where encoders drew none: in eval mode, say.

    A function of seed, step and row: drawn for the rows of all segments and processes together,
    so that it is the same however these share them.

    Args:
        segments: Of the batch; those without the domain get no rows.
        name: The domain.
        like: (B, W), for size, device and dtype.
        context: Seed and step.
    """
    sizes = [segment.whole if name in segment.group else 0 for segment in segments]
    generator = derived_generator(context.seed, context.step, "mmvm", name)
    whole = torch.randn(sum(sizes), like.shape[1], generator=generator)
    pieces = [
        rows[segment.start : segment.start + segment.size]
        for rows, segment in zip(whole.split(sizes), segments, strict=True)
    ]
    return [onto(piece, like.device).to(like.dtype) for piece in pieces]
