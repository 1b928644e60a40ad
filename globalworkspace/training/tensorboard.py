"""What a run logs, and translations of held-out rows, for TensorBoard to show while it trains.

The log of a run is made to hold what its history holds: where a run goes on from a checkpoint, its
event files are written again without what came after that checkpoint.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from globalworkspace.domain import Rendering
from globalworkspace.errors import ConfigError, DomainError
from globalworkspace.evaluation.translation import direction
from globalworkspace.files import writing
from globalworkspace.report.items import cells, decoded
from globalworkspace.sheet import Facts, Item
from globalworkspace.training.callbacks import Callback, Training

if TYPE_CHECKING:
    from globalworkspace.workspace import GlobalWorkspace

log = logging.getLogger(__name__)

SUFFIX = ".globalworkspace"
"""How the names of the event files end that this callback writes, and may replace."""
_GROUPS = {
    "families": "loss",
    "validation_families": "validation_loss",
    "validation": "validation",
    "training": "training",
}
"""Entry of the history -> the group of curves that its figures belong to."""
_GAP = 2
"""Pixels between pictures."""


class TensorBoard(Callback):
    """Writes event files for TensorBoard: losses, errors, translations.

    All numbers of `training.history` but the terms of the losses are written, each once. At some
    validations, held-out rows are translated in every direction and shown beside what they hold,
    which is decoded from their latents: as pictures where a domain renders any, else in words.

    Args:
        folder: Of this run alone: a log that is there is replaced. Default: `tensorboard` in the
            run folder.
        pictures: Rows shown per direction; 0: none.
        every: They are drawn at the first validation, at the first one after each multiple of so
            many steps, and at the last step.

    Raises:
        ConfigError: If TensorBoard is not installed, or a setting is out of range.
    """

    def __init__(self, folder: str | None = None, pictures: int = 4, every: int = 1000) -> None:
        if pictures < 0:
            raise ConfigError(f"pictures={pictures} must be at least 0 rows.")
        if every < 1:
            raise ConfigError(f"every={every} must be at least 1 step.")
        try:
            import torch.utils.tensorboard  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                f'The callback "tensorboard" needs TensorBoard ({error}). Run: pip install '
                "'globalworkspace[tensorboard]'"
            ) from None
        self.folder, self.pictures, self.every = folder, pictures, every
        self._writer: Any = None
        self._written = 0  # entries of the history, by this writer

    def started(self, training: Training) -> None:
        """See `Callback`: makes the log hold what the history holds.

        Raises:
            ConfigError: If there is neither a `folder` nor a run folder.
            StorageError: If it cannot be written to.
        """
        if self.folder is None and training.folder is None:
            raise ConfigError(
                'The callback "tensorboard" needs a run folder or a folder of its own. Give '
                "run_dir to fit(), or folder to the callback."
            )
        self._close()  # after a return to a checkpoint the run starts anew
        with writing(self._place(training)):
            self._open(self._place(training), training)

    def step_done(self, training: Training) -> None:
        """See `Callback`."""
        self._write(training)

    def evaluated(self, training: Training) -> None:
        """See `Callback`."""
        self._write(training)
        if self.pictures and self._due(training):
            with writing(self._place(training)):
                self._draw(training)
                self._writer.flush()

    def finished(self, training: Training) -> None:
        """See `Callback`."""
        self._write(training)
        self._close()

    def _place(self, training: Training) -> Path:
        if self.folder is not None:
            return Path(self.folder)
        assert training.folder is not None
        return training.folder / "tensorboard"

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self, folder: Path, training: Training) -> None:
        """Begin a file with what is kept of earlier ones, and remove those.

        Numbers come from the history, their times and what was drawn from the files. If this is cut
        short, old and new files hold the same drawings, and the next time one of each is kept.
        """
        from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
        from torch.utils.tensorboard import SummaryWriter

        earlier = sorted(folder.glob(f"*tfevents*{SUFFIX}"))
        self._writer = SummaryWriter(str(folder), filename_suffix=SUFFIX)
        times: dict[int, float] = {}
        kept: set[tuple[int, str]] = set()
        for file in earlier:
            for event in LegacyEventFileLoader(str(file)).Load():
                for value in event.summary.value:
                    times.setdefault(event.step, event.wall_time)
                    drawn = (event.step, value.tag)
                    number = value.HasField("simple_value")
                    if not number and event.step <= training.step and drawn not in kept:
                        kept.add(drawn)
                        self._writer.file_writer.add_event(event, walltime=event.wall_time)
        for entry in training.history:
            self._add(entry, times.get(entry["step"]))
        self._written = len(training.history)
        self._writer.flush()
        for file in earlier:
            with contextlib.suppress(OSError):  # on Windows, where an interrupted run holds it open
                file.unlink()

    def _write(self, training: Training) -> None:
        """Write what the history has more; the newest entry is told of a step later, or here."""
        if len(training.history) > self._written:
            with writing(self._place(training)):
                for entry in training.history[self._written :]:
                    self._add(entry)
                self._writer.flush()  # a checkpoint may follow, from which a killed run goes on
            self._written = len(training.history)

    def _add(self, entry: Mapping[str, Any], time: float | None = None) -> None:
        for tag, value in _numbers(entry):
            self._writer.add_scalar(tag, value, entry["step"], walltime=time)

    def _due(self, training: Training) -> bool:
        """Whether something is drawn at this validation; the history alone decides."""
        earlier = [entry["step"] for entry in training.history[:-1] if "validation" in entry]
        last = training.step == training.steps or training.stopped is not None
        return last or not earlier or training.step // self.every > earlier[-1] // self.every

    def _draw(self, training: Training) -> None:
        """Add the translations of every direction."""
        table = training.validation
        assert table is not None
        for source in table:
            for target in table:
                if source == target:
                    continue
                rows = table.rows_with(source, target)[: self.pictures]
                name = direction((source,), target)
                try:
                    columns = _translated(training, source, target, rows) if len(rows) else {}
                    sheet = _sheet(list(columns.values()))
                except Exception as error:  # no drawing is worth a training
                    log.warning("step %d: %s is not drawn: %r", training.step, name, error)
                    continue
                if sheet is not None:
                    self._writer.add_image(
                        f"translations/{name}", sheet, training.step, dataformats="HWC"
                    )
                if any(_picture(item) is None for column in columns.values() for item in column):
                    words = _words({"row": [str(n) for n in table.origin[rows].tolist()]} | columns)
                    self._writer.add_text(f"translations/{name}", words, training.step)


def _numbers(entry: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers of an entry of the history, by the name of their curve."""
    for name, value in entry.items():
        if name in _GROUPS:
            for key, number in value.items():
                yield f"{_GROUPS[name]}/{key}", _number(number)
        elif name != "step" and (value is None or isinstance(value, (int, float))):
            yield name, _number(value)


