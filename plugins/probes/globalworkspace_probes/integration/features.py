"""The features that the probe compares: a workspace's state, and all that must not explain it away.

The tested model is the fused state of all domains. Its controls are

- `unimodal`: the frozen latents of each domain,
- `concat`: all of them side by side, linear integration,
- `mispaired`: the same fused state, of rows of which one domain is shifted in time by a long lag;
  every domain in turn. It has all that the network makes of each domain alone, and no more. So a
  site that follows it as well only tells that the network has the better features of one domain,
- `additive`: what the state would be without any interaction, the sum over domains of its mean over
  many shifts of the others (the main effects of a functional analysis of variance). A site that
  adds something nonlinear of one domain to something of another loses by each single mispairing,
  and gains nothing over this sum,
- `untrained`: the fused state of the same networks with other first weights,
- `unmatched`: that of a second workspace of the same networks, trained without matched rows, as
  SLIP stands beside SimCLR in the paper.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from globalworkspace.errors import DataError, DomainError
from globalworkspace.workspace import GlobalWorkspace

Features = dict[str, Tensor | dict[str, Tensor]]
"""Of the tested model under `workspace`, and of the controls of each gate under its name."""
Model = Callable[[Mapping[str, Tensor]], Tensor]
"""Tracks by domain, (events, D) each -> features (events, W); each row of its own row alone."""

WORKSPACE = "workspace"
_MISPAIRINGS = 3
_ADDITIVE_PARTS, _SHIFTS = 3, 16
_CHUNK = 8192


def control_features(model: Model, tracks: Mapping[str, Tensor]) -> Features:
    """Features of any multimodal model, with all the controls that the default gates ask for.

    Args:
        model: Tracks by domain -> features (events, W), each row from its own row alone.
        tracks: Domain -> (events, D), rows in the order of time; two domains at least.

    Returns:
        `workspace`, `unimodal`, `concat`, `mispaired` and `additive`, see the top of this module.

    Raises:
        DataError: If there are not two domains, or their tracks differ in length.

    Example:
        >>> tracks = {"film": torch.randn(64, 3), "words": torch.randn(64, 2)}
        >>> features = control_features(lambda t: t["film"][:, :2] * t["words"], tracks)
        >>> {name: getattr(part, "shape", len(part)) for name, part in features.items()}
        {'workspace': torch.Size([64, 2]), 'unimodal': 2, 'concat': torch.Size([64, 5]), \
'mispaired': 6, 'additive': 3}
    """
    lengths = {name: len(track) for name, track in tracks.items()}
    if len(tracks) < 2 or len(set(lengths.values())) > 1:
        raise DataError(
            f"The tracks {lengths} (domain: events) were given. Integration is asked of two "
            "domains or more, with a row for each event in every one."
        )
    return {
        WORKSPACE: model(tracks),
        "unimodal": dict(tracks),
        "concat": torch.cat(list(tracks.values()), dim=1),
        "mispaired": _mispaired(model, tracks),
        "additive": _additive(model, tracks),
    }


@torch.no_grad()
def workspace_features(
    workspace: GlobalWorkspace,
    latents: Mapping[str, Tensor],
    *,
    untrained: bool = False,
    unmatched: GlobalWorkspace | None = None,
) -> Features:
    """Features of a workspace's fused state, and of its controls.

    Args:
        workspace: In eval mode.
        latents: Domain -> latents (events, D), rows in the order of time; two domains at least.
        untrained: Also give the control `untrained`.
        unmatched: A workspace of the same networks that was trained without matched rows; gives the
            control `unmatched`.

    Returns:
        float64 features on the CPU.

    Raises:
        DataError: If there are not two domains, or not as many rows of each.
        DomainError: If a domain is unknown, the workspace has no shared space, or the second one
            has other networks.
    """
    for name in latents:
        if name not in workspace.domains:
            raise DomainError(
                f'The workspace has no domain "{name}"; it has {", ".join(workspace.domains)}.'
            )
    if workspace.topology != "shared":
        raise DomainError(
            f'A workspace with topology="{workspace.topology}" has no fused state to probe. Train '
            'one with topology="shared".'
        )
    codes = _codes(workspace, latents)
    own = {name: track.detach().cpu().double() for name, track in latents.items()}
    found = control_features(lambda tracks: _fused(workspace, tracks), codes)
    found |= {"unimodal": own, "concat": torch.cat(list(own.values()), dim=1)}
    if untrained:
        fresh = untrained_copy(workspace)
        found["untrained"] = _fused(fresh, _codes(fresh, latents))
    if unmatched is not None:
        _check_same_networks(workspace, unmatched)
        found["unmatched"] = _fused(unmatched, _codes(unmatched, latents))
    return found


def untrained_copy(workspace: GlobalWorkspace) -> GlobalWorkspace:
    """The same domains, networks and standardisation, with the first weights of another seed."""
    config = {**workspace.config(), "seed": workspace.seed + 1}
    fresh = GlobalWorkspace(workspace.domains, **config).to(workspace.device, workspace.dtype)
    for name in workspace.standardized:
        fresh.restore_standardizer(name, copy.deepcopy(workspace.standardizer(name)))
    return fresh


def _check_same_networks(first: GlobalWorkspace, second: GlobalWorkspace) -> None:
    """Raise a `DomainError` unless two workspaces differ in their weights only."""
    pair = (first, second)
    settings = [{**workspace.config(), "seed": None} for workspace in pair]
    changed = [name for name in settings[0] if settings[0][name] != settings[1][name]]
    for name in dict.fromkeys([*first.domains, *second.domains]):
        networks = [_shapes(workspace, name) for workspace in pair]
        if networks[0] != networks[1]:
            changed.append(f'its domain "{name}"')
    if changed:
        raise DomainError(
            f"The unmatched workspace differs from the probed one in {', '.join(changed)}. The two "
            "must have the same domains and networks, and differ in their training only."
        )


def _shapes(workspace: GlobalWorkspace, name: str) -> list[tuple[int, ...]] | None:
    if name not in workspace.domains:
        return None
    networks = (workspace.encoder(name), workspace.decoder(name))
    return [tuple(weight.shape) for network in networks for weight in network.parameters()]


def _codes(workspace: GlobalWorkspace, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Domain -> codes (events, W).

    An encoder sees each row by itself, so that tracks of codes are shifted in place of tracks of
    latents, and each encoder runs once.
    """
    found = {}
    for name, track in latents.items():
        standardizer, encoder = workspace.standardizer(name), workspace.encoder(name)
        pieces = [
            encoder(standardizer.standardize(rows.to(workspace.device, workspace.dtype)))
            for rows in track.split(_CHUNK)
        ]
        found[name] = torch.cat(pieces)
    return found


