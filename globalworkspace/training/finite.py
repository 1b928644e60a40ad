"""No NaN and no infinity gets into the weights: a step that would bring one is not taken.

Whether a step is finite is decided where the tensors are, and read only when the run looks: until
then a run that shall stop, or roll back, holds its weights, so that what was wrong can be found by
walking that step again.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from globalworkspace.data.sampler import Batch, BatchSampler
from globalworkspace.training.flat import FlatAdamW
from globalworkspace.training.orchestrator import LossReport

NonFinite = Literal["raise", "skip", "rollback"]
_SHOWN = 5


class FiniteWatch:
    """Counts the steps whose loss or gradient is not finite.

    Args:
        holds: Whether nothing is updated from the first of them on, until `look`; else only they
            are passed over.
        device: Where the training is.
    """

    def __init__(self, *, holds: bool, device: torch.device) -> None:
        self.holds = holds
        self._count = torch.zeros((), dtype=torch.int64, device=device)

    @torch.no_grad()
    def check(self, value: Tensor) -> Tensor:
        """Take note of a step.

        Args:
            value: A scalar that is finite if the step is: its gradient's norm, say.

        Returns:
            A float scalar on the device: 1 if this step must change nothing, else 0.
        """
        bad = (value - value) != 0
        if self.holds:
            bad = bad | (self._count > 0)
        self._count += bad
        return bad.float()

    def look(self) -> int:
        """How many steps since the last look were not taken; waits for the device."""
        count = int(self._count.item())
        if count:
            self._count.zero_()
        return count


def unusable_rows(batch: Batch, sampler: BatchSampler) -> dict[str, list[int]]:
    """Domain -> rows of the user's table whose latents in `batch` are not finite."""
    found = {}
    for name, latents in batch.latents.items():
        held = [
            rows
            for rows, segment in zip(batch.rows, batch.segments, strict=True)
            if name in segment.group
        ]
        bad = ~latents.isfinite().all(dim=1).cpu()
        if bad.any():
            rows = torch.cat(held)[bad].unique()
            found[name] = sampler.table.origin[rows].tolist()
    return found


def explain(report: LossReport, optimizer: FlatAdamW, rows: dict[str, list[int]], step: int) -> str:
    """What was not finite in a step that has been walked again, in words.

    Args:
        report: Its losses.
        optimizer: Holds its gradient.
        rows: Of `unusable_rows`.
        step: Its number.
    """
    said = [f"The loss is {float(report.total.detach())} at step {step}"]
    families = {
        name: [key for key, value in report.terms[name].items() if not value.isfinite()]
        for name, value in report.families.items()
        if not value.isfinite()
    }
    if families:
        told = [f"{name} ({_some(keys)})" if keys else name for name, keys in families.items()]
        said.append(f"not finite: {', '.join(told)}")
    else:
        names = [n for n, p in optimizer.named_gradients() if not p.isfinite().all()]
        said.append(f"its gradient is not finite in {_some(names)}")
    said += [
        f'the latents of domain "{name}" are not finite in row {_some(list(map(str, bad)))}'
        for name, bad in rows.items()
    ]
    remedy = (
        "Mend these rows or leave them out"
        if rows
        else "Lower learning_rate or clip_norm, or look for extreme latents"
    )
    return (
        f'{"; ".join(said)}. That step was not taken. {remedy}; nonfinite = "skip" passes such '
        'steps over, "rollback" goes back to the last checkpoint.'
    )


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
