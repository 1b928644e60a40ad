"""The arms of a comparison: the method, and what else could explain that it works.

| arm | what the bridge reads |
|---|---|
| protonet | there is no bridge |
| parameters matched | none either; the network is as wide as it takes to have as many parameters |
| language | features of a network that learns, or has learned, language |
| shuffled language | the same, with the language of another row for each row |
| random auxiliary | features of a network that was never trained |
| constant input | ones |

All arms of a run have the same episodes, and all but the wide one begin as the same function.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import attrs
import torch
from torch import Tensor, nn

from globalworkspace.randomness import derived_generator, derived_seed
from globalworkspace_probes.few_shot.auxiliary import (
    FEATURES,
    LOSSES,
    FrozenAuxiliary,
    OwnAuxiliary,
    learn_language,
    loss_targets,
    standard,
)
from globalworkspace_probes.few_shot.networks import (
    Bridge,
    Embedder,
    matched_width,
    num_parameters,
)
from globalworkspace_probes.few_shot.settings import FewShotSettings
from globalworkspace_probes.few_shot.verdict import (
    CONSTANT,
    LANGUAGE,
    MATCHED,
    PROTONET,
    RANDOM,
    SHUFFLED,
)

LANGUAGE_BATCH = 64
"""Rows of a step in which an auxiliary network learns before it is frozen."""


class Learner(nn.Module):
    """An embedder with, in some arms, a bridge and a network that learns beside it.

    Args:
        embedder: Conditioned if there is a bridge.
        bridge: From features to modulation.
        auxiliary: Learns with the embedder, or is frozen; None where features come from elsewhere.
        detached: Whether the embedder's loss stops at the auxiliary network's features.
    """

    def __init__(
        self,
        embedder: Embedder,
        bridge: Bridge | None = None,
        auxiliary: OwnAuxiliary | None = None,
        *,
        detached: bool = False,
    ) -> None:
        super().__init__()
        self.embedder, self.bridge, self.auxiliary = embedder, bridge, auxiliary
        self.detached = detached

    def forward(self, latents: Tensor, features: Tensor | None = None) -> Tensor:
        """Embed rows.

        Args:
            latents: (B, D).
            features: (B, F) that the bridge reads; None: the auxiliary network's.

        Returns:
            (B, W); in eval mode row i depends on row i alone.
        """
        modulation = None
        if self.bridge is not None:
            if features is None and self.auxiliary is not None:
                features = self.auxiliary.features(latents)
                features = features.detach() if self.detached else features
            modulation = self.bridge(features)
        embedded: Tensor = self.embedder(latents, modulation)
        return embedded


@attrs.frozen(eq=False, kw_only=True)
class Arm:
    """A learner, with what it is given of each row beside the latent."""

    learner: Learner
    parameters: int
    """Of all its networks, frozen ones included."""
    features: Tensor | None = None
    """(N, F): what the bridge reads, where that does not change; so it is computed once."""
    targets: Tensor | None = None
    """(N, L): the language that an auxiliary network learns beside the embedder."""


@attrs.frozen(eq=False, kw_only=True)
class Run:
    """What the arms of one run share."""

    latents: Tensor
    """(N, D) in standard units."""
    language: Tensor | FrozenAuxiliary
    """(N, L) language latents, or what a network tells that has learned language elsewhere."""
    rows: Tensor
    """Rows of the training classes."""
    settings: FewShotSettings
    number: int

    def generator(self, *purpose: object) -> torch.Generator:
        """The generator of a purpose."""
        return derived_generator(self.settings.seed, "few-shot run", self.number, *purpose)

    @contextlib.contextmanager
    def first_weights(self, purpose: str) -> Iterator[None]:
        """Modules made inside begin with weights that are a function of the run and purpose."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(self.settings.seed, self.number, purpose))
            yield


def build_arms(run: Run) -> dict[str, Arm]:
    """Every arm of a run, by name; frozen networks have learned what they learn."""
    arms = {
        LANGUAGE: _told(run, LANGUAGE),
        SHUFFLED: _told(run, SHUFFLED),
        RANDOM: _random(run),
        CONSTANT: _conditioned(run, torch.ones(len(run.latents), FEATURES)),
    }
    in_dim, settings = run.latents.shape[1], run.settings
    wide = matched_width(in_dim, settings.num_blocks, arms[LANGUAGE].parameters)
    return {PROTONET: _plain(run, settings.width), MATCHED: _plain(run, wide), **arms}


def mispaired_rows(run: Run) -> Tensor:
    """(N,): whose language each row has in the shuffled arm; training rows trade among them."""
    order = torch.arange(len(run.latents))
    drawn = torch.randperm(len(run.rows), generator=run.generator("mispaired"))
    order[run.rows] = run.rows[drawn]
    return order


def _plain(run: Run, width: int) -> Arm:
    with run.first_weights("embedder"):
        embedder = Embedder(run.latents.shape[1], width, run.settings.num_blocks)
    return Arm(learner=Learner(embedder), parameters=num_parameters(embedder))


def _told(run: Run, name: str) -> Arm:
    """The arm of true or of shuffled language."""
    given, settings = run.language, run.settings
    if isinstance(given, FrozenAuxiliary):
        told = given.told if name == LANGUAGE else given.told_by_shuffled
        return _conditioned(run, standard(told, run.rows), given_parameters=given.num_parameters)
    order = mispaired_rows(run) if name == SHUFFLED else torch.arange(len(given))
    targets = loss_targets(settings.auxiliary_loss, given, run.rows)[order]
    auxiliary = _own_auxiliary(run, targets.shape[1])
    if settings.mode == "joint":
        return _conditioned(run, targets=targets, auxiliary=auxiliary)
    learn_language(
        auxiliary,
        run.latents,
        targets,
        run.rows,
        loss=LOSSES[settings.auxiliary_loss],
        steps=settings.steps,
        batch_size=LANGUAGE_BATCH,
        learning_rate=settings.learning_rate,
        generator=run.generator("language"),
    )
    return _conditioned(run, auxiliary=auxiliary)


def _random(run: Run) -> Arm:
    return _conditioned(run, auxiliary=_own_auxiliary(run, 1).requires_grad_(False))


def _own_auxiliary(run: Run, language_dim: int) -> OwnAuxiliary:
    with run.first_weights("auxiliary"):
        return OwnAuxiliary(run.latents.shape[1], language_dim)


def _conditioned(
    run: Run,
    features: Tensor | None = None,
    *,
    auxiliary: OwnAuxiliary | None = None,
    targets: Tensor | None = None,
    given_parameters: int = 0,
) -> Arm:
    """An arm with a bridge; an auxiliary network learns if it has targets, else it is frozen."""
    settings = run.settings
    if auxiliary is not None and targets is None:
        with torch.no_grad():
            features = auxiliary.features(run.latents)
    with run.first_weights("embedder"):
        embedder = Embedder(
            run.latents.shape[1], settings.width, settings.num_blocks, conditioned=True
        )
    with run.first_weights("bridge"):
        bridge = Bridge(
            FEATURES if features is None else features.shape[1], embedder.modulation_dim
        )
    learner = Learner(embedder, bridge, auxiliary, detached=settings.auxiliary_detached)
    return Arm(
        learner=learner,
        parameters=num_parameters(learner) + given_parameters,
        features=features,
        targets=targets,
    )
