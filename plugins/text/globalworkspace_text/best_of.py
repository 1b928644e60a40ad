"""Several sentences for one state, and of them the one that translates back best.

A predicted latent is a mean over all that could be said; the likeliest next word, taken each time,
can lead to a sentence that mixes two. Drawn sentences each say one thing, and the workspace knows
how to judge them: it translates each back to the domains that it was made from, and the one whose
way back ends nearest to where it began is kept (a cycle, at inference).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from globalworkspace import GlobalWorkspace
from globalworkspace.errors import ConfigError, DomainError
from globalworkspace_text.autoencoder import TextAutoencoder

ROWS_PER_DIMENSION = 5
"""From so many rows on, errors are weighed by how they scatter in the batch."""


@torch.no_grad()
def write_best(
    workspace: GlobalWorkspace,
    inputs: Mapping[str, Any],
    to: str,
    *,
    samples: int = 16,
    temperature: float = 1.0,
    top_p: float = 0.95,
    generator: torch.Generator | None = None,
    latents: bool = False,
) -> list[str]:
    """Translate into sentences, the best of several by their way back.

    Args:
        workspace: A trained workspace.
        inputs: As in `GlobalWorkspace.translate`: domain -> raw batch of B items.
        to: A domain of kind `text-autoencoder`.
        samples: Sentences per item; the first is the greedy one, the others are drawn.
        temperature: Of the draws, see `TextAutoencoder.write`.
        top_p: Of the draws, see `TextAutoencoder.write`.
        generator: Source of the draws; default: the global one.
        latents: Whether `inputs` are latents.

    Returns:
        B sentences.

    Raises:
        ConfigError: If `samples` is no whole number of at least 1.
        DomainError: If `to` is no domain that writes.
    """
    if not isinstance(samples, int) or samples < 1:
        raise ConfigError(f"samples={samples!r} must be a whole number of at least 1.")
    writer = workspace.domains.get(to)
    if not isinstance(writer, TextAutoencoder):
        raise DomainError(
            f'Domain "{to}" does not write sentences; the workspace has '
            f"{', '.join(workspace.domains)}. Name one of kind text-autoencoder."
        )
    given = dict(inputs)
    if not latents:
        given = {name: workspace.domains[name].encode(raw) for name, raw in given.items()}
    aim = workspace.translate(given, to, latents=True)
    truth = {
        name: workspace.standardizer(name).standardize(x.to(workspace.device, workspace.dtype))
        for name, x in given.items()
    }
    weights: dict[str, Tensor] = {}
    best, smallest = [""] * len(aim), torch.full((len(aim),), torch.inf)
    for number in range(samples):
        options = {"temperature": temperature, "top_p": top_p} if number else {}
        written = writer.write(aim, generator=generator, **options)
        state = workspace.encode({to: writer.encode(written)}, latents=True)
        error = torch.zeros(len(aim))
        for name, wanted in truth.items():
            spec, found = workspace.spec(name), workspace.decoder(name)(state.code)
            if any(part.kind != "continuous" for part in spec.parts):
                error += spec.loss(found, wanted).cpu()
                continue
            off = found - wanted
            if name not in weights:  # the greedy sentences say how far off is usual
                weights[name] = _weights(off)
            error += ((off @ weights[name]) * off).mean(dim=1).cpu()
        better = error < smallest
        smallest = torch.where(better, error, smallest)
        for row in better.nonzero().flatten().tolist():
            best[row] = written[row]
    return best


def _weights(errors: Tensor) -> Tensor:
    """Inverse covariance (A, A) of errors (B, A); the identity where there are few rows."""
    rows, dim = errors.shape
    identity = torch.eye(dim).to(errors)
    if rows < ROWS_PER_DIMENSION * dim:
        return identity
    covariance = errors.T @ errors / rows
    floor = 1e-3 * covariance.diagonal().mean()
    return torch.linalg.inv(covariance + floor * identity)