def _fused(workspace: GlobalWorkspace, codes: Mapping[str, Tensor]) -> Tensor:
    return workspace.fusion.fuse(codes).code.cpu().double()


def _mispaired(model: Model, tracks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The model with one domain shifted, each domain by a quarter, a half and three quarters."""
    events = len(next(iter(tracks.values())))
    lags = [events * (k + 1) // (_MISPAIRINGS + 1) for k in range(_MISPAIRINGS)]
    return {
        f"{name} by {lag}": model(_shifted(tracks, {name: lag})) for name in tracks for lag in lags
    }


def _additive(model: Model, tracks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Additive parts of the model, each from lags of its own between an eighth and seven."""
    events = len(next(iter(tracks.values())))
    number = _ADDITIVE_PARTS * _SHIFTS
    lags = [events // 8 + (3 * events // 4) * k // (number - 1) for k in range(number)]
    return {
        f"part {k + 1}": additive_part(model, tracks, lags[k::_ADDITIVE_PARTS])
        for k in range(_ADDITIVE_PARTS)
    }


def additive_part(model: Model, tracks: Mapping[str, Tensor], lags: Sequence[int]) -> Tensor:
    """The sum over domains of the model's mean over shifts of all other domains.

    Args:
        model: See `control_features`.
        tracks: Likewise.
        lags: By how many events the others are shifted, all of them together.

    Returns:
        (events, W); up to a constant the model itself, if that is a sum of a function of each
        domain and the lags are all there are.
    """
    total = torch.zeros_like(model(tracks))
    for name in tracks:
        for lag in lags:
            shifts = {other: lag for other in tracks if other != name}
            total = total + model(_shifted(tracks, shifts)) / len(lags)
    return total


def _shifted(tracks: Mapping[str, Tensor], lags: Mapping[str, int]) -> dict[str, Tensor]:
    return {name: track.roll(lags.get(name, 0), dims=0) for name, track in tracks.items()}
