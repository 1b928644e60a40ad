"""`globalworkspace runs`."""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from globalworkspace.commands.figures import mean
from globalworkspace.errors import ConfigError

_MARKS = ("config.json", "evaluation.json", "checkpoints")


class Runs:
    """List run folders with their headline figures, the newest first.

    example: globalworkspace runs runs
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See `cli.Command`."""
        parser.add_argument("folder", nargs="?", default="runs", help="where they are (runs)")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def run(self, args: argparse.Namespace) -> int:
        """See `cli.Command`."""
        home = Path(args.folder).expanduser()
        if not home.is_dir():
            raise ConfigError(f'The folder "{home}" does not exist. Name the one that --out is in.')
        found = sorted(
            (describe(folder) for folder in [home, *home.iterdir()] if is_run(folder)),
            key=lambda entry: (entry["changed"], entry["run"]),
            reverse=True,
        )
        if args.json:
            print(json.dumps(found, indent=2))
            return 0
        if not found:
            print(f'"{home}" holds no run.')
            return 0
        print(f"{'run':<28}{'state':<22}{'changed':<18}{'error':>7}{'R@1':>7}  domains")
        for entry in found:
            error, recall = (
                f"{value:.3f}" if value is not None else ""
                for value in (entry["error"], entry["recall@1"])
            )
            print(
                f"{entry['run']:<28}{entry['state']:<22}{entry['changed'][:16]:<18}{error:>7}"
                f"{recall:>7}  {', '.join(entry['domains'])}"
            )
        print("\nerror: mean normalised squared error over directions; R@1: mean recall.")
        return 0


def is_run(folder: Path) -> bool:
    """Whether a folder is one that a training run wrote, or began to."""
    if not folder.is_dir() or (folder / "manifest.json").exists():  # a saved workspace has one
        return False
    return any((folder / mark).exists() for mark in _MARKS)


def describe(folder: Path) -> dict[str, Any]:
    """What the JSON files of a run folder say: state, steps, mean error and recall, domains."""
    evaluation, config = (_read(folder / name) for name in ("evaluation.json", "config.json"))
    step = _last_step(folder / "metrics.jsonl")
    steps = config.get("training", {}).get("steps")
    domains = config.get("domains") or _domains_of(evaluation)
    errors = evaluation.get("translation", {})
    recalls = {n: float(r["1"]) for n, r in evaluation.get("retrieval", {}).items() if "1" in r}
    if evaluation:
        state = f"finished, {step:,} steps" if step else "finished"
    else:
        state = f"at step {step:,}" + (f" of {steps:,}" if steps else "")
    last = max(path.stat().st_mtime for path in [folder, *folder.iterdir()])
    return {
        "run": str(folder),
        "state": state,
        "finished": bool(evaluation),
        "changed": datetime.fromtimestamp(last).isoformat(sep=" ", timespec="seconds"),
        "domains": list(domains),
        "error": mean(errors),
        "recall@1": mean(recalls),
    }


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _last_step(file: Path) -> int:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        return int(json.loads(lines[-1])["step"]) if lines else 0
    except (OSError, ValueError, KeyError):
        return 0


def _domains_of(evaluation: dict[str, Any]) -> list[str]:
    names = [name for told in evaluation.get("translation", {}) for name in told.split(" -> ")]
    return list(dict.fromkeys(names))
