"""Fusion: how the states of several domains become one.

A domain's workspace encoder gives a *code* before fusion. Selection gives each present domain a
weight, the weighted codes are summed, and the activation (tanh by default) makes the workspace
state: `z = phi(sum_d alpha_d * e_d(u_d))` (arXiv 2306.15711; weights as in the authors' later
fusion models).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from globalworkspace.errors import ConfigError
from globalworkspace.moving import onto

ACTIVATIONS = ("tanh", "none")


@attrs.frozen(eq=False)
class State:
    """A point in the workspace for each of B rows."""

    code: Tensor
    """(B, W), after the activation."""
    before: Tensor
    """(B, W), before the activation: the codes that a further fusion is given. A fusion of its own
    `fuse` may keep more columns here, if its codes have them."""
    logvar: Tensor | None = None
    """(B, W) log variance where a variational encoder is chosen; None: deterministic."""

    def __len__(self) -> int:
        return len(self.code)

    def __getitem__(self, rows: slice) -> State:
        """The same for some of the rows."""
        return State(
            self.code[rows],
            self.before[rows],
            None if self.logvar is None else self.logvar[rows],
        )

    def split(self, sizes: Sequence[int]) -> list[State]:
        """Consecutive stretches of so many rows."""
        codes, before = self.code.split(sizes), self.before.split(sizes)
        logvars: Sequence[Tensor | None] = [None] * len(sizes)
        if self.logvar is not None:
            logvars = self.logvar.split(sizes)
        return [State(*parts) for parts in zip(codes, before, logvars, strict=True)]


class Fusion(nn.Module, ABC):
    """Weights the domains of each row and sums their codes.

    Args:
        dim: Workspace size W.
        activation: `"tanh"` (the paper's) or `"none"`.
    """

    def __init__(self, dim: int, activation: str = "tanh") -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ConfigError(
                f'activation="{activation}" is unknown; known: {", ".join(ACTIVATIONS)}.'
            )
        self.dim, self.activation = dim, activation

    @abstractmethod
    def select(self, codes: Tensor, present: Tensor, generator: torch.Generator | None) -> Tensor:
        """Weights of the domains.

        Args:
            codes: (n, B, W) codes of n domains; rows where a domain is missing are zero.
            present: (n, B) bool.
            generator: Source of chance; None: give the expected weights, without chance.

        Returns:
            (n, B) weights that are 0 where not present and sum to 1 over domains.
        """

    def config(self) -> dict[str, Any]:
        """JSON-able keyword arguments beside `dim` and `activation`."""
        return {}

    def fuse(
        self,
        codes: Mapping[str, Tensor],
        present: Mapping[str, Tensor] | None = None,
        generator: torch.Generator | None = None,
    ) -> State:
        """One state per row from the codes of its domains; each row counts by itself.

        Args:
            codes: Domain -> (B, W).
            present: Domain -> (B,) bool; domains not named are present in every row.
            generator: Source of chance for random selection.
        """
        if len(codes) == 1 and not present:
            return self.finish(next(iter(codes.values())))
        stacked = torch.stack(list(codes.values()))
        here = torch.ones(stacked.shape[:2], dtype=torch.bool, device=stacked.device)
        if present:
            rows = [present.get(name, here[0]).to(here.device) for name in codes]
            here = torch.stack(rows).bool()
            stacked = stacked.masked_fill(~here[:, :, None], 0.0)
        weights = self.select(stacked, here, generator)
        return self.finish((weights[:, :, None] * stacked).sum(dim=0))

    def finish(self, before: Tensor) -> State:
        """The state of summed codes (B, W)."""
        return State(torch.tanh(before) if self.activation == "tanh" else before, before)


def uniform_weights(present: Tensor) -> Tensor:
    """Equal weights over the present domains; (n, B) bool -> (n, B)."""
    return present.float() / present.sum(dim=0).clamp(min=1)


class Mean(Fusion):
    """Equal weights for the domains a row has."""

    def select(self, codes: Tensor, present: Tensor, generator: torch.Generator | None) -> Tensor:
        """See `Fusion.select`."""
        return uniform_weights(present).to(codes.dtype)


class SingleDomain(Fusion):
    """One domain per row, drawn uniformly among those present; without chance: equal weights."""

    def select(self, codes: Tensor, present: Tensor, generator: torch.Generator | None) -> Tensor:
        """See `Fusion.select`."""
        if generator is None:
            return uniform_weights(present).to(codes.dtype)
        draw = onto(torch.rand(present.shape, generator=generator), codes.device)
        draw = draw.masked_fill(~present, -1.0)
        chosen = torch.zeros_like(draw).scatter_(0, draw.argmax(dim=0, keepdim=True), 1.0)
        return (chosen * present).to(codes.dtype)


class RandomSoftmax(Fusion):
    """`softmax(U(0, 1) / temperature)` over the domains of each row; without chance: equal weights.

    Args:
        dim: Workspace size W.
        activation: See `Fusion`.
        temperature: Towards 0 one domain takes all; large: equal weights.
    """

    def __init__(self, dim: int, activation: str = "tanh", temperature: float = 0.2) -> None:
        super().__init__(dim, activation)
        if temperature <= 0:
            raise ConfigError(f"temperature={temperature} must be above 0.")
        self.temperature = temperature

    def config(self) -> dict[str, Any]:
        """See `Fusion.config`."""
        return {"temperature": self.temperature}

    def select(self, codes: Tensor, present: Tensor, generator: torch.Generator | None) -> Tensor:
        """See `Fusion.select`."""
        if generator is None:
            return uniform_weights(present).to(codes.dtype)
        draw = onto(torch.rand(present.shape, generator=generator), codes.device)
        draw = (draw.to(codes.dtype) / self.temperature).masked_fill(~present, float("-inf"))
        weights = draw.softmax(dim=0)
        return torch.where(present.any(dim=0), weights, torch.zeros_like(weights))


class KeyQueryAttention(Fusion):
    """Softmax over domains of `key . query / sqrt(head_dim)`.

    Keys come from the codes; the query is learnt and then refined.

    Args:
        dim: Workspace size W.
        activation: See `Fusion`.
        head_dim: Size of keys and queries.
        num_steps: Times that the query is recomputed from the fused codes, once at least.

    Raises:
        ConfigError: If a setting is below 1.
    """

    def __init__(
        self, dim: int, activation: str = "tanh", head_dim: int = 16, num_steps: int = 1
    ) -> None:
        super().__init__(dim, activation)
        if head_dim < 1 or num_steps < 1:
            raise ConfigError(f"head_dim={head_dim} and num_steps={num_steps} must be at least 1.")
        self.head_dim, self.num_steps = head_dim, num_steps
        self.key = nn.Linear(dim, head_dim)
        self.query = nn.Linear(dim, head_dim)
        self.start = nn.Parameter(torch.zeros(head_dim))

    def config(self) -> dict[str, Any]:
        """See `Fusion.config`."""
        return {"head_dim": self.head_dim, "num_steps": self.num_steps}

    def select(self, codes: Tensor, present: Tensor, generator: torch.Generator | None) -> Tensor:
        """See `Fusion.select`."""
        keys = self.key(codes)
        query = self.start.expand(codes.shape[1], -1)
        weights = self._attend(keys, query, present)
        for _ in range(self.num_steps):
            query = self.query((weights[:, :, None] * codes).sum(dim=0))
            weights = self._attend(keys, query, present)
        return weights

    def _attend(self, keys: Tensor, query: Tensor, present: Tensor) -> Tensor:
        scores = (keys * query).sum(dim=2) / self.head_dim**0.5
        weights: Tensor = scores.masked_fill(~present, -1e9).softmax(dim=0) * present
        return weights
