"""Small domains, tables and plugins that the core's tests are made of."""

import types

import attrs
import torch
from torch import nn

from globalworkspace import DomainModule, GlobalWorkspace, LatentSpec, Part, Table
from globalworkspace.data.sampler import Batch, Segment
from globalworkspace.hookspecs import hookimpl
from globalworkspace.latents import pack_sequence
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.fused import Fused
from globalworkspace.objectives.schedules import Schedule
from globalworkspace.objectives.translation import Translation


class Vector(DomainModule):
    """Raw data are vectors, and so are latents."""

    def __init__(self, dim=3):
        super().__init__()
        self.latent = LatentSpec.continuous(dim)

    def encode(self, raw):
        return torch.as_tensor(raw).float()

    def decode(self, latents):
        return latents.tolist()

    def config(self):
        return {"dim": self.latent.dim}


class Weighted(Vector):
    """A vector through frozen weights; counts how many cells it has encoded."""

    def __init__(self, dim=3, seed=0):
        super().__init__(dim)
        self.seed = seed
        self.linear = nn.Linear(dim, dim)
        with torch.no_grad():
            generator = torch.Generator().manual_seed(seed)
            self.linear.weight.copy_(torch.randn(dim, dim, generator=generator))
        self.encoded = 0

    def encode(self, raw):
        self.encoded += len(raw)
        return self.linear(torch.as_tensor(raw).float())

    def config(self):
        return {"dim": self.latent.dim, "seed": self.seed}


class Mute(Vector):
    """Encodes, and cannot decode."""

    decode = None

    def __getattribute__(self, name):
        if name == "decode":
            raise AttributeError(name)
        return super().__getattribute__(name)


class Parts(DomainModule):
    """A domain whose latent has parts of given kinds; raw data are latents."""

    def __init__(self, parts):
        super().__init__()
        self.latent = LatentSpec(tuple(Part(**part) for part in parts))

    def encode(self, raw):
        return torch.as_tensor(raw).float()

    def decode(self, latents):
        return latents

    def config(self):
        return {"parts": self.latent.to_json()}


def random_parts(generator):
    """A few parts of random kinds and sizes."""
    kinds = ("continuous", "categorical", "circular")
    parts = []
    for index in range(int(torch.randint(1, 4, (), generator=generator))):
        kind = kinds[int(torch.randint(3, (), generator=generator))]
        size = int(torch.randint(1, 4, (), generator=generator)) + (kind == "categorical")
        parts.append({"name": f"part{index}", "size": size, "kind": kind})
    return parts


def random_latents(spec, rows, generator):
    """Valid float64 latents (rows, D)."""
    pieces = []
    for part in spec.parts:
        if part.kind == "continuous":
            values = torch.randn(rows, part.size, generator=generator, dtype=torch.float64)
        elif part.kind == "categorical":
            classes = torch.randint(part.size, (rows,), generator=generator)
            values = torch.eye(part.size, dtype=torch.float64)[classes]
        elif part.kind == "sequence":
            lengths = torch.randint(1, part.length + 1, (rows,), generator=generator)
            inside = torch.randn(
                rows, part.length, part.size, generator=generator, dtype=torch.float64
            )
            values = pack_sequence(inside, torch.arange(part.length) < lengths[:, None])
        else:
            angles = 7 * torch.rand(rows, part.size, generator=generator, dtype=torch.float64)
            values = torch.stack([angles.cos(), angles.sin()], dim=2).flatten(1)
        pieces.append(values)
    return torch.cat(pieces, dim=1)


def make_batch(workspace, groups, generator):
    """A batch of (group, size) segments with random standard latents."""
    segments = tuple(Segment(tuple(group), size) for group, size in groups)
    latents = {}
    for name in workspace.domains:
        rows = sum(s.size for s in segments if name in s.group)
        if rows:
            values = random_latents(workspace.spec(name), rows, generator)
            latents[name] = values.to(workspace.dtype)
    drawn = tuple(torch.arange(segment.size) for segment in segments)
    return Batch(segments, latents, drawn)


def two_views(rows=300, dims=(4, 6), seed=0):
    """Columns that are different views of the same hidden things."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, 3, generator=generator)
    names = ("left", "right", "third", "fourth")
    return {
        name: torch.tanh(hidden @ torch.randn(3, 8, generator=generator))
        @ torch.randn(8, dim, generator=generator)
        for name, dim in zip(names, dims, strict=False)
    }


def small_workspace(dims=(4, 6), **options):
    names = ("left", "right", "third", "fourth")
    modules = {name: Vector(dim) for name, dim in zip(names, dims, strict=False)}
    return GlobalWorkspace(modules, **({"dim": 5, "hidden_dim": 16} | options))


def small_table(rows=300, matched=60, dims=(4, 6), seed=0):
    return Table.from_columns(two_views(rows, dims, seed)).match(matched, seed=seed)


@attrs.frozen
class Distribution:
    name: str
    version: str = "1.2"


@attrs.frozen
class FakePoint:
    """Looks like an entry point of an installed distribution."""

    name: str
    value: str
    dist: Distribution
    load: object = attrs.field(eq=False)
    group: str = "globalworkspace"


def plugin(name, hooks, api=1, dist=None, value=None):
    """An entry point to a plugin module made of `hook name -> [(kind, target), ...]`."""
    module = types.ModuleType(f"fake_{name}")
    module.globalworkspace_api = api
    for hook, entries in hooks.items():

        def implementation(register, entries=entries):
            for kind, target in entries:
                register(kind, target, summary=kind)

        implementation.__name__ = hook
        setattr(module, hook, hookimpl(implementation))
    distribution = Distribution(dist or f"globalworkspace-{name}")
    return FakePoint(name, value or f"fake_{name}", distribution, lambda: module)


def broken(name, error):
    def load():
        raise error

    return FakePoint(name, f"fake_{name}", Distribution(f"globalworkspace-{name}"), load)


def discover_with(points):
    """A registry of the core and the given entry points."""
    from globalworkspace.registry import discover

    return discover(points)


def every_family():
    """Objectives of every kind that a step of three domains can be captured with."""
    return [
        Translation(1.0, subsets="sampled", budget=2),
        Translation(0.5),
        Contrastive(0.1, learn_scale=True),
        Contrastive(0.1).seen_through("noisy"),
        DemiCycle(Schedule(0.0, 1.0, steps=6)),
        Cycle(0.3, detach=True, budget=1),
        Fused(0.3, subsets="sampled"),
    ]
