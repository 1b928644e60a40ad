"""First weights in closed form: training goes on from where linear algebra ends.

With few matched rows a closed form is hard to beat from random weights; a workspace whose networks
have a linear path beside a small MLP
(`GlobalWorkspace(..., linear_path=True)`) can start as that closed form, the MLPs adding nothing
yet.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalworkspace import closed_form
from globalworkspace.data.table import Table
from globalworkspace.errors import ConfigError, DataError
from globalworkspace.maxvar import maxvar
from globalworkspace.networks import MLP
from globalworkspace.randomness import derived_generator
from globalworkspace.workspace import GlobalWorkspace

log = logging.getLogger(__name__)

NEARLY_LINEAR = 0.3
"""Standard deviation at which tanh still is a straight line to about 3 %."""


@torch.no_grad()
def cca(
    workspace: GlobalWorkspace,
    data: Table,
    *,
    features: Literal["linear", "anchors"] = "linear",
    shrinkages: Sequence[float] = closed_form.SHRINKAGES,
    powers: Sequence[float] = (0.0, 0.5, 1.0),
    alphas: Sequence[float] = closed_form.ALPHAS,
    sharpness: float = 2.0,
    threshold: float = 0.1,
    scale: float | None = None,
    folds: int = 5,
    seed: int = 0,
) -> None:
    """Start from canonical correlations: encoders project to them, decoders are ridge maps back.

    Two domains: `closed_form.cca`; more: `maxvar.maxvar` over all of them, where not every row
    needs every domain. Covariances come from all rows of a domain. A decoder is fitted to its
    domain's own states (all rows) and to the states of the matched rows in the other domains.
    Workspace dimensions beyond the canonical ones start at zero.

    With `features="anchors"` each hidden unit of an encoder becomes a soft detector of one matched
    row, its *anchor*: it answers `gelu(sharpness (cosine - threshold))`, the length of the input
    taken as its mean, and the correlations are those of these answers. That is a kernel method in
    the weights of the MLP. Anchors are drawn where the layer has fewer units than there are rows.

    Args:
        workspace: Built with `linear_path=True`; networks that are frozen, or of domains that
            `data` lacks, keep their weights.
        data: *Standardised* latent table; its matched rows tie the domains together.
        features: What is correlated: `"linear"`, the latents, through the linear path; or
            `"anchors"`, through the MLP.
        shrinkages: To choose from by cross-validation on the matched rows.
        powers: Weightings of the dimensions by their correlation, likewise.
        alphas: Penalties of the decoders, likewise.
        sharpness: Of the anchors' detectors.
        threshold: Cosine at which they begin to answer.
        scale: Standard deviation of the largest code dimension; default: 0.3 before a tanh, where
            it is nearly straight, else 1.
        folds: Of the cross-validations.
        seed: Of the assignment to folds and the draw of anchors.

    Raises:
        ConfigError: If the workspace has no linear paths, or a setting is out of range.
        DataError: If fewer than two domains are there, or they share too few rows.
    """
    if not workspace.linear_path:
        raise ConfigError(
            'The initializer "cca" sets the linear paths of the workspace, and this one has none. '
            "Build it with GlobalWorkspace(..., linear_path=True), or leave the initializer out."
        )
    if features not in ("linear", "anchors"):
        raise ConfigError(f'features="{features}" is unknown; write "linear" or "anchors".')
    if scale is None:
        scale = NEARLY_LINEAR if workspace.fusion.activation == "tanh" else 1.0
    if scale <= 0 or sharpness <= 0:
        raise ConfigError(f"scale={scale} and sharpness={sharpness} must be above 0.")
    names = data.domains
    if len(names) < 2:
        raise DataError(
            f'The initializer "cca" joins two domains or more; the table has {", ".join(names)}.'
        )
    maps: dict[str, Callable[[Tensor], Tensor]] = {name: _as_they_are for name in names}
    if features == "anchors":
        for name in names:
            network = _network(workspace.encoder(name))
            rows = data.matched_rows()
            rows = rows[data[name].present[rows]]
            rows = rows[
                torch.randperm(len(rows), generator=derived_generator(seed, "anchors", name))
            ]
            maps[name] = _detectors(
                network, data, name, rows[: network.output.in_features], sharpness, threshold
            )
    everything = {name: maps[name](_own(data, name)).cpu().double() for name in names}
    found = _projections(
        data,
        maps,
        everything,
        dim=workspace.dim,
        shrinkages=shrinkages,
        powers=powers,
        folds=folds,
        seed=seed,
    )
    for name, (mean, weight) in found.items():
        factor = scale / float(
            ((everything[name] - mean) @ weight).std(dim=0).max()
        )  # one a domain: cosines stay
        padded = torch.zeros(workspace.dim, len(mean), dtype=torch.float64)
        padded[: weight.shape[1]] = (weight * factor).T
        network = _network(workspace.encoder(name))
        if not _trainable(network):
            continue
        if features == "linear":
            network.start_from_linear(padded, -padded @ mean)
        else:
            network.start_from_linear(
                torch.zeros(workspace.dim, network.input.in_features), -padded @ mean
            )
            network.output.weight[:, : len(mean)] = padded.to(network.output.weight)
    for name in names:
        network = _network(workspace.decoder(name))
        if _trainable(network):
            back = closed_form.ridge(
                *_decoding_pairs(workspace, data, name), alphas, folds=folds, seed=seed
            )
            network.start_from_linear(back.weight, back.bias)


def _detectors(
    network: MLP, data: Table, name: str, anchors: Tensor, sharpness: float, threshold: float
) -> Callable[[Tensor], Tensor]:
    """Make hidden units detect the anchors; standard latents (B, A) -> their answers (B, anchors).

    Further hidden layers start as identities, as their residual branch is zero.
    """
    directions = F.normalize(data[name].take(anchors), dim=1)
    length = float(_own(data, name).norm(dim=1).mean())
    weight, bias = directions * (sharpness / length), -sharpness * threshold
    if _trainable(network):
        network.input.weight[: len(anchors)] = weight
        network.input.bias[: len(anchors)] = bias
        for layer in network.hidden:
            layer.weight.zero_()  # type: ignore[operator]
            layer.bias.zero_()  # type: ignore[operator]
    return lambda latents: F.gelu(latents @ weight.T + bias)


def _as_they_are(latents: Tensor) -> Tensor:
    return latents


def _own(data: Table, name: str) -> Tensor:
    """The latents (M, A) of every row that has the domain."""
    return data[name].take(data.rows_with(name))  # type: ignore[no-any-return]


def _projections(
    data: Table,
    maps: Mapping[str, Callable[[Tensor], Tensor]],
    everything: Mapping[str, Tensor],
    *,
    dim: int,
    shrinkages: Sequence[float],
    powers: Sequence[float],
    folds: int,
    seed: int,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Domain -> (mean (F,), weight (F, K)) of its projection from features."""
    rows = data.matched_rows()
    names = data.domains
    if len(names) == 2:
        a, b = names
        x, y = (maps[name](data[name].take(rows)) for name in names)
        two = closed_form.cca(
            x,
            y,
            everything[a],
            everything[b],
            dim=dim,
            shrinkages=shrinkages,
            powers=powers,
            folds=folds,
            seed=seed,
        )
        log.info("canonical correlations: shrinkage %g, power %g", two.shrinkages[0], two.power)
        return {
            a: (two.x_mean, two.x_weight * two.scales()),
            b: (two.y_mean, two.y_weight * two.scales()),
        }
    matched = {}
    for name in names:
        here = data[name].present[rows]
        matched[name] = torch.full(
            (len(rows), everything[name].shape[1]), float("nan"), dtype=torch.float64
        )
        matched[name][here] = maps[name](data[name].take(rows[here])).cpu().double()
    many = maxvar(
        matched, everything, dim=dim, shrinkages=shrinkages, powers=powers, folds=folds, seed=seed
    )
    scales = many.correlations.clamp(0, 1) ** many.power
    return {name: (many.means[name], many.weights[name] * scales) for name in names}


def _decoding_pairs(workspace: GlobalWorkspace, data: Table, target: str) -> tuple[Tensor, Tensor]:
    """States, and the target latents that belong to them.

    Of all rows of the target, and of its matched rows seen from the other domains.
    """
    states, latents = [], []
    for source in data:
        rows = data.rows_with(source, target)
        if len(rows):
            states.append(
                workspace.fusion.finish(workspace.encoder(source)(data[source].take(rows))).code
            )
            latents.append(data[target].take(rows))
    return torch.cat(states), torch.cat(latents)


def _network(network: nn.Module) -> MLP:
    if not isinstance(network, MLP) or network.linear is None:
        raise ConfigError(
            f'The initializer "cca" sets linear paths, and {type(network).__name__} has none. Give '
            'each domain the network "mlp", or leave the initializer out.'
        )
    return network


def _trainable(network: nn.Module) -> bool:
    return all(parameter.requires_grad for parameter in network.parameters())
