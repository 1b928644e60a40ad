"""A workspace's frozen states as a step of a scikit-learn pipeline.

This is the only module that needs scikit-learn, and only for those who import it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from globalworkspace.data.cells import is_missing
from globalworkspace.data.encoding import encode_table
from globalworkspace.data.table import Table
from globalworkspace.errors import ConfigError, DataError, DomainError, did_you_mean
from globalworkspace.folders import is_there
from globalworkspace.run_folder import load_run
from globalworkspace.workspace import GlobalWorkspace

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils.validation import check_is_fitted
except ImportError:
    raise ConfigError(
        "WorkspaceTransformer needs the package scikit-learn. Install it: "
        "pip install 'globalworkspace[sklearn]'."
    ) from None

_STRETCH = 4096
"""Rows that are fused at once, unless a batch size is given."""


class WorkspaceTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Gives the states (n, W) of a trained workspace; `fit` trains nothing.

    A clone shares the workspace, which is not copied. Where a transformer goes to other processes
    or into a file, give the workspace as a path: it is loaded there, and only the path travels.

    Args:
        workspace: A trained workspace, or the path of a saved one or of a run folder, which `fit`
            loads.
        domain: The domain whose cells `X` holds. Several, or None for all: then `X` says which
            cells are whose, and each row is fused from the domains it has.
        latents: Whether `X` holds latents instead of raw cells.
        batch_size: Cells per call of a domain module's `encode`; None: each module's own choice.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> classifier = make_pipeline(WorkspaceTransformer("my-workspace", "photo"),
        ...                            LogisticRegression())
    """

    _origin: GlobalWorkspace | Path
    _loaded: GlobalWorkspace | None

    def __init__(
        self,
        workspace: GlobalWorkspace | str | Path,
        domain: str | Sequence[str] | None = None,
        *,
        latents: bool = False,
        batch_size: int | None = None,
    ) -> None:
        self.workspace = workspace
        self.domain = domain
        self.latents = latents
        self.batch_size = batch_size

    @property
    def workspace_(self) -> GlobalWorkspace:
        """The workspace that `fit` found; after unpickling, loaded anew from its path."""
        check_is_fitted(self)
        if isinstance(self._origin, GlobalWorkspace):
            return self._origin
        if self._loaded is None:
            self._loaded = _load(self._origin)
        return self._loaded

    def fit(self, X: Any, y: Any = None) -> WorkspaceTransformer:
        """Load the workspace if it is a path, and check the settings and the form of `X`.

        Args:
            X: See `transform`.
            y: Not used.

        Raises:
            ConfigError: If a setting does not fit.
            DataError: If `X` has not the form of `transform`.
            CheckpointError: If there is no workspace at the path.
        """
        size = self.batch_size
        if size is not None and (not isinstance(size, int) or size < 1):
            raise ConfigError(f"batch_size={size!r} must be a whole number of at least 1, or None.")
        origin, loaded = _origin(self.workspace), None
        workspace = origin if isinstance(origin, GlobalWorkspace) else (loaded := _load(origin))
        names = self._names()
        if names == []:
            raise ConfigError("domain=[] names no domain. Name one, or write None for all.")
        for name in names or ():
            if name not in workspace.domains:
                raise ConfigError(
                    f"domain={self.domain!r}: {_no_domain(workspace, name)}"
                    f"{did_you_mean(str(name), workspace.domains)}"
                )
        self._table(X, workspace)
        self._origin, self._loaded = origin, loaded
        self._n_features_out = _state_size(workspace)
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float32]:
        """The states of some rows.

        Args:
            X: For one domain its raw cells: a list, an array, a tensor, or a mapping or data frame
                of its columns. For several: a mapping or data frame of domains and their cells, or
                a list of rows, each a mapping from domain to cell. A cell that is None or NaN, or
                that a row does not name, is missing. With `latents=True` a cell is a latent (D,).

        Returns:
            (n, W) float32.

        Raises:
            DataError: If `X` has another form, or a row has none of the domains.
            DomainError: If a domain is unknown or cannot encode a cell, naming the row.
        """
        workspace = self.workspace_
        table = self._table(X, workspace)
        if not self.latents:
            table = encode_table(workspace.domains, table, batch_size=self.batch_size)
        with _in_inference(workspace):
            codes = [
                _codes(workspace, table, rows)
                for rows in torch.arange(len(table)).split(self.batch_size or _STRETCH)
            ]
        return torch.cat(codes).float().cpu().numpy()

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_n_features_out")

    def __sklearn_clone__(self) -> WorkspaceTransformer:
        """An unfitted transformer of the same workspace, and not of a deep copy of it."""
        light = copy.copy(self)
        light.workspace = ""
        cloned: WorkspaceTransformer = BaseEstimator.__sklearn_clone__(light)
        cloned.workspace = self.workspace
        return cloned

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.no_validation = True  # cells may be of any kind
        tags.input_tags.two_d_array = bool(self.latents)
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "_loaded" in state:
            state["_loaded"] = None  # it is at its path
        return state

    def _names(self) -> list[str] | None:
        if self.domain is None:
            return None
        return [self.domain] if isinstance(self.domain, str) else list(self.domain)

    def _table(self, X: Any, workspace: GlobalWorkspace) -> Table:
        """The rows of `X`: raw cells, or latents (M, D), and what is missing."""
        if isinstance(self.domain, str):
            columns = {self.domain: X}
        else:
            columns = _by_domain(X, self._names(), workspace)
        columns = {name: _cells(cells, self.latents) for name, cells in columns.items()}
        held = {name: cells for name, cells in columns.items() if not _all_missing(cells)}
        if not held:
            raise DataError("X holds no cell. Give at least one row that has one.")
        table = Table.from_columns(held)
        if not self.latents:
            return table
        found = {}
        for name, column in table.columns.items():
            latents = _latents(name, column.cells, workspace.domains[name].latent.dim)
            found[name] = attrs.evolve(column, cells=latents)
        return Table(found, table.origin)


