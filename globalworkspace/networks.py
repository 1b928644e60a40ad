"""The networks between latents and the workspace, one kind of them per domain.

The default are residual MLPs with an optional linear path; sequences are pooled by attention.

The paper's networks are plain MLPs; normalisation and residuals train faster at equal size. The
linear path lets a closed-form map be the starting point (see `initializers`): the MLP beside it
then starts at zero.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalworkspace.errors import ConfigError
from globalworkspace.latents import LatentSpec, Part, unpack_sequence

_ROWS: ContextVar[tuple[int, Tensor] | None] = ContextVar("rows", default=None)


def module_key(name: str) -> str:
    """A domain's name among modules: a ModuleDict refuses "type" and "keys", fair names both."""
    return f"domain_{name}"


@contextlib.contextmanager
def rows_among(whole: int, index: Tensor) -> Iterator[None]:
    """Dropout inside is that of a batch of `whole` rows, of which `index` (B,) are given."""
    token = _ROWS.set((whole, index))
    try:
        yield
    finally:
        _ROWS.reset(token)


def rows_here(number: int) -> tuple[int, Tensor | None]:
    """How many rows the batch of all processes has, and which of them these are; None: all.

    A network that draws noise draws it for the whole batch and keeps its own rows: so it is the
    same however the rows are shared among processes.

    Args:
        number: Rows given.
    """
    return _ROWS.get() or (number, None)


class Dropout(nn.Module):
    """Dropout that is the same however the rows of a batch are shared among processes.

    Args:
        share: Probability of dropping an entry in training.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """(B, ...) -> (B, ...), what is kept scaled up by 1 / (1 - share)."""
        if not self.share or not self.training:
            return values
        whole, index = rows_here(len(values))
        kept = values.new_empty(whole, *values.shape[1:]).bernoulli_(1 - self.share)
        return values * (kept if index is None else kept[index]) / (1 - self.share)


class MLP(nn.Module):
    """`in_dim` -> `out_dim` through `num_layers` hidden layers.

    Args:
        in_dim: Input columns.
        out_dim: Output columns.
        hidden_dim: Width of the hidden layers.
        num_layers: Hidden layers; 1 gives Linear-GELU-Linear, each further one is a pre-norm
            residual layer.
        dropout: Probability of dropping a hidden unit in training.
        linear_path: Add a linear map from input to output.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        *,
        hidden_dim: int = 128,
        num_layers: int = 2,
        dropout: float = 0.0,
        linear_path: bool = False,
    ) -> None:
        super().__init__()
        self.drop = Dropout(dropout)
        self.input = nn.Linear(in_dim, hidden_dim)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_dim) for _ in range(num_layers - 1))
        self.hidden = nn.ModuleList(
            nn.Linear(hidden_dim, hidden_dim) for _ in range(num_layers - 1)
        )
        self.output = nn.Linear(hidden_dim, out_dim)
        self.linear = nn.Linear(in_dim, out_dim) if linear_path else None

    def forward(self, values: Tensor) -> Tensor:
        """(B, in_dim) -> (B, out_dim)."""
        hidden = self.input(values)
        for norm, layer in zip(self.norms, self.hidden, strict=True):
            hidden = hidden + layer(self.drop(F.gelu(norm(hidden))))
        output: Tensor = self.output(self.drop(F.gelu(hidden)))
        return output if self.linear is None else output + self.linear(values)

    @torch.no_grad()
    def start_from_linear(self, weight: Tensor, bias: Tensor) -> None:
        """Make the network equal to `x @ weight.T + bias`, the MLP part starting at zero."""
        assert self.linear is not None, "built without a linear path"
        self.linear.weight.copy_(weight)
        self.linear.bias.copy_(bias)
        self.output.weight.zero_()
        self.output.bias.zero_()


class MLPNetworks:
    """Network kind `mlp`: both networks are an `MLP` over all columns of the standard latents."""

    @staticmethod
    def encoder(spec: LatentSpec, dim: int, **sizes: Any) -> nn.Module:
        """Standard latents (B, spec.dim) -> codes (B, dim); `sizes` are those of `MLP`."""
        return MLP(spec.dim, dim, **sizes)

    @staticmethod
    def decoder(spec: LatentSpec, dim: int, **sizes: Any) -> nn.Module:
        """States (B, dim) -> raw predictions (B, spec.dim)."""
        return MLP(dim, spec.dim, **sizes)


