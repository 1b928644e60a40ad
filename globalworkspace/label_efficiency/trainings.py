"""What is done for one job of a grid, in a process of its own."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from globalworkspace.components import build_augmentations
from globalworkspace.data.table import Table
from globalworkspace.domain import DomainModule
from globalworkspace.evaluation.retrieval import retrieval
from globalworkspace.evaluation.translation import translation_error
from globalworkspace.given_latents import GivenLatents
from globalworkspace.label_efficiency.baselines import baseline, known_rows, workspace_of_units
from globalworkspace.latents import LatentSpec
from globalworkspace.objectives.base import described
from globalworkspace.recipes import Recipe, recipe, usual_decay
from globalworkspace.standard_table import standardize_table
from globalworkspace.training.callbacks import EarlyStop
from globalworkspace.training.config import TrainerConfig
from globalworkspace.training.trainer import Trainer
from globalworkspace.workspace import GlobalWorkspace


def job_key(shared: Mapping[str, Any], job: Mapping[str, Any]) -> str:
    """Of a job: equal if it would give the same line."""
    known: dict[str, Any] = {name: shared[name] for name in ("data", "latents", "reserved")}
    if "recipe" in job:
        used, choice = chosen_recipe(job)
        objectives = used.objectives(job["pairs"], job["steps"], **choice["strengths"])
        known = dict(shared) | {
            "objectives": [described(objective) for objective in objectives],
            "recipe": [used.training, used.workspace, used.cost, choice["weight_decay"]],
        }
        if used.augmentations:
            known["augmentations"] = used.augmentations
    text = json.dumps([known, dict(job)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def chosen_recipe(job: Mapping[str, Any]) -> tuple[Recipe, dict[str, Any]]:
    """The recipe of a job, and what its choice means: `strengths` and `weight_decay`."""
    used = recipe(job["recipe"]).for_pairs(job["pairs"])
    strengths = dict(used.choices[job["choice"]])
    decay = usual_decay(job["pairs"]) * strengths.pop("decay", 1.0)
    return used, {"strengths": strengths, "weight_decay": decay}


_HELD: dict[str, Any] = {}


def start(shared: dict[str, Any], latents: str) -> None:
    """What each process needs: the settings that all jobs share, and the file of latents."""
    found = load_file(latents)
    _HELD.update(shared=shared)
    for part in ("training", "test"):
        _HELD[part] = {name: found[f"{part}.{name}"] for name in shared["latents"]}


def work(job: dict[str, Any]) -> dict[str, Any]:
    """The outcome of one job: a training or a closed form."""
    shared = _HELD["shared"]
    domains = {
        name: GivenLatents(LatentSpec.from_json(spec)) for name, spec in shared["latents"].items()
    }
    if "baseline" in job:
        return _solve(job, shared, domains)
    return _train(job, shared, domains)


def split_rows(
    number: int, domains: Sequence[str], pairs: int, reserved: int, seed: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """The matched rows of a seed, and the unmatched ones of each domain.

    Args:
        number: Rows in all.
        domains: Their domains.
        pairs: Matched rows, at most `reserved`.
        reserved: Rows that are never unmatched.
        seed: Of the order.

    Returns:
        (pairs,) row numbers, and domain -> row numbers; no row is in two of these.
    """
    order = torch.randperm(number, generator=torch.Generator().manual_seed(seed))
    rest = order[reserved:]
    return order[:pairs], {name: rest[i :: len(domains)] for i, name in enumerate(domains)}


def shown_table(latents: Mapping[str, Tensor], pairs: int, reserved: int, seed: int) -> Table:
    """The latent table that a recipe sees: N matched rows, and rows with one domain each."""
    matched, alone = split_rows(
        len(next(iter(latents.values()))), list(latents), pairs, reserved, seed
    )
    return table_of_rows(latents, matched, alone)


def table_of_rows(
    latents: Mapping[str, Tensor], matched: Tensor, alone: Mapping[str, Tensor]
) -> Table:
    """Matched rows with every domain, then the rows of each domain alone; see `split_rows`."""
    rows = torch.cat([matched, *alone.values()])
    table = Table.from_columns(dict(latents)).select(rows)
    columns, start = {}, len(matched)
    for name, own in alone.items():
        mask = torch.zeros(len(rows), dtype=torch.bool)
        mask[: len(matched)] = True
        mask[start : start + len(own)] = True
        columns[name] = table[name].keep(mask)
        start += len(own)
    return Table(columns, table.origin)


def _train(
    job: Mapping[str, Any], shared: Mapping[str, Any], domains: Mapping[str, DomainModule]
) -> dict[str, Any]:
    used, choice = chosen_recipe(job)
    table = shown_table(_HELD["training"], job["pairs"], shared["reserved"], job["seed"])
    share = min(shared["held_out"], shared["most_held_out"] / job["pairs"])
    training, validation = table.hold_out(share, seed=job["seed"])
    workspace = GlobalWorkspace(
        domains, **{**shared["workspace"], **used.workspace}, seed=job["seed"]
    )
    steps = math.ceil(job["steps"] / used.cost)
    settings = {
        "validate_every": max(steps // 40, 1),
        "weight_decay": choice["weight_decay"],
        **shared["training"],
        **used.training,
    }
    config = TrainerConfig(**settings, steps=steps, seed=job["seed"], progress=False, device="cpu")
    objectives = used.objectives(job["pairs"], steps, **choice["strengths"])
    stops = shared["patience"] and [EarlyStop(max(round(shared["patience"] * steps), 1))]
    augmentations = build_augmentations(used.augmentations)
    trainer = Trainer(config, objectives, augmentations=augmentations, callbacks=stops or [])
    result = trainer.fit(workspace, training, validation, latents=True)
    test = standardize_table(workspace, Table.from_columns(_HELD["test"]))
    return {
        "errors": translation_error(workspace, test),
        "recall": {name: found[5] for name, found in retrieval(workspace, test).items()},
        "validation": result.best_error,
        "best_step": result.best_step,
        "steps": result.history[-1]["step"],
        "seconds": round(result.seconds, 1),
    }


def _solve(
    job: Mapping[str, Any], shared: Mapping[str, Any], domains: Mapping[str, DomainModule]
) -> dict[str, Any]:
    table = shown_table(_HELD["training"], job["pairs"], shared["reserved"], job["seed"])
    workspace = workspace_of_units(domains, table)
    pairs, everything = known_rows(standardize_table(workspace, table))
    test = standardize_table(workspace, Table.from_columns(_HELD["test"]))
    return baseline(
        job["baseline"],
        pairs,
        everything,
        {name: test[name].cells for name in test},
        {name: workspace.spec(name) for name in test},
        job["seed"],
    )
