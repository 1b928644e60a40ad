import io
import json
import shutil
import sys

import numpy as np
import pytest
import torch
from core_domains import Mute, Vector, small_table, small_workspace
from PIL import Image

from globalworkspace import Callback, GlobalWorkspace, Trainer, TrainerConfig
from globalworkspace.components import build_callbacks
from globalworkspace.domain import Rendering
from globalworkspace.errors import ConfigError
from globalworkspace.objectives.translation import Translation
from globalworkspace.training.callbacks import Training
from globalworkspace.training.run import Run
from globalworkspace.training.tensorboard import SUFFIX, TensorBoard

event_accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator",
    reason="needs the extra tensorboard",
)

STEPS = 24


class Drawn(Vector):
    """Shown as a picture, 5 pixels wide and 4 high, whose red is the first number's size."""

    def render(self, raw):
        shown = []
        for vector in raw:
            stream = io.BytesIO()
            red = min(255, int(100 * abs(vector[0])))
            Image.new("RGB", (5, 4), (red, 0, 0)).save(stream, format="PNG")
            shown.append(Rendering(media_type="image/png", data=stream.getvalue(), alt="a drawing"))
        return shown


class Told(Vector):
    """Shown in words."""

    def render(self, raw):
        return [
            Rendering(media_type="text/plain", data=f"{v[0]:.1f} |\nor so".encode(), alt="")
            for v in raw
        ]


class Broken(Vector):
    """Cannot be shown."""

    def render(self, raw):
        raise RuntimeError("no ink")


def workspace_of(left=Drawn, right=Told):
    return GlobalWorkspace({"left": left(4), "right": right(6)}, dim=5, hidden_dim=16)


def fit(folder, *callbacks, workspace=None, resume=False, **changed):
    workspace = workspace or workspace_of()
    training, validation = small_table().hold_out(0.5)
    settings = {
        "steps": STEPS,
        "log_every": 3,
        "validate_every": 5,
        "checkpoint_every": 6,
        "device": "cpu",
        "progress": False,
    }
    trainer = Trainer(TrainerConfig(**settings | changed), [Translation()], callbacks=callbacks)
    trainer.fit(workspace, training, validation, latents=True, run_dir=folder, resume=resume)
    return workspace


def read(folder):
    """All that is in a folder, nothing sampled."""
    found = event_accumulator.EventAccumulator(
        str(folder), {"scalars": 0, "images": 0, "tensors": 0}, purge_orphaned_data=False
    )
    return found.Reload()


def curves(folder):
    """Curve -> (step, value) of each point."""
    found = read(folder)
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def drawings(folder):
    """Drawing -> step of each."""
    found = read(folder)
    tags = found.Tags()
    pictures = {tag: [e.step for e in found.Images(tag)] for tag in tags["images"]}
    return pictures | {tag: [e.step for e in found.Tensors(tag)] for tag in tags["tensors"]}


def logged(folder):
    """The same curves, from metrics.jsonl."""
    found = {}
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        entry = json.loads(line)
        values = {name: entry[name] for name in ("loss", "learning_rate") if name in entry}
        values |= {f"loss/{name}": value for name, value in entry.get("families", {}).items()}
        for group in ("validation", "training"):
            values |= {f"{group}/{name}": value for name, value in entry.get(group, {}).items()}
        losses = entry.get("validation_families", {})
        values |= {f"validation_loss/{name}": value for name, value in losses.items()}
        for name, value in values.items():
            found.setdefault(name, []).append((entry["step"], float(np.float32(value))))
    return found


def test_every_number_of_the_history_is_logged_once(tmp_path):
    fit(tmp_path, TensorBoard())
    found = curves(tmp_path / "tensorboard")
    assert found == logged(tmp_path)
    assert set(found) == {
        "loss",
        "loss/translation",
        "learning_rate",
        *(
            f"{rows}/{name}"
            for rows in ("training", "validation")
            for name in ("translation", "left -> right", "right -> left")
        ),
        "validation_loss/translation",
    }
    assert [step for step, _ in found["loss"]] == [3, 6, 9, 12, 15, 18, 21, 24]
    assert [step for step, _ in found["validation/translation"]] == [5, 10, 15, 20, 24]


