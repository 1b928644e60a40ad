"""Responses from files: the layout of the paper's authors, a NumPy archive, a CSV table.

The authors' code (github.com/vsubramaniam851/brain-multimodal) reads, for each subject, a folder

    trial000_word_response_data-200mswindow.parquet.gzip     events are word onsets
    trial000_word_stimulus_metadata.csv
    trial000_scene_response_data-200mswindow.parquet.gzip    events are scene cuts
    trial000_scene_stimulus_metadata.csv

A response table has a row for each electrode and time bin, which are the two levels of its pandas
index, and a column for each event; the metadata have a row for each event, in the same order, with
`image_path` and `context` (a word, or a sentence). The data have not been published in this form,
so the layout is taken from the code that reads it.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import attrs
import numpy as np
import torch
from torch import Tensor

from globalworkspace.errors import ConfigError, DataError, did_you_mean

SITE, TIME = "electrode", "times"
"""Columns of a table that has no pandas index."""
_EVENTS = {"language": "word", "vision": "scene"}


@attrs.frozen(eq=False, kw_only=True)
class Responses:
    """Measured responses and what they are of."""

    values: Tensor
    """(sites, events, bins) float64."""
    sites: tuple[str, ...]
    times: tuple[str, ...]
    """Of the bins, as the file writes them."""


def read_responses(path: str | Path) -> Responses:
    """Read responses from one file.

    Args:
        path: `.npz`: the array `responses` (sites, events, bins) or (sites, events), and where they
            have names also `sites` and `times`. `.parquet` or `.parquet.gzip`: the authors' table,
            or one without index whose columns are `electrode`, `times` and the events. `.csv`:
            likewise, with a header.

    Raises:
        DataError: If the file is absent, of another kind, or lacks a column, row or cell.
        ConfigError: If Parquet is read without the package pyarrow.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f'The file of responses "{file}" does not exist.')
    if file.suffix == ".npz":
        return _from_archive(file)
    if ".parquet" in file.suffixes:
        return _from_rows(file, *_parquet(file))
    if file.suffix == ".csv":
        return _from_rows(file, *_csv(file))
    raise DataError(
        f'"{file}" is no file of responses that is known; .npz, .parquet, .parquet.gzip and .csv '
        "are read."
    )


def read_subject(
    folder: str | Path,
    *,
    alignment: Literal["language", "vision"] = "language",
    trials: str = "trial000",
    window: int = 200,
) -> tuple[Responses, list[dict[str, str]]]:
    """Read one subject's folder in the authors' layout.

    Args:
        folder: The subject's folder of `data-by-subject`.
        alignment: `"language"`: events are word onsets; `"vision"`: scene cuts.
        trials: As the files are named.
        window: Milliseconds that responses are averaged over, as the files are named.

    Returns:
        The responses, and for each event the metadata's columns, `image_path` and `context` among
        them.

    Raises:
        DataError: If a file or a column is missing, or there are not as many events in both.
        ConfigError: On another alignment, or if the package pyarrow is missing.
    """
    if alignment not in _EVENTS:
        raise ConfigError(f'alignment="{alignment}" is unknown; write "language" or "vision".')
    start = Path(folder).expanduser() / f"{trials}_{_EVENTS[alignment]}"
    responses = read_responses(f"{start}_response_data-{window}mswindow.parquet.gzip")
    metadata = Path(f"{start}_stimulus_metadata.csv")
    if not metadata.is_file():
        raise DataError(f'The stimulus metadata "{metadata}" do not exist.')
    with metadata.open(newline="", encoding="utf-8") as stream:
        stimuli = list(csv.DictReader(stream))
    for name in ("image_path", "context"):
        if stimuli and name not in stimuli[0]:
            raise DataError(
                f'"{metadata}" has no column {name}; it has {", ".join(stimuli[0])}.'
                f"{did_you_mean(name, stimuli[0])}"
            )
    if len(stimuli) != responses.values.shape[1]:
        raise DataError(
            f'"{metadata}" has {len(stimuli)} events, and the responses beside it have '
            f"{responses.values.shape[1]}."
        )
    return responses, stimuli