def _number(value: float | None) -> float:
    """As it was before JSON, which knows no NaN."""
    return float("nan") if value is None else float(value)


def _translated(
    training: Training, source: str, target: str, rows: Tensor
) -> dict[str, Sequence[Item]]:
    """Title -> items: what some rows hold of two domains, and the one translated to the other.

    What a domain cannot decode is left out; without a translation all is.
    """
    workspace, table = training.workspace, training.validation
    assert table is not None
    latents = {
        name: workspace.standardizer(name).restore(
            table[name].take(rows).to(workspace.device, workspace.dtype)
        )
        for name in (source, target)
    }
    found = decoded(workspace, workspace.encode({source: latents[source]}, latents=True), target)
    if found is None:
        return {}
    columns = {
        f"{source}, held out (decoded)": _held(workspace, source, latents[source]),
        f"{target}, held out (decoded)": _held(workspace, target, latents[target]),
        f"{target}, translated": found,
    }
    return {title: items for title, items in columns.items() if items is not None}


def _held(workspace: GlobalWorkspace, name: str, latents: Tensor) -> Sequence[Item] | None:
    """What a domain's own module makes of latents; None: it cannot decode."""
    try:
        return cells(workspace.domains[name], workspace.decode_latents(name, latents), len(latents))
    except DomainError:
        return None


def _sheet(columns: Sequence[Sequence[Item]]) -> np.ndarray[Any, Any] | None:
    """Those of the items that are pictures, (height, width, 3): a line per column, on white."""
    lines = [[_picture(item) for item in items] for items in columns]
    lines = [line for line in lines if any(picture is not None for picture in line)]
    shapes = [picture.shape for line in lines for picture in line if picture is not None]
    if not shapes:
        return None
    high, wide = (max(shape[axis] for shape in shapes) + _GAP for axis in (0, 1))
    sheet = np.full((high * len(lines) - _GAP, wide * len(lines[0]) - _GAP, 3), 255, np.uint8)
    for i, line in enumerate(lines):
        for k, picture in enumerate(line):
            if picture is not None:
                height, width, _ = picture.shape
                sheet[i * high : i * high + height, k * wide : k * wide + width] = picture
    return sheet


def _picture(item: Item) -> np.ndarray[Any, Any] | None:
    """The pixels (height, width, 3) of an item that is a PNG; None: it is none, or needs Pillow."""
    if not isinstance(item, Rendering) or item.media_type != "image/png":
        return None
    try:
        from PIL.PngImagePlugin import PngImageFile
    except ImportError:
        return None
    return np.asarray(PngImageFile(io.BytesIO(item.data)).convert("RGB"))


def _words(columns: Mapping[str, Sequence[Item]]) -> str:
    """A Markdown table of items in words."""
    rows = [list(columns), ["---"] * len(columns)]
    rows += [[_in_words(item) for item in line] for line in zip(*columns.values(), strict=True)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _in_words(item: Item) -> str:
    if isinstance(item, Facts):
        item = ", ".join(f"{name}: {value}" for name, value in item.items)
    elif isinstance(item, Rendering):
        item = item.in_words or item.alt
    return " ".join(item.replace("|", "\\|").split())
