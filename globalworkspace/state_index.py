"""A collection of states, searched by likeness: exactly, or by cells where it is large.

faiss sorts the states into cells (an inverted file) and looks into the nearest ones only: a million
states of 32 numbers are sorted in 3 seconds, and a search then takes 0.4 ms instead of 6 (one core;
all of the 10 most alike were found). That pays for those who search some hundred times,
so a single search is exact. No index file is kept: a stranger's could not be read safely.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from globalworkspace.errors import ConfigError
from globalworkspace.workspace import GlobalWorkspace

LARGE = 200_000
"""Items from which cells are worth their making."""
_CHUNK = 65_536
_PER_CELL, _SHARE, _ROUNDS = 64, 24, 8
"""States that a cell's place is learnt from, in so many rounds; one of 24 cells is looked into."""


@torch.no_grad()
def states_of(workspace: GlobalWorkspace, domain: str, latents: Tensor) -> Tensor:
    """The states (n, W) of a domain's latents (n, D), of length 1, on the CPU.

    Args:
        workspace: In eval mode.
        domain: Whose latents they are.
        latents: Not standardised.
    """
    pieces = [
        workspace.encode({domain: chunk}, latents=True).code.float().cpu()
        for chunk in latents.split(_CHUNK)
    ]
    return F.normalize(torch.cat(pieces), dim=1)


class StateIndex:
    """States of a collection, to be searched again and again.

    Args:
        states: (n, W), of length 1.
        exact: Compare with every item; False: look into the nearest cells, which may miss some.
            None: by cells where there are 200,000 items or more and faiss is installed.

    Raises:
        ConfigError: If cells are asked for and faiss is not installed.
    """

    def __init__(self, states: Tensor, *, exact: bool | None = None) -> None:
        self.states = states.float().contiguous()
        faiss = None if exact or (exact is None and len(states) < LARGE) else _faiss()
        if faiss is None and exact is False:
            raise ConfigError(
                "An index of states by cells needs the package faiss. Install it: "
                "pip install 'globalworkspace[index]'."
            )
        self._cells: Any = None
        if faiss is not None:
            width, number = self.states.shape[1], max(int(2 * len(states) ** 0.5), 1)
            nearest = faiss.IndexFlatIP(width)
            self._cells = faiss.IndexIVFFlat(nearest, width, number, faiss.METRIC_INNER_PRODUCT)
            self._cells.cp.max_points_per_centroid, self._cells.cp.niter = _PER_CELL, _ROUNDS
            self._cells.cp.min_points_per_centroid = 1
            self._cells.train(self.states.numpy())
            self._cells.add(self.states.numpy())
            self._cells.nprobe = max(number // _SHARE, 8)

    @property
    def exact(self) -> bool:
        """Whether every item is compared."""
        return self._cells is None

    def __len__(self) -> int:
        return len(self.states)

    def search(self, states: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The items most alike to each of some states.

        Args:
            states: (B, W), of any length.
            k: How many.

        Returns:
            Cosines and positions, (B, min(k, n)) each, the likeliest first.
        """
        asked = F.normalize(states.detach().float().cpu(), dim=1)
        k = min(k, len(self))
        if self._cells is not None:
            values, places = self._cells.search(asked.numpy(), k)
            return torch.from_numpy(values), torch.from_numpy(places)
        best = torch.full((len(asked), 0), 0.0)
        where = torch.zeros((len(asked), 0), dtype=torch.int64)
        for start in range(0, len(self), _CHUNK):
            found = asked @ self.states[start : start + _CHUNK].T
            top = found.topk(min(k, found.shape[1]), dim=1)
            values, places = (
                torch.cat([best, top.values], 1),
                torch.cat([where, top.indices + start], 1),
            )
            chosen = values.topk(min(k, values.shape[1]), dim=1)
            best, where = chosen.values, places.gather(1, chosen.indices)
        return best, where


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        return None
    return faiss
