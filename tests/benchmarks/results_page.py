"""What the pages in docs/results have in common."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from claims import record

from globalworkspace.label_efficiency import interval
from globalworkspace.label_efficiency.jobs import run_jobs

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def head(title: str, command: str, described: str) -> list[str]:
    """The lines above a page's figures: title, command, and what was measured."""
    return [f"# {title}", "", f"    {command}", "", *described.splitlines(), ""]


def paragraph(text: str | None, number: int = 2) -> str:
    """A paragraph of a script's docstring; the third says what it measures."""
    return (text or "").split("\n\n")[number]


def keep(name: str, saved: Any, page: str) -> None:
    """Write docs/results/NAME.json and NAME.md."""
    (RESULTS / f"{name}.json").write_text(json.dumps(saved, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(page)


def claim_median(name: str, values: Sequence[float], unit: str, command: str) -> None:
    """Record the median of the repeats, and their range."""
    middle = statistics.median(values)
    record(name, middle, min(values), max(values), unit, len(values), command)


def by_seed(
    one_seed: Callable[[dict[str, Any]], dict[str, Any]],
    name: str,
    args: Any,
    seeds: int,
    first: int = 0,
) -> list[dict[str, Any]]:
    """What `one_seed` makes of {"seed", "cache"} for each seed; goes on where it was stopped."""
    numbers = range(first, first + seeds)
    jobs = {f"seed {seed}": {"seed": seed, "cache": str(args.cache)} for seed in numbers}
    args.cache.mkdir(parents=True, exist_ok=True)
    lines = run_jobs(
        jobs,
        one_seed,
        args.cache / f"{name}.jsonl",
        workers=args.workers,
        what=name,
        describe=lambda line: str(line["key"]),
    )
    lines = json.loads(json.dumps(lines))  # as they are read again: keys are strings
    for line in lines:
        del line["cache"]  # a folder of this machine, which is nobody else's business
    return lines


def least_error(
    lines: Sequence[dict[str, Any]], names: Sequence[str]
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The values of some keys -> the line of tuning with the smallest error among theirs."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line in lines:
        key = tuple(line[name] for name in names)
        if key not in found or line["error"] < found[key]["error"]:
            found[key] = line
    return found


def plus_minus(values: Sequence[float]) -> str:
    """The mean of some seeds, and half of its 95 % interval."""
    mean, _, high = interval(values)
    return f"{mean:.3f} ±{high - mean:.3f}"


def measured(command: list[str], job: dict[str, Any]) -> dict[str, Any]:
    """What a process prints last, JSON, when it is given `job` as JSON."""
    done = subprocess.run([*command, json.dumps(job)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command} {job} failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
