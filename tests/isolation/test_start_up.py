"""Listing plugins and asking for help need no torch and import no add-on."""

import json

import pytest
import throwaway

pytestmark = pytest.mark.slow
ADD_ONS = ("attributes", "audio", "shapes", "text", "vision")


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Core and all first-party add-ons where torch is not installed."""
    folder = tmp_path_factory.mktemp("no-torch")
    projects = [throwaway.ROOT, *(throwaway.ROOT / "plugins" / name for name in ADD_ONS)]
    wheels = [throwaway.build_wheel(project, folder / "wheels") for project in projects]
    return throwaway.make_environment(
        folder, *wheels, without=("torch", "torchgen", "functorch", "torchvision")
    )


def test_plugins_are_listed_where_there_is_no_torch(environment):
    assert environment.run("-c", "import torch").returncode == 1
    done = environment.command("plugins", "--json")
    assert done.returncode == 0, done.stderr
    names = {record["name"] for record in json.loads(done.stdout) if record["error"] is None}
    assert names == {"core", *ADD_ONS}


def test_help_is_shown_where_there_is_no_torch(environment):
    done = environment.command("--help")
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout


@pytest.mark.parametrize("command", ["--help", "plugins"])
def test_no_heavy_library_is_imported(environment, command):
    heavy = ("numpy", "pandas", "PIL", "librosa", "soundfile", "transformers", "timm", "tokenizers")
    code = (
        "import sys\nfrom globalworkspace.cli import main\n"
        f"try: main([{command!r}])\nexcept SystemExit: pass\n"
        f"print('LOADED', [name for name in {heavy!r} if name in sys.modules])"
    )
    assert environment.run("-c", code).stdout.splitlines()[-1] == "LOADED []"
