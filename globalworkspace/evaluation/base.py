"""The contract of an evaluation: figures of a trained workspace on rows it was not trained on.

An evaluation is a callable `(workspace, held_out, **options) -> dict`: the workspace is in eval
mode and stays as it is, the figures are JSON-able.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import attrs

from globalworkspace.data.table import Table
from globalworkspace.evaluation import retrieval as _retrieval
from globalworkspace.evaluation.translation import translation_error
from globalworkspace.standard_table import standardize_table
from globalworkspace.workspace import GlobalWorkspace


@attrs.frozen(eq=False, kw_only=True)
class HeldOut:
    """Rows to judge by, raw and encoded; some may lack a domain."""

    raw: Table
    latents: Table
    """The same rows; cells are latents (items, D), not standardised."""

    def standard(self, workspace: GlobalWorkspace) -> Table:
        """The rows as standard latents of that workspace."""
        return standardize_table(workspace, self.latents)


class Evaluation(Protocol):
    """What `register_evaluations` registers, its options filled in."""

    def __call__(self, workspace: GlobalWorkspace, held_out: HeldOut, /) -> dict[str, Any]:
        """Figures by name, JSON-able."""


def translation(workspace: GlobalWorkspace, held_out: HeldOut) -> dict[str, float]:
    """Evaluation kind `translation`: see `translation_error`."""
    return translation_error(workspace, held_out.standard(workspace))


def retrieval(
    workspace: GlobalWorkspace,
    held_out: HeldOut,
    *,
    gallery_size: int = 1000,
    ks: Sequence[int] = (1, 5, 10),
) -> dict[str, dict[int, float]]:
    """Evaluation kind `retrieval`: see `globalworkspace.evaluation.retrieval.retrieval`."""
    return _retrieval.retrieval(
        workspace, held_out.standard(workspace), gallery_size=gallery_size, ks=ks
    )
