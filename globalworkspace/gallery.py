"""Decoding by example: a domain without a decoder answers with a gallery's nearest item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from globalworkspace.bars import unwatched
from globalworkspace.domain import DomainModule, encode_checked
from globalworkspace.errors import DomainError


class GalleryDecoding:
    """Mixin for a `DomainModule` whose `decode` returns the nearest cell of a gallery.

    Nearest by cosine, centred on the gallery's mean.
    """

    gallery: Sequence[Any] | None = None
    """The cells that `decode` chooses from; set by `set_gallery`."""
    gallery_latents: Tensor | None = None
    """Their latents (items, D)."""

    @torch.no_grad()
    def set_gallery(
        self,
        cells: Sequence[Any],
        latents: Tensor | None = None,
        batch_size: int = 64,
        progress: bool = False,
    ) -> None:
        """Give the items that `decode` may answer with.

        Args:
            cells: Raw items, as `encode` takes them.
            latents: Their latents (len(cells), D), if they are known; else they are encoded now.
            batch_size: Items per call of `encode`.
            progress: Show a bar.
        """
        if len(cells) == 0:
            raise DomainError("The gallery is empty. Give at least one item to set_gallery().")
        if latents is None:
            starts = tqdm(
                range(0, len(cells), batch_size),
                desc="gallery",
                disable=unwatched(progress),
                unit="batch",
            )
            latents = torch.cat(
                [
                    encode_checked(
                        "gallery",
                        cast(DomainModule, self),
                        cells[i : i + batch_size],
                        range(i, min(i + batch_size, len(cells))),
                    )
                    for i in starts
                ]
            )
        if len(latents) != len(cells):
            raise DomainError(
                f"The gallery has {len(cells)} items and {len(latents)} latents; give one per item."
            )
        self.gallery, self.gallery_latents = cells, latents

    def nearest(self, latents: Tensor, k: int = 1) -> Tensor:
        """Latents (B, D) -> positions (B, k) of the gallery's k nearest items, nearest first.

        Raises:
            DomainError: If no gallery was given.
        """
        if self.gallery_latents is None:
            raise DomainError(
                f"{type(self).__name__} decodes to the nearest item of a gallery and has none. "
                "Call set_gallery(items) first."
            )
        known = self.gallery_latents.to(latents)
        center = known.mean(dim=0)
        similarity = F.normalize(latents - center, dim=1) @ F.normalize(known - center, dim=1).T
        return similarity.topk(min(k, len(known)), dim=1).indices

    def decode(self, latents: Tensor) -> list[Any]:
        """Latents (B, D) -> B items of the gallery."""
        positions = self.nearest(latents)[:, 0].tolist()
        assert self.gallery is not None
        return [self.gallery[i] for i in positions]
