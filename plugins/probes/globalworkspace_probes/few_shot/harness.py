"""Few-shot learning with language, together with what would refute that language helps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

from globalworkspace.errors import ConfigError, DataError
from globalworkspace.randomness import derived_generator
from globalworkspace.settings import check_keys
from globalworkspace_probes.few_shot import verdict
from globalworkspace_probes.few_shot.arms import Run, build_arms
from globalworkspace_probes.few_shot.auxiliary import FrozenAuxiliary, standard
from globalworkspace_probes.few_shot.episodes import ClassSplit, draw_episodes, split_classes
from globalworkspace_probes.few_shot.settings import FewShotSettings
from globalworkspace_probes.few_shot.training import judge, train
from globalworkspace_probes.few_shot.verdict import CONTROLS, LANGUAGE, Interval


@attrs.frozen(eq=False, kw_only=True)
class FewShotResult:
    """Accuracies of all arms in the same test episodes."""

    accuracies: Mapping[str, Tensor]
    """Arm -> (runs, episodes) float64."""
    parameters: Mapping[str, int]
    """Arm -> how many numbers its networks hold, frozen ones included."""
    settings: FewShotSettings

    @property
    def arms(self) -> dict[str, Interval]:
        """Arm -> mean accuracy, with its 95 % interval over episodes."""
        return {name: verdict.over_episodes(held) for name, held in self.accuracies.items()}

    @property
    def differences(self) -> dict[str, Interval]:
        """Control -> accuracy of the language arm less its own, paired; see `verdict`."""
        ours = self.accuracies[LANGUAGE]
        return {c: verdict.paired_difference(ours, self.accuracies[c]) for c in CONTROLS}

    @property
    def language_helps(self) -> bool:
        """See `verdict.language_helps`."""
        return verdict.language_helps(self.accuracies)

    @property
    def gain(self) -> float:
        """Mean accuracy of the language arm less that of the best control."""
        arms = self.arms
        return arms[LANGUAGE].mean - max(arms[name].mean for name in CONTROLS)

    def to_json(self) -> dict[str, Any]:
        """JSON-able: `arms`, `differences`, `parameters`, `gain`, `language_helps`, `settings`."""
        return {
            "arms": {name: attrs.asdict(found) for name, found in self.arms.items()},
            "differences": {name: attrs.asdict(found) for name, found in self.differences.items()},
            "parameters": dict(self.parameters),
            "gain": self.gain,
            "language_helps": self.language_helps,
            "settings": attrs.asdict(self.settings),
        }

    def __str__(self) -> str:
        apart = self.differences
        lines = ["arm | accuracy | language less it | parameters"]
        for name, found in self.arms.items():
            lines.append(f"{name} | {found} | {apart.get(name, '')} | {self.parameters[name]:,}")
        return "\n".join([*lines, "language helps" if self.language_helps else "no gain is shown"])


def few_shot(
    latents: Tensor,
    language: Tensor | FrozenAuxiliary,
    labels: Tensor,
    *,
    split: ClassSplit | None = None,
    **settings: Any,
) -> FewShotResult:
    """Compare a few-shot learner with language to its controls.

    Args:
        latents: (N, D) of a frozen domain module.
        language: (N, L) latents of what is said of each row, from which an auxiliary network
            learns; of rows whose class is no training class it is not looked at. Or what a network
            tells of each row that has learned it elsewhere.
        labels: (N,) whole numbers, the class of each row.
        split: Classes of training, validation and test in every run; None: each run draws its own.
        **settings: See `FewShotSettings`.

    Returns:
        Accuracies of all arms; `language_helps` is the verdict.

    Raises:
        ConfigError: On a bad setting.
        DataError: If the rows do not correspond, or are too few for the episodes.

    Example:
        >>> from globalworkspace_probes.few_shot import few_shot, without_signal
        >>> data = without_signal(seed=0)
        >>> quick = dict(runs=2, steps=5, test_episodes=20)
        >>> few_shot(data.latents, data.language, data.labels, **quick).language_helps
        False
    """
    chosen = _settings(settings)
    _check(latents, language, labels, chosen)
    latents, labels = latents.detach().float().cpu(), labels.cpu()
    if isinstance(language, Tensor):
        language = language.detach().float().cpu()
    runs: list[dict[str, Tensor]] = []
    parameters: dict[str, int] = {}
    for number in range(chosen.runs):
        found, parameters = _run(latents, language, labels, split, chosen, number)
        runs.append(found)
    accuracies = {name: torch.stack([found[name] for found in runs]) for name in runs[0]}
    return FewShotResult(accuracies=accuracies, parameters=parameters, settings=chosen)


def _run(
    latents: Tensor,
    language: Tensor | FrozenAuxiliary,
    labels: Tensor,
    split: ClassSplit | None,
    settings: FewShotSettings,
    number: int,
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Accuracies (episodes,) of every arm in one run, and its parameters."""

    def chance(*purpose: object) -> torch.Generator:
        return derived_generator(settings.seed, "few-shot episodes", number, *purpose)

    if split is None:
        split = split_classes(labels, settings.ways, settings.rows_needed, chance("split"))
    counts = {
        "train": settings.steps * settings.episodes_per_step,
        "validation": settings.validation_episodes,
        "test": settings.test_episodes,
    }
    episodes = {
        part: draw_episodes(
            labels,
            getattr(split, part),
            count,
            ways=settings.ways,
            shots=settings.shots,
            queries=settings.queries,
            generator=chance(part),
        )
        for part, count in counts.items()
    }
    rows = torch.isin(labels, torch.tensor(split.train)).nonzero().flatten()
    inputs = standard(latents, rows)
    run = Run(latents=inputs, language=language, rows=rows, settings=settings, number=number)
    accuracies, parameters = {}, {}
    for name, arm in build_arms(run).items():
        drawn = run.generator("auxiliary loss")
        train(arm, inputs, episodes["train"], episodes["validation"], settings, drawn)
        accuracies[name] = judge(arm, inputs, episodes["test"])
        parameters[name] = arm.parameters
    return accuracies, parameters


def _settings(given: Mapping[str, Any]) -> FewShotSettings:
    check_keys(given, [field.name for field in attrs.fields(FewShotSettings)], "few_shot")
    try:
        return FewShotSettings(**given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"few_shot: {error}") from None


def _check(
    latents: Tensor, language: Tensor | FrozenAuxiliary, labels: Tensor, settings: FewShotSettings
) -> None:
    frozen = isinstance(language, FrozenAuxiliary)
    told = language.told if isinstance(language, FrozenAuxiliary) else language
    if latents.ndim != 2 or told.ndim != 2 or labels.ndim != 1:
        raise DataError(
            f"few_shot takes latents (N, D), language (N, L) and labels (N,); it was given "
            f"{tuple(latents.shape)}, {tuple(told.shape)} and {tuple(labels.shape)}."
        )
    if not len(latents) == len(told) == len(labels):
        raise DataError(
            f"{len(latents)} latents, language of {len(told)} rows and {len(labels)} labels do not "
            "correspond. Give one of each per row."
        )
    if labels.is_floating_point():
        raise DataError("Labels are whole numbers, one per class; these are floating point.")
    if frozen and settings.mode == "joint":
        raise ConfigError(
            'A FrozenAuxiliary does not learn with the embedder. Give mode="frozen" with it.'
        )