class PlainMLPNetworks:
    """Network kind `plain-mlp`: the paper's, linear layers with a ReLU between each two.

    Without normalisation and residuals; for reproducing the paper's figures, and for timing against
    its authors' code on equal networks.
    """

    @staticmethod
    def encoder(spec: LatentSpec, dim: int, **sizes: Any) -> nn.Module:
        """Standard latents (B, spec.dim) -> codes (B, dim); `sizes` are those of `plain_mlp`."""
        return plain_mlp(spec.dim, dim, **sizes)

    @staticmethod
    def decoder(spec: LatentSpec, dim: int, **sizes: Any) -> nn.Module:
        """States (B, dim) -> raw predictions (B, spec.dim)."""
        return plain_mlp(dim, spec.dim, **sizes)


def plain_mlp(
    in_dim: int,
    out_dim: int,
    *,
    hidden_dim: int = 128,
    num_layers: int = 2,
    dropout: float = 0.0,
    linear_path: bool = False,
) -> nn.Sequential:
    """`num_layers` times Linear-ReLU(-Dropout), then Linear.

    Raises:
        ConfigError: If a linear path is wanted: there is none beside these layers.
    """
    if linear_path:
        raise ConfigError(
            'The network "plain-mlp" has no linear path, which linear_path=True (and the '
            'initializer "cca") needs. Use the network "mlp".'
        )
    layers: list[nn.Module] = []
    for index in range(num_layers):
        layers += [nn.Linear(hidden_dim if index else in_dim, hidden_dim), nn.ReLU(inplace=True)]
        if dropout:
            layers.append(Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(hidden_dim, out_dim))


class AttentionNetworks:
    """Network kind `attention`: sequences are pooled by learned attention, whatever their length.

    The encoder pools each sequence by multi-head attention with learned queries over its positions
    (pooling by multihead attention of the Set Transformer, Lee et al. 2019) and feeds that, beside
    the columns that are no sequence, to an MLP. The decoder gives each position its state plus what
    it knows of the position, through one MLP for all of them.
    """

    @staticmethod
    def encoder(
        spec: LatentSpec, dim: int, *, linear_path: bool = False, **sizes: Any
    ) -> nn.Module:
        """Standard latents (B, spec.dim) -> codes (B, dim).

        Args:
            spec: With one sequence or more.
            dim: W.
            linear_path: Not used: attention has none.
            sizes: `hidden_dim`, `num_layers`, `dropout`, `num_heads` (4), `num_queries` (4).
        """
        return AttentionEncoder(spec, dim, **sizes)

    @staticmethod
    def decoder(
        spec: LatentSpec,
        dim: int,
        *,
        linear_path: bool = False,
        num_heads: int = 4,
        num_queries: int = 4,
        **sizes: Any,
    ) -> nn.Module:
        """States (B, dim) -> raw predictions (B, spec.dim); the sizes of the encoder will do."""
        return SequenceDecoder(spec, dim, **sizes)


