"""Every code block of the README, of docs/ and of the plugins' READMEs is run or checked here.

Blocks of one file share a namespace and a folder, in order. ```python is executed; ```toml is
parsed, and written to the file that its first comment names, with few steps; ```bash lines are run
through `globalworkspace.cli.main`, or checked against the Makefile and the plugins' names.
"""

import contextlib
import gc
import importlib.util
import io
import re
import shlex
import tomllib
import warnings
from pathlib import Path

import pytest

from globalworkspace.cli import main
from globalworkspace.registry import get_registry

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "plugins").glob("*/README.md")),
]
BLOCK = re.compile(r"^```([a-z]*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"python", "toml", "bash", "console", "", "text", "bibtex"}
NOT_RUN: dict[tuple[str, str], str] = {
    # (page, a line of the block) -> why it is not run
    ("docs/command-line.md", "init my-pictures"): "docs/quickstart.md runs it on pictures there",
    ("docs/label-efficiency.md", "shapes.toml --out runs/pairs"): "the better part of an hour",
    ("docs/writing-a-domain.md", "pytest tests"): "tests/fifth_party runs them where it is new",
    ("docs/writing-a-domain.md", "# tests/test_thermometer.py"): "likewise",
}
TEST_STEPS = 6


def blocks(page):
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def name_of(page):
    return str(page.relative_to(ROOT))


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # datasets forgets to close
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_code_block_of_a_page_works(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # `plugins --check` takes seconds for each of two dozen kinds; tests/commands tests it on a few
    monkeypatch.setattr("globalworkspace.commands.plugins._check", lambda registration: "ok")
    namespace = {"__name__": "docs"}
    for language, code in blocks(page):
        assert language in LANGUAGES, f"{name_of(page)}: nobody checks a block of {language!r}"
        if any(name == name_of(page) and line in code for name, line in NOT_RUN):
            continue
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # dead dimensions of tiny data
            if language == "python":
                exec(compile(code, name_of(page), "exec"), namespace)
            elif language == "toml":
                check_toml(code)
            elif language in ("bash", "console") or is_commands(code):
                for command in commands(code):
                    check_command(command)
    gc.collect()  # so that a file left open is noticed here and not in the next test


def check_toml(code):
    tomllib.loads(code)
    named = re.match(r"# (\S+\.toml)\n", code)
    if named:
        Path(named[1]).write_text(re.sub(r"(?m)^steps = \d+", f"steps = {TEST_STEPS}", code))


def is_commands(code):
    return code.startswith(("pip ", "make ", "globalworkspace "))


def commands(code):
    lines = code.replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ").strip() for line in lines if line.strip(" $")]


def check_command(command):
    words = shlex.split(command, comments=True)
    if not words:
        return
    if words[0] == "globalworkspace":
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            code = main(words[1:])
        assert code == 0, f"{command}: exit code {code}\n{errors.getvalue()[-2000:]}"
    elif words[0] == "make":
        targets = re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text())
        assert set(words[1:]) <= set(targets), f"{command}: the Makefile has {targets}"
    elif words[:2] == ["pip", "install"]:
        for word in words[2:]:
            assert word == "--no-deps" or re.split(r"[\[=<>]", word)[0] in installable(), command
    elif words[0] == "torchrun":  # tests/processes runs it
        module = words.index("-m")
        assert words[module + 1] == "globalworkspace", command
        get_registry().find("command", words[module + 2])
    elif words[0] == "python" and words[1].endswith(".py"):
        assert (ROOT / words[1]).is_file(), command
    else:
        pytest.fail(f"{command!r} is neither run nor checked; extend tests/test_docs.py")


def installable():
    """The distributions of this repository, and the packages its requirements name."""
    projects = [ROOT / "pyproject.toml", *(ROOT / "plugins").glob("*/pyproject.toml")]
    names = {tomllib.loads(file.read_text())["project"]["name"] for file in projects}
    for file in (ROOT / "requirements").glob("*.txt"):
        names |= {re.split(r"[\[=<>]", line)[0] for line in file.read_text().split()}
    return names


def test_the_list_of_blocks_that_are_not_run_is_up_to_date():
    for page, line in NOT_RUN:
        assert any(line in code for _, code in blocks(ROOT / page)), (page, line)


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            if target.endswith(".png"):
                continue
            assert (page.parent / target).exists(), f"{name_of(page)} links to {target}"


@pytest.fixture
def readme_table():
    file = ROOT / "tests" / "benchmarks" / "readme_table.py"
    spec = importlib.util.spec_from_file_location("readme_table", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readmes_results_are_what_the_script_makes_from_the_claims(readme_table):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    expected = readme_table.with_results(text, readme_table.load_claims())
    assert text == expected, "run: python tests/benchmarks/readme_table.py"


def test_the_results_table_leaves_out_figures_that_are_not_measured_yet(readme_table):
    claim = {"value": 0.5, "low": 0.4, "high": 1234.0, "unit": "minutes", "command": "make demo"}
    section = readme_table.results_section({"other_figure": claim, "demo_minutes": claim})
    assert section.splitlines()[2:] == [
        "| `globalworkspace demo`, whole run | 0.5 minutes | 0.4 – 1,234 | `make demo` |",
    ]
    assert readme_table.results_section({}) == ""


def test_results_without_markers_are_refused(readme_table):
    with pytest.raises(ValueError, match="needs the markers"):
        readme_table.with_results("# no markers", {})
