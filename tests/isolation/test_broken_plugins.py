"""Distributions that are broken in every way, really installed: none of them stops the host."""

import json

import pytest
import throwaway

from globalworkspace.registry import CATEGORIES

GREEDY = "greedy", "globalworkspace-greedy"
HEAD = """\
from globalworkspace import hookimpl
globalworkspace_api = 1
"""


def domain(kind, target):
    return f"""\
@hookimpl
def register_domains(register):
    register({kind!r}, {target!r}, summary="a test")
"""


FINE_DOMAIN = """\
import torch
from globalworkspace import DomainModule, LatentSpec

class Fine(DomainModule):
    latent = LatentSpec.continuous(2)
    def encode(self, raw):
        return torch.tensor(raw, dtype=torch.float32)
    def decode(self, latents):
        return latents.tolist()
    def config(self):
        return {}
"""

BROKEN = {
    # plugin name -> (text of its module, what the listing says of it)
    "no-import": ("import a_backend_that_is_not_there\n", "ModuleNotFoundError: No module named"),
    "mismatch": (
        'raise RuntimeError("operator torchvision::nms does not exist")\n',
        "RuntimeError: operator torchvision::nms does not exist",
    ),
    "bad-syntax": ("def broken(:\n", "SyntaxError"),
    "leaves": ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
    "nonsense": (HEAD + domain("Not A Kind", "x"), "'Not A Kind' is not a lower-case name"),
    "bad-target": (HEAD + domain("odd", "no colon"), "is not 'package.module:Name'"),
    "misspelt": (
        HEAD + "@hookimpl\ndef register_domain(register):\n    pass\n",
        "unknown hook 'register_domain'",
    ),
    "old-api": ("globalworkspace_api = 0\n", "written for plugin API 0, this is API 1"),
    "no-api": ("x = 1\n", "written for plugin API None"),
    "raises": (
        HEAD + "@hookimpl\ndef register_domains(register):\n    raise ValueError('oh')\n",
        "ValueError: oh",
    ),
    "core": (HEAD, 'the plugin name "core" is taken by globalworkspace'),
}
TAKEN = {
    "command": ("train", "plugins"),
    "network": ("mlp",),
    "fusion": ("random-softmax",),
    "objective": ("translation",),
    "initializer": ("cca",),
}


def claims(taken):
    """The text of a plugin that registers kinds which the core brings."""
    return HEAD + "".join(
        f"@hookimpl\ndef {CATEGORIES[category]}(register):\n"
        + "".join(f"    register({kind!r}, 'gw_missing_module:Thing')\n" for kind in kinds)
        for category, kinds in taken.items()
    )


