"""The evaluation kind `few-shot`: does what a workspace tells of pictures help a few-shot learner?

Classes come from parts of latents: a category is one, a number or an angle is cut into bins, and
several parts together give their combinations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from globalworkspace import GlobalWorkspace, LatentSpec, Part, Table
from globalworkspace.errors import ConfigError, DataError, did_you_mean
from globalworkspace.evaluation.base import HeldOut
from globalworkspace_probes.few_shot.auxiliary import FrozenAuxiliary
from globalworkspace_probes.few_shot.harness import few_shot
from globalworkspace_probes.few_shot.settings import Mode
from globalworkspace_probes.few_shot.workspaces import mispaired_workspace, workspace_auxiliary


def few_shot_evaluation(
    workspace: GlobalWorkspace,
    held_out: HeldOut,
    *,
    domain: str,
    language: str,
    labels: str | Sequence[str],
    bins: int = 3,
    auxiliary: Literal["workspace", "own"] = "workspace",
    control_steps: int = 1000,
    ways: int = 5,
    shots: int = 5,
    queries: int = 5,
    runs: int = 5,
    steps: int = 300,
    test_episodes: int = 300,
    mode: Mode = "frozen",
    auxiliary_loss: str = "squared",
    seed: int = 0,
) -> dict[str, Any]:
    """Evaluation kind `few-shot`: see `globalworkspace_probes.few_shot.few_shot`.

    Args:
        workspace: Trained.
        held_out: Rows that hold all the domains named; others are left out.
        domain: What the learner sees.
        language: What is told of it.
        labels: Parts of latents that make the classes, as `"attributes.shape"`.
        bins: Of each number and angle: equally many rows, equally wide.
        auxiliary: `workspace`: its translation from `domain` to `language`, frozen, and as the
            shuffled control a workspace trained on mispaired rows. `own`: a small network that
            learns the language of the training classes among these rows.
        control_steps: Steps of that control's training.
        ways: See `FewShotSettings`, as for all that follow.
        shots: Support rows of a class.
        queries: Query rows of a class.
        runs: Trainings of each arm.
        steps: Of each training.
        test_episodes: Of each run.
        mode: Of an own auxiliary network.
        auxiliary_loss: Of an own auxiliary network.
        seed: Of everything.

    Returns:
        See `FewShotResult.to_json`.

    Raises:
        ConfigError: On a domain, part or setting that is not there.
        DataError: If the rows are too few for the episodes.
    """
    named = [labels] if isinstance(labels, str) else list(labels)
    parts = [_part(held_out.latents, workspace, text) for text in named]
    needed = {domain, language, *(owner for owner, _, _ in parts)}
    for name in needed:
        _check_domain(held_out.latents, name)
    rows = held_out.latents.rows_with(*needed)
    if not len(rows):
        raise DataError(
            f"No held-out row holds {', '.join(sorted(needed))} "
            f"({held_out.latents.describe()}); few-shot judges by rows that hold all of them."
        )
    table = Table.from_columns(
        {name: held_out.latents[name].take(rows) for name in held_out.latents if name in needed}
    )
    classes = class_labels(table, parts, bins)
    every = torch.arange(len(rows))
    seen: Tensor = table[domain].take(every)
    told: Tensor | FrozenAuxiliary = table[language].take(every)
    if auxiliary == "workspace":
        control = mispaired_workspace(
            workspace, table, domain=domain, language=language, steps=control_steps, seed=seed
        )
        told = workspace_auxiliary(workspace, control, seen, domain=domain, language=language)
    elif auxiliary != "own":
        raise ConfigError(f'auxiliary="{auxiliary}" is unknown; write "workspace" or "own".')
    return few_shot(
        seen,
        told,
        classes,
        ways=ways,
        shots=shots,
        queries=queries,
        runs=runs,
        steps=steps,
        test_episodes=test_episodes,
        mode=mode,
        auxiliary_loss=auxiliary_loss,
        seed=seed,
    ).to_json()


def class_labels(latents: Table, parts: Sequence[tuple[str, Part, slice]], bins: int) -> Tensor:
    """The class of each row (N,) int64: the combination of its categories and bins.

    Args:
        latents: Rows that hold the domains of the parts.
        parts: Domain, part and its columns.
        bins: Of each number and angle.
    """
    classes = torch.zeros(len(latents), dtype=torch.int64)
    for domain, part, columns in parts:
        values = latents[domain].take(torch.arange(len(latents)))[:, columns].double().cpu()
        for labels in _binned(values, part, bins):
            classes = classes * (int(labels.max()) + 1) + labels
    return classes


def _binned(values: Tensor, part: Part, bins: int) -> list[Tensor]:
    """A part's values (N, part.dim) -> a list of labels (N,)."""
    if part.kind == "categorical":
        return [values.argmax(dim=1)]
    if part.kind == "circular":
        turned = torch.atan2(values[:, 1::2], values[:, 0::2]) / math.tau
        return list((turned.remainder(1.0) * bins).long().clamp(max=bins - 1).unbind(dim=1))
    inner = torch.linspace(0, 1, bins + 1, dtype=torch.float64)[1:-1]
    return [torch.bucketize(column.contiguous(), column.quantile(inner)) for column in values.T]


def _part(latents: Table, workspace: GlobalWorkspace, text: str) -> tuple[str, Part, slice]:
    domain, _, name = text.partition(".")
    _check_domain(latents, domain)
    spec: LatentSpec = workspace.domains[domain].latent
    found = {part.name: part for part in spec.parts}
    if name not in found or found[name].kind == "sequence":
        known = [f"{domain}.{part.name}" for part in spec.parts if part.kind != "sequence"]
        raise ConfigError(
            f'labels names "{text}", which is no part that gives classes; domain "{domain}" has '
            f"{', '.join(known) or 'none'}.{did_you_mean(text, known)}"
        )
    return domain, found[name], spec.slices()[name]


def _check_domain(latents: Table, name: str) -> None:
    if name not in latents.columns:
        raise ConfigError(
            f'The evaluation "few-shot" needs the domain "{name}"; there are '
            f"{', '.join(latents)}.{did_you_mean(name, latents)}"
        )
