"""Settings from a file or a caller, checked before they are used.

An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import copy
import inspect
import json
import tomllib
import types
import typing
from collections import abc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from globalworkspace.errors import ConfigError, WorkspaceError, did_you_mean

T = TypeVar("T")


def read_toml(path: str | Path) -> dict[str, Any]:
    """A TOML file as nested dicts.

    Raises:
        ConfigError: If it does not exist or is no TOML, naming the line.
    """
    file = Path(path).expanduser()
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError:
        raise ConfigError(f'The config file "{file}" does not exist.') from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'The config file "{file}" cannot be read: {error}.') from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f'The config file "{file}" is no valid TOML: {error}. Is a section or a domain named '
            "twice?"
        ) from None


def with_changes(config: Mapping[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """A config with single settings changed.

    Args:
        config: Nested settings; stays as it is.
        changes: `section.name=value` each. The value is read as TOML (`0.1`, `true`, `[1, 5]`) and
            taken as text where it is none. A number names an entry of a list, from 0
            (`objectives.0.weight=2`).

    Raises:
        ConfigError: On a change of another form, or one that leads through something that is no
            section.

    Example:
        >>> with_changes({"training": {"steps": 10}}, ["training.steps=20", "data.path=a.csv"])
        {'training': {'steps': 20}, 'data': {'path': 'a.csv'}}
    """
    changed = copy.deepcopy(dict(config))
    for change in changes:
        path, sign, text = change.partition("=")
        names = path.strip().split(".")
        if not sign or not all(names):
            raise ConfigError(f'"{change}" is no change; write section.name=value.')
        place: Any = changed
        for depth, name in enumerate(names[:-1]):
            place = _inside(place, name, ".".join(names[: depth + 1]), change)
        _inside(place, names[-1], path, change, _value(text.strip()))
    return changed


def _inside(place: Any, name: str, path: str, change: str, value: Any = None) -> Any:
    """The section of that name inside of another, made if it is absent; or a value put there."""
    if isinstance(place, list):
        if not name.isdigit() or int(name) >= len(place):
            raise ConfigError(
                f'"{change}": {path} is none of the {len(place)} entries, which count from 0.'
            )
        key: Any = int(name)
    elif isinstance(place, dict):
        key = name
    else:
        where = f"{path.rpartition('.')[0]} is {json.dumps(place, default=str)}"
        raise ConfigError(f'"{change}": {where}, not a section.')
    if value is not None:
        place[key] = value
        return None
    return place[key] if isinstance(place, list) else place.setdefault(key, {})


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def flattened(config: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Every setting as `section.name` -> its value as JSON, as a reader compares them."""
    found: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            found |= flattened(value, f"{before}{name}.")
        else:
            found[before + name] = json.dumps(value, ensure_ascii=False, default=str)
    return found


def check_keys(given: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise a `ConfigError` for the first key of `given` not in `known`; `where` is its section."""
    names = list(known)
    for key in given:
        if key not in names:
            raise ConfigError(
                f'{where} has no setting "{key}"; known: {", ".join(names) or "none"}.'
                + did_you_mean(key, names)
            )


def section(config: Mapping[str, Any], name: str, *, required: bool = False) -> dict[str, Any]:
    """A table of the config file, empty if absent.

    Raises:
        ConfigError: If it is required and absent, or is no table.
    """
    if name not in config:
        if required:
            raise ConfigError(
                f"The config has no section [{name}]. Add it; docs/quickstart.md shows one."
            )
        return {}
    value = config[name]
    if not isinstance(value, Mapping):
        raise ConfigError(f"[{name}] must be a section with settings; got {value!r}.")
    return dict(value)


@contextmanager
def located(where: str) -> Iterator[None]:
    """Put `where` (the section of a config) in front of any error a user can act on."""
    try:
        yield
    except WorkspaceError as error:
        raise type(error)(f"{where}: {error}") from error


def setting_names(target: Callable[..., Any]) -> list[str] | None:
    """The keyword arguments of a class or function; None if it takes any."""
    parameters = inspect.signature(target).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    return [name for name, p in parameters.items() if p.kind in _NAMED and name != "self"]


def construct(
    target: Callable[..., T],
    options: Mapping[str, Any],
    where: str,
    *,
    fixed: Mapping[str, Any] | None = None,
) -> T:
    """Call `target(**options, **fixed)`; settings that do not fit become clear errors.

    Args:
        target: A class or function.
        options: What the user set.
        where: The section, for messages.
        fixed: Arguments that are not the user's to set.

    Raises:
        ConfigError: Naming `where`, the setting and what is known.
    """
    given = dict(fixed or {})
    names = setting_names(target)
    if names is not None:
        check_keys(options, [name for name in names if name not in given], where)
    for name, parameter in inspect.signature(target).parameters.items():
        required = parameter.default is inspect.Parameter.empty and parameter.kind in _NAMED
        if required and name not in options and name not in given:
            raise ConfigError(f'{where} needs the setting "{name}".')
    _check_types(target, options, where)
    try:
        return target(**options, **given)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    except TypeError as error:
        raise ConfigError(f"{where}: {error}.") from error
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        raise ConfigError(f"{where}: {error.args[0]}.") from error  # a validator's complaint


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    abc.Mapping: "a section",
    abc.Sequence: "a list",
    list: "a list",
    tuple: "a list",
    dict: "a section",
}


def _check_types(target: Callable[..., Any], options: Mapping[str, Any], where: str) -> None:
    """Compare settings with the annotations of `target`, as far as these are plain."""
    hints: dict[str, Any] = {}
    for holder in (target, getattr(target, "__init__", None)):
        try:
            hints |= typing.get_type_hints(holder)
        except (NameError, TypeError):  # an annotation that exists for type checkers only
            continue
    for name, value in options.items():
        if name in hints and not _fits(value, hints[name]):
            raise ConfigError(f"{where}: {name} is {value!r}; {_words(hints[name])} is expected.")


def _fits(value: Any, hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, choice) for choice in typing.get_args(hint))
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    kind = origin or hint
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in (str, bool, type(None)):
        return isinstance(value, kind)
    if kind in (list, tuple, abc.Sequence, abc.Iterable):
        return isinstance(value, (list, tuple))
    if kind in (dict, abc.Mapping):
        return isinstance(value, Mapping)
    return True


def _words(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        choices = [_words(c) for c in typing.get_args(hint) if c is not type(None)]
        return " or ".join(dict.fromkeys(choices))
    if origin is typing.Literal:
        return " or ".join(repr(choice) for choice in typing.get_args(hint))
    return _WORDS.get(origin or hint, getattr(origin or hint, "__name__", str(hint)))
