"""FuseMix's fusion adapters: pre-norm residual blocks at the latent's own width.

As in the authors' code (an inverted bottleneck), k times

    x <- x + Linear(4d -> d)(Dropout(GELU(Linear(d -> 4d)(LayerNorm(x)))))

then LayerNorm and Linear(d -> W). The LayerNorms hide that mixed latents are shorter than clean
ones. FuseMix has no decoders; these are of the same blocks, at the width of the workspace.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from globalworkspace.errors import ConfigError
from globalworkspace.latents import LatentSpec
from globalworkspace.networks import Dropout


class Block(nn.Module):
    """One pre-norm residual block.

    Args:
        dim: d.
        expansion: Its hidden layer is that many times as wide.
        dropout: Probability of dropping a hidden unit in training.
    """

    def __init__(self, dim: int, *, expansion: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.wide = nn.Linear(dim, expansion * dim)
        self.drop = Dropout(dropout)
        self.narrow = nn.Linear(expansion * dim, dim)

    def forward(self, values: Tensor) -> Tensor:
        """(B, d) -> (B, d)."""
        hidden = self.drop(F.gelu(self.wide(self.norm(values))))
        output: Tensor = values + self.narrow(hidden)
        return output


class FuseMixAdapters:
    """Network kind `fusemix-adapter`.

    `num_layers` is the number of blocks, `expansion` (4) how much wider their hidden layer is, and
    `dropout` acts there. `hidden_dim` has no part in it: a block is as wide as what it adapts.
    """

    @staticmethod
    def encoder(
        spec: LatentSpec,
        dim: int,
        *,
        num_layers: int = 2,
        dropout: float = 0.0,
        expansion: int = 4,
        hidden_dim: int | None = None,
        linear_path: bool = False,
    ) -> nn.Module:
        """Standard latents (B, spec.dim) -> codes (B, dim).

        Raises:
            ConfigError: If a linear path is wanted, there is no block, or the latent has one column
                (a LayerNorm over it is constant).
        """
        _check_width("latent", spec.dim)
        return _adapter(spec.dim, dim, num_layers, dropout, expansion, linear_path)

    @staticmethod
    def decoder(
        spec: LatentSpec,
        dim: int,
        *,
        num_layers: int = 2,
        dropout: float = 0.0,
        expansion: int = 4,
        hidden_dim: int | None = None,
        linear_path: bool = False,
    ) -> nn.Module:
        """States (B, dim) -> raw predictions (B, spec.dim).

        Raises:
            ConfigError: As `encoder`; or if the workspace has one dimension.
        """
        _check_width("workspace", dim)
        return _adapter(dim, spec.dim, num_layers, dropout, expansion, linear_path)


def _check_width(what: str, width: int) -> None:
    if width < 2:
        raise ConfigError(
            f'The network "fusemix-adapter" normalises over the columns of a {what}, and this one '
            'has a single column. Use the network "mlp".'
        )


def _adapter(
    width: int, out: int, num_layers: int, dropout: float, expansion: int, linear_path: bool
) -> nn.Sequential:
    if linear_path:
        raise ConfigError(
            'The network "fusemix-adapter" has no linear path, which linear_path=True (and the '
            'initializer "cca") needs. Use the network "mlp".'
        )
    if num_layers < 1 or expansion < 1:
        raise ConfigError(
            f"fusemix-adapter: num_layers={num_layers} and expansion={expansion} must be at least "
            "1."
        )
    blocks = (Block(width, expansion=expansion, dropout=dropout) for _ in range(num_layers))
    return nn.Sequential(*blocks, nn.LayerNorm(width), nn.Linear(width, out))
