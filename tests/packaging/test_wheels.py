"""Every distribution builds as a wheel, and the wheels alone run the demo."""

import json
import os
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
def wheel_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A throw-away environment with the wheels; it sees the libraries of the running one."""
    folder = tmp_path_factory.mktemp("wheels")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder / "wheels",
    ]
    run(*build, *(ROOT / name for name in DISTRIBUTIONS), cwd=folder)
    home = folder / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    purelib = Path(
        run(
            python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder
        ).strip()
    )
    wheels = sorted((folder / "wheels").glob("*.whl"))
    assert len(wheels) == len(DISTRIBUTIONS)
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        *wheels,
        cwd=folder,
    )
    # Last: with it pip would also see the running environment's editable installs.
    (purelib / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


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
