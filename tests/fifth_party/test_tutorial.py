"""A plugin written from the tutorial's text alone, where only wheels of core and attributes are."""

import json
import re
import shlex

import pytest
import throwaway

PAGE = (throwaway.ROOT / "docs" / "writing-a-domain.md").read_text()
TUTORIAL = PAGE[: PAGE.index("## The contract")]
FILE = re.compile(r"(?ms)^```(?:python|toml)\n# (\S+)\n(.*?)^```$")
COMMANDS = re.compile(r"(?ms)^```bash\n(.*?)^```$")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The tutorial's files, as a reader would write them."""
    folder = tmp_path_factory.mktemp("thermometer")
    for name, text in FILE.findall(TUTORIAL):
        file = folder / "project" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder / "project"


@pytest.fixture(scope="module")
def environment(project):
    wheels = project.parent / "wheels"
    made = [
        throwaway.build_wheel(home, wheels)
        for home in (throwaway.ROOT, throwaway.ROOT / "plugins" / "attributes", project)
    ]
    return throwaway.make_environment(project.parent, *made)


def test_the_domain_takes_thirty_lines_at_most(project):
    code = (project / "globalworkspace_thermometer" / "domain.py").read_text()
    assert 10 < len(code.strip().splitlines()) <= 36
    assert len([line for line in code.splitlines() if line.strip()]) <= 30


def test_the_tutorials_commands_work_in_a_fresh_environment(project, environment):
    (block,) = COMMANDS.findall(TUTORIAL)
    done = {}
    for line in block.strip().splitlines():
        words = shlex.split(line)
        if words[0] == "pip":
            continue  # the wheels are there
        if words[0] == "python":
            words = words[1:]
        else:
            words = ["-m", *words]
        done[line] = environment.run(*words, cwd=project)
        assert done[line].returncode == 0, done[line].stdout + done[line].stderr
    tests, made, trained, translated = done.values()
    assert " passed" in tests.stdout and " failed" not in tests.stdout
    page = (project / "runs" / "weather" / "report.html").read_text()
    assert "<h3>From weather</h3>" in page and "→ temperature</th>" in page
    assert re.search(r">-?\d+\.\d C</", page)
    assert "season: summer" in translated.stdout


def test_the_saved_workspace_loads_in_a_new_process(project, environment):
    code = (
        "from globalworkspace import GlobalWorkspace\n"
        "w = GlobalWorkspace.from_pretrained('runs/weather/workspace')\n"
        "import json\n"
        "print(json.dumps(w.translate({'weather': [{'season': 'winter', 'sun': 4.0}]},"
        " to='temperature')))"
    )
    done = environment.run("-c", code, cwd=project)
    assert done.returncode == 0, done.stderr
    (text,) = json.loads(done.stdout)
    assert -8 < float(text.removesuffix(" C")) < 8


def test_the_figures_are_of_a_workspace_that_has_learned(project, environment):
    saved = json.loads((project / "runs" / "weather" / "evaluation.json").read_text())
    assert saved["translation"]["weather -> temperature"] < 0.4
