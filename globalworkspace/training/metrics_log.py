"""What a run writes while it trains: JSON lines in its folder, figures on the bar.

metrics.jsonl holds what training itself is, and is the same however often a run was interrupted;
what the clock says is in timings.jsonl.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from globalworkspace.files import write_file, writing

METRICS, TIMINGS = "metrics.jsonl", "timings.jsonl"


@contextlib.contextmanager
def metrics_log(
    folder: Path | None, history: Sequence[Mapping[str, Any]], step: int, rows_per_step: int = 0
) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A writer of JSON lines.

    Args:
        folder: Of the run; None: nothing is written.
        history: The entries so far, which the log is made to hold: an interrupted run may have
            written others since its last checkpoint.
        step: Steps done.
        rows_per_step: For the rows/s of the timings; 0: they are left out.

    Raises:
        StorageError: If the folder cannot be written to.
    """
    if folder is None:
        yield lambda entry: None
        return
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / METRICS, "".join(json.dumps(entry) + "\n" for entry in history))
    with contextlib.ExitStack() as stack:
        with writing(folder):
            metrics, timings = (
                stack.enter_context((folder / name).open("ab")) for name in (METRICS, TIMINGS)
            )
        began = time.monotonic()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        _add(folder / TIMINGS, timings, {"step": step, "started": now})

        def write(entry: Mapping[str, Any]) -> None:
            _add(folder / METRICS, metrics, entry)
            seconds = time.monotonic() - began
            timed: dict[str, Any] = {"step": entry["step"], "seconds": round(seconds, 3)}
            if rows_per_step and seconds:
                timed["rows_per_second"] = round((entry["step"] - step) * rows_per_step / seconds)
            _add(folder / TIMINGS, timings, timed)

        yield write


def _add(file: Path, stream: BinaryIO, entry: Mapping[str, Any]) -> None:
    line = (json.dumps(entry) + "\n").encode()
    with writing(file, len(line)):
        os.write(stream.fileno(), line)  # a stream would try again what failed, when it is closed


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The entries of a run folder's log; empty where there is none."""
    file = folder / METRICS
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def bar_figures(entry: Mapping[str, Any], rate: float | None, rows_per_step: int) -> dict[str, str]:
    """The latest losses, validation error, skipped steps and rows/s, for a progress bar."""
    shown = {
        name: "not finite" if value is None else f"{value:.3f}"
        for name, value in entry.get("families", {}).items()
    }
    if "validation" in entry:
        shown["val"] = f"{entry['validation']['translation']:.3f}"
    if entry.get("skipped"):
        shown["skipped"] = str(entry["skipped"])
    if rate:
        shown["rows/s"] = f"{rate * rows_per_step:,.0f}"
    return shown
