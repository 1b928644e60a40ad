"""What a run writes while it trains: JSON lines in its folder, figures on the bar."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def metrics_log(folder: Path | None, step: int) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A writer of JSON lines; lines after `step` (of an interrupted run) are dropped first."""
    if folder is None:
        yield lambda entry: None
        return
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "metrics.jsonl"
    kept = []
    if file.exists():
        for line in file.read_text().splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a half-written last line
                if json.loads(line)["step"] <= step:
                    kept.append(line)
    file.write_text("".join(line + "\n" for line in kept))
    with file.open("a") as stream:

        def write(entry: Mapping[str, Any]) -> None:
            stream.write(json.dumps(entry) + "\n")
            stream.flush()

        yield write


def bar_figures(entry: Mapping[str, Any], rate: float | None, rows_per_step: int) -> dict[str, str]:
    """The latest losses, validation error and rows/s, for a progress bar."""
    shown = {name: f"{value:.3f}" for name, value in entry.get("families", {}).items()}
    if "validation" in entry:
        shown["val"] = f"{entry['validation']['translation']:.3f}"
    if rate:
        shown["rows/s"] = f"{rate * rows_per_step:,.0f}"
    return shown
