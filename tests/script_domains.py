"""Domain kinds that a script defines, well and badly behaved, for tests of the command line."""

import torch
from torch import nn

from globalworkspace import DomainModule, GalleryDecoding, LatentSpec, Rendering
from globalworkspace.errors import DomainError
from globalworkspace.registry import Registration


def registration(kind):
    """The kind `script-NAME`, as if a plugin brought it."""
    return Registration(
        category="domain",
        kind=f"script-{kind.lower()}",
        owner="script",
        target=f"script_domains:{kind}",
        summary="",
        distribution="a script",
        version="0",
    )


class Numbers(DomainModule):
    """Rows of numbers, read from mappings; `fault` breaks the contract where the first is 17."""

    def __init__(self, dim: int = 2, fault: str = ""):
        super().__init__()
        self.latent, self.fault = LatentSpec.continuous(dim), fault

    def encode(self, raw):
        for cell in raw:
            if not all(isinstance(value, (int, float)) for value in cell.values()):
                raise DomainError(f"{cell} holds something that is no number. Correct the cell.")
        latents = torch.tensor([[float(v) for v in cell.values()] for cell in raw])
        if self.fault == "shape":
            return latents[:, :1]
        if self.fault == "dtype":
            return latents.long()
        if self.fault == "type":
            return latents.tolist()
        if self.fault == "nan":
            latents[latents[:, 0] == 17] = torch.nan
        return latents

    def decode(self, latents):
        return latents.tolist()

    def config(self):
        return {"dim": self.latent.dim, "fault": self.fault}


class Words(GalleryDecoding, DomainModule):
    """Words by their letters; answers with a word of its gallery."""

    latent = LatentSpec.continuous(26)

    def encode(self, raw):
        letters = torch.arange(ord("a"), ord("z") + 1)
        counts = [(torch.tensor([*w.encode()])[:, None] == letters).sum(0) for w in raw]
        return torch.stack(counts).float()

    def config(self):
        return {}


class Fittable(Numbers):
    """A linear auto-encoder of numbers; `dead` switches one latent dimension off."""

    def __init__(self, dim: int = 2, latent_dim: int = 3, dead: bool = False):
        super().__init__(dim)
        self.dim, self.dead, self.latent = dim, dead, LatentSpec.continuous(latent_dim)
        generator = torch.Generator().manual_seed(0)
        self.inside, self.outside = nn.Linear(dim, latent_dim), nn.Linear(latent_dim, dim)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)

    def encode(self, raw):
        latents = self.inside(torch.as_tensor(super().encode(raw)))
        return torch.cat([latents[:, :-1], 0 * latents[:, -1:]], 1) if self.dead else latents

    def decode(self, latents):
        return [{"x": x, "y": y} for x, y in self.outside(latents).tolist()]

    def unimodal_loss(self, raw, progress, generator):
        values = torch.tensor([list(cell.values()) for cell in raw])
        noise = torch.randn(len(raw), self.latent.dim, generator=generator) / 100
        return {"squares": (self.outside(self.encode(raw) + noise) - values).square().sum(1)}

    def render(self, raw):
        return [Rendering(media_type="text/plain", data=str(c).encode(), alt=str(c)) for c in raw]

    def config(self):
        return {"dim": self.dim, "latent_dim": self.latent.dim, "dead": self.dead}


class Sized(Numbers):
    """Reads off the training cells how many numbers a row has."""

    @classmethod
    def complete_config(cls, config, cells):
        return {**config, "dim": len(cells[0])}


class Heavy(Numbers):
    """Answers with bytes, as pictures and sound do."""

    def render(self, raw):
        return [Rendering(media_type="image/png", data=b"png", alt="a picture") for _ in raw]
