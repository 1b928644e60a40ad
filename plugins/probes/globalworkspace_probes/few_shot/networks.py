"""The few-shot learner's network, and the bridge through which another one modulates it.

Conditional batch norm as in arXiv 2405.18751: only the last norm of each block is conditioned, per
image, by an offset of its scale and a shift,

    y = BN(W x) * (1 + d_gamma) + beta,

where BN has no scale and shift of its own, and (d_gamma, beta) is what the bridge, a network with
one hidden layer, makes of an auxiliary network's features of the same image. The bridge's last
layer begins at zero, so that a conditioned network begins as the same function as an unconditioned
one. There, four blocks of convolutions see pictures; here, two blocks of linear layers see frozen
latents.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BRIDGE_HIDDEN = 128


class Block(nn.Module):
    """Two linear layers with batch norm around a linear shortcut.

    Args:
        in_dim: Columns of the input.
        dim: Columns of the output.
        conditioned: Whether the last norm's scale and shift come from outside.
    """

    def __init__(self, in_dim: int, dim: int, *, conditioned: bool) -> None:
        super().__init__()
        self.shortcut = nn.Linear(in_dim, dim)
        self.first = nn.Linear(in_dim, dim, bias=False)
        self.first_norm = nn.BatchNorm1d(dim)
        self.last = nn.Linear(dim, dim, bias=False)
        self.last_norm = nn.BatchNorm1d(dim, affine=not conditioned)

    def forward(self, inputs: Tensor, modulation: Tensor | None) -> Tensor:
        """(B, in_dim) -> (B, dim); `modulation` is (B, 2 dim), d_gamma and beta, or None."""
        hidden = F.silu(self.first_norm(self.first(inputs)))
        normed = self.last_norm(self.last(hidden))
        if modulation is not None:
            normed = conditional_scale(normed, modulation)
        return F.silu(self.shortcut(inputs) + normed)


def conditional_scale(normed: Tensor, modulation: Tensor) -> Tensor:
    """`normed * (1 + d_gamma) + beta`, row by row.

    Args:
        normed: (B, W), normalised without a scale and shift.
        modulation: (B, 2 W): d_gamma, then beta.

    Returns:
        (B, W); gradients flow to both.
    """
    offset, shift = modulation.chunk(2, dim=1)
    return normed * (1 + offset) + shift


class Embedder(nn.Module):
    """Latents (B, D) -> embeddings (B, W) in which classes are told by their means.

    Args:
        in_dim: D.
        width: W.
        num_blocks: How many blocks.
        conditioned: Whether the last norm of each block is modulated.
    """

    def __init__(
        self, in_dim: int, width: int, num_blocks: int = 2, *, conditioned: bool = False
    ) -> None:
        super().__init__()
        sizes = [in_dim] + [width] * num_blocks
        self.conditioned = conditioned
        self.blocks = nn.ModuleList(
            Block(before, after, conditioned=conditioned)
            for before, after in itertools.pairwise(sizes)
        )
        self.modulation_dim = 2 * width * num_blocks
        """Numbers that a row's modulation holds."""

    def forward(self, inputs: Tensor, modulation: Tensor | None = None) -> Tensor:
        """Embed rows.

        Args:
            inputs: (B, D).
            modulation: (B, modulation_dim) where the network is conditioned: the bridge's; None
                leaves a conditioned network without any.

        Returns:
            (B, W).
        """
        parts: Sequence[Tensor | None] = [None] * len(self.blocks)
        if modulation is not None:
            parts = modulation.chunk(len(self.blocks), dim=1)
        for block, part in zip(self.blocks, parts, strict=True):
            inputs = block(inputs, part)
        return inputs


class Bridge(nn.Module):
    """Features (B, F) of an auxiliary network -> modulation (B, M), zero at first.

    Args:
        in_dim: F.
        out_dim: M, an embedder's `modulation_dim`.
    """

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(in_dim, BRIDGE_HIDDEN)
        self.out = nn.Linear(BRIDGE_HIDDEN, out_dim)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(B, F) -> (B, M); row i depends on row i alone."""
        modulation: Tensor = self.out(F.silu(self.hidden(features)))
        return modulation


def num_parameters(*modules: nn.Module) -> int:
    """How many numbers the modules learn or have learned."""
    return sum(weights.numel() for module in modules for weights in module.parameters())


def matched_width(in_dim: int, num_blocks: int, parameters: int) -> int:
    """The smallest width of an unconditioned embedder with at least so many parameters."""

    def of(width: int) -> int:
        with torch.device("meta"):  # counted without weights
            return num_parameters(Embedder(in_dim, width, num_blocks))

    most = 1
    while of(most) < parameters:
        most *= 2
    return bisect.bisect_left(range(most), parameters, lo=1, key=of)
