"""The recipe `fusemix`: contrastive on mixed pairs, and nothing else, unless asked for."""

from __future__ import annotations

from globalworkspace.objectives.base import Objective
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.translation import Translation
from globalworkspace.recipes import COST_MATCHED, Recipe

VIEW = "mixed"


def build(
    pairs: int, steps: int, translation: float = 0.0, mixed_translation: float = 0.0
) -> list[Objective]:
    """The objectives.

    Args:
        pairs: Matched rows; nothing depends on them.
        steps: Likewise.
        translation: Weight of translation between clean latents, which FuseMix does not have.
        mixed_translation: The same between mixed latents.
    """
    made: list[Objective] = [Contrastive(1.0, learn_scale=True).seen_through(VIEW)]
    if translation:
        made.append(Translation(translation))
    if mixed_translation:
        made.append(Translation(mixed_translation).seen_through(VIEW))
    return made


FUSEMIX = Recipe(
    name="fusemix",
    summary="contrastive on mixed pairs (Vouitsis et al. 2024)",
    build=build,
    training={"unmatched_batch_size": 0, "keep": "last"},  # no decoder is trained to judge by
    workspace={"activation": "none"},
    augmentations={VIEW: {"kind": "fusemix"}},
    choices=tuple({"decay": factor} for factor in (1.0, 0.3, 3.0, 10.0)),
    cost=COST_MATCHED,
)
