"""A trained workspace's translation as the auxiliary network, and the control that goes with it.

The bridge reads what the workspace tells of a row's language from the row's latent alone. Its
control is a workspace of the same shape that was trained on mispaired rows: it has seen the same
latents of both domains, but not what belongs to what.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig
from globalworkspace.errors import DomainError
from globalworkspace.given_latents import GivenLatents
from globalworkspace.randomness import derived_generator
from globalworkspace_probes.few_shot.auxiliary import FrozenAuxiliary
from globalworkspace_probes.few_shot.networks import num_parameters

VALIDATION_SHARE = 0.2
"""Of the rows that a control is trained on."""


def workspace_auxiliary(
    workspace: GlobalWorkspace,
    mispaired: GlobalWorkspace,
    latents: Tensor,
    *,
    domain: str,
    language: str,
) -> FrozenAuxiliary:
    """What two workspaces tell of the language of each row.

    Args:
        workspace: Trained on true pairs, in eval mode; stays as it is.
        mispaired: Its control; see `mispaired_workspace`.
        latents: (N, D) of `domain`.
        domain: What is seen.
        language: What is told.

    Raises:
        DomainError: If a workspace lacks one of the two.
    """
    told, shuffled = (
        trained.translate({domain: latents}, language, latents=True).cpu()
        for trained in (workspace, mispaired)
    )
    parameters = num_parameters(workspace.encoder(domain), workspace.decoder(language))
    return FrozenAuxiliary(told=told, told_by_shuffled=shuffled, num_parameters=parameters)


def mispaired_workspace(
    workspace: GlobalWorkspace, latents: Table, *, domain: str, language: str, steps: int, seed: int
) -> GlobalWorkspace:
    """A workspace of the same shape, trained on rows that traded their language at random.

    Args:
        workspace: Whose shape and standardisation are taken; stays as it is.
        latents: Rows that hold both domains.
        domain: What is seen.
        language: What the rows trade.
        steps: Of the training, by the recipe `default`.
        seed: Of the trade, the first weights and the training.

    Raises:
        DomainError: If the workspace lacks one of the two.
    """
    for name in (domain, language):
        if name not in workspace.domains:
            raise DomainError(
                f'The workspace has no domain "{name}"; it has {", ".join(workspace.domains)}.'
            )
    config = workspace.config()
    networks = {n: kind for n, kind in config["networks"].items() if n in (domain, language)}
    modules = {name: workspace.domains[name] for name in (domain, language)}
    made = GlobalWorkspace(
        GivenLatents.of(modules), **{**config, "networks": networks, "seed": seed}
    )
    for name in modules:
        made.restore_standardizer(name, copy.deepcopy(workspace.standardizer(name)).cpu())
    rows = torch.arange(len(latents))
    traded = torch.randperm(len(rows), generator=derived_generator(seed, "mispaired workspace"))
    table = Table.from_columns(
        {domain: latents[domain].take(rows), language: latents[language].take(traded)}
    )
    training, validation = table.hold_out(VALIDATION_SHARE, seed=seed)
    settings = TrainerConfig(
        steps=steps,
        validate_every=min(steps, 250),
        seed=seed,
        device="cpu",
        progress=False,
    )
    Trainer(settings).fit(made, training, validation, latents=True)
    return made
