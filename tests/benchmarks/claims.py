"""Keep the figures that the documentation quotes in one file, each with its command."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

CLAIMS = Path(__file__).resolve().parents[2] / "docs" / "results" / "claims.json"


def record(
    name: str,
    value: float,
    low: float,
    high: float,
    unit: str,
    seeds_or_repeats: int,
    command: str,
    *,
    path: Path = CLAIMS,
) -> None:
    """Write one figure into claims.json in place of the one of that name; the others stay.

    Args:
        name: What the documentation calls the figure.
        value: The figure: the median, or the mean where the benchmark says so.
        low: Smallest value over the seeds or repeats.
        high: Largest value over them.
        unit: Unit of the three, "1" for shares and R².
        seeds_or_repeats: How many runs `low` and `high` are over.
        command: Command, run in the repository's root, that prints the figure.
        path: The JSON file.
    """
    if not low <= value <= high:
        raise ValueError(
            f"Figure {name!r}: value {value} lies outside its own range, {low} to {high}."
        )
    claims: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    claims[name] = {
        "value": value,
        "low": low,
        "high": high,
        "unit": unit,
        "seeds_or_repeats": seeds_or_repeats,
        "command": command,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    # A reader, or a second benchmark, never sees half a file.
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(claims, sort_keys=True, indent=2, ensure_ascii=False) + "\n")
    draft.replace(path)
