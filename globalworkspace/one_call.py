"""One call from rows to a trained workspace, for scripts and notebooks."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from globalworkspace.data.cells import take_cells
from globalworkspace.data.table import Table
from globalworkspace.domain import DomainModule
from globalworkspace.errors import ConfigError, DataError
from globalworkspace.experiment import Experiment, run_experiment
from globalworkspace.gallery import GalleryDecoding
from globalworkspace.proposals import Proposal, joined_columns, propose_domains, read_data
from globalworkspace.report import FILE
from globalworkspace.state_index import StateIndex, states_of
from globalworkspace.workspace import GlobalWorkspace

Domain = DomainModule | str | Mapping[str, Any]
"""A module, the name of a kind, or a section [domains.NAME] of a config."""


def fit(
    data: Table | Mapping[str, Any] | str | Path,
    domains: Mapping[str, Domain] | None = None,
    *,
    out: str | Path | None = None,
    progress: bool = True,
    recipe: str = "default",
    workspace: Mapping[str, Any] | None = None,
    match: Mapping[str, Any] | None = None,
    **training: Any,
) -> Run:
    """Train a workspace and judge it on held-out rows.

    Args:
        data: A table; a mapping of equally long columns (None: missing); or the path of a table
            file, or of a folder with one.
        domains: Name -> what reads it: a domain module, a kind as text, or a mapping of `kind` and
            its settings, with `column` where the column has another name than the domain. Default:
            proposed by the kinds that are installed, as by `globalworkspace init`.
        out: The run folder; a run that is there is gone on with. Default: a new folder in `runs`.
        progress: Show bars.
        recipe: A named set of objectives.
        workspace: Settings of `GlobalWorkspace`.
        match: As [data.match] of a config: hides matches, to see what few are worth.
        **training: Settings of `TrainerConfig`: `steps`, `batch_size`, `device`, ...

    Returns:
        The run, which translates, retrieves and shows itself.

    Raises:
        WorkspaceError: On data, domains or settings that cannot be used, naming them.

    Example:
        >>> rows = {"x": [float(k) for k in range(40)], "y": [2.0 * k for k in range(40)]}
        >>> both = {"x": {"kind": "attributes", "column": ["x"]},
        ...         "y": {"kind": "attributes", "column": ["y"]}}
        >>> run = fit(rows, both, steps=3, progress=False)  # doctest: +SKIP
        >>> run.translate({"x": {"x": 3.0}}, to="y")  # doctest: +SKIP
        {'y': 6.1}
    """
    config: dict[str, Any] = {"training": training, "recipe": recipe}
    if workspace:
        config["workspace"] = dict(workspace)
    table: Table | None = None
    proposal: Proposal | None = None
    if isinstance(data, (str, Path)):
        found, read = read_data(data)
        proposal = propose_domains(read, found, str(data)) if domains is None else None
        config["data"] = dict(found)
        if match:
            config["data"]["match"] = dict(match)
    else:
        table = data if isinstance(data, Table) else Table.from_columns(data)
        proposal = propose_domains(table, {}) if domains is None else None
    if domains is None:
        assert proposal is not None
        sections: dict[str, Any] = proposal.config()["domains"]
        modules: dict[str, DomainModule] = {}
    else:
        sections, modules = _sections(domains)
    if sections:
        config["domains"] = sections
    if table is not None:
        table = _named(table, sections, modules)
        table = table.match(**match) if match else table
    folder = _new_folder() if out is None else Path(out)
    made = run_experiment(config, folder, progress=progress, table=table, modules=modules)
    return Run(made)


@attrs.frozen(eq=False)
class Run:
    """A finished run: its workspace, figures and page."""

    experiment: Experiment
    _collections: dict[str, tuple[Any, StateIndex]] = attrs.field(factory=dict, init=False)

    @property
    def workspace(self) -> GlobalWorkspace:
        """The trained workspace."""
        return self.experiment.workspace

    @property
    def folder(self) -> Path:
        """Where everything is."""
        return self.experiment.folder

    @property
    def evaluation(self) -> dict[str, Any]:
        """The figures on held-out rows."""
        return self.experiment.evaluation

    def translate(self, inputs: Mapping[str, Any], to: str) -> Any:
        """What one item, or a list of items, is in another domain.

        Args:
            inputs: Domain -> an item, or a list of B; several domains are fused. An item that is
                itself a list stands in a list of one.
            to: The target domain.

        Returns:
            The item; for lists, a raw batch of B.
        """
        batch, single = _batch(inputs)
        answer = self.workspace.translate(batch, to)
        if not single:
            return answer
        if isinstance(answer, Mapping):
            return {name: _item(values[0]) for name, values in answer.items()}
        return answer[0]

    def retrieve(self, inputs: Mapping[str, Any], to: str, top: int = 5) -> list[tuple[float, Any]]:
        """The held-out items of a domain, or those of its gallery, most like one item.

        Args:
            inputs: Domain -> an item.
            to: What is looked for.
            top: How many.

        Returns:
            (likeness, item), the likeliest first; likeness is the cosine of states. A collection of
            200,000 and more is searched through an index, where faiss is installed.
        """
        workspace = self.workspace
        batch, single = _batch(inputs)
        if not single and any(len(items) != 1 for items in batch.values()):
            raise DataError("retrieve takes one item of each domain; lists of one will do.")
        if to not in workspace.domains:
            known = ", ".join(workspace.domains)
            raise DataError(f'The workspace has no domain "{to}"; it has {known}.')
        if to not in self._collections:
            module = workspace.domains[to]
            if isinstance(module, GalleryDecoding) and module.gallery is not None:
                cells, latents = list(module.gallery), module.gallery_latents
            else:
                raw, held = self.experiment.held_out.raw[to], self.experiment.held_out.latents[to]
                rows = raw.present.nonzero().flatten()
                cells, latents = take_cells(raw.cells, raw.first[rows]), held.take(rows)
            assert latents is not None
            self._collections[to] = cells, StateIndex(states_of(workspace, to, latents))
        cells, index = self._collections[to]
        values, places = index.search(workspace.encode(batch).code, top)
        items = [_cell(cells, place) for place in places[0].tolist()]
        return list(zip(values[0].tolist(), items, strict=True))

    def report(self) -> Path:
        """The page that shows all of it."""
        return self.folder / FILE

    def __repr__(self) -> str:
        errors = self.evaluation["translation"]
        mean = sum(errors.values()) / len(errors)
        names = ", ".join(self.workspace.domains)
        return f"Run of {names} in {self.folder}: mean translation error {mean:.3f}"

    def _repr_html_(self) -> str:
        """How a notebook shows it: the report, in a frame of its own."""
        page = html.escape(self.report().read_text(encoding="utf-8"), quote=True)
        return (
            f'<iframe srcdoc="{page}" title="{html.escape(repr(self), quote=True)}" '
            'style="width:100%;height:40rem;border:1px solid #8888"></iframe>'
        )


def _sections(
    domains: Mapping[str, Domain],
) -> tuple[dict[str, Any], dict[str, DomainModule]]:
    """Sections of a config, and modules, of what `fit` was given."""
    sections: dict[str, Any] = {}
    modules: dict[str, DomainModule] = {}
    for name, given in domains.items():
        if isinstance(given, DomainModule):
            modules[name] = given
        elif isinstance(given, str):
            sections[name] = {"kind": given}
        elif isinstance(given, Mapping):
            sections[name] = dict(given)
        else:
            raise ConfigError(
                f'Domain "{name}" is given as {type(given).__name__}; give a domain module, the '
                'name of a kind such as "attributes", or a mapping of kind and settings.'
            )
    return sections, modules


def _named(table: Table, sections: Mapping[str, Any], modules: Mapping[str, Any]) -> Table:
    """The table with its columns named, and joined, as the domains are."""
    columns = {name: entry.get("column", name) for name, entry in sections.items()}
    columns |= {name: name for name in modules}
    for name, wanted in columns.items():
        for column in [wanted] if isinstance(wanted, str) else wanted:
            if column not in table.columns:
                raise DataError(
                    f'Domain "{name}" asks for the column "{column}"; the data has '
                    f"{', '.join(table)}."
                )
    found = joined_columns(table, columns)
    return found.only(found)


def _new_folder() -> Path:
    number = 1
    while (folder := Path("runs") / f"fit-{number}").exists():
        number += 1
    return folder


def _batch(inputs: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Batches of what was given, and whether it was single items."""
    lists = [isinstance(v, list) for v in inputs.values()]
    if any(lists) and not all(lists):
        raise DataError("Give one item of each domain, or a list of as many for each.")
    single = not any(lists)
    return {n: [value] if single else value for n, value in inputs.items()}, single


def _item(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _cell(cells: Any, place: int) -> Any:
    if isinstance(cells, Mapping):
        return {name: _item(values[place]) for name, values in cells.items()}
    return cells[place]