def test_what_is_validated_is_in_the_file_before_a_checkpoint_can_follow(tmp_path):
    class Reader(Callback):
        found = 0

        def evaluated(self, training):
            folder = tmp_path / "tensorboard"
            points = curves(folder)["validation/translation"]
            steps = [entry["step"] for entry in training.history if "validation" in entry]
            assert [step for step, _ in points] == steps
            assert all(drawn == steps for drawn in drawings(folder).values())
            self.found += 1

    reader = Reader()
    fit(tmp_path, TensorBoard(every=1), reader)
    assert reader.found == 5


def interrupt(monkeypatch, at):
    """Make a run raise when it comes to step `at`, as Ctrl-C twice would."""
    step = Run._step

    def interrupted(run):
        if run.step == at:
            raise KeyboardInterrupt
        return step(run)

    monkeypatch.setattr(Run, "_step", interrupted)


@pytest.mark.parametrize("at", [0, 4, 6, 7, 11, 12, 13, 16, 19, 23])
def test_a_run_that_goes_on_logs_no_step_twice_and_loses_none(tmp_path, monkeypatch, at):
    fit(tmp_path / "whole", TensorBoard(every=10))
    with monkeypatch.context() as patched:
        interrupt(patched, at)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "cut", TensorBoard(every=10))
    fit(tmp_path / "cut", TensorBoard(every=10), resume=True)
    assert curves(tmp_path / "cut/tensorboard") == logged(tmp_path / "whole")
    drawn = drawings(tmp_path / "cut/tensorboard")
    assert drawn == drawings(tmp_path / "whole/tensorboard")
    assert drawn and all(steps == [5, 10, 20, 24] for steps in drawn.values())
    assert len(list((tmp_path / "cut/tensorboard").iterdir())) == 1


def test_a_finished_run_that_is_resumed_keeps_its_log_and_its_times(tmp_path):
    fit(tmp_path, TensorBoard())
    before = {e.step: e.wall_time for e in read(tmp_path / "tensorboard").Scalars("loss")}
    drawn = drawings(tmp_path / "tensorboard")
    fit(tmp_path, TensorBoard(), resume=True)
    after = {e.step: e.wall_time for e in read(tmp_path / "tensorboard").Scalars("loss")}
    assert after == before
    assert drawings(tmp_path / "tensorboard") == drawn
    assert curves(tmp_path / "tensorboard") == logged(tmp_path)


def test_a_callback_that_joins_a_run_later_logs_what_was_before(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        interrupt(patched, 13)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path)
    fit(tmp_path, TensorBoard(), resume=True)
    assert curves(tmp_path / "tensorboard") == logged(tmp_path)


def test_a_run_that_begins_anew_replaces_the_log_and_nothing_else(tmp_path):
    other = tmp_path / "tensorboard" / "events.out.tfevents.1.of-another-program"
    fit(tmp_path, TensorBoard(), steps=48)
    other.write_bytes(b"")
    fit(tmp_path, TensorBoard(), log_every=4)
    assert curves(tmp_path / "tensorboard") == logged(tmp_path)
    assert other.exists()


def test_a_return_to_a_checkpoint_takes_back_what_came_after_it(tmp_path):
    told = Training(workspace=small_workspace(), steps=9, folder=tmp_path)
    callback = TensorBoard(pictures=0)
    callback.started(told)
    for told.step in range(1, 6):
        callback.step_done(told)
        told.history.append({"step": told.step, "loss": None if told.step == 2 else 1.0})
    callback.step_done(told)
    told.step, told.history = 3, told.history[:3]
    callback.started(told)
    told.step, told.history = 4, [*told.history, {"step": 4, "loss": 7.0, "skipped": 2}]
    callback.finished(told)
    found = curves(tmp_path / "tensorboard")
    assert found["skipped"] == [(4, 2.0)]
    assert [step for step, _ in found["loss"]] == [1, 2, 3, 4]
    assert np.isnan(found["loss"][1][1]) and found["loss"][3][1] == 7.0


def test_files_left_by_a_killed_run_are_put_right(tmp_path):
    """It was killed while it replaced one file by another, and the last record is half there."""
    fit(tmp_path, TensorBoard(every=5))
    drawn = drawings(tmp_path / "tensorboard")
    (file,) = (tmp_path / "tensorboard").iterdir()
    shutil.copy(file, file.with_name(f"events.out.tfevents.9999999999.host.1.0{SUFFIX}"))
    with file.open("ab") as stream:
        stream.write(b"\x18\x00\x00")
    assert curves(tmp_path / "tensorboard") != logged(tmp_path)
    fit(tmp_path, TensorBoard(every=5), resume=True)
    assert curves(tmp_path / "tensorboard") == logged(tmp_path)
    assert drawings(tmp_path / "tensorboard") == drawn


