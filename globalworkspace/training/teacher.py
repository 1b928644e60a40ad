"""The mean teacher: a workspace's networks with the averaged weights (Tarvainen and Valpola 2017).

Its predictions are steadier than those of the weights in training, which is what a target or a
judge should be.
"""

from __future__ import annotations

import copy
from typing import cast

from torch import nn

from globalworkspace.fusion import Fusion
from globalworkspace.networks import module_key
from globalworkspace.workspace import GlobalWorkspace


class Teacher:
    """Frozen copies of a workspace's networks, in inference mode; see `FlatAdamW.follow`.

    Args:
        workspace: Whose networks.
    """

    def __init__(self, workspace: GlobalWorkspace) -> None:
        parts = {"encoders": workspace.encoders, "decoders": workspace.decoders}
        self._copies = nn.ModuleDict(copy.deepcopy({**parts, "fusion": workspace.fusion}))
        self._copies.requires_grad_(False).eval()

    @property
    def fusion(self) -> Fusion:
        """See `globalworkspace.routes.Networks`."""
        return cast(Fusion, self._copies["fusion"])

    def encoder(self, name: str) -> nn.Module:
        """See `globalworkspace.routes.Networks`."""
        return cast(nn.ModuleDict, self._copies["encoders"])[module_key(name)]

    def decoder(self, name: str) -> nn.Module:
        """See `globalworkspace.routes.Networks`."""
        return cast(nn.ModuleDict, self._copies["decoders"])[module_key(name)]

    def parameters(self) -> dict[str, nn.Parameter]:
        """Its weights, named as in the workspace."""
        return dict(self._copies.named_parameters())
