"""`globalworkspace compare`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from globalworkspace.commands.figures import mean
from globalworkspace.errors import ConfigError
from globalworkspace.settings import flattened
from globalworkspace.training.metrics_log import read_metrics


class Compare:
    """Put finished runs side by side: settings that differ, errors and recalls, curves.

    example: globalworkspace compare runs/a runs/b --html compared.html
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See `cli.Command`."""
        parser.add_argument("runs", nargs="+", help="two run folders or more")
        parser.add_argument("--html", help="a page to write, with their curves in one figure")

    def run(self, args: argparse.Namespace) -> int:
        """See `cli.Command`."""
        if len(args.runs) < 2:
            raise ConfigError("compare needs two run folders or more.")
        found = [_Run(Path(name).expanduser()) for name in args.runs]
        for title, heading, rows in tables(found):
            print(title)
            _print([[heading, *(run.name for run in found)], *rows])
            print()
        if args.html:
            _page(Path(args.html), found)
            print(f"Saved as {args.html}.")
        return 0


class _Run:
    """What the files of a run folder say."""

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self.evaluation = self._json(folder / "evaluation.json")
        config = folder / "config.json"
        self.settings = flattened(self._json(config)) if config.is_file() else {}
        self.history = read_metrics(folder)

    def _json(self, file: Path) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(
                f'"{file.parent}" holds no {file.name}: it is not the folder of a finished run.'
            ) from None
        except ValueError as error:
            raise ConfigError(f'"{file}" is no JSON: {error}.') from None
        return found


def tables(runs: Sequence[_Run]) -> list[tuple[str, str, list[list[str]]]]:
    """(title, what the first column is, rows) of settings that differ, of errors and of recalls."""
    names = list(dict.fromkeys(name for run in runs for name in run.settings))
    differ = [n for n in names if len({run.settings.get(n, "") for run in runs}) > 1]
    settings = [[name, *(run.settings.get(name, "") for run in runs)] for name in differ]
    made: list[tuple[str, str, list[list[str]]]] = []
    if settings:
        made.append(("Settings that differ", "setting", settings))
    told = list(dict.fromkeys(n for run in runs for n in run.evaluation.get("translation", {})))
    errors = [
        [n, *(_number(run.evaluation.get("translation", {}).get(n)) for run in runs)] for n in told
    ]
    errors.append(["mean", *(_number(mean(run.evaluation.get("translation", {}))) for run in runs)])
    made.append(("Error (normalised squared error of latents)", "direction", errors))
    recalls = [
        [n, *(_number(run.evaluation.get("retrieval", {}).get(n, {}).get("1")) for run in runs)]
        for n in told
    ]
    made.append(("Recall at 1", "direction", recalls))
    return made


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _print(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        print(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def _page(file: Path, runs: Sequence[_Run]) -> None:
    from globalworkspace.report.plots import curves
    from globalworkspace.sheet import Figure, Grid, Section, write_page

    lines = {
        run.name: [
            (entry["step"], entry["validation"]["translation"])
            for entry in run.history
            if "validation" in entry
        ]
        for run in runs
    }
    figure = Figure(
        title="Mean validation error",
        svg=curves("compared", lines, across="step", up="normalised error", log=True),
        alt="Mean validation errors over the steps. At the end: "
        + ", ".join(f"{name} {line[-1][1]:.3f}" for name, line in lines.items() if line),
        wide=True,
    )
    grids = [
        Grid(title=title, headings=[heading, *(run.name for run in runs)], rows=rows)
        for title, heading, rows in tables(runs)
    ]
    write_page(file, "Runs side by side", [Section(title="", parts=[*grids, figure])])
