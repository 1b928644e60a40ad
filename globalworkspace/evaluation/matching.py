"""Do two items of different domains belong together? Judged by the cosine of their states."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from globalworkspace.errors import DataError
from globalworkspace.evaluation.base import HeldOut
from globalworkspace.evaluation.retrieval import shared_states
from globalworkspace.randomness import derived_generator
from globalworkspace.workspace import GlobalWorkspace


def auroc(positives: Tensor, negatives: Tensor) -> float:
    """The chance that a positive scores higher than a negative, ties counting half.

    The area under the receiver operating characteristic, as the Mann-Whitney statistic.

    Args:
        positives: (P,) scores of what belongs together.
        negatives: (Q,) scores of what does not.

    Raises:
        DataError: If there is none of either, or a score is NaN.

    Example:
        >>> auroc(torch.tensor([0.9, 0.4]), torch.tensor([0.1, 0.4]))
        0.875
    """
    if not len(positives) or not len(negatives):
        raise DataError(
            f"There are {len(positives)} positives and {len(negatives)} negatives; at least one of "
            "each is needed."
        )
    scores = torch.cat([positives, negatives]).double()
    if bool(scores.isnan().any()):
        raise DataError("A score is NaN; look at the states that it was computed from.")
    ordered = negatives.double().sort().values
    below = torch.searchsorted(ordered, positives.double(), side="left")
    up_to = torch.searchsorted(ordered, positives.double(), side="right")
    return float((below + up_to).double().mean()) / (2 * len(negatives))


def threshold(positives: Tensor, negatives: Tensor) -> float:
    """The score from which on to say yes, so that most of both are told right.

    Args:
        positives: (P,).
        negatives: (Q,); each side counts as one half, however many there are.

    Returns:
        Midway between two scores.
    """
    scores, order = torch.cat([positives, negatives]).double().sort()
    shares = torch.cat(
        [
            torch.full((len(positives),), -1.0 / len(positives), dtype=torch.float64),
            torch.full((len(negatives),), 1.0 / len(negatives), dtype=torch.float64),
        ]
    )[order]
    right = torch.cat([torch.zeros(1, dtype=torch.float64), shares.cumsum(dim=0)])
    whole = torch.ones(len(right), dtype=torch.bool)
    whole[1:-1] = scores[1:] > scores[:-1]  # equal scores lie on one side
    best = int(right.masked_fill(~whole, -torch.inf).argmax())
    low = scores[best - 1] if best else scores[0] - 1
    high = scores[best] if best < len(scores) else scores[-1] + 1
    return float((low + high) / 2)


def accuracy(positives: Tensor, negatives: Tensor, least: float) -> float:
    """Share told right with "yes" from the score `least` on, each side counting as one half."""
    yes, no = positives.double() >= least, negatives.double() < least
    return float((yes.double().mean() + no.double().mean()) / 2)


@torch.no_grad()
def matching(
    workspace: GlobalWorkspace, held_out: HeldOut, *, most: int = 2000, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Evaluation kind `matching`: items of a row against those of two different rows.

    Every item is shown with its own counterpart and with that of another row. The threshold is
    found on one half of the rows, the accuracy is that of the other half.

    Args:
        workspace: In eval mode.
        held_out: Rows to judge by.
        most: The first so many rows that two domains share.
        seed: Of which rows are halved how, and of the other rows.

    Returns:
        `"photo <-> caption"` -> `auroc`, `accuracy` (0.5: chance) and `rows`; pairs of domains that
        share fewer than four rows are left out.

    Raises:
        DataError: If no two domains share four rows, or domains share no states.
    """
    standard = held_out.standard(workspace)
    if workspace.topology == "direct":
        raise DataError("Direct translators share no states, by which items could be matched.")
    found: dict[str, dict[str, Any]] = {}
    for first, second in combinations(standard, 2):
        rows, here, there = shared_states(workspace, standard, first, second, most)
        if len(rows) < 4:
            continue
        chance = derived_generator(seed, "matching", first, second)
        order = torch.randperm(len(rows), generator=chance).to(here.device)
        here, there = here[order], there[order]
        # the next row of the same half is another row
        half = len(rows) // 2
        pieces = []
        for part in (slice(0, half), slice(half, None)):
            own = (here[part] * there[part]).sum(dim=1).cpu()
            other = (here[part] * there[part].roll(1, dims=0)).sum(dim=1).cpu()
            pieces.append((own, other))
        (own, other), judged = pieces
        found[f"{first} <-> {second}"] = {
            "auroc": auroc(*(torch.cat(side) for side in zip(*pieces, strict=True))),
            "accuracy": accuracy(*judged, threshold(own, other)),
            "rows": len(rows),
        }
    if not found:
        raise DataError(
            f"No two domains share four rows to be matched ({held_out.latents.describe()})."
        )
    return found