def test_translations_are_drawn_beside_what_the_rows_hold(tmp_path):
    workspace = fit(tmp_path, TensorBoard(pictures=3), keep="last")
    found = read(tmp_path / "tensorboard")
    assert set(found.Tags()["images"]) == {
        "translations/left -> right",
        "translations/right -> left",
    }
    # from words to pictures: what is held out above what was translated, 2 pixels between
    newest = found.Images("translations/right -> left")[-1]
    assert newest.step == STEPS
    pixels = np.asarray(Image.open(io.BytesIO(newest.encoded_image_string)))
    assert pixels.shape == (2 * 4 + 2, 3 * 5 + 2 * 2, 3)
    _, validation = small_table().hold_out(0.5)
    held = validation["left"].take([0, 1, 2])
    guessed = workspace.translate(
        {"right": validation["right"].take([0, 1, 2])}, "left", latents=True
    )
    for top, vectors in ((0, held), (6, guessed)):
        reds = (100 * vectors[:, 0].abs()).int().clamp(max=255).tolist()
        for k, red in enumerate(reds):
            cell = pixels[top : top + 4, 7 * k : 7 * k + 5, 0].astype(int)
            assert (abs(cell - red) <= 1).all()
    words = found.Tensors("translations/right -> left/text_summary")[-1]
    lines = words.tensor_proto.string_val[0].decode().splitlines()
    held_out = "right, held out (decoded) | left, held out (decoded)"
    assert lines[0] == f"| row | {held_out} | left, translated |"
    first = validation["right"].take([0])[0, 0]
    assert lines[2] == f"| {validation.origin[0]} | {first:.1f} \\| or so | a drawing | a drawing |"
    assert len(lines) == 5


def test_without_pillow_all_is_told_in_words(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.PngImagePlugin", None)
    fit(tmp_path, TensorBoard(), workspace=workspace_of(Drawn, Drawn))
    tags = read(tmp_path / "tensorboard").Tags()
    assert not tags["images"] and len(tags["tensors"]) == 2


def test_what_cannot_be_decoded_or_shown_is_left_out(tmp_path, caplog):
    fit(tmp_path / "mute", TensorBoard(), workspace=workspace_of(Drawn, Mute))
    found = read(tmp_path / "mute/tensorboard")
    assert found.Tags()["images"] == ["translations/right -> left"]
    assert not found.Tags()["tensors"] and not caplog.messages
    fit(tmp_path / "broken", TensorBoard(), workspace=workspace_of(Drawn, Broken))
    assert not drawings(tmp_path / "broken/tensorboard")
    assert "step 5: left -> right is not drawn: RuntimeError('no ink')" in caplog.messages
    assert curves(tmp_path / "broken/tensorboard") == logged(tmp_path / "broken")


def test_no_pictures_and_no_held_out_rows_leave_the_numbers(tmp_path):
    fit(tmp_path / "a", TensorBoard(pictures=0))
    assert not drawings(tmp_path / "a/tensorboard")
    trainer = Trainer(
        TrainerConfig(steps=4, log_every=2, device="cpu", progress=False),
        [Translation()],
        callbacks=[TensorBoard(str(tmp_path / "b"))],
    )
    trainer.fit(workspace_of(), small_table(), latents=True)
    assert [step for step, _ in curves(tmp_path / "b")["loss"]] == [2, 4]
    assert [file.suffix for file in (tmp_path / "b").iterdir()] == [SUFFIX]


def test_logging_changes_nothing(tmp_path):
    plain = fit(tmp_path / "a")
    heard = fit(tmp_path / "b", TensorBoard(every=1))
    for one, other in zip(plain.parameters(), heard.parameters(), strict=True):
        assert torch.equal(one, other)
    assert (tmp_path / "a/metrics.jsonl").read_bytes() == (
        tmp_path / "b/metrics.jsonl"
    ).read_bytes()


def test_the_kind_is_registered():
    (callback,) = build_callbacks([{"kind": "tensorboard", "pictures": 2, "every": 500}])
    assert (callback.folder, callback.pictures, callback.every) == (None, 2, 500)


def test_without_tensorboard_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"pip install 'globalworkspace\[tensorboard\]'"):
        TensorBoard()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TensorBoard(pictures=-1), "pictures=-1"),
        (lambda: TensorBoard(every=0), "every=0"),
        (lambda: fit(None, TensorBoard()), "needs a run folder or a folder of its own"),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
