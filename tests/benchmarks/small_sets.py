"""Three small data sets as frozen latents: what the comparisons with few pairs are made on.

* `shapes`: pictures of Simple Shapes through the shipped VAE, and their attributes;
* `emoji`: drawings and names of emoji, those of examples/emoji.py (other families are tested on);
* `speech`: captions of Simple Shapes, spoken by a synthesiser and written (Whisper, MiniLM).
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

import attrs
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from globalworkspace import DomainModule, Table
from globalworkspace.given_latents import GivenLatents
from globalworkspace.latents import LatentSpec

ROOT = Path(__file__).resolve().parents[2]
SHAPES, TEST_SHAPES = 20_000, 1_000


@attrs.frozen(eq=False)
class SmallSet:
    """Latents of two domains, and what they are made of."""

    specs: Mapping[str, LatentSpec]
    training: Mapping[str, Tensor]
    """Domain -> (N, D); row i of all domains is one thing."""
    test: Mapping[str, Tensor]

    @property
    def domains(self) -> dict[str, DomainModule]:
        """Domain modules of these latents."""
        return {name: GivenLatents(spec) for name, spec in self.specs.items()}

    @property
    def directions(self) -> tuple[str, str]:
        """Both, as retrieval names them."""
        first, second = self.specs
        return f"{first} -> {second}", f"{second} -> {first}"


def small_set(name: str, cache: Path) -> SmallSet:
    """One of the three; made at the first call, then read from the cache."""
    file = cache / f"{name}.safetensors"
    if not file.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        specs, training, test = _MAKERS[name](cache / name)
        tensors = {f"training.{n}": t for n, t in training.items()}
        tensors |= {f"test.{n}": t for n, t in test.items()}
        (cache / f"{name}.json").write_text(
            json.dumps({name: spec.to_json() for name, spec in specs.items()})
        )
        save_file({n: t.float().contiguous() for n, t in tensors.items()}, file)
    specs = json.loads((cache / f"{name}.json").read_text())
    found = load_file(file)
    return SmallSet(
        {name: LatentSpec.from_json(spec) for name, spec in specs.items()},
        *({name: found[f"{part}.{name}"] for name in specs} for part in ("training", "test")),
    )


Made = tuple[dict[str, LatentSpec], dict[str, Tensor], dict[str, Tensor]]


def _shapes(home: Path) -> Made:
    from label_efficiency import latents, specialists

    modules = specialists()
    tables = [latents("train", SHAPES, home), latents("test", TEST_SHAPES, home)]
    return _made(modules, tables)


def _emoji(home: Path) -> Made:
    sys.path.insert(0, str(ROOT / "examples"))
    import emoji

    modules = emoji.specialists()
    tables = emoji.encode(modules, emoji.load(home), home)
    return _made(modules, [tables["train"], tables["test"]])


def _speech(home: Path) -> Made:
    from spoken_captions import tables

    from globalworkspace import LatentStore, encode_table
    from globalworkspace.pretrained import build_domain

    modules = {"speech": build_domain("whisper", {}), "caption": build_domain("bert", {})}
    found = tables(home, 0)
    store = LatentStore(home / "latents")
    return _made(modules, [encode_table(modules, found[s][0], store=store) for s in found])


_MAKERS = {"shapes": _shapes, "emoji": _emoji, "speech": _speech}


def _made(modules: Mapping[str, DomainModule], tables: list[Table]) -> Made:
    training, test = (
        {name: table[name].take(torch.arange(len(table))) for name in table} for table in tables
    )
    return {name: module.latent for name, module in modules.items()}, training, test


def quiet() -> None:
    """Dead dimensions of pretrained latents are left out; that they are is known."""
    warnings.filterwarnings("ignore", message=".*latent dimensions are dead")
