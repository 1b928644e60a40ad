"""Sites of integration: responses that a fused state predicts better than all its controls do.

After Subramaniam et al. 2024 (arXiv 2406.14481): a site is one of integration if a multimodal model
predicts it better than unimodal and linearly integrated models. Two gates are not the paper's, on
by default: `mispaired`, without which a model flags sites by a better feature of one domain alone,
and `additive`, without which it flags sites that add such features of two; see `features`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import attrs
import torch
from torch import Tensor

from globalworkspace.errors import ConfigError, DataError, did_you_mean
from globalworkspace.randomness import derived_generator
from globalworkspace_probes.integration.bootstrap import (
    RESAMPLES,
    block_weights,
    resampled_correlation,
)
from globalworkspace_probes.integration.correlation import correlation
from globalworkspace_probes.integration.features import WORKSPACE
from globalworkspace_probes.integration.result import IntegrationResult
from globalworkspace_probes.integration.ridge import (
    ALPHAS,
    FOLDS,
    Fold,
    RidgeEncoder,
    contiguous_folds,
)

DEFAULT_GATES = ("unimodal", "concat", "mispaired", "additive")
BLOCK = 25
MOST_ALIKE = 0.2
"""Autocorrelation of the responses at the length of a block from which on a warning is given."""
_CELLS = 4_000_000
"""Correlations held at once: draws times responses."""


def integration_probe(
    features: Mapping[str, Tensor | Mapping[str, Tensor]],
    responses: Tensor,
    *,
    gates: Sequence[str] | None = None,
    sites: Sequence[str] | None = None,
    folds: int = FOLDS,
    alphas: Sequence[float] = ALPHAS,
    block: int | None = None,
    resamples: int = RESAMPLES,
    min_bins: int | None = None,
    level: float = 0.05,
    seed: int = 0,
) -> IntegrationResult:
    """Ask of each site whether the workspace's state predicts it better than every control.

    Every model is a ridge regression, see `ridge`, and is scored by Pearson's r on held-out events,
    mean over folds and over the bins that are kept. Those are the bins whose r of the workspace, on
    the halves that no model is scored by, has a lower 95 % bootstrap bound above 0.

    Args:
        features: `workspace` -> (events, D), and gate -> features of its control, or of several by
            name; `control_features` and `workspace_features` make them.
        responses: (sites, events, bins), or (sites, events) for one bin; finite.
        gates: Which controls have to be beaten; None: all that are given, the default ones
            (`unimodal`, `concat`, `mispaired`, `additive`) among them. Others are only reported.
        sites: Their names; None: their numbers.
        folds: Contiguous stretches of events, each held out once.
        alphas: Penalties to choose from, per site and bin.
        block: Neighbouring events that the bootstrap draws together; None: 25, but no more than a
            quarter of a scored stretch.
        resamples: Draws of the bootstrap. No p-value is under 1 / (resamples + 1).
        min_bins: Bins to keep at least; None: a tenth of all, 1 to 10.
        level: False discovery rate.
        seed: Of the draws, which are the same for all models.

    Raises:
        DataError: If features and responses do not fit together, or hold NaN.
        ConfigError: If a gate has no control, or a setting is out of range.
    """
    measured = _responses(responses)
    models, controls = _models(features, measured.shape[1], gates)
    names = tuple(map(str, range(len(measured)) if sites is None else sites))
    if len(names) != len(measured):
        raise DataError(f"{len(names)} names were given for {len(measured)} sites.")
    if not 0 < level < 1:
        raise ConfigError(f"level={level} must lie between 0 and 1.")
    fewest = max(1, min(10, measured.shape[2] // 10)) if min_bins is None else min_bins
    if not 1 <= fewest <= measured.shape[2]:
        raise ConfigError(
            f"min_bins={min_bins} was given for responses of {measured.shape[2]} bins; it must be "
            "at least 1 and no more than these."
        )
    cut = contiguous_folds(measured.shape[1], folds)
    length = _block(block, cut, measured)
    chance = derived_generator(seed, "integration", length)
    drawn = {
        half: [
            torch.cat([torch.ones_like(weight[:1]), weight])  # the first row is the data itself
            for weight in block_weights(
                [len(getattr(fold, half)) for fold in cut],
                block=length,
                resamples=resamples,
                generator=chance,
            )
        ]
        for half in ("validation", "scored")
    }
    encoders = {name: RidgeEncoder(x, cut, alphas) for name, x in models.items()}
    step = max(1, _CELLS // ((resamples + 1) * measured.shape[2]))
    parts = [_judged(encoders, some, cut, drawn, fewest) for some in measured.split(step)]
    scores = {name: torch.cat([part.scores[name] for part in parts], dim=1) for name in models}
    judged = torch.cat([part.judged for part in parts])
    found = {gate: _compared(scores, names_of, judged) for gate, names_of in controls.items()}
    return IntegrationResult(
        sites=names,
        kept_bins=torch.cat([part.kept_bins for part in parts]),
        judged=judged,
        correlations={name: score[0] for name, score in scores.items()},
        differences={gate: difference for gate, (difference, _) in found.items()},
        p_values={gate: p for gate, (_, p) in found.items()},
        level=level,
    )


@attrs.frozen(eq=False, kw_only=True)
class _Part:
    """Some sites."""

    kept_bins: Tensor
    judged: Tensor
    scores: dict[str, Tensor]
    """Model -> (1 + draws, sites): mean r over bins."""


def _judged(
    encoders: Mapping[str, RidgeEncoder],
    measured: Tensor,
    cut: Sequence[Fold],
    drawn: Mapping[str, list[Tensor]],
    fewest: int,
) -> _Part:
    number, events, bins = measured.shape
    flat = measured.permute(1, 0, 2).reshape(events, number * bins)
    first = [flat[fold.validation] for fold in cut]
    second = [flat[fold.scored] for fold in cut]
    told = {WORKSPACE: encoders[WORKSPACE].predict(flat)}
    early = resampled_correlation(told[WORKSPACE].validation, first, drawn["validation"])
    kept = (early[1:].quantile(0.025, dim=0) > 0).view(number, bins)
    judged = kept.sum(dim=1) >= fewest
    counted = torch.where(judged[:, None], kept, torch.ones_like(kept)).double()
    share = counted / counted.sum(dim=1, keepdim=True)
    scores = {}
    for name, encoder in encoders.items():
        predicted = told[name] if name in told else encoder.predict(flat)
        r = resampled_correlation(predicted.scored, second, drawn["scored"])
        scores[name] = (r.view(-1, number, bins) * share).sum(dim=2)
    return _Part(kept_bins=kept.sum(dim=1), judged=judged, scores=scores)


def _compared(
    scores: Mapping[str, Tensor], controls: Sequence[str], judged: Tensor
) -> tuple[Tensor, Tensor]:
    """Of one gate: the difference to the strongest control with its interval (S, 3), and p (S,)."""
    gains = torch.stack([scores[WORKSPACE] - scores[name] for name in controls])
    draws = gains.shape[1] - 1
    p = ((gains[:, 1:] <= 0).sum(dim=1) + 1).double() / (draws + 1)
    strongest = gains[:, 0].argmin(dim=0)
    gain = gains.gather(0, strongest.expand(1, draws + 1, -1))[0]
    low, high = gain[1:].quantile(torch.tensor([0.025, 0.975], dtype=gain.dtype), dim=0)
    worst = torch.where(judged, p.amax(dim=0), torch.ones_like(p[0]))
    return torch.stack([gain[0], low, high], dim=1), worst


def _responses(given: Tensor) -> Tensor:
    """(sites, events, bins) float64 on the CPU."""
    values = torch.as_tensor(given).detach().cpu().double()
    values = values[:, :, None] if values.ndim == 2 else values
    if values.ndim != 3 or not values.numel():
        raise DataError(
            f"Responses of shape {tuple(values.shape)} were given; (sites, events, bins) or (sites,"
            " events) is expected."
        )
    bad = (~values.isfinite()).nonzero()
    if len(bad):
        site, event, time = bad[0].tolist()
        raise DataError(
            f"The response of site {site} to event {event}, bin {time}, is NaN or infinite. Leave "
            "out the site, or the event of all sites and features."
        )
    return values


def _models(
    features: Mapping[str, Tensor | Mapping[str, Tensor]], events: int, gates: Sequence[str] | None
) -> tuple[dict[str, Tensor], dict[str, list[str]]]:
    """Model -> features (events, D), and gate -> its models."""
    wanted = (*DEFAULT_GATES, *features) if gates is None else tuple(gates)
    if not wanted or (gates is not None and WORKSPACE in wanted):
        raise ConfigError(
            f"gates={list(wanted)} was given; a gate is the name of a control, and there is one at "
            "least."
        )
    for name in (WORKSPACE, *wanted):
        if name not in features:
            raise ConfigError(
                f'The features hold no "{name}"; they hold {", ".join(features) or "nothing"}. Add '
                f"them, or name the gates to judge by: gates=[...].{did_you_mean(name, features)}"
            )
    models: dict[str, Tensor] = {}
    controls: dict[str, list[str]] = {}
    for name, given in features.items():
        parts = {name: given} if isinstance(given, Tensor) else _named(name, given)
        models |= {label: _table(label, x, events) for label, x in parts.items()}
        if name != WORKSPACE and name in wanted:
            controls[name] = list(parts)
    return models, controls


def _named(gate: str, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if gate == WORKSPACE or not given:
        raise DataError(
            f'The features "{gate}" are {len(given)} tables; '
            f"{'one is' if gate == WORKSPACE else 'one or more are'} needed."
        )
    return {f"{gate}: {name}": x for name, x in given.items()}


def _table(label: str, given: Tensor, events: int) -> Tensor:
    values = torch.as_tensor(given).detach().cpu().double()
    if values.ndim != 2 or len(values) != events:
        raise DataError(
            f'The features "{label}" have the shape {tuple(values.shape)}; ({events}, D) is '
            "expected, a row for each event of the responses."
        )
    if not values.isfinite().all():
        raise DataError(f'The features "{label}" hold NaN or infinity.')
    return values


def _block(given: int | None, cut: Sequence[Fold], measured: Tensor) -> int:
    """The length of a block, checked against the stretches and the responses."""
    shortest = min(min(len(fold.validation), len(fold.scored)) for fold in cut)
    length = max(1, min(BLOCK, shortest // 4)) if given is None else given
    if not 1 <= length <= shortest // 2:
        raise ConfigError(
            f"block={given} was given for stretches of {shortest} events, of which it may be half "
            f"at most: 1 to {shortest // 2}. Give more events, fewer folds or shorter blocks."
        )
    ahead = measured.permute(1, 0, 2).flatten(1)
    alike = float(correlation(ahead[:-length], ahead[length:]).mean())
    if alike > MOST_ALIKE:
        warnings.warn(
            f"Responses {length} events apart still correlate by {alike:.2f}, so that blocks of "
            f"{length} are no independent draws and p-values are too small. Give a longer block, "
            "or take the slow drift out of the responses.",
            stacklevel=3,
        )
    return length
