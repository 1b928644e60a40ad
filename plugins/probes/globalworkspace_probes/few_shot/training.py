"""Training and judging one arm on episodes.

    L = prototypical loss of the episodes + c * auxiliary loss of their support rows

Support and queries go through the network in one pass, so that batch norm sees both while it
trains. Judged is in eval mode: then a row's embedding depends on that row alone, and every row is
embedded once, however many episodes it is in.
"""

from __future__ import annotations

import torch
from torch import Tensor

from globalworkspace_probes.few_shot.arms import Arm
from globalworkspace_probes.few_shot.auxiliary import LOSSES
from globalworkspace_probes.few_shot.episodes import Episodes
from globalworkspace_probes.few_shot.prototypes import episode_accuracy, prototypical_loss
from globalworkspace_probes.few_shot.settings import FewShotSettings


def train(
    arm: Arm,
    latents: Tensor,
    episodes: Episodes,
    validation: Episodes,
    settings: FewShotSettings,
    generator: torch.Generator,
) -> None:
    """Train an arm's learner, and leave it with the weights that validated best, in eval mode.

    Args:
        arm: Its learner is changed.
        latents: (N, D) in standard units.
        episodes: Of training classes, `steps * episodes_per_step` of them.
        validation: Of validation classes.
        settings: See `FewShotSettings`.
        generator: Of the auxiliary loss.
    """
    learner = arm.learner
    learned = [weights for weights in learner.parameters() if weights.requires_grad]
    optimizer = torch.optim.Adam(learned, lr=settings.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    every = max(settings.steps // settings.validations, 1)
    best, kept = -1.0, learner.state_dict()
    for step in range(settings.steps):
        start = step * settings.episodes_per_step
        learner.train()
        optimizer.zero_grad()
        some = episodes[start : start + settings.episodes_per_step]
        step_loss(arm, latents, some, settings, generator).backward()
        torch.nn.utils.clip_grad_norm_(learned, settings.clip_norm)
        optimizer.step()
        schedule.step()
        if (step + 1) % every == 0 or step + 1 == settings.steps:
            accuracy = float(judge(arm, latents, validation).mean())
            if accuracy > best:
                best = accuracy
                kept = {name: values.clone() for name, values in learner.state_dict().items()}
    learner.load_state_dict(kept)
    learner.eval()


def step_loss(
    arm: Arm,
    latents: Tensor,
    episodes: Episodes,
    settings: FewShotSettings,
    generator: torch.Generator,
) -> Tensor:
    """The loss of some episodes, a scalar; gradients flow to all that learns."""
    support, queries = _embed(arm, latents, episodes)
    loss = prototypical_loss(support, queries)
    auxiliary = arm.learner.auxiliary
    if auxiliary is not None and arm.targets is not None:
        rows = episodes.support.flatten()
        told = auxiliary(latents[rows])
        language = LOSSES[settings.auxiliary_loss](told, arm.targets[rows], generator)
        loss = loss + settings.auxiliary_weight * language
    return loss


@torch.no_grad()
def judge(arm: Arm, latents: Tensor, episodes: Episodes) -> Tensor:
    """The accuracy of each episode, (E,) float64, in eval mode."""
    arm.learner.eval()
    rows = torch.cat([episodes.support.flatten(), episodes.queries.flatten()])
    used, places = rows.unique(return_inverse=True)
    features = None if arm.features is None else arm.features[used]
    embedded = arm.learner(latents[used], features)[places]
    return episode_accuracy(*_apart(embedded, episodes))


def _embed(arm: Arm, latents: Tensor, episodes: Episodes) -> tuple[Tensor, Tensor]:
    """Embeddings of support and queries, (E, ways, shots or queries, W), from one pass."""
    rows = torch.cat([episodes.support.flatten(), episodes.queries.flatten()])
    features = None if arm.features is None else arm.features[rows]
    return _apart(arm.learner(latents[rows], features), episodes)


def _apart(embedded: Tensor, episodes: Episodes) -> tuple[Tensor, Tensor]:
    cut = episodes.support.numel()
    return (
        embedded[:cut].unflatten(0, episodes.support.shape),
        embedded[cut:].unflatten(0, episodes.queries.shape),
    )
