"""Every hook is documented with its arguments, used in this repository, and open to a stranger."""

import importlib
import inspect
import json
import re
import sys
import tomllib
import types
from pathlib import Path

import pytest
from core_domains import plugin
from run_files import CONFIG, things, write_csv

from globalworkspace import Augmentation, Callback, Fusion, Objective, builtin, hookspecs
from globalworkspace.cli import Command, main
from globalworkspace.experiment import run_experiment
from globalworkspace.registry import CATEGORIES, discover, get_registry
from globalworkspace.training.callbacks import Training

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "hooks.md").read_text()
HOOKS = [name for name in vars(hookspecs) if name.startswith("register_")]
SECTIONS = dict(re.findall(r"(?ms)^## (register_\w+)\n\n(.*?)(?=^## |\Z)", PAGE))


def test_every_hook_registers_a_category():
    assert sorted(HOOKS) == sorted(CATEGORIES.values())


def test_the_page_has_a_section_for_each_hook_and_for_no_other():
    assert list(SECTIONS) == list(dict.fromkeys(SECTIONS))
    assert sorted(SECTIONS) == sorted(HOOKS)
    assert set(re.findall(r"register_\w+", PAGE)) == set(HOOKS)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_takes_what_the_page_says(hook):
    assert list(inspect.signature(getattr(hookspecs, hook)).parameters) == ["register"]
    assert "`register`" in PAGE
    assert (
        "sed by" in SECTIONS[hook] or "sed as" in SECTIONS[hook] or "takes part" in SECTIONS[hook]
    )


def test_the_page_names_each_argument_of_register_and_no_other():
    arguments = list(inspect.signature(hookspecs.Register.__call__).parameters)[1:]
    table = PAGE[PAGE.index("| argument of") : PAGE.index("A fault in one plugin")]
    assert re.findall(r"(?m)^\| `(\w+)` \|", table) == arguments


JUDGED_BY = {
    # hook -> what the page's signatures are those of; else every function that the core registers
    "register_objectives": [Objective],
    "register_fusions": [Fusion],
    "register_augmentations": [Augmentation],
    "register_callbacks": [Callback, Training],
    "register_commands": [Command],
}
SIGNATURE = re.compile(r"`(\w*)\((?!B, )([^`()]*)\)(?: -> ([^`]+))?`")


def subjects(hook):
    core = [r for r in discover([]).registrations if CATEGORIES[r.category] == hook]
    return JUDGED_BY.get(hook) or [registration.load() for registration in core]


def disagreements(hook, section):
    """What the signatures in backticks say that `inspect.signature` does not."""
    found = []
    for name, arguments, returns in SIGNATURE.findall(section):
        named = [word for word in re.split(r",\s*", arguments) if word]
        expected = [word for word in named if not word.startswith("**")]
        functions = [getattr(x, name, None) if name else x for x in subjects(hook)]
        if not any(functions):
            found.append(f"nothing has {name}()")
        for function in filter(None, functions):
            signature = inspect.signature(function)
            parameters = [p for p in signature.parameters.values() if p.name != "self"]
            if expected != named:  # the user's settings follow
                parameters = parameters[: len(expected)]
            if [p.name for p in parameters] != expected:
                found.append(f"{function.__qualname__}{signature} is no ({arguments})")
            given = re.sub(r"\[.*\]", "", str(signature.return_annotation))
            if returns and not set(given.split(" | ")) <= set(returns.split(" | ")):
                found.append(f"{function.__qualname__} returns {given}, not {returns}")
    return found


@pytest.mark.parametrize("hook", HOOKS)
def test_the_signatures_on_the_page_are_those_of_the_code(hook):
    assert disagreements(hook, SECTIONS[hook]) == []


@pytest.mark.parametrize("hook", [hook for hook in HOOKS if hook != "register_domains"])
def test_another_signature_on_the_page_would_be_noticed(hook):
    first = SIGNATURE.search(SECTIONS[hook])
    assert first, "the page gives a signature"
    changed = SECTIONS[hook].replace(first[0], f"`{first[1]}(other)`")
    assert disagreements(hook, changed)


