"""Environments for one test: wheels of ours, libraries of the running environment, nothing else.

An environment with torch takes gigabytes and minutes. These take a second: they see every library
of the running environment through a folder of links, but none of its `globalworkspace`
distributions, whose entry points would be found, too. What they hold of ours is installed from
wheels, without a network.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[1]
_OURS = ("globalworkspace", "__editable__", "_editable_impl", "_globalworkspace")


@attrs.frozen
class Environment:
    """A throw-away environment."""

    home: Path

    @property
    def python(self) -> Path:
        return self.home / "bin" / "python"

    def install(self, *wheels):
        """Install wheels and nothing they need."""
        self._pip("install", "--no-deps", "--no-index", *wheels)

    def uninstall(self, name):
        self._pip("uninstall", "--yes", name)

    def run(self, *arguments, cwd=None, env=None):
        """`python arguments...`; the finished process, whatever its exit code."""
        kept = ("PATH", "HOME", "TMPDIR", "LANG")
        clean = {name: os.environ[name] for name in kept if name in os.environ}
        return subprocess.run(
            [str(self.python), *map(str, arguments)],
            cwd=cwd or self.home,
            env=clean | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"} | (env or {}),
            capture_output=True,
            text=True,
            check=False,
        )

    def command(self, *arguments, cwd=None, env=None):
        """`globalworkspace arguments...`."""
        return self.run("-m", "globalworkspace", *arguments, cwd=cwd, env=env)

    def _pip(self, command, *arguments):
        done = subprocess.run(
            [sys.executable, "-m", "pip", "--python", str(self.python), command, "--quiet"]
            + [str(argument) for argument in arguments],
            env={k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def make_environment(folder, *wheels, without=()):
    """A new environment in `folder`/env with these wheels.

    Args:
        folder: Empty, for this environment alone.
        wheels: Files to install.
        without: Libraries that it shall not see, by the names of their folders ("torch").
    """
    home, links = Path(folder) / "env", Path(folder) / "libraries"
    venv.create(home, with_pip=False, symlinks=True)
    environment = Environment(home)
    environment.install(*wheels) if wheels else None
    links.mkdir()
    hidden = tuple(name.lower() for name in without)
    for place in map(Path, sys.path):
        if place.name not in ("site-packages", "dist-packages") or not place.is_dir():
            continue
        for entry in place.iterdir():
            name = entry.name.lower()
            ours = name.startswith(_OURS) or name.endswith((".pth", ".egg-link"))
            if ours or name.split("-")[0] in hidden or (links / entry.name).exists():
                continue
            (links / entry.name).symlink_to(entry)
    purelib = next((home / "lib").glob("python*")) / "site-packages"
    (purelib / "libraries.pth").write_text(f"{links}\n")
    return environment


def build_wheel(project, into):
    """The wheel of a project folder, built without a network; its file."""
    into = Path(into)
    before = set(into.glob("*.whl")) if into.is_dir() else set()
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        + ["-w", str(into), str(project)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = set(into.glob("*.whl")) - before
    return made


def write_project(folder, name, files, entry_points=None, version="0.1.0"):
    """A tiny distribution of modules, as a stranger might publish it.

    Args:
        folder: Its new folder.
        name: Of the distribution.
        files: Module file -> text.
        entry_points: Plugin name -> module.
        version: Its version.
    """
    home = Path(folder)
    home.mkdir(parents=True)
    points = "".join(f'{key} = "{value}"\n' for key, value in (entry_points or {}).items())
    modules = ", ".join(f'"{file}"' for file in files)
    (home / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\n\n'
        f"[project.entry-points.globalworkspace]\n{points}\n"
        f"[tool.hatch.build.targets.wheel]\ninclude = [{modules}]\n"
    )
    for file, text in files.items():
        (home / file).write_text(text)
    return home
