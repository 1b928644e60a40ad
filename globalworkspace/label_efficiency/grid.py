"""The grid of trainings behind a figure of label efficiency, resumable and on every core.

For each seed the rows are put into a random order. The first `max(pairs)` of them are what matched
rows are taken from, so that those of a smaller N are among those of a larger one; every other row
is seen in one domain only, its counterpart truly absent, and these rows are the same for all N and
recipes. Held-out rows are among the N.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from attrs import validators as v
from torch import Tensor

from globalworkspace.data.table import Table
from globalworkspace.domain import DomainModule
from globalworkspace.errors import ConfigError, DataError
from globalworkspace.files import scratch_for, sweep, writing
from globalworkspace.folders import save_tensors
from globalworkspace.label_efficiency.baselines import BASELINES, LARGEST_KERNEL
from globalworkspace.label_efficiency.jobs import run_jobs
from globalworkspace.label_efficiency.trainings import job_key, start, work
from globalworkspace.recipes import recipe

RESULTS = "results.jsonl"
"""One finished training or closed form a line."""
TUNING_SEED = 1000
"""Choices are tuned on this seed, which is not reported."""


def _numbers(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(values)))


@attrs.frozen(kw_only=True)
class Grid:
    """What is trained."""

    pairs: tuple[int, ...] = attrs.field(default=(50, 200, 500, 1000, 2500), converter=_numbers)
    """Numbers of matched rows."""
    recipes: tuple[str, ...] = attrs.field(
        default=("supervised", "paper", "default"), converter=tuple
    )
    """Names of recipes."""
    seeds: int = attrs.field(default=3, validator=v.ge(1))
    """Trainings of each, with other rows and other first weights."""
    baselines: tuple[str, ...] = attrs.field(default=tuple(BASELINES), converter=tuple)
    """Names of closed forms."""
    tuned: bool = True
    """Whether each recipe's choices are tried for each N first, on a seed of their own, and judged
    by held-out matched rows; else each recipe's first choice is taken."""
    tune_at: tuple[int, ...] | None = attrs.field(
        default=None, converter=attrs.converters.optional(_numbers)
    )
    """The N at which that is done; any other takes the choice of the nearest. None: at each."""
    tuning_steps: int | None = attrs.field(default=None, validator=v.optional(v.ge(1)))
    """Of a training that tries a choice; None: `steps`."""
    reserved: int | None = attrs.field(default=None, validator=v.optional(v.ge(1)))
    """Rows that matched ones are taken from, never shown unmatched; None: the largest N. Grids that
    share it, and a folder, share what is done."""
    steps: int = attrs.field(default=10_000, validator=v.ge(1))
    """Of each training; a recipe whose steps are cheaper takes more, so that all cost the same."""
    held_out: float = attrs.field(default=0.2, validator=[v.gt(0), v.lt(1)])
    """Share of the matched rows that is held out to choose the best step."""
    most_held_out: int = attrs.field(default=1000, validator=v.ge(2))
    """At most this many."""
    patience: float | None = attrs.field(default=0.5)
    """A training ends when its validation error has not become smaller for that share of its steps;
    None: never before its last step."""
    training: Mapping[str, Any] = attrs.field(factory=dict)
    """Settings of `TrainerConfig` for all recipes."""
    workspace: Mapping[str, Any] = attrs.field(factory=dict)
    """Settings of `GlobalWorkspace` for all recipes."""

    def __attrs_post_init__(self) -> None:
        own = [name for name in ("steps", "seed", "device", "progress") if name in self.training]
        if own:
            raise ConfigError(
                f"training sets {own[0]}, which the grid itself decides for each training. Take it "
                "out; steps and seeds are settings of the grid."
            )
        if self.patience is not None and self.patience <= 0:
            raise ConfigError(f"patience={self.patience} must be above 0, or None.")
        if not self.pairs or self.pairs[0] < 10:
            raise ConfigError(
                f"pairs={list(self.pairs)} must hold at least one number, none below 10."
            )
        if self.reserved is not None and self.reserved < self.pairs[-1]:
            raise ConfigError(
                f"reserved={self.reserved} rows are too few for {self.pairs[-1]} matched ones."
            )
        for name in self.recipes:
            recipe(name)
        for name in self.baselines:
            if name not in BASELINES:
                raise ConfigError(f'There is no baseline "{name}"; known: {", ".join(BASELINES)}.')

    def cells(self) -> list[dict[str, Any]]:
        """The jobs that are reported, without what tuning chooses."""
        trained = [
            {"recipe": name, "pairs": pairs, "seed": seed, "steps": self.steps}
            for seed in range(self.seeds)
            for pairs in self.pairs
            for name in self.recipes
        ]
        solved = [
            {"baseline": name, "pairs": pairs, "seed": seed}
            for seed in range(self.seeds)
            for pairs in self.pairs
            for name in self.baselines
            if name != "kernel ridge" or pairs <= LARGEST_KERNEL
        ]
        return solved + trained

    def tuning(self) -> list[dict[str, Any]]:
        """The jobs that choices are made by."""
        if not self.tuned:
            return []
        return [
            {
                "recipe": name,
                "pairs": pairs,
                "seed": TUNING_SEED,
                "steps": self.tuning_steps or self.steps,
                "choice": choice,
            }
            for pairs in self.tune_at or self.pairs
            for name in self.recipes
            for choice in range(len(recipe(name).choices))
        ]


