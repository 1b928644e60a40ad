"""The contract of a modality: `DomainModule`, and the capabilities it may add.

A domain module is a *frozen* specialist. It turns raw data into latents and, where it can, latents
back into raw data. The workspace never trains it: latents are computed once and kept.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import attrs
import torch
from torch import Tensor, nn

from globalworkspace.errors import DomainError
from globalworkspace.latents import LatentSpec
from globalworkspace.references import digest_files


class DomainModule(nn.Module, ABC):
    """One modality's specialist: `latent`, `encode` and `config` are the whole contract.

    Everything else is a capability beside it: `Decodes`, `Trainable`, `Prepares`, `Renders`,
    `HasAssets`, `CompletesConfig`, `Suits`.

    Example:
        >>> class Thermometer(DomainModule):
        ...     latent = LatentSpec.continuous(1)
        ...     def encode(self, raw):
        ...         return torch.as_tensor(raw, dtype=torch.float32)[:, None]
        ...     def config(self):
        ...         return {}
        >>> Thermometer().encode([20.5, 21.0]).shape
        torch.Size([2, 1])
    """

    latent: LatentSpec
    """What `encode` returns."""

    stores_weights: ClassVar[bool] = True
    """False: weights are not saved but fetched from what `config()` names (a hub model, say)."""

    cells_per_call: ClassVar[int] = 256
    """How many cells `encode` is given at once when a table is encoded; many, where it sorts them
    by length and cuts them into batches itself."""

    @abstractmethod
    def encode(self, raw: Any) -> Tensor:
        """Raw batch -> float latents (B, latent.dim), in eval mode and without gradients.

        Args:
            raw: A batch of cells as the table holds them: a sequence of B cells, or what the
                column's `take` gives (a tensor whose first dimension is B, a mapping of columns of
                length B).
        """

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """JSON-able keyword arguments with which `from_config` builds the same module."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> DomainModule:
        """Build the module that `config()` describes; stored weights are loaded afterwards."""
        return cls(**config)

    def trainable_parameters(self) -> list[nn.Parameter]:
        """What `globalworkspace fit-domain` trains: all parameters, unless a kind says otherwise.

        A kind around a frozen encoder leaves that encoder's out.
        """
        return list(self.parameters())

    def fingerprint(self) -> str:
        """Digest of class, config and weights: equal digests mean equal latents for equal data."""
        digest = hashlib.sha256(f"{type(self).__module__}.{type(self).__qualname__}".encode())
        digest.update(json.dumps(self.config(), sort_keys=True, default=str).encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(
                value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
            )
        if isinstance(self, HasAssets):
            with tempfile.TemporaryDirectory() as folder:
                self.save_assets(Path(folder))
                digest.update(digest_files(Path(folder)).encode())
        return digest.hexdigest()


@runtime_checkable
class Decodes(Protocol):
    """A domain that can turn latents back into raw data."""

    def decode(self, latents: Tensor) -> Any:
        """Latents (B, D) -> a raw batch of B items."""


@runtime_checkable
class Trainable(Protocol):
    """A domain with a training loss of its own, used by `globalworkspace fit-domain`."""

    def unimodal_loss(
        self, raw: Any, progress: float, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Raw batch -> term name -> (B,) values; their sum is minimised.

        Args:
            raw: A batch as in `encode`.
            progress: Share of the training done, in [0, 1], for annealing.
            generator: Source of all randomness of this step.
        """


@runtime_checkable
class Prepares(Protocol):
    """A trainable domain with work to do once per cell before training: frozen features, say."""

    def prepare(self, raw: Any, *, progress: bool = False) -> Any:
        """All cells of the training column -> cells that `unimodal_loss` takes instead of them.

        Args:
            raw: All cells, as `encode` takes them.
            progress: Show a bar.

        Returns:
            As many cells in the same order: a tensor, a mapping of tensors, or a sequence.
        """


@attrs.frozen(kw_only=True)
class Rendering:
    """What a sheet or a report shows for one item."""

    media_type: str
    """`"image/png"`, `"text/plain"`, …; `"application/json"`: an object of names and texts, shown
    as named values."""
    data: bytes
    alt: str
    """The item in words, for those who cannot see or play it."""

    @property
    def in_words(self) -> str | None:
        """What a terminal prints for it; None: it has to be seen or heard."""
        if self.media_type.startswith("text/"):
            return self.data.decode("utf-8", errors="replace")
        return self.alt if self.media_type == "application/json" else None

    @property
    def ending(self) -> str:
        """How the name of such a file ends: `".png"` or `".wav"`, say."""
        subtype = self.media_type.partition("/")[2].partition(";")[0].removeprefix("x-")
        return mimetypes.guess_extension(self.media_type) or f".{subtype or 'bin'}"


@runtime_checkable
class Renders(Protocol):
    """A domain whose raw items can be shown."""

    def render(self, raw: Any) -> list[Rendering]:
        """Raw batch of B items -> B renderings."""


@runtime_checkable
class HasAssets(Protocol):
    """A domain with files beside its weights (a tokenizer), saved and restored with them."""

    def save_assets(self, folder: Path) -> None:
        """Write the files into the empty `folder`."""

    def load_assets(self, folder: Path) -> None:
        """Read them back."""


@runtime_checkable
class CompletesConfig(Protocol):
    """A domain kind whose settings depend on the training data (a column's categories, say)."""

    @classmethod
    def complete_config(cls, config: Mapping[str, Any], cells: Sequence[Any]) -> dict[str, Any]:
        """The config with what the training cells tell filled in."""


@runtime_checkable
class Suits(Protocol):
    """A domain kind that says which columns are for it; `globalworkspace init` asks the class."""

    joins_columns: ClassVar[bool]
    """Whether several columns together make one of its cells, a mapping."""

    @classmethod
    def suits(cls, cells: Sequence[Any]) -> float:
        """How well some cells of one column fit, in [0, 1]; 0: they are for another kind."""


def freeze(module: DomainModule) -> DomainModule:
    """Put a domain module in eval mode and stop gradients to its parameters."""
    module.eval()
    module.requires_grad_(False)
    return module


@torch.no_grad()
def encode_checked(
    name: str, module: DomainModule, raw: Any, rows: Sequence[int] | None = None
) -> Tensor:
    """`module.encode(raw)` with its contract checked.

    Args:
        name: The domain's name in the workspace, for messages.
        module: The domain module.
        raw: A batch of cells.
        rows: Row numbers of the cells, for messages.

    Returns:
        (B, D) float latents.

    Raises:
        DomainError: On a wrong type, shape or dtype or a non-finite value, naming domain and row.
    """
    latents = module.encode(raw)
    dim = module.latent.dim
    if not isinstance(latents, Tensor) or latents.ndim != 2 or latents.shape[1] != dim:
        got = (
            f"shape {tuple(latents.shape)}"
            if isinstance(latents, Tensor)
            else type(latents).__name__
        )
        raise DomainError(
            f'Domain "{name}" returned latents of {got}; its latent has {dim} dimensions. '
            f"Return a tensor (batch, {dim}) from encode()."
        )
    if rows is not None and len(latents) != len(rows):
        raise DomainError(
            f'Domain "{name}" returned {len(latents)} latents for {len(rows)} cells. Return one '
            "row per cell from encode()."
        )
    if not latents.is_floating_point():
        raise DomainError(
            f'Domain "{name}" returned latents of dtype {latents.dtype}; return a '
            "floating-point tensor."
        )
    finite = latents.isfinite().all(dim=1)
    if not finite.all():
        bad = int((~finite).nonzero()[0, 0])
        where = f"row {rows[bad]}" if rows is not None else f"item {bad} of the batch"
        raise DomainError(
            f'Domain "{name}" returned NaN or infinity for {where}. Check that cell, or remove '
            "it from the data."
        )
    return latents
