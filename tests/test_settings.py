import json
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import pytest

from globalworkspace.errors import ConfigError, DataError
from globalworkspace.settings import (
    check_keys,
    construct,
    located,
    read_toml,
    section,
    with_changes,
)


def make(
    size: int,
    rate: float = 1.0,
    name: str | None = None,
    mode: Literal["a", "b"] = "a",
    parts: Sequence[str] = (),
    more: Mapping[str, int] | None = None,
    on: bool = False,
):
    if size > 100:
        raise ValueError("size is too large")
    return size, rate, name, mode, parts, more, on


def test_settings_that_fit_are_passed_on():
    options = {"size": 3, "rate": 2, "name": "x", "mode": "b", "parts": ["y"], "more": {"z": 1}}
    assert construct(make, options, "[it]") == (3, 2, "x", "b", ["y"], {"z": 1}, False)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"sise": 3}, r'\[it\] has no setting "sise"; .*Did you mean "size"\?'),
        ({}, r'\[it\] needs the setting "size"'),
        ({"size": "3"}, r"\[it\]: size is '3'; a whole number is expected"),
        ({"size": True}, "size is True; a whole number"),
        ({"size": 1.5}, "size is 1.5; a whole number"),
        ({"size": 1, "rate": "fast"}, "rate is 'fast'; a number"),
        ({"size": 1, "name": 4}, "name is 4; a text"),
        ({"size": 1, "mode": "c"}, "mode is 'c'; 'a' or 'b'"),
        ({"size": 1, "parts": "one"}, "parts is 'one'; a list"),
        ({"size": 1, "more": [1]}, r"more is \[1\]; a section"),
        ({"size": 1, "on": 1}, "on is 1; true or false"),
        ({"size": 101}, r"\[it\]: size is too large\."),
    ],
)
def test_a_setting_that_does_not_fit_is_named_with_what_is_expected(options, message):
    with pytest.raises(ConfigError, match=message):
        construct(make, options, "[it]")


def test_fixed_arguments_are_not_the_users_to_set():
    assert construct(make, {}, "[it]", fixed={"size": 1})[0] == 1
    with pytest.raises(ConfigError, match='no setting "size"'):
        construct(make, {"size": 2}, "[it]", fixed={"size": 1})


def test_an_unknown_key_without_a_near_one_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r'no setting "zzz"; known: alpha, beta\.$'):
        check_keys(["zzz"], ["alpha", "beta"], "The config")


def test_a_section_that_is_missing_or_no_section_is_refused():
    assert section({}, "data") == {}
    with pytest.raises(ConfigError, match=r"no section \[data\]"):
        section({}, "data", required=True)
    with pytest.raises(ConfigError, match=r"\[data\] must be a section"):
        section({"data": 3}, "data")


def test_located_keeps_the_kind_of_error():
    with pytest.raises(DataError, match=r"^\[data\]: no rows$"), located("[data]"):
        raise DataError("no rows")


def test_a_config_file_that_is_missing_or_no_toml_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere.toml.* does not exist"):
        read_toml(tmp_path / "nowhere.toml")
    (tmp_path / "bad.toml").write_text("[a]\nb = 1\n[a]\n")
    with pytest.raises(ConfigError, match="bad.toml.*line 3.*named twice"):
        read_toml(tmp_path / "bad.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_toml(tmp_path / "binary.toml")


def test_changes_reach_sections_and_lists_and_leave_the_config_as_it_is():
    config = {"training": {"steps": 1}, "objectives": [{"kind": "a"}, {"kind": "b", "weight": 1}]}
    before = json.loads(json.dumps(config))
    changes = ["training.steps=20", "objectives.1.weight=0.5", "test.path=a b.csv", "x.y=[1, 2]"]
    changed = with_changes(config, [*changes, "training.compile=true"])
    assert config == before
    assert changed["training"] == {"steps": 20, "compile": True}
    assert changed["objectives"][1] == {"kind": "b", "weight": 0.5}
    assert changed["test"] == {"path": "a b.csv"} and changed["x"] == {"y": [1, 2]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("steps", "write section.name=value"),
        (".steps=1", "write section.name=value"),
        ("objectives.2.weight=1", "none of the 1 entries, which count from 0"),
        ("objectives.first.weight=1", "none of the 1 entries"),
        ("name.steps=1", 'name is "run", not a section'),
    ],
)
def test_changes_that_do_not_fit_are_named(change, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        with_changes({"name": "run", "objectives": [{}]}, [change])