def label_efficiency(
    domains: Mapping[str, DomainModule],
    training: Table,
    test: Table,
    grid: Grid,
    folder: str | Path,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Train what of a grid `folder` does not hold yet.

    Args:
        domains: The frozen specialists.
        training: Latents; rows that hold every domain. Most are shown in one domain only.
        test: Latents of other such rows.
        grid: What to train.
        folder: Gets `results.jsonl`, a line as soon as a job is done; run the same call again after
            an interruption.
        workers: Processes of one thread each; None: as many as there are cores.
        progress: Show a bar.

    Returns:
        The lines that are reported, in the order of the grid: `recipe` or `baseline`, `pairs`,
        `seed`, `errors` (direction -> normalised error on the test rows), `recall` (direction ->
        R@5 among 1,000), and of a training `choice`, `validation`, `best_step`, `steps`, `seconds`.

    Raises:
        DataError: If there are too few rows, or a job failed (the others are kept).
    """
    home = Path(folder)
    with writing(home):
        home.mkdir(parents=True, exist_ok=True)
    sweep(home)
    _check_rows(training, test, grid)
    tables = {"training": _dense(training), "test": _dense(test)}
    shared = _shared(domains, tables, grid)
    file = home / f"latents-{shared['data']}.safetensors"
    if not file.exists():
        flat = {f"{part}.{n}": x for part, held in tables.items() for n, x in held.items()}
        with scratch_for(file) as scratch:
            save_tensors(scratch, flat)
            os.replace(scratch, file)

    def run(jobs: Sequence[Mapping[str, Any]], what: str) -> list[dict[str, Any]]:
        return run_jobs(
            {job_key(shared, job): job for job in jobs},
            work,
            home / RESULTS,
            start=start,
            start_args=(shared, str(file)),
            workers=workers,
            what=what,
            describe=_short,
            progress=progress,
        )

    tuned = run(grid.tuning(), "tuning")
    cells = grid.cells()
    for cell in cells:
        if "recipe" in cell:
            cell["choice"] = _best_choice(tuned, cell) if grid.tuned else 0
    return run(cells, "training")


def _best_choice(tuned: Sequence[Mapping[str, Any]], cell: Mapping[str, Any]) -> int:
    of_recipe = [t for t in tuned if t["recipe"] == cell["recipe"]]
    nearest = min(of_recipe, key=lambda t: abs(math.log(t["pairs"] / cell["pairs"])))["pairs"]
    tried = [t for t in of_recipe if t["pairs"] == nearest]
    return int(min(tried, key=lambda t: t["validation"])["choice"])


def _short(line: Mapping[str, Any]) -> str:
    mean = sum(line["errors"].values()) / len(line["errors"])
    return f"{line.get('recipe') or line['baseline']} {line['pairs']}: {mean:.3f}"


def _check_rows(training: Table, test: Table, grid: Grid) -> None:
    for name, table in (("training", training), ("test", test)):
        if len(table.domains) < 2:
            raise DataError(f"The {name} rows have one domain; two or more are compared.")
        lacking = [d for d in table if not bool(table[d].present.all())]
        if lacking:
            raise DataError(
                f'Some {name} rows lack the domain "{lacking[0]}". Give rows that hold every '
                "domain: which are shown matched is what this varies."
            )
    if training.domains != test.domains:
        raise DataError(
            f"The training rows have {', '.join(training)}, the test rows {', '.join(test)}."
        )
    reserved = grid.reserved or grid.pairs[-1]
    if len(training) - reserved < len(training.domains):
        raise DataError(
            f"There are {len(training)} training rows, and {reserved} of them are kept for being "
            "matched: too few are left for one unmatched row of each domain. Give more rows, or "
            "fewer pairs."
        )


def _dense(table: Table) -> dict[str, Tensor]:
    rows = torch.arange(len(table))
    return {name: table[name].take(rows).float().contiguous() for name in table}


def _shared(
    domains: Mapping[str, DomainModule], tables: Mapping[str, Mapping[str, Tensor]], grid: Grid
) -> dict[str, Any]:
    """What all jobs have in common, JSON-able."""
    digest = hashlib.sha256()
    for held in tables.values():
        for name, values in held.items():
            digest.update(f"{name} {tuple(values.shape)}".encode())
            digest.update(values.numpy().tobytes())
    return {
        "data": digest.hexdigest()[:16],
        "latents": {name: domains[name].latent.to_json() for name in tables["training"]},
        "reserved": grid.reserved or grid.pairs[-1],
        "held_out": grid.held_out,
        "most_held_out": grid.most_held_out,
        "patience": grid.patience,
        "training": dict(grid.training),
        "workspace": dict(grid.workspace),
    }
