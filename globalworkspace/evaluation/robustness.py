"""What is left of a translation when a domain is noisy, or missing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch

from globalworkspace.data.table import Column, Table
from globalworkspace.errors import DataError
from globalworkspace.evaluation.translation import direction, normalized_error, predict
from globalworkspace.randomness import derived_generator
from globalworkspace.workspace import GlobalWorkspace

NOISE = (0.0, 0.25, 0.5, 1.0, 2.0)


def noise_curve(
    workspace: GlobalWorkspace,
    table: Table,
    *,
    noisy: str,
    sources: Sequence[str],
    target: str,
    levels: Sequence[float] = NOISE,
    seed: int = 0,
) -> dict[float, float]:
    """Normalised error of a target from fused sources, one of them under Gaussian noise.

    Args:
        workspace: In eval mode.
        table: A *standardised* latent table.
        noisy: Which source the noise is added to.
        sources: What is fused; the target may be among them.
        target: What is decoded.
        levels: Standard deviations of the noise, in standard units: 1 is as large as the latents.
        seed: Of the noise, which is the same at each level but for its size.

    Returns:
        Level -> error.

    Raises:
        DataError: If the noisy domain is no source, or no row has all that is needed.
    """
    if noisy not in sources:
        raise DataError(f'The noisy domain "{noisy}" is none of the sources {", ".join(sources)}.')
    rows = _rows_with(table, {*sources, target})
    table = Table({n: _dense(table[n].take(rows)) for n in {*sources, target}}, table.origin[rows])
    rows = torch.arange(len(rows))
    column = table[noisy]
    drawn = torch.randn(
        column.cells.shape, generator=derived_generator(seed, "noise", noisy), dtype=torch.float32
    ).to(column.cells)
    truth = table[target].take(rows).to(workspace.device)
    curve = {}
    for level in levels:
        shaken = Column(column.cells + level * drawn, column.first, column.count)
        seen = Table({**table.columns, noisy: shaken}, table.origin)
        guess = predict(workspace, seen, sources, target, rows)
        curve[float(level)] = float(normalized_error(guess, truth, workspace.spec(target)).mean())
    return curve


def missing_domains(workspace: GlobalWorkspace, table: Table) -> dict[str, float]:
    """Normalised error of every target from every set of sources: what each of them is worth.

    Args:
        workspace: In eval mode.
        table: A *standardised* latent table; rows that hold every domain are judged.

    Returns:
        `"photo + sound -> caption"` -> error, sets that hold the target among them.

    Raises:
        DataError: If no row holds every domain.
    """
    names = list(table)
    rows = _rows_with(table, set(names))
    errors = {}
    for target in names:
        truth = table[target].take(rows).to(workspace.device)
        for size in range(1, len(names) + 1):
            for sources in combinations(names, size):
                guess = predict(workspace, table, sources, target, rows)
                error = normalized_error(guess, truth, workspace.spec(target)).mean()
                errors[direction(sources, target)] = float(error)
    return errors


def _dense(cells: torch.Tensor) -> Column:
    """A column that holds the latents (n, D) of n rows, wherever they were read from."""
    return Column(cells, torch.arange(len(cells)), torch.ones(len(cells), dtype=torch.int64))


def _rows_with(table: Table, names: set[str]) -> torch.Tensor:
    here = torch.stack([table[name].present for name in names]).all(dim=0)
    rows: torch.Tensor = here.nonzero().flatten()
    if len(rows) < 2:
        raise DataError(
            f"Fewer than two rows hold {', '.join(sorted(names))} ({table.describe()})."
        )
    return rows
