"""The learning rate as a function of the step."""

from __future__ import annotations

import math

from globalworkspace.training.config import TrainerConfig

_FLOOR = 0.01
_ONECYCLE_START, _ONECYCLE_END = 1 / 25, 1 / 25 / 1e4  # OneCycleLR's own defaults


def learning_rate(config: TrainerConfig, step: int) -> float:
    """The rate of the step numbered from 0."""
    rise = max(round(config.warmup * config.steps), 1)
    peak = config.learning_rate
    fall = max(config.steps - rise, 1)
    if config.schedule == "onecycle":
        if step < rise:
            return _cosine(_ONECYCLE_START * peak, peak, step / rise)
        return _cosine(peak, _ONECYCLE_END * peak, (step - rise) / fall)
    if step < rise:
        return peak * (step + 1) / rise
    if config.schedule == "constant":
        return peak
    return _cosine(peak, _FLOOR * peak, (step - rise) / fall)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
