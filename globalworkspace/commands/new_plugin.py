"""`globalworkspace new-plugin`."""

from __future__ import annotations

import argparse
import keyword
import re
from pathlib import Path

from globalworkspace.errors import ConfigError
from globalworkspace.hookspecs import API_VERSION
from globalworkspace.registry import get_registry

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
_PREFIX = "globalworkspace-"

_FILES = {
    "pyproject.toml": """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "globalworkspace-@name@"
version = "0.1.0"
description = "@title@ as a domain of a global workspace"
readme = "README.md"
requires-python = ">=3.11"
keywords = ["globalworkspace"]
dependencies = ["globalworkspace"]

[project.optional-dependencies]
test = ["pytest"]

[project.entry-points.globalworkspace]
@name@ = "@package@.plugin"

[tool.hatch.build.targets.wheel]
packages = ["@package@"]
""",
    "README.md": """\
# globalworkspace-@name@

@title@ as a domain of a global workspace: the kind `@name@`.

    pip install -e ".[test]"
    globalworkspace plugins
    pytest

A cell is a list of numbers. Replace that by what a cell of yours is, in `@package@/domain.py`, and
the batch in `tests/test_domain.py` by cells of yours; the tests there are the conformance kit.
""",
    "@package@/__init__.py": '''\
"""@title@ as a domain of a global workspace."""
''',
    "@package@/py.typed": "",
    "@package@/plugin.py": '''\
"""What this distribution brings to `globalworkspace`; light: targets are imported on first use."""

from globalworkspace import hookimpl

globalworkspace_api = @api@


@hookimpl
def register_domains(register):
    """Announce the kind `@name@`."""
    register("@name@", "@package@.domain:@class@", summary="@title@")
''',
    "@package@/domain.py": '''\
"""@title@ as latents and back."""

from collections.abc import Sequence

import torch
from torch import Tensor

from globalworkspace import DomainModule, LatentSpec, Rendering
from globalworkspace.errors import DomainError


class @class@(DomainModule):
    """Rows of numbers; latents are the numbers themselves.

    Args:
        dim: How many numbers a cell has.
    """

    def __init__(self, dim: int = 3) -> None:
        super().__init__()
        self.dim = dim
        self.latent = LatentSpec.continuous(dim)

    def encode(self, raw: Sequence[Sequence[float]]) -> Tensor:
        """Cells -> latents (B, dim)."""
        for position, cell in enumerate(raw):
            if len(cell) != self.dim:
                raise DomainError(
                    f"Cell {position} has {len(cell)} numbers; expected {self.dim}. Correct the "
                    "cell, or set dim."
                )
        return torch.tensor([list(cell) for cell in raw]).float().reshape(len(raw), self.dim)

    def decode(self, latents: Tensor) -> list[list[float]]:
        """Latents (B, dim) -> cells."""
        return latents.tolist()

    def render(self, raw: Sequence[Sequence[float]]) -> list[Rendering]:
        """Each cell as a line of text, for sheets and reports."""
        lines = [", ".join(f"{number:.3g}" for number in cell) for cell in raw]
        return [Rendering(media_type="text/plain", data=t.encode(), alt=t) for t in lines]

    def config(self) -> dict:
        """The arguments with which the same module is built again."""
        return {"dim": self.dim}
''',
    "tests/test_domain.py": '''\
"""The domain keeps the contract; see docs/testing-a-plugin.md of globalworkspace."""

import pytest
from @package@.domain import @class@

from globalworkspace.errors import DomainError
from globalworkspace.testing import DomainConformance


class Test@class@(DomainConformance):
    @pytest.fixture
    def module(self):
        return @class@(dim=3)

    @pytest.fixture
    def batch(self):
        return [[0.0, 1.0, 2.0], [3.5, -1.0, 0.25], [1.0, 1.0, 1.0]]


def test_a_cell_of_another_length_is_named():
    with pytest.raises(DomainError, match="Cell 1 has 2 numbers; expected 3"):
        @class@(dim=3).encode([[1, 2, 3], [1, 2]])
''',
}


class NewPlugin:
    """Write a new plugin: an installable distribution whose tests pass.

    example: globalworkspace new-plugin thermometer
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See `cli.Command`."""
        parser.add_argument("name", help="of the plugin and its domain kind, as thermometer")
        parser.add_argument(
            "--folder", help="where to write it (default: globalworkspace-NAME in this folder)"
        )

    def run(self, args: argparse.Namespace) -> int:
        """See `cli.Command`."""
        folder = write_plugin(args.name, args.folder)
        name = args.name.removeprefix(_PREFIX)
        print(f"{folder}: {len(_FILES)} files. Next:")
        print(f'  pip install -e "{folder}[test]"')
        print(f"  pytest {folder}")
        print("  globalworkspace plugins")
        print(f'Then [domains.NAME] takes kind = "{name}". Make it yours in {_package(name)}/.')
        return 0


def write_plugin(name: str, folder: str | Path | None = None) -> Path:
    """Write the distribution `globalworkspace-NAME`.

    Args:
        name: Of plugin and domain kind: lower-case letters, digits and single hyphens.
        folder: Where to; default: `globalworkspace-NAME` in the current folder.

    Returns:
        The folder.

    Raises:
        ConfigError: If the name cannot be one or is taken, or the folder is there already.
    """
    bare = name.removeprefix(_PREFIX)
    if not _NAME.match(bare) or keyword.iskeyword(bare):
        raise ConfigError(
            f'"{name}" cannot name a plugin. Use lower-case letters, digits and single hyphens, '
            "beginning with a letter, as in thermometer or eye-tracker."
        )
    registry = get_registry()
    owners = [p.distribution for p in registry.plugins if p.name == bare]
    owners += [
        r.distribution for r in registry.registrations if (r.category, r.kind) == ("domain", bare)
    ]
    if owners:
        raise ConfigError(
            f'The name "{bare}" is taken by the installed {owners[0]}. Choose another, or '
            "uninstall it."
        )
    home = Path(folder) if folder is not None else Path(f"{_PREFIX}{bare}")
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise ConfigError(
            f'"{home}" is there already, and nothing is overwritten. Give another --folder, or '
            "delete it."
        )
    words = {
        "@name@": bare,
        "@package@": _package(bare),
        "@class@": "".join(word.capitalize() for word in bare.split("-")),
        "@title@": bare.replace("-", " ").capitalize(),
        "@api@": str(API_VERSION),
    }
    for file, text in _FILES.items():
        target = home / _fill(file, words)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_fill(text, words), encoding="utf-8")
    return home


def _package(name: str) -> str:
    return f"{_PREFIX}{name}".replace("-", "_")


def _fill(text: str, words: dict[str, str]) -> str:
    for mark, word in words.items():
        text = text.replace(mark, word)
    return text
