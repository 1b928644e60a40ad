"""Evaluation kind `integration`: the probe on a run's held-out events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from globalworkspace.errors import DataError
from globalworkspace.evaluation.base import HeldOut
from globalworkspace.run_folder import load_run
from globalworkspace.workspace import GlobalWorkspace
from globalworkspace_probes.integration.bootstrap import RESAMPLES
from globalworkspace_probes.integration.features import workspace_features
from globalworkspace_probes.integration.probe import integration_probe
from globalworkspace_probes.integration.ridge import FOLDS
from globalworkspace_probes.integration.table_layout import read_responses


def integration(
    workspace: GlobalWorkspace,
    held_out: HeldOut,
    *,
    responses: str,
    domains: Sequence[str] | None = None,
    untrained: bool = False,
    unmatched: str | None = None,
    gates: Sequence[str] | None = None,
    folds: int = FOLDS,
    block: int | None = None,
    resamples: int = RESAMPLES,
    min_bins: int | None = None,
    level: float = 0.05,
    seed: int = 0,
) -> dict[str, Any]:
    """How many sites the workspace's state predicts better than all its controls do.

    Rows are events, in the order of time, so they are best held out as a whole, in `[test]`. Rows
    that lack one of the domains are left out.

    Args:
        workspace: In eval mode.
        held_out: The events.
        responses: A file for `read_responses`. Its event i belongs to row i, from 0, of the data
            set that the held-out rows come from.
        domains: Which are integrated; None: all that the rows have.
        untrained: Also judge by the gate `untrained`.
        unmatched: Also judge by the gate `unmatched`, with the workspace of this run folder.
        gates: See `integration_probe`; None: the default ones, and those asked for above.
        folds: See `integration_probe`.
        block: Likewise.
        resamples: Likewise.
        min_bins: Likewise.
        level: Likewise.
        seed: Likewise.

    Returns:
        See `IntegrationResult.summary`; and how many `events` there were.

    Raises:
        DataError: If there are too few events, or fewer responses than rows.
    """
    measured = read_responses(responses)
    table = held_out.latents
    names = tuple(table) if domains is None else tuple(domains)
    here = table.rows_with(*names)
    rows = here[table.origin[here].argsort()]  # chance may have put them in another order
    events = table.origin[rows]
    if len(events) and int(events.max()) >= measured.values.shape[1]:
        raise DataError(
            f'"{responses}" holds responses to {measured.values.shape[1]} events, and row '
            f"{int(events.max())} is among those that are judged. Give a response for each row of "
            "the data set, in its order."
        )
    found = integration_probe(
        workspace_features(
            workspace,
            {name: table[name].take(rows) for name in names},
            untrained=untrained,
            unmatched=None if unmatched is None else load_run(unmatched),
        ),
        measured.values[:, events],
        gates=gates,
        sites=measured.sites,
        folds=folds,
        block=block,
        resamples=resamples,
        min_bins=min_bins,
        level=level,
        seed=seed,
    )
    return {"events": len(events), **found.summary()}
