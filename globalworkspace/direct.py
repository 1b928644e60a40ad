"""Direct translators instead of a shared space: the paper's ablation of the workspace.

Every ordered pair of domains has a network of its own, as deep as an encoder and a decoder
together. So that routes, objectives and evaluations need not know of it, a state then is a row of
slots, one per domain, that holds the latents it was made from, and marks which slots are filled; a
decoder reads each filled slot with the translator of its domain, and weighs what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from globalworkspace.latents import LatentSpec
from globalworkspace.networks import MLP, module_key


class Slot(nn.Module):
    """Puts a domain's standard latents (B, A) into its slot of a state (B, W).

    Args:
        index: Which domain.
        sizes: Standard latent columns of each; W is their sum and a mark for each.
    """

    def __init__(self, index: int, sizes: list[int]) -> None:
        super().__init__()
        self.columns = slice(sum(sizes[:index]), sum(sizes[: index + 1]))
        self.mark = sum(sizes) + index
        self.width = sum(sizes) + len(sizes)

    def forward(self, latents: Tensor) -> Tensor:
        """(B, A) -> (B, W)."""
        before = latents.new_zeros(len(latents), self.columns.start)
        marks = latents.new_zeros(len(latents), self.width - self.columns.stop)
        marks[:, self.mark - self.columns.stop] = 1
        return torch.cat([before, latents, marks], dim=1)


class Translators(nn.Module):
    """A domain's translators from every other one; states (B, W) -> raw predictions (B, A).

    Args:
        spec: Of the domain's standard latents.
        slots: Domain -> where its latents are in a state.
        own: The domain; its own slot is given back as it is.
        network: (input columns, source) -> the translator.
    """

    def __init__(
        self,
        spec: LatentSpec,
        slots: Mapping[str, Slot],
        own: str,
        network: Callable[[int, str], nn.Module],
    ) -> None:
        super().__init__()
        self.spec, self.own = spec, own
        self._slots = [(name, slot.columns, slot.mark) for name, slot in slots.items()]
        self.sources = nn.ModuleDict(
            {
                module_key(name): network(columns.stop - columns.start, name)
                for name, columns, _ in self._slots
                if name != own
            }
        )

    def forward(self, codes: Tensor) -> Tensor:
        """(B, W) -> (B, A)."""
        told = codes.new_zeros(len(codes), self.spec.dim)
        for name, columns, mark in self._slots:
            rows = codes[:, mark].nonzero().flatten()
            if not len(rows):
                continue
            share = codes[rows, mark : mark + 1]
            latents = codes[rows, columns] / share
            said = (
                self.spec.exact_prediction(latents)
                if name == self.own
                else self.sources[module_key(name)](latents)
            )
            told = told.index_add(0, rows, share * said)
        return told


def direct_networks(
    specs: Mapping[str, LatentSpec],
    seeded: Callable[[str, str], AbstractContextManager[None]],
    *,
    hidden_dim: int,
    num_layers: int,
    dropout: float,
) -> dict[str, tuple[nn.Module, nn.Module]]:
    """Domain -> (encoder, decoder) of a workspace without a shared space.

    Args:
        specs: Domain -> its standard latents.
        seeded: (source, target) -> the seed of its first weights, as a context.
        hidden_dim: Width of the translators.
        num_layers: Hidden layers of an encoder; a translator has those of two.
        dropout: In their hidden layers.
    """
    sizes = [spec.dim for spec in specs.values()]
    slots = {name: Slot(index, sizes) for index, name in enumerate(specs)}

    def decoder(target: str, spec: LatentSpec) -> nn.Module:
        def network(columns: int, source: str) -> nn.Module:
            with seeded(source, target):
                return MLP(
                    columns,
                    spec.dim,
                    hidden_dim=hidden_dim,
                    num_layers=2 * num_layers,
                    dropout=dropout,
                )

        return Translators(spec, slots, target, network)

    return {name: (slots[name], decoder(name, spec)) for name, spec in specs.items()}
