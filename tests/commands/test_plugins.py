import json

import pytest
from core_domains import broken, discover_with, plugin

from globalworkspace.cli import main


@pytest.fixture
def installed(monkeypatch):
    """Make the given entry points, and one kind of the core, all that is installed."""

    def install(*points):
        registry = discover_with(points)
        registry.registrations = [
            r for r in registry.registrations if r.owner != "core" or r.kind == "plugins"
        ]
        monkeypatch.setattr("globalworkspace.commands.plugins.get_registry", lambda: registry)

    return install


def test_listing_imports_nothing_and_says_so(installed, capsys):
    installed(plugin("far", {"register_domains": [("distant", "no.such.module:Thing")]}))
    assert main(["plugins"]) == 0
    shown = capsys.readouterr().out
    assert "far (globalworkspace-far 1.2)" in shown
    assert any("distant" in line and "unchecked" in line for line in shown.splitlines())


def test_checking_imports_each_target_and_fails_for_a_broken_one(installed, capsys):
    good = plugin("good", {"register_fusions": [("fine", "globalworkspace.fusion:Mean")]})
    installed(good, plugin("far", {"register_domains": [("distant", "no.such.module:Thing")]}))
    assert main(["plugins", "--check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any("fine" in line and " ok " in line for line in lines)
    assert any("distant" in line and "broken: ModuleNotFoundError" in line for line in lines)


def test_checking_finds_a_target_that_is_nothing_of_its_category(installed, capsys):
    installed(plugin("odd", {"register_fusions": [("pi", "math:pi")]}))
    assert main(["plugins", "--check"]) == 1
    shown = capsys.readouterr().out
    assert "is 3.141592653589793, no subclass of globalworkspace.fusion.Fusion" in shown


def test_a_plugin_that_cannot_be_imported_is_listed_with_its_reason(installed, capsys):
    installed(broken("bad", RuntimeError("no libfoo")))
    assert main(["plugins"]) == 1
    shown = capsys.readouterr().out
    assert "out of use, RuntimeError: no libfoo. Reinstall it" in shown
    assert "pip install --force-reinstall globalworkspace-bad" in shown


def test_json_holds_the_same(installed, capsys):
    installed(plugin("good", {"register_fusions": [("fine", "fractions:Fraction")]}))
    assert main(["plugins", "--json"]) == 0
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert entries["good"]["kinds"][0] == {
        "category": "fusion",
        "kind": "fine",
        "target": "fractions:Fraction",
        "summary": "fine",
        "state": "unchecked",
        "clash": None,
    }


def test_a_kind_that_two_plugins_bring_is_listed_under_both_names(installed, capsys):
    hooks = {"register_fusions": [("fine", "fractions:Fraction")]}
    installed(plugin("one", hooks), plugin("two", hooks))
    assert main(["plugins"]) == 0
    shown = capsys.readouterr().out
    assert 'write "one:fine"' in shown and 'write "two:fine"' in shown
    assert 'the fusion "fine" is brought by "two" (globalworkspace-two), too' in shown


def test_a_claim_to_a_kind_of_the_core_is_listed_with_its_reason(installed, capsys):
    installed(plugin("mine", {"register_commands": [("plugins", "fractions:Fraction")]}))
    assert main(["plugins"]) == 0
    reason = 'the command "plugins" is the core\'s own'
    assert f'{reason}: write "mine:plugins" for this one' in capsys.readouterr().out
    assert main(["plugins", "--json"]) == 0
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert entries["mine"]["kinds"][0]["clash"] == reason
    assert entries["core"]["kinds"][0]["clash"] is None


def test_the_columns_of_the_listing_are_as_wide_as_their_longest_entry(installed, capsys):
    hooks = {
        "register_report_sections": [("a", "m:A")],
        "register_fusions": [("a-kind-of-a-rather-long-name", "m:B")],
    }
    installed(plugin("wide", hooks))
    main(["plugins"])
    rows = [line for line in capsys.readouterr().out.splitlines() if " unchecked " in line]
    assert len(rows) == 3 and len({row.index(" unchecked ") for row in rows}) == 1