GOOD = {
    "greedy": claims(TAKEN),
    "fine": HEAD + domain("fine", "gw_fine_domain:Fine"),
    "twin-a": HEAD + domain("twin", "gw_fine_domain:Fine"),
    "twin-b": HEAD + domain("twin", "gw_fine_domain:Fine"),
    "loud": 'print("hello from an import")\n' + HEAD,
    "late": HEAD + domain("late", "gw_missing_module:Thing"),
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("isolation")
    wheels = [throwaway.build_wheel(throwaway.ROOT, folder / "wheels")]
    texts = {name: text for name, (text, _) in BROKEN.items()} | GOOD
    for name, text in texts.items():
        module = f"gw_{name.replace('-', '_')}"
        files = {f"{module}.py": text}
        if name == "fine":
            files["gw_fine_domain.py"] = FINE_DOMAIN
        project = throwaway.write_project(
            folder / name, f"globalworkspace-{name}", files, {name: module}
        )
        wheels.append(throwaway.build_wheel(project, folder / "wheels"))
    return throwaway.make_environment(folder, *wheels)


@pytest.fixture(scope="module")
def listed(environment):
    done = environment.command("plugins", "--json")
    assert done.returncode == 1  # something is broken, and says so
    assert "hello from an import" in done.stderr
    return {(p["name"], p["distribution"]): p for p in json.loads(done.stdout)}


pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_listed_with_its_reason(listed, name):
    record = listed[name, f"globalworkspace-{name}"]
    assert BROKEN[name][1] in record["error"]
    assert record["kinds"] == []


def test_the_others_work_beside_them(listed, environment):
    assert [p["error"] for (n, _), p in listed.items() if n in GOOD] == [None] * len(GOOD)
    code = (
        "from globalworkspace.pretrained import build_domain\n"
        "print(build_domain('fine', {}).encode([[1.0, 2.0]]).tolist())"
    )
    done = environment.run("-c", code)
    assert done.returncode == 0, done.stderr
    assert "[[1.0, 2.0]]" in done.stdout


def test_the_plain_listing_names_each_with_its_reason(environment):
    done = environment.command("plugins")
    for name, (_, reason) in BROKEN.items():
        line = next(x for x in done.stdout.splitlines() if f"(globalworkspace-{name} 0.1.0)" in x)
        assert "out of use" in line
        assert reason in line
    assert 'write "twin-a:twin"' in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def ask(environment, kind, **env):
    code = (
        "from globalworkspace.errors import PluginError\n"
        "from globalworkspace.pretrained import build_domain\n"
        f"try: build_domain({kind!r}, {{}})\nexcept PluginError as error: print(error)"
    )
    return environment.run("-c", code, env=env).stdout


def test_asking_for_a_kind_that_a_broken_plugin_may_bring_names_it_and_its_reason(environment):
    answer = ask(environment, "photo")
    assert 'No installed plugin brings a domain kind "photo"' in answer
    assert '"mismatch" (globalworkspace-mismatch 0.1.0): RuntimeError: operator torch' in answer


def test_asking_for_a_kind_whose_target_is_missing_names_the_remedy(environment):
    answer = ask(environment, "late")
    assert "cannot be imported from gw_missing_module:Thing" in answer
    assert "pip install --force-reinstall globalworkspace-late" in answer


def test_a_kind_of_two_plugins_works_by_its_owner(environment):
    assert '"twin-a:twin" (globalworkspace-twin-a) or "twin-b:twin"' in ask(environment, "twin")
    assert ask(environment, "twin-b:twin") == ""


def test_a_plugin_that_claims_kinds_of_the_core_takes_none_of_them_away(listed, environment):
    kinds = {(k["category"], k["kind"]): k["clash"] for k in listed[GREEDY]["kinds"]}
    assert kinds == {
        (category, kind): f'the {category} "{kind}" is the core\'s own'
        for category, names in TAKEN.items()
        for kind in names
    }
    helped = environment.command("train", "--help")
    assert helped.returncode == 0 and "train a workspace" in helped.stdout.lower()
    code = (
        "from globalworkspace import GlobalWorkspace\n"
        "from globalworkspace.pretrained import build_domain\n"
        "made = GlobalWorkspace({'fine': build_domain('fine', {})}, networks={'fine': 'mlp'})\n"
        "made.save_pretrained('greedy')\n"
        "back = GlobalWorkspace.from_pretrained('greedy')\n"
        "print(type(back.fusion).__name__, type(back.encoder('fine')).__name__)"
    )
    done = environment.run("-c", code)
    assert done.returncode == 0, done.stderr
    assert "RandomSoftmax MLP" in done.stdout


def test_check_finds_the_targets_that_cannot_be_imported(environment):
    done = environment.command("plugins", "--check")
    lines = {x.split()[1]: x for x in done.stdout.splitlines() if x.startswith("  domain ")}
    assert "broken: ModuleNotFoundError: No module named 'gw_missing_module'" in lines["late"]
    assert " ok " in lines["fine"]


def test_strict_mode_stops_with_one_message_and_no_traceback(environment):
    done = environment.command("plugins", env={"GLOBALWORKSPACE_STRICT": "1"})
    assert done.returncode == 2
    assert "GLOBALWORKSPACE_STRICT is set" in done.stderr
    assert all(f'"{name}"' in done.stderr for name in BROKEN)
    assert "Traceback" not in done.stderr


def test_the_environment_limits_plugins_and_strict_mode_minds_only_these(environment):
    limits = {"GLOBALWORKSPACE_STRICT": "1", "GLOBALWORKSPACE_PLUGINS": "fine,late"}
    done = environment.command("plugins", "--json", env=limits)
    assert done.stderr == ""  # a plugin that is switched off is not even imported
    records = json.loads(done.stdout)
    works = {p["name"] for p in records if p["error"] is None}
    assert works == {"core", "fine", "late"}


def test_help_survives_them_all(environment):
    done = environment.command("--help")
    assert done.returncode == 0
    assert "new-plugin" in done.stdout
