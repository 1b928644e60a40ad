"""Figures of a run as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def figures_text(evaluation: Mapping[str, Any]) -> str:
    """The table of errors and recalls, a line per direction."""
    ks = list(next(iter(evaluation["retrieval"].values()), {}))
    width = max(32, *(len(name) + 2 for name in evaluation["translation"]))
    head = f"{'on ' + evaluation['rows'] + ' rows':<{width}}{'error':>8}"
    lines = [evaluation["data"], "", head + "".join(f"{f'R@{k}':>8}" for k in ks)]
    for name, error in evaluation["translation"].items():
        recall = evaluation["retrieval"].get(name, {})
        lines.append(
            f"{name:<{width}}{error:>8.3f}"
            + "".join(f"{recall[k]:>8.3f}" if k in recall else f"{'':>8}" for k in ks)
        )
    lines += ["", "error: normalised squared error of latents, 0 perfect, 1 a constant guess."]
    return "\n".join(lines)


def mean(values: Mapping[str, float]) -> float | None:
    """Of some figures; None: there are none."""
    return sum(values.values()) / len(values) if values else None