class AttentionEncoder(nn.Module):
    """See `AttentionNetworks`.

    Raises:
        ConfigError: If `spec` has no sequence, or the heads do not divide `hidden_dim`.
    """

    def __init__(
        self,
        spec: LatentSpec,
        dim: int,
        *,
        hidden_dim: int = 128,
        num_layers: int = 2,
        dropout: float = 0.0,
        num_heads: int = 4,
        num_queries: int = 4,
    ) -> None:
        super().__init__()
        sequences = [part for part in spec.parts if part.kind == "sequence"]
        if not sequences:
            raise ConfigError(
                'The network "attention" pools sequences, and this latent has none: its parts are '
                f'{", ".join(f"{p.name} ({p.kind})" for p in spec.parts)}. Use the network "mlp".'
            )
        if num_heads < 1 or num_queries < 1 or hidden_dim % num_heads:
            raise ConfigError(
                f"num_heads={num_heads} must divide hidden_dim={hidden_dim}, and "
                f"num_queries={num_queries} must be at least 1."
            )
        self.spec = spec
        self.pools = nn.ModuleList(
            _Pool(part, hidden_dim, num_heads, num_queries) for part in sequences
        )
        rest = sum(part.dim for part in spec.parts if part.kind != "sequence")
        self.head = MLP(
            len(sequences) * num_queries * hidden_dim + rest,
            dim,
            hidden_dim=hidden_dim,
            num_layers=num_layers,
            dropout=dropout,
        )

    def forward(self, latents: Tensor) -> Tensor:
        """(B, spec.dim) -> (B, dim)."""
        pools = iter(self.pools)
        columns = self.spec.split(latents)
        pieces = [
            next(pools)(columns[part.name]) if part.kind == "sequence" else columns[part.name]
            for part in self.spec.parts
        ]
        output: Tensor = self.head(torch.cat(pieces, dim=1))
        return output


class _Pool(nn.Module):
    """One sequence part (B, part.dim) -> (B, num_queries * hidden_dim)."""

    def __init__(self, part: Part, hidden_dim: int, num_heads: int, num_queries: int) -> None:
        super().__init__()
        self.size, self.num_heads = part.size, num_heads
        self.value = nn.Linear(part.size, hidden_dim)
        self.position = nn.Parameter(0.5 * torch.randn(part.length, hidden_dim))
        self.key = nn.Linear(hidden_dim, hidden_dim)
        self.query = nn.Parameter(torch.randn(num_queries, hidden_dim))

    def forward(self, columns: Tensor) -> Tensor:
        values, mask = unpack_sequence(columns, self.size)
        tokens = self.value(values)
        keys = self._heads(self.key(F.gelu(tokens + self.position)))
        queries = self._heads(self.query.expand(len(columns), -1, -1))
        # a soft mask of a prediction counts by its share; an empty sequence stays finite
        bias = mask.clamp(min=1e-6).log()[:, None, None, :]
        pooled = F.scaled_dot_product_attention(
            queries, keys, self._heads(tokens), attn_mask=bias.expand(-1, 1, queries.shape[2], -1)
        )
        return pooled.transpose(1, 2).flatten(1)

    def _heads(self, values: Tensor) -> Tensor:
        heads: Tensor = values.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        return heads


class SequenceDecoder(nn.Module):
    """See `AttentionNetworks`: parts that are no sequence come from an MLP of their own."""

    def __init__(
        self,
        spec: LatentSpec,
        dim: int,
        *,
        hidden_dim: int = 128,
        num_layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.spec = spec
        sizes = {"hidden_dim": hidden_dim, "num_layers": num_layers, "dropout": dropout}
        self.positions = nn.ParameterDict()
        self.spread = nn.ModuleDict()
        self.heads = nn.ModuleDict()
        for index, part in enumerate(spec.parts):  # numbered: a part's name may be no key
            if part.kind == "sequence":
                self.positions[f"part_{index}"] = torch.randn(part.length, hidden_dim)
                self.spread[f"part_{index}"] = nn.Linear(dim, hidden_dim)
                self.heads[f"part_{index}"] = MLP(2 * hidden_dim, part.size + 1, **sizes)  # type: ignore[arg-type]
            else:
                self.heads[f"part_{index}"] = MLP(dim, part.dim, **sizes)  # type: ignore[arg-type]

    def forward(self, states: Tensor) -> Tensor:
        """(B, dim) -> (B, spec.dim)."""
        pieces = []
        for index, part in enumerate(self.spec.parts):
            head = self.heads[f"part_{index}"]
            if part.kind == "sequence":
                position = self.positions[f"part_{index}"].expand(len(states), -1, -1)
                spread = self.spread[f"part_{index}"](states)[:, None].expand_as(position)
                mixed = torch.cat([spread * position, position], dim=2)
                pieces.append(head(mixed).flatten(1))
            else:
                pieces.append(head(states))
        return torch.cat(pieces, dim=1)