def _from_archive(file: Path) -> Responses:
    try:
        with file.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            held = {name: archive[name] for name in getattr(archive, "files", ())}
    except (OSError, ValueError, BadZipFile) as error:
        raise DataError(f'"{file}" cannot be read as a NumPy archive: {error}.') from None
    values = held.get("responses")
    if values is None or values.ndim not in (2, 3) or values.dtype.kind not in "fiu":
        got = "no such array" if values is None else f"{values.dtype} of shape {values.shape}"
        raise DataError(
            f'"{file}" must hold numbers "responses" (sites, events, bins) or (sites, events); it '
            f"holds {got} (arrays: {', '.join(held) or 'none'})."
        )
    values = values[:, :, None] if values.ndim == 2 else values
    names = {}
    for name, number in (("sites", len(values)), ("times", values.shape[2])):
        names[name] = tuple(map(str, held[name].tolist() if name in held else range(number)))
        if len(names[name]) != number:
            raise DataError(f'"{file}": {len(names[name])} {name} are named and {number} measured.')
    return Responses(values=torch.from_numpy(values).double(), **names)


def _parquet(file: Path) -> tuple[list[str], list[str], np.ndarray]:
    """Of each row site and time, and the cells (rows, events)."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ConfigError(
            f'"{file}" is Parquet, which needs the package pyarrow. Install it: pip install pyarrow'
        ) from None
    try:
        table = pyarrow.parquet.read_table(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f'"{file}" cannot be read as Parquet: {error}.') from None
    index = [
        name
        for name in (table.schema.pandas_metadata or {}).get("index_columns", [])
        if isinstance(name, str)  # else a range of row numbers, which says nothing
    ]
    site, time = index if len(index) == 2 else _columns(file, table.column_names)
    events = [name for name in table.column_names if name not in (site, time)]
    try:
        cells = [table[name].to_numpy().astype(np.float64) for name in events]
    except (TypeError, ValueError) as error:
        raise DataError(f'"{file}": an event\'s column holds no numbers: {error}.') from None
    labels = [[str(cell) for cell in table[name].to_pylist()] for name in (site, time)]
    return labels[0], labels[1], np.stack(cells, axis=1) if cells else np.empty((len(table), 0))


def _csv(file: Path) -> tuple[list[str], list[str], np.ndarray]:
    """Likewise."""
    with file.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    names = rows[0] if rows else []
    places = [names.index(name) for name in _columns(file, names)]
    sites, times, cells = [], [], []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(names):
            raise DataError(f'"{file}", line {number}: {len(row)} cells for {len(names)} columns.')
        sites.append(row[places[0]])
        times.append(row[places[1]])
        try:
            cells.append([float(cell) for k, cell in enumerate(row) if k not in places])
        except ValueError as error:
            raise DataError(f'"{file}", line {number}: {error}.') from None
    return sites, times, np.array(cells).reshape(len(sites), len(names) - 2)


def _columns(file: Path, names: Sequence[str]) -> tuple[str, str]:
    for wanted in (SITE, TIME):
        if wanted not in names:
            shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
            raise DataError(
                f'"{file}" has no column {wanted}; it has {shown or "no columns"}. A table has a '
                f"row for each electrode and time bin: columns {SITE} and {TIME}, or a pandas "
                f"index of these two, and a column for each event.{did_you_mean(wanted, names)}"
            )
    return SITE, TIME


def _from_rows(file: Path, sites: list[str], times: list[str], cells: np.ndarray) -> Responses:
    """Rows in any order, one for each site and time."""
    if not cells.size:
        raise DataError(
            f'"{file}" holds no responses: {cells.shape[0]} rows and {cells.shape[1]} events.'
        )
    known_sites, known_times = tuple(dict.fromkeys(sites)), tuple(dict.fromkeys(times))
    row_of: dict[tuple[str, str], int] = {}
    for row, key in enumerate(zip(sites, times, strict=True)):
        if key in row_of:
            raise DataError(f'"{file}": electrode {key[0]} has two rows for time {key[1]}.')
        row_of[key] = row
    order = np.empty((len(known_sites), len(known_times)), dtype=np.int64)
    for i, site in enumerate(known_sites):
        for k, time in enumerate(known_times):
            if (site, time) not in row_of:
                raise DataError(
                    f'"{file}": electrode {site} has no row for time {time}, as others have.'
                )
            order[i, k] = row_of[site, time]
    values: Any = torch.from_numpy(cells)[torch.from_numpy(order)]  # (sites, bins, events)
    return Responses(values=values.transpose(1, 2), sites=known_sites, times=known_times)
