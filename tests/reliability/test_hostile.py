"""No folder runs code, leaves its place or asks for more than it holds."""

import sys
import warnings

import hostile
import pytest
import torch
from core_domains import Vector, Weighted

from globalworkspace import GlobalWorkspace
from globalworkspace.errors import CheckpointError, WorkspaceError
from globalworkspace.pretrained import MissingDomain, load_workspace
from globalworkspace.registry import Registration, get_registry

EVENTS = ("os.system", "os.exec", "subprocess.Popen", "pickle.find_class", "socket.connect")
SEEN = []


@pytest.fixture(scope="module", autouse=True)
def watched():
    """Notes whatever hostile code would have to do."""
    sys.addaudithook(lambda event, _: SEEN.append(event) if event in EVENTS else None)


@pytest.fixture
def saved(tmp_path):
    """A saved workspace of two domains of a registered kind, one with weights of its own."""
    registrations = get_registry().registrations
    before = list(registrations)
    for kind in (Vector, Weighted):
        registrations.append(
            Registration(
                category="domain",
                kind=kind.__name__.lower(),
                owner="script",
                target=f"core_domains:{kind.__name__}",
                summary="",
                distribution="a script",
                version="0",
            )
        )
    workspace = GlobalWorkspace({"left": Weighted(3), "right": Vector(4)}, dim=4, hidden_dim=8)
    workspace.fit_standardizers({"left": torch.randn(9, 3)})
    workspace.save_pretrained(tmp_path / "saved")
    yield tmp_path / "saved"
    registrations[:] = before


def test_the_folder_itself_loads(saved):
    assert set(load_workspace(saved).domains) == {"left", "right"}


@pytest.mark.parametrize("name", hostile.FIXTURES)
def test_a_hostile_folder_does_no_harm(saved, monkeypatch, name):
    spoil, ending = hostile.FIXTURES[name]
    hostile.evil_plugin(saved.parent)
    monkeypatch.syspath_prepend(str(saved.parent))
    spoil(saved)
    SEEN.clear()
    loaded = None
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        try:
            loaded = load_workspace(saved)
        except WorkspaceError as error:
            said = error
    assert not SEEN and not (saved.parent / hostile.CANARY).exists()
    assert "evil_plugin" not in sys.modules
    if ending == hostile.REFUSED:
        assert loaded is None, f"{name} was loaded"
        assert isinstance(said, CheckpointError) or "fusion" in name, said
        assert str(saved) in str(said)
    elif ending == hostile.ON_LATENTS:
        assert isinstance(loaded.domains["left"], MissingDomain)
    elif ending == hostile.LOADED:
        assert set(loaded.domains) == {"left", "right"}
    else:
        assert set(loaded.domains) == {"right"}


def test_there_are_enough_of_them():
    assert len(hostile.FIXTURES) >= 20


def test_no_load_path_can_unpickle():
    """The sources of what is installed name no pickle, and no torch.load that would read one."""
    import pathlib
    import re

    import globalworkspace

    home = pathlib.Path(globalworkspace.__file__).parent
    plugins = home.parent / "plugins"
    for file in [*home.rglob("*.py"), *plugins.glob("*/globalworkspace_*/**/*.py")]:
        text = file.read_text()
        assert not re.search(r"^\s*(import|from) (pickle|dill|cloudpickle|joblib)", text, re.M), (
            file
        )
        for call in re.findall(r"torch\.load\(([^)]*)\)", text):
            assert "weights_only=True" in call, (file, call)