def _origin(given: object) -> GlobalWorkspace | Path:
    """The workspace, or the path of one; absolute: another process may be in another folder."""
    if isinstance(given, (str, Path)):
        return Path(given).expanduser().absolute()
    if isinstance(given, GlobalWorkspace):
        return given
    raise ConfigError(
        f"workspace is a {type(given).__name__}; a GlobalWorkspace or the path of a saved one is "
        "needed."
    )


def _load(path: Path) -> GlobalWorkspace:
    """The workspace of a run folder, or the saved one at the path."""
    return load_run(path) if is_there(path / "workspace") else GlobalWorkspace.from_pretrained(path)


def _state_size(workspace: GlobalWorkspace) -> int:
    name = next(iter(workspace.domains))
    latents = torch.zeros(1, workspace.domains[name].latent.dim)
    with _in_inference(workspace):
        return workspace.encode({name: latents}, latents=True).code.shape[1]


@contextmanager
def _in_inference(workspace: GlobalWorkspace) -> Iterator[None]:
    """Without dropout, also where somebody is in the middle of a training."""
    training = workspace.training
    workspace.eval()
    try:
        yield
    finally:
        workspace.train(training)


def _codes(workspace: GlobalWorkspace, table: Table, rows: Tensor) -> Tensor:
    """States (n, W) of the given rows of a table of latents."""
    inputs, present = {}, {}
    for name, column in table.columns.items():
        here = column.present[rows]
        found = column.cells[column.first[rows[here]]]
        if not here.all():
            present[name] = here
            found = found.new_zeros(len(rows), found.shape[1]).index_copy(
                0, here.nonzero().flatten(), found
            )
        inputs[name] = found
    return workspace.encode(inputs, latents=True, present=present).code


# ---- what X may be


def _by_domain(X: Any, names: list[str] | None, workspace: GlobalWorkspace) -> dict[str, Any]:
    """Domain -> cells, from a mapping, a data frame or rows that are mappings."""
    if hasattr(X, "keys"):
        held = list(X.keys())
        columns = {name: X[name] for name in (held if names is None else names) if name in held}
        lacking = [name for name in names or () if name not in held]
        if lacking:
            raise DataError(
                f'X has no "{lacking[0]}"; it has {", ".join(map(str, held))}. Give the cells of '
                "each domain, None where a row has none."
            )
    elif isinstance(X, (Sequence, np.ndarray)) and all(isinstance(row, Mapping) for row in X):
        held = list(dict.fromkeys(name for row in X for name in row))
        columns = {
            name: [row.get(name) for row in X] for name in (held if names is None else names)
        }
    else:
        raise DataError(
            f"X is a {type(X).__name__}. For several domains give a mapping from domain to cells, "
            "or a list of rows that are such mappings; for one, name it: domain=..."
        )
    for name in columns:
        if name not in workspace.domains:
            raise DomainError(f"X: {_no_domain(workspace, name)}")
    return columns


def _cells(cells: Any, latents: bool) -> Any:
    """Cells as a table takes them, where only a list can have missing ones."""
    if hasattr(cells, "iloc"):  # of a data frame
        if cells.ndim == 2 and not latents:
            return {name: cells[name].tolist() for name in cells.keys()}
        cells = cells.to_numpy()
    if isinstance(cells, np.ndarray) and (cells.dtype == object or cells.ndim == 1):
        return list(cells)
    return cells


def _all_missing(cells: Any) -> bool:
    return isinstance(cells, Sequence) and all(map(is_missing, cells))


def _latents(name: str, cells: Any, dim: int) -> Tensor:
    """Latents (M, D) of one domain, float32."""
    try:
        if isinstance(cells, Sequence):
            cells = np.stack([np.asarray(cell, dtype=np.float32) for cell in cells])
        # a copy: an array may be read-only
        found = cells.float() if isinstance(cells, Tensor) else torch.tensor(cells).float()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f'Domain "{name}": X holds no latents: {error}.') from None
    if found.ndim != 2 or found.shape[1] != dim:
        raise DataError(
            f'Domain "{name}": X holds latents of shape {tuple(found.shape[1:])}; they have {dim} '
            "dimensions."
        )
    return found


def _no_domain(workspace: GlobalWorkspace, name: object) -> str:
    return f'The workspace has no domain "{name}"; it has {", ".join(workspace.domains)}.'
