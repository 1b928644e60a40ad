import pytest
from chromium import browser
from four_domains import run


@pytest.fixture(scope="session")
def four_domains(tmp_path_factory):
    """The folder of a small run on pictures, sentences, attributes and sounds."""
    folder = tmp_path_factory.mktemp("four") / "run"
    run(folder, items=400, pairs=80, judged=60, steps=40)
    return folder


@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started
