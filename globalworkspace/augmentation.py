"""Augmentations of matched groups: other views of the latents that an objective walks with.

An augmentation sees all domains of a group together, so that it can do the same to each of them.
It acts on the objectives that ask for its view and on no other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from globalworkspace.errors import ConfigError, DomainError
from globalworkspace.latents import LatentSpec, pack_sequence, unpack_sequence
from globalworkspace.moving import onto


class Augmentation(ABC):
    """Another view of a group's latents.

    Example:
        >>> class Swap(Augmentation):
        ...     targets = "view"
        ...     def apply(self, latents, specs, generator):
        ...         return {name: values.flip(0) for name, values in latents.items()}
        >>> Swap().apply({"a": torch.tensor([[1.0], [2.0]])}, {}, torch.Generator())["a"].tolist()
        [[2.0], [1.0]]
    """

    targets: ClassVar[Literal["clean", "view"]] = "clean"
    """What predictions are compared with: the latents as they are, or as the view shows them."""

    @abstractmethod
    def apply(
        self,
        latents: Mapping[str, Tensor],
        specs: Mapping[str, LatentSpec],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """The view of one group of rows.

        Args:
            latents: Domain -> standard latents (B, A) of the same B rows; not to be changed.
            specs: Domain -> what these latents are made of.
            generator: Source of all randomness, on the CPU.

        Returns:
            The same domains, shapes and dtypes.
        """


class Noise(Augmentation):
    """Gaussian noise on the values of continuous parts and sequences; targets stay clean.

    Args:
        scale: Standard deviation, in standard units.

    Raises:
        ConfigError: If `scale` is not above 0.
    """

    def __init__(self, scale: float = 0.1) -> None:
        if not scale > 0:
            raise ConfigError(f"scale={scale} must be above 0.")
        self.scale = scale

    def apply(
        self,
        latents: Mapping[str, Tensor],
        specs: Mapping[str, LatentSpec],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """See `Augmentation.apply`."""
        return {
            name: shaken(values, specs[name], self.scale * noise_like(values, generator))
            for name, values in latents.items()
        }


def partners(number: int, generator: torch.Generator) -> Tensor:
    """Another row for each of `number` rows, (number,) int64: its successor in a random order.

    No two rows are each other's, where there are more than two.
    """
    order = torch.randperm(number, generator=generator)
    return order.roll(1)[order.argsort()]


def noise_like(latents: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal values of the shape, device and dtype of some latents."""
    noise = onto(torch.randn(latents.shape, generator=generator), latents.device)
    return noise.to(latents.dtype)


def shaken(latents: Tensor, spec: LatentSpec, noise: Tensor) -> Tensor:
    """Standard latents (B, A) with noise (B, A) on continuous parts and the values of sequences."""
    pieces = []
    moved = spec.split(latents + noise)
    for part, values in zip(spec.parts, spec.split(latents).values(), strict=True):
        if part.kind == "continuous":
            values = moved[part.name]
        elif part.kind == "sequence":
            new, _ = unpack_sequence(moved[part.name], part.size)
            values = pack_sequence(new, unpack_sequence(values, part.size)[1])
        pieces.append(values)
    return torch.cat(pieces, dim=1)


def apply_checked(
    name: str,
    augmentation: Augmentation,
    latents: Mapping[str, Tensor],
    specs: Mapping[str, LatentSpec],
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """`augmentation.apply` with its contract checked.

    Raises:
        DomainError: Naming augmentation and domain, if the view has other domains or shapes.
    """
    view = augmentation.apply(latents, specs, generator)
    for domain, values in latents.items():
        if domain not in view or view[domain].shape != values.shape:
            got = tuple(view[domain].shape) if domain in view else "nothing"
            raise DomainError(
                f'The augmentation "{name}" gave {got} for the domain "{domain}"; apply() must '
                f"return latents {tuple(values.shape)}, as it was given."
            )
    return view