def test_the_page_names_each_training_event_and_no_other():
    events = re.search(r"with any of (.*?)\.", SECTIONS["register_callbacks"], re.S)[1]
    methods = [name for name in vars(Callback) if not name.startswith("_")]
    assert sorted(re.findall(r"`(\w+)`", events)) == sorted(methods)


def users(hook):
    """First-party plugin modules, the core's among them, that implement a hook."""
    modules = [builtin]
    for file in (ROOT / "plugins").glob("*/pyproject.toml"):
        points = tomllib.loads(file.read_text())["project"]["entry-points"]["globalworkspace"]
        modules += [importlib.import_module(name) for name in points.values()]
    return [module for module in modules if hasattr(module, hook)]


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_has_a_user_in_this_repository(hook):
    assert users(hook)


EXAMPLE = re.findall(r"(?ms)^```python\n(.*?)^```$", PAGE)[-1]
BRINGS = {
    "register_domains": ("own-numbers", "script_domains:Numbers"),
    "register_datasets": ("own-rows", "hooks_page:rows"),
    "register_objectives": ("own-again", "hooks_page:Again"),
    "register_fusions": ("own-loudest", "hooks_page:Loudest"),
    "register_initializers": ("own-small", "hooks_page:small"),
    "register_networks": ("own-linear", "hooks_page:Linear"),
    "register_augmentations": ("shrink", "hooks_page:Shrink"),
    "register_recipes": ("twice", "hooks_page:TWICE"),
    "register_callbacks": ("own-quick", "hooks_page:Quick"),
    "register_evaluations": ("own-judged", "hooks_page:rows_judged"),
    "register_report_sections": ("own-section", "hooks_page:judged"),
    "register_commands": ("own-hello", "hooks_page:Hello"),
}


@pytest.fixture
def stranger(monkeypatch):
    """A stranger's plugin that brings one of each kind: the code of the page."""
    from globalworkspace.data.readers import read_table

    module = types.ModuleType("hooks_page")
    exec(compile(EXAMPLE, "hooks.md", "exec"), vars(module))

    def rows(path: str, columns: dict):
        return read_table(path, columns=columns)

    module.rows = rows
    monkeypatch.setitem(sys.modules, "hooks_page", module)
    registry = discover([plugin("stranger", {hook: [entry] for hook, entry in BRINGS.items()})])
    monkeypatch.setattr(get_registry(), "registrations", registry.registrations)
    assert [p.error for p in registry.plugins] == [None, None]


def test_a_stranger_brings_one_of_each_and_a_run_uses_them_all(
    stranger, tmp_path, monkeypatch, capsys
):
    assert set(BRINGS) == set(HOOKS)
    monkeypatch.chdir(tmp_path)
    write_csv(things())
    text = CONFIG.replace("script-numbers", "own-numbers").replace('"table"', '"own-rows"')
    config = tomllib.loads(text) | {
        "objectives": [{"kind": "translation"}, {"kind": "own-again", "view": "small"}],
        "augmentations": {"small": {"kind": "shrink"}},
        "callbacks": [{"kind": "own-quick"}],
        "evaluations": [{"kind": "own-judged", "offset": 1000}],
        "initializer": {"kind": "own-small", "scale": 0.5},
    }
    config["workspace"] |= {"fusion": "own-loudest", "networks": {"place": "own-linear"}}
    made = run_experiment(config, tmp_path / "run", progress=False)
    saved = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert saved["own-judged"] == {"rows": 1000 + len(made.held_out.raw)}
    assert saved["stopped"] == "five steps are enough for a test"
    assert type(made.workspace.encoder("place")).__name__ == "Linear"
    assert type(made.workspace.fusion).__name__ == "Loudest"
    assert type(made.workspace.domains["look"]).__name__ == "Numbers"
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert "again" in json.loads(lines[-1])["families"]
    assert ">Judged</h2>" in (tmp_path / "run/report.html").read_text()
    del config["objectives"], config["augmentations"]
    run_experiment(config | {"recipe": "twice"}, tmp_path / "other", progress=False)
    last = json.loads((tmp_path / "other/metrics.jsonl").read_text().splitlines()[-1])
    assert set(last["families"]) == {"translation", "again"}
    assert main(["own-hello", "you"]) == 0
    assert "hello you" in capsys.readouterr().out
