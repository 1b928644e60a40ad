"""A small workspace, its rows and batches, for checks of what works on any domains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from globalworkspace.data.sampler import Batch, Segment
from globalworkspace.data.table import Table
from globalworkspace.domain import DomainModule
from globalworkspace.evaluation.base import HeldOut
from globalworkspace.latents import LatentSpec, Part, pack_sequence
from globalworkspace.workspace import GlobalWorkspace

TOY_DOMAINS = ("left", "right", "third")
_LATENTS = (
    LatentSpec.continuous(4, name="values"),
    LatentSpec(
        (
            Part(name="class", size=3, kind="categorical"),
            Part(name="angle", size=1, kind="circular"),
            Part(name="values", size=2),
        )
    ),
    LatentSpec((Part(name="steps", size=2, kind="sequence", length=3),)),
)


class Toy(DomainModule):
    """A domain whose cells are latents; it has a weight that nothing may train."""

    def __init__(self, parts: Sequence[dict[str, Any]]) -> None:
        super().__init__()
        self.latent = LatentSpec.from_json(list(parts))
        self.gain = nn.Parameter(torch.ones(()))

    def encode(self, raw: Any) -> Tensor:
        """Cells (B, D) -> the same."""
        rows = raw if isinstance(raw, Tensor) else torch.tensor(raw)
        return rows.float().reshape(-1, self.latent.dim).to(self.gain.device) * self.gain

    def decode(self, latents: Tensor) -> Tensor:
        """(B, D) -> B cells."""
        return latents

    def config(self) -> dict[str, Any]:
        """The latent."""
        return {"parts": self.latent.to_json()}


def toy_workspace(names: Sequence[str]) -> GlobalWorkspace:
    """A workspace of toys: real values; a class, an angle and values; a sequence; and so on."""
    modules = {
        name: Toy(_LATENTS[index % len(_LATENTS)].to_json()) for index, name in enumerate(names)
    }
    return GlobalWorkspace(modules, dim=5, hidden_dim=16, seed=0)


def random_latents(spec: LatentSpec, rows: int, generator: torch.Generator) -> Tensor:
    """Valid latents (rows, D) of all kinds of parts."""
    pieces = []
    for part in spec.parts:
        if part.kind == "continuous":
            values = torch.randn(rows, part.size, generator=generator)
        elif part.kind == "categorical":
            classes = torch.randint(part.size, (rows,), generator=generator)
            values = nn.functional.one_hot(classes, part.size).float()
        elif part.kind == "circular":
            angles = 2 * torch.pi * torch.rand(rows, part.size, generator=generator)
            values = torch.stack([angles.cos(), angles.sin()], dim=2).flatten(1)
        else:
            lengths = torch.randint(1, part.length + 1, (rows,), generator=generator)
            inside = torch.randn(rows, part.length, part.size, generator=generator)
            values = pack_sequence(inside, torch.arange(part.length) < lengths[:, None])
        pieces.append(values)
    return torch.cat(pieces, dim=1)


def toy_rows(workspace: GlobalWorkspace, rows: int, seed: int = 0) -> dict[str, Tensor]:
    """Latents (rows, D) of every domain."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: random_latents(workspace.spec(name), rows, generator) for name in workspace.domains
    }


def toy_batch(
    workspace: GlobalWorkspace, segments: Sequence[Segment], rows: dict[str, Tensor] | None = None
) -> Batch:
    """A batch of that layout; the segments take one stretch of `rows` after the other."""
    rows = rows or toy_rows(workspace, sum(segment.size for segment in segments))
    starts = [sum(segment.size for segment in segments[:i]) for i in range(len(segments))]
    drawn = tuple(torch.arange(s, s + x.size) for s, x in zip(starts, segments, strict=True))
    latents = {}
    for name in workspace.domains:
        held = [
            taken for taken, segment in zip(drawn, segments, strict=True) if name in segment.group
        ]
        if held:
            latents[name] = rows[name][torch.cat(held)]
    return Batch(tuple(segments), latents, drawn)


def toy_held_out(workspace: GlobalWorkspace, rows: int = 24) -> HeldOut:
    """Rows with every domain to judge by, raw and encoded."""
    cells = toy_rows(workspace, rows, seed=1)
    latents = {name: workspace.domains[name].encode(x).detach() for name, x in cells.items()}
    return HeldOut(raw=Table.from_columns(cells), latents=Table.from_columns(latents))


def with_gaps(held_out: HeldOut) -> HeldOut:
    """The same rows, of which each domain lacks every fourth that has another one, too."""

    def thinned(table: Table) -> Table:
        present = torch.stack([table[name].present for name in table])
        for index in range(len(present)):
            chosen = (torch.arange(len(table)) + index) % 4 == 0
            present[index] &= ~(chosen & (present.sum(dim=0) > 1))
        columns = {name: table[name].keep(mask) for name, mask in zip(table, present, strict=True)}
        return Table(columns, table.origin)

    return HeldOut(raw=thinned(held_out.raw), latents=thinned(held_out.latents))
