"""The networks between latents and the workspace: residual MLPs with an optional linear path.

The paper's networks are plain MLPs; normalisation and residuals train faster at equal size. The
linear path lets a closed-form map be the starting point (see `initializers`): the MLP beside it
then starts at zero.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
        self.dropout = dropout
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
            hidden = hidden + layer(self._drop(F.gelu(norm(hidden))))
        output: Tensor = self.output(self._drop(F.gelu(hidden)))
        return output if self.linear is None else output + self.linear(values)

    def _drop(self, hidden: Tensor) -> Tensor:
        return F.dropout(hidden, self.dropout, self.training) if self.dropout else hidden

    @torch.no_grad()
    def start_from_linear(self, weight: Tensor, bias: Tensor) -> None:
        """Make the network equal to `x @ weight.T + bias`, the MLP part starting at zero."""
        assert self.linear is not None, "built without a linear path"
        self.linear.weight.copy_(weight)
        self.linear.bias.copy_(bias)
        self.output.weight.zero_()
        self.output.bias.zero_()
