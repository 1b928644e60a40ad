"""Auxiliary networks: what a picture is said to be, told from its latent alone.

An own one is a small network that learns language latents from picture latents; a trained
workspace's translation is one that has learned it elsewhere and stays frozen. Of either, the bridge
reads features of the *same* row, so that at a test no language is needed.

Losses of an own one, as in arXiv 2405.18751 and its code: the cosine for embeddings of words, the
multi-label soft margin for attributes, of whose negatives a random 80 % are ignored; and the
squared error for any other latent. There, the loss for embeddings is computed on detached outputs,
so that this auxiliary network never learns; here `tests/test_few_shot_training.py` sees to it that
each loss trains it.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalworkspace.errors import ConfigError, DataError, did_you_mean

FEATURES = 128
"""Features of an own auxiliary network, and width of its hidden layer."""
IGNORED_NEGATIVES = 0.8

AuxiliaryLoss = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""(predictions (B, L), targets (B, L), generator) -> scalar, a mean over rows."""


class OwnAuxiliary(nn.Module):
    """Latents (B, D) -> features (B, FEATURES) -> predicted language (B, L).

    Args:
        in_dim: D.
        language_dim: L.
    """

    def __init__(self, in_dim: int, language_dim: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(in_dim, FEATURES), nn.SiLU(), nn.Linear(FEATURES, FEATURES), nn.SiLU()
        )
        self.head = nn.Linear(FEATURES, language_dim)

    def features(self, latents: Tensor) -> Tensor:
        """(B, D) -> (B, FEATURES): what the bridge reads."""
        features: Tensor = self.body(latents)
        return features

    def forward(self, latents: Tensor) -> Tensor:
        """(B, D) -> (B, L): the language that is predicted."""
        told: Tensor = self.head(self.body(latents))
        return told


@attrs.frozen(eq=False, kw_only=True)
class FrozenAuxiliary:
    """What a network that was trained elsewhere tells of each row, from the row's latent alone."""

    told: Tensor
    """(N, A): of a network that learned from true pairs."""
    told_by_shuffled: Tensor
    """(N, B): of the same network after the same training on mispaired language."""
    num_parameters: int
    """Of that network, which the matched control gets besides."""

    def __attrs_post_init__(self) -> None:
        if len(self.told) != len(self.told_by_shuffled):
            raise DataError(
                f"A frozen auxiliary tells of {len(self.told)} rows and its shuffled control of "
                f"{len(self.told_by_shuffled)}. Give both of the same rows."
            )


def squared_loss(predictions: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
    """Mean squared error over rows and columns, (B, L), (B, L) -> scalar."""
    return F.mse_loss(predictions, targets)


def cosine_loss(predictions: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
    """`1 - cos` of the angle between prediction and target, a mean over rows -> scalar."""
    return (1 - F.cosine_similarity(predictions, targets, dim=1)).mean()


def soft_margin_loss(predictions: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
    """Logistic loss of each attribute, a random 80 % of the absent ones left out.

    Args:
        predictions: (B, L) logits.
        targets: (B, L), 1 where an attribute is there and 0 where it is not.
        generator: Of what is left out.

    Returns:
        Scalar: the mean over all attributes that count.
    """
    drawn = torch.rand(targets.shape, generator=generator)
    counts = (targets > 0.5) | (drawn >= IGNORED_NEGATIVES)
    values = F.binary_cross_entropy_with_logits(predictions, targets, reduction="none")
    return (values * counts).sum() / counts.sum().clamp(min=1)


LOSSES: dict[str, AuxiliaryLoss] = {
    "squared": squared_loss,
    "cosine": cosine_loss,
    "soft-margin": soft_margin_loss,
}


def loss_targets(loss: str, language: Tensor, rows: Tensor) -> Tensor:
    """Language latents (N, L) as a loss wants them: in standard units for the squared error.

    Args:
        loss: A name of `LOSSES`.
        language: (N, L).
        rows: Row numbers that the units are taken from.

    Raises:
        ConfigError: On an unknown loss.
        DataError: If attributes of the soft margin are neither 0 nor 1.
    """
    if loss not in LOSSES:
        raise ConfigError(
            f'auxiliary_loss="{loss}" is unknown; there are {", ".join(LOSSES)}.'
            f"{did_you_mean(loss, LOSSES)}"
        )
    if loss == "squared":
        return standard(language, rows)
    if loss == "soft-margin":
        other = ((language != 0) & (language != 1)).any(dim=1).nonzero().flatten()
        if len(other):
            raise DataError(
                f'auxiliary_loss="soft-margin" takes attributes that are 0 or 1; the language of '
                f'row {int(other[0])} holds other values. Use "squared" or "cosine".'
            )
    return language


def standard(values: Tensor, rows: Tensor) -> Tensor:
    """Values (N, D) in units of the mean and deviation of some rows; constant columns become 0."""
    seen = values[rows]
    spread = seen.std(dim=0, correction=0)
    scale = torch.where(spread > 1e-6, 1 / spread.clamp(min=1e-6), torch.zeros_like(spread))
    return (values - seen.mean(dim=0)) * scale


def learn_language(
    auxiliary: OwnAuxiliary,
    latents: Tensor,
    targets: Tensor,
    rows: Tensor,
    *,
    loss: AuxiliaryLoss,
    steps: int,
    batch_size: int,
    learning_rate: float,
    generator: torch.Generator,
) -> None:
    """Train an auxiliary network on rows of the training classes, before it is frozen.

    Args:
        auxiliary: Is changed, and frozen after that.
        latents: (N, D).
        targets: (N, L), of `loss_targets`.
        rows: Which rows it learns from.
        loss: Of `LOSSES`.
        steps: Of Adam, the rate falling to 0 as a half cosine.
        batch_size: Rows of a step.
        learning_rate: The first.
        generator: Of the batches and the loss.
    """
    optimizer = torch.optim.Adam(auxiliary.parameters(), lr=learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        some = rows[torch.randint(len(rows), (batch_size,), generator=generator)]
        optimizer.zero_grad()
        loss(auxiliary(latents[some]), targets[some], generator).backward()
        optimizer.step()
        schedule.step()
    auxiliary.requires_grad_(False)
