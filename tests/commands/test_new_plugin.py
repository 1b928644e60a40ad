import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from globalworkspace.cli import main
from globalworkspace.commands.new_plugin import write_plugin
from globalworkspace.errors import ConfigError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(home):
    return sorted(str(f.relative_to(home)) for f in Path(home).rglob("*") if f.is_file())


def test_a_new_plugin_is_a_distribution_of_a_few_files(capsys):
    assert main(["new-plugin", "eye-tracker"]) == 0
    assert files("globalworkspace-eye-tracker") == [
        "README.md",
        "globalworkspace_eye_tracker/__init__.py",
        "globalworkspace_eye_tracker/domain.py",
        "globalworkspace_eye_tracker/plugin.py",
        "globalworkspace_eye_tracker/py.typed",
        "pyproject.toml",
        "tests/test_domain.py",
    ]
    for file in Path("globalworkspace-eye-tracker").rglob("*"):
        assert file.is_dir() or "@" not in file.read_text().replace("@hookimpl", "").replace(
            "@pytest", ""
        )
    printed = capsys.readouterr().out
    assert 'pip install -e "globalworkspace-eye-tracker[test]"' in printed
    assert 'kind = "eye-tracker"' in printed


def test_the_readme_of_a_new_plugin_installs_what_its_tests_need():
    home = write_plugin("touch")
    project = tomllib.loads((home / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"] == {"test": ["pytest"]}
    lines = [line.strip() for line in (home / "README.md").read_text().splitlines()]
    assert lines.index('pip install -e ".[test]"') < lines.index("pytest")


def test_the_prefix_is_not_doubled():
    assert write_plugin("globalworkspace-touch").name == "globalworkspace-touch"


def test_the_tests_of_a_new_plugin_pass_as_they_are_written(folder):
    home = write_plugin("touch", folder / "here")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=home,
        env=os.environ | {"PYTHONPATH": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.parametrize("name", ["Touch", "9lives", "a--b", "a_b", "class", "", "täst", "a/b"])
def test_a_name_that_cannot_be_one_is_refused(name, capsys):
    with pytest.raises(ConfigError, match="cannot name a plugin"):
        write_plugin(name)
    assert not list(Path().iterdir())


@pytest.mark.parametrize("name", ["core", "attributes", "globalworkspace-attributes"])
def test_a_name_that_is_taken_is_refused_with_its_owner(name):
    with pytest.raises(ConfigError, match="is taken by the installed globalworkspace"):
        write_plugin(name)


def test_nothing_is_overwritten(folder):
    home = write_plugin("touch")
    (home / "README.md").write_text("mine")
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        write_plugin("touch")
    assert (home / "README.md").read_text() == "mine"
    (folder / "empty").mkdir()
    assert files(write_plugin("touch", "empty"))
