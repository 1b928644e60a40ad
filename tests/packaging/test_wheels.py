"""Every distribution builds as a wheel, and the wheels alone run the demo."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = [
    ".",
    "plugins/attributes",
    "plugins/audio",
    "plugins/fusemix",
    "plugins/mmvm",
    "plugins/probes",
    "plugins/shapes",
    "plugins/text",
    "plugins/vision",
]


def run(*command: object, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(c) for c in command], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Distribution -> its wheel."""
    folder = tmp_path_factory.mktemp("wheels")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "-w", folder)
    sources = [ROOT / name for name in DISTRIBUTIONS]
    run(sys.executable, "-m", "pip", "wheel", *options, *sources, cwd=folder)
    found = {file.name.split("-")[0]: file for file in folder.glob("*.whl")}
    assert len(found) == len(DISTRIBUTIONS)
    return found


def environment_of(home: Path, wheels: list[Path]) -> Path:
    """A throw-away environment with the wheels; it sees the libraries of the running one."""
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    purelib = Path(run(python, "-c", where, cwd=home).strip())
    options = ("--python", python, "install", "--quiet", "--no-deps", "--no-index")
    run(sys.executable, "-m", "pip", *options, *wheels, cwd=home)
    # Last: with it pip would also see the running environment's editable installs.
    (purelib / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


@pytest.fixture(scope="module")
def wheel_environment(tmp_path_factory: pytest.TempPathFactory, wheels: dict[str, Path]) -> Path:
    """An environment with all of them."""
    return environment_of(tmp_path_factory.mktemp("all"), sorted(wheels.values()))


ALONE = """
import importlib.util
import sys
from globalworkspace.registry import get_registry

name = sys.argv[1]
registry = get_registry()
working = {p.name for p in registry.plugins if p.error is None}
assert working == {"core", name}, registry.plugins
own = [entry for entry in registry.registrations if entry.owner == name]
for entry in own:
    assert entry.load() is not None
for other in {p.name for p in registry.plugins} - working:  # seen, but no code of theirs
    assert importlib.util.find_spec(f"globalworkspace_{other}") is None, other
print(len(own))
"""


def python_with(
    names: list[str], home: Path, wheels: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The python of an environment with the core and these add-ons; no other is to be used."""
    chosen = [wheels["globalworkspace"], *(wheels[f"globalworkspace_{name}"] for name in names)]
    monkeypatch.setenv("GLOBALWORKSPACE_PLUGINS", ",".join(names))
    return environment_of(home / "venv", chosen) / "bin" / "python"


@pytest.mark.slow
@pytest.mark.parametrize("name", [Path(path).name for path in DISTRIBUTIONS[1:]])
def test_each_add_on_works_alone_with_the_core(
    tmp_path: Path, wheels: dict[str, Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = python_with([name], tmp_path, wheels, monkeypatch)
    printed = run(python, "-W", "error", "-c", ALONE, name, cwd=tmp_path)
    assert int(printed) >= 1


NEIGHBOURS = {
    "fusemix": ["docs/fusemix.md"],
    "mmvm": ["docs/mmvm.md"],
    "probes": ["docs/integration-probe.md", "docs/few-shot.md"],
}
"""Add-ons that train and measure whatever domains there are, and the pages with their examples."""
BESIDE = {"mmvm": ["attributes"]}
"""Whose domains an example uses."""


@pytest.mark.slow
@pytest.mark.parametrize("name", NEIGHBOURS)
def test_the_examples_of_a_neighbour_run_with_what_they_import_and_no_other_add_on(
    tmp_path: Path, wheels: dict[str, Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = python_with([name, *BESIDE.get(name, [])], tmp_path, wheels, monkeypatch)
    for page in NEIGHBOURS[name]:
        text = (ROOT / page).read_text(encoding="utf-8")
        examples = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        assert examples, page
        run(python, "-c", "\n".join(examples), cwd=tmp_path)


@pytest.mark.slow
def test_wheels_alone_list_every_plugin_as_working(wheel_environment: Path, tmp_path: Path) -> None:
    listed = json.loads(
        run(
            wheel_environment / "bin" / "globalworkspace",
            "plugins",
            "--json",
            "--check",
            cwd=tmp_path,
        )
    )
    assert {plugin["name"] for plugin in listed} == {
        "core",
        "attributes",
        "audio",
        "fusemix",
        "mmvm",
        "probes",
        "shapes",
        "text",
        "vision",
    }
    assert {kind["state"] for plugin in listed for kind in plugin["kinds"]} == {"ok"}


@pytest.mark.slow
def test_wheels_alone_run_the_demo_and_translate(wheel_environment: Path, tmp_path: Path) -> None:
    where = run(
        wheel_environment / "bin" / "python",
        "-c",
        "import globalworkspace, globalworkspace_shapes, globalworkspace_text as t, "
        "globalworkspace_vision as v, "
        "globalworkspace_attributes as a; print(*(m.__file__ for m in (globalworkspace, "
        "globalworkspace_shapes, t, v, a)))",
        cwd=tmp_path,
    )
    assert all(path.startswith(str(wheel_environment)) for path in where.split())
    command = wheel_environment / "bin" / "globalworkspace"
    printed = run(
        command,
        "demo",
        "--out",
        "run",
        "--items",
        400,
        "--pairs",
        60,
        "--steps",
        20,
        "--quiet",
        cwd=tmp_path,
    )
    assert "picture -> caption" in printed
    assert (tmp_path / "run" / "translations.png").stat().st_size > 10_000
    sentence = run(
        command,
        "translate",
        "run",
        "--from",
        'attributes={"shape": "egg", "x": 12, "y": 9, "size": 10, '
        '"rotation": 1.0, "r": 0.9, "g": 0.1, "b": 0.1}',
        "--to",
        "caption",
        cwd=tmp_path,
    )
    assert len(sentence.split()) > 4
