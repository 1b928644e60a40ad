"""The domain module under test, its cells, and safe ways to use them.

Every check works on a copy of its own, so that none sees what another did, and a check that builds
on a more basic promise says `NotJudged` where that one is not kept.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs
import torch
from torch import Tensor

from globalworkspace.data.cells import num_cells, take_cells
from globalworkspace.domain import Decodes, DomainModule, HasAssets, freeze
from globalworkspace.errors import DataError
from globalworkspace.gallery import GalleryDecoding
from globalworkspace.latents import LatentSpec
from globalworkspace.pretrained import kind_of
from globalworkspace.registry import Registration, get_registry
from globalworkspace.testing.checks import CheckFailed, NotJudged, apart


@attrs.frozen(eq=False)
class DomainSubject:
    """What the checks of a domain module get."""

    original: DomainModule
    batch: Any
    """A raw batch as `encode` takes it; two or more different cells."""
    other_batch: Any = None
    """Further cells; None: those of `batch` in reverse order."""
    plugin: str | None = None
    """Dotted name of the plugin module; None: of the plugin that registers the class."""
    _steady: list[bool] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        if self.size < 2:
            raise DataError(
                f"The batch for the conformance kit holds {self.size} cells; give two or more "
                "different ones."
            )

    @property
    def name(self) -> str:
        """The module's class, for messages."""
        return type(self.original).__name__

    @property
    def spec(self) -> LatentSpec:
        """What the latents are made of."""
        spec = getattr(self.original, "latent", None)
        if not isinstance(spec, LatentSpec):
            raise NotJudged("`latent` is no LatentSpec")
        return spec

    @property
    def size(self) -> int:
        """Cells in the batch."""
        return num_cells("batch", self.batch)

    def module(self) -> DomainModule:
        """A frozen copy."""
        return freeze(copy.deepcopy(self.original))

    def cells(self) -> Any:
        """A copy of the batch."""
        return copy.deepcopy(self.batch)

    def others(self) -> Any:
        """A copy of the other batch."""
        if self.other_batch is None:
            return self.pick(torch.arange(self.size).flip(0))
        return copy.deepcopy(self.other_batch)

    def pick(self, rows: Tensor | list[int]) -> Any:
        """A copy of some cells of the batch, as a batch of the same kind."""
        return copy.deepcopy(take_cells(self.batch, torch.as_tensor(rows, dtype=torch.int64)))

    def single_cells(self) -> list[Any]:
        """The batch as a list of cells."""
        if isinstance(self.batch, Mapping):
            return [
                {key: values[i] for key, values in self.batch.items()} for i in range(self.size)
            ]
        return [self.batch[i] for i in range(self.size)]

    def latents(self, module: DomainModule, cells: Any) -> Tensor:
        """`module.encode(cells)`, detached.

        Raises:
            NotJudged: If it is not a float tensor of the right shape, which another check is for.
        """
        number = num_cells("batch", cells)
        try:
            found = module.encode(cells)
        except Exception as error:
            raise NotJudged(f"encode() raises {type(error).__name__}: {error}") from error
        wanted = (number, self.spec.dim)
        if not isinstance(found, Tensor) or tuple(found.shape) != wanted:
            raise NotJudged(f"encode() does not return a tensor of shape {wanted}")
        if not found.is_floating_point() or not found.isfinite().all():
            raise NotJudged("encode() does not return finite floating-point numbers")
        return found.detach().clone()

    def need_steady(self) -> None:
        """Say `NotJudged` if two calls of `encode` differ, which another check is for."""
        if not self._steady:
            module = self.module()
            found = [self.latents(module, self.cells()) for _ in range(2)]
            self._steady.append(apart(*found) is None)
        if not self._steady[0]:
            raise NotJudged("encode() does not give the same twice")

    def decoder(self) -> Any:
        """A frozen copy that decodes; one that answers from a gallery gets the batch as gallery."""
        module = self.module()
        if not isinstance(module, Decodes):
            raise NotJudged("it has no decode()")
        if isinstance(module, GalleryDecoding) and module.gallery is None:
            self.latents(module, self.cells())
            module.set_gallery(self.single_cells())
        return module

    def config(self) -> dict[str, Any]:
        """`config()` after a round trip through JSON."""
        try:
            plain: dict[str, Any] = json.loads(json.dumps(self.original.config(), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise NotJudged(f"config() is not JSON-able: {error}") from error
        return plain

    def rebuilt(self) -> DomainModule:
        """`from_config(config())`, without weights."""
        config = self.config()
        try:
            module = type(self.original).from_config(config)
        except Exception as error:
            raise NotJudged(f"from_config() raises {type(error).__name__}: {error}") from error
        if not isinstance(module, DomainModule):
            raise NotJudged("from_config() does not return a module")
        return module

    def refilled(self) -> DomainModule:
        """`rebuilt`, with the weights that a saved folder would give it."""
        module = self.rebuilt()
        if self.original.stores_weights:
            try:
                module.load_state_dict(self.original.state_dict())
            except RuntimeError as error:
                raise NotJudged("from_config() builds a module of other weights") from error
        return module

    @contextmanager
    def registered(self) -> Iterator[None]:
        """Make the class loadable for a while, as if a plugin brought it, if none does."""
        registrations = get_registry().registrations
        if kind_of(self.original) is not None:
            yield
            return
        cls = type(self.original)
        entry = _Given(
            category="domain",
            kind="conformance-kit",
            owner="conformance-kit",
            target=f"{cls.__module__}:{cls.__qualname__}",
            summary="",
            distribution="globalworkspace",
            version="",
            given=cls,
        )
        registrations.append(entry)
        try:
            yield
        finally:
            registrations.remove(entry)

    def assets_return(self) -> bool:
        """Whether its files come back as they were; True for a module without files."""
        from globalworkspace.testing.domain_saving import files_written_are_read_back_the_same

        if not isinstance(self.original, HasAssets):
            return True
        try:
            files_written_are_read_back_the_same(self)
        except NotJudged:
            return True
        except (CheckFailed, Exception):
            return False
        return True


@attrs.frozen(kw_only=True)
class _Given(Registration):
    """A registration of a class at hand, wherever it was defined."""

    given: Any

    def load(self) -> Any:
        """The class."""
        return self.given
