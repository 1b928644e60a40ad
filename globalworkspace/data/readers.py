"""Data set kinds of the core: a folder with metadata, a table file, a Hugging Face data set."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from globalworkspace.data.cells import Alternatives, is_missing
from globalworkspace.data.table import Table
from globalworkspace.errors import ConfigError, DataError, did_you_mean

Columns = Mapping[str, str | Sequence[str]]
"""Domain -> the column that holds it, or several columns that form one cell together."""

FILE_COLUMN = "file_name"


def read_folder(
    path: str,
    columns: Columns | None = None,
    metadata: str | None = None,
    files: Sequence[str] | None = None,
) -> Table:
    """A folder of files, named in the column `file_name` of `metadata.csv` or `.jsonl`.

    This is the layout of Hugging Face's `imagefolder` and `audiofolder`. The column `file_name`,
    and any other whose name ends in `_file_name`, holds paths relative to the metadata file. An
    item that is a folder itself (a clip as its frames) is named in the same way.

    Args:
        path: The folder.
        columns: Domain -> column(s); default: every column is a domain of its own name.
        metadata: Name of the metadata file, if it is neither of the two.
        files: The columns that hold paths, where they have other names.
    """
    folder = Path(path).expanduser()
    if not (_exists(folder) and folder.is_dir()):
        raise DataError(f'The folder "{folder}" does not exist.')
    names = [metadata] if metadata else ["metadata.csv", "metadata.jsonl"]
    file = next((folder / name for name in names if (folder / name).is_file()), None)
    if file is None:
        raise DataError(
            f'"{folder}" holds no {" or ".join(names)}. Write one row per item with a column '
            f"{FILE_COLUMN}."
        )
    records = read_records(file)
    known = records[0] if records else {}
    paths = [k for k in known if k == FILE_COLUMN or k.endswith("_" + FILE_COLUMN)]
    for name in [FILE_COLUMN] if files is None else files:
        if name not in known:
            raise DataError(
                f'"{file}" has no column {name}; it has {", ".join(known) or "no rows"}.'
            )
    paths = paths if files is None else list(files)
    for row, record in enumerate(records):
        for key in record:
            if key in paths:
                if is_missing(record[key]):
                    continue
                record[key] = folder / str(record[key])
                if not _exists(record[key]):  # a folder may be an item: the frames of a clip
                    raise DataError(
                        f'Row {row} of "{file}" names "{record[key]}", which does not exist.'
                    )
    return table_of_records(records, columns, str(file))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long for any file
        return False


def read_table(path: str, columns: Columns | None = None) -> Table:
    """A CSV, JSON lines or Parquet file.

    An empty field is a missing cell; a list (JSON, Parquet) holds alternatives.

    Args:
        path: The file, ending in `.csv`, `.jsonl` or `.parquet`.
        columns: Domain -> column(s); default: every column is a domain of its own name.
    """
    file = Path(path).expanduser()
    if not (_exists(file) and file.is_file()):
        raise DataError(f'The file "{file}" does not exist.')
    return table_of_records(read_records(file), columns, str(file))


def read_huggingface(
    path: str, split: str = "train", columns: Columns | None = None, **options: Any
) -> Table:
    """A data set of the Hugging Face `datasets` library.

    Args:
        path: What `datasets.load_dataset` (or, for a saved folder, `load_from_disk`) takes.
        split: Which split.
        columns: Domain -> column(s); default: every column is a domain of its own name.
        **options: Passed to `load_dataset`.
    """
    try:
        import datasets
    except ImportError:
        raise ConfigError(
            "Hugging Face data sets need the package datasets. Install it: pip install datasets"
        ) from None
    if (Path(path) / "state.json").is_file() or (Path(path) / "dataset_dict.json").is_file():
        loaded = datasets.load_from_disk(path)
        loaded = loaded[split] if isinstance(loaded, datasets.DatasetDict) else loaded
    else:
        loaded = datasets.load_dataset(path, split=split, **options)
    return table_of_dataset(loaded, columns)


def table_of_dataset(dataset: Any, columns: Columns | None = None) -> Table:
    """The table of a `datasets.Dataset`; media columns stay undecoded (bytes or path)."""
    for name, feature in dataset.features.items():
        if getattr(feature, "decode", False):
            dataset = dataset.cast_column(name, type(feature)(decode=False))
    return table_of_records(
        [dict(dataset[row]) for row in range(len(dataset))], columns, "the data set"
    )


def table_of_records(records: list[dict[str, Any]], columns: Columns | None, source: str) -> Table:
    """The table of row dicts; `source` names them in messages.

    A domain made of several columns gets one mapping per row, and is missing where one of its
    columns is.
    """
    if not records:
        raise DataError(f"{source} has no rows.")
    known = list(dict.fromkeys(key for record in records for key in record))
    wanted: Columns = columns if columns is not None else {key: key for key in known}
    cells: dict[str, list[Any]] = {}
    for domain, names in wanted.items():
        for name in [names] if isinstance(names, str) else names:
            if name not in known:
                raise DataError(
                    f'Domain "{domain}" asks for the column "{name}"; {source} has '
                    f"{', '.join(known)}.{did_you_mean(name, known)}"
                )
        if isinstance(names, str):
            cells[domain] = [_cell(record.get(names)) for record in records]
        else:
            held = [{name: record.get(name) for name in names} for record in records]
            cells[domain] = [
                None if any(is_missing(v) for v in cell.values()) else cell for cell in held
            ]
    return Table.from_columns(cells)


def _cell(value: Any) -> Any:
    return Alternatives(tuple(value)) if isinstance(value, list) else value


def read_records(file: Path) -> list[dict[str, Any]]:
    """The rows of a CSV, JSON lines or Parquet file, each as column -> cell."""
    if file.suffix not in _READERS:
        raise DataError(
            f'"{file.name}" is no table this reads; known endings: {", ".join(_READERS)}.'
        )
    try:
        return _READERS[file.suffix](file)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f'"{file}" cannot be read as text in UTF-8: {error}.') from None


def _read_csv(file: Path) -> list[dict[str, Any]]:
    with file.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        header = list(reader.fieldnames or [])
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise DataError(f'"{file}" has the column "{twice[0]}" twice.')
        records = []
        for row, record in enumerate(reader):
            if None in record or any(value is None for value in record.values()):
                raise DataError(
                    f'Row {row} of "{file}" has another number of fields than the header '
                    f"({len(header)})."
                )
            records.append({key: value if value != "" else None for key, value in record.items()})
    for name in header:
        values = [str(record[name]) for record in records if record[name] is not None]
        # mostly numbers: they become floats, so that a stray text is found by its own row
        if 2 * sum(map(_is_number, values)) > len(values):
            for record in records:
                if record[name] is not None and _is_number(record[name]):
                    record[name] = float(record[name])
    return records


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_jsonl(file: Path) -> list[dict[str, Any]]:
    records = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f'Line {number} of "{file}" is no JSON: {error}.') from None
        if not isinstance(record, dict):
            raise DataError(
                f'Line {number} of "{file}" is a {type(record).__name__}; an object is needed.'
            )
        records.append(record)
    return records


def _read_parquet(file: Path) -> list[dict[str, Any]]:
    try:
        import pyarrow.parquet
    except ImportError:
        raise ConfigError(
            "Parquet files need the package pyarrow. Install it: pip install pyarrow"
        ) from None
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(file).to_pylist()
    return rows


_READERS: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
