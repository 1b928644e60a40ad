"""Generated data whose answer is known: in one kind language must help, in the other it cannot.

A class is of one of four types, and each type has a mask: the 4 of 16 content dimensions that
define its classes. There, rows lie near their class's prototype; in the 12 others they are nuisance
of larger variance. Four cue dimensions tell the type of a single row, also of a class that was
never seen, but not by any one direction: a type is two bits, and a bit is whether two numbers have
the same sign. The numbers themselves differ from row to row and say nothing of the class.

* `with_signal` (G+): the caption of a row is the mask of its class, with noise. Who has learned to
  tell it from the cue knows where to look.
* `without_signal` (G0): the same latents, and the caption of a row is a mask drawn at random, with
  noise. It says nothing of the class or the latent, so who declares a win here is wrong.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from globalworkspace.randomness import derived_generator

TYPES, MASKED, BITS = 4, 4, 2
CONTENT, CUES = TYPES * MASKED, 2 * BITS
SPREAD, NUISANCE = 0.5, 2.0
"""Deviations within a class: in the dimensions of its mask, and in the others."""
CUE_MARGIN = 0.5
"""No cue number is smaller than this."""
CAPTION_NOISE = 0.3


@attrs.frozen(eq=False, kw_only=True)
class Generated:
    """N rows, class after class."""

    latents: Tensor
    """(N, CONTENT + CUES): content, then the cues in a rotated basis."""
    language: Tensor
    """(N, CONTENT): a mask for each row, with noise."""
    labels: Tensor
    """(N,) int64."""
    masks: Tensor
    """(N, CONTENT): 1 where a dimension defines the row's class."""


def with_signal(seed: int, num_classes: int = 200, rows_per_class: int = 20) -> Generated:
    """Rows whose captions say which latent dimensions define their class.

    Args:
        seed: Of everything.
        num_classes: How many classes; a quarter of each type.
        rows_per_class: Rows of each.
    """
    return _generated(seed, num_classes, rows_per_class, signal=True)


def without_signal(seed: int, num_classes: int = 200, rows_per_class: int = 20) -> Generated:
    """The same latents, with captions that are independent of class and latent.

    Args:
        seed: Of everything.
        num_classes: How many classes; a quarter of each type.
        rows_per_class: Rows of each.
    """
    return _generated(seed, num_classes, rows_per_class, signal=False)


def _generated(seed: int, num_classes: int, rows_per_class: int, *, signal: bool) -> Generated:
    chance = derived_generator(seed, "few-shot latents")
    labels = torch.arange(num_classes).repeat_interleave(rows_per_class)
    types = labels % TYPES
    masks_of_types = torch.eye(TYPES).repeat_interleave(MASKED, dim=1)
    masks = masks_of_types[types]
    prototypes = torch.randn(num_classes, CONTENT, generator=chance)
    noise = torch.randn(len(labels), CONTENT, generator=chance)
    content = torch.where(masks > 0, prototypes[labels] + SPREAD * noise, NUISANCE * noise)
    latents = torch.cat([content, _cues(types, chance)], dim=1)
    captions = derived_generator(seed, "few-shot captions")
    if not signal:
        types = torch.randint(TYPES, types.shape, generator=captions)
    wording = torch.randn(masks.shape, generator=captions)
    language = masks_of_types[types] + CAPTION_NOISE * wording
    return Generated(latents=latents, language=language, labels=labels, masks=masks)


def _cues(types: Tensor, chance: torch.Generator) -> Tensor:
    """(N, CUES): bit b of a type is 0 where the signs of its two numbers agree; then rotated."""
    numbers = torch.randn(len(types), BITS, 2, generator=chance)
    numbers = numbers.sign() * (numbers.abs() + CUE_MARGIN)
    bits = (types[:, None] >> torch.arange(BITS)) & 1
    numbers[:, :, 1] = numbers[:, :, 1].abs() * numbers[:, :, 0].sign() * (1 - 2 * bits)
    rotation: Tensor = torch.linalg.qr(torch.randn(CUES, CUES, generator=chance)).Q
    return numbers.flatten(1) @ rotation
