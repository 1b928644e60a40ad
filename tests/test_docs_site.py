import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    front = (tmp_path / "index.html").read_text()
    assert "Quickstart" in front and "report-translations.png" in front
    assert "classmethod" in (tmp_path / "api.html").read_text()
    assert len(list(tmp_path.glob("results/*.html"))) > 20
