"""Errors that a user can act on.

Each names the culprit, what was given, what was expected and what to do. All of them are
`ValueError`s, so a script can catch them as such; the command line prints their message without a
traceback and exits with code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class WorkspaceError(ValueError):
    """Something the user gave cannot be used; the message says what and how to mend it."""


class ConfigError(WorkspaceError):
    """A setting is unknown, missing or out of range."""


class DataError(WorkspaceError):
    """A table, a row or a cell cannot be used."""


class DomainError(WorkspaceError):
    """A domain module broke its contract, or a domain was named wrongly."""


class PluginError(WorkspaceError):
    """A kind is unknown, claimed twice, or its plugin is broken."""


class CheckpointError(WorkspaceError):
    """A saved file is missing, damaged or was made by something this version cannot read."""


class StorageError(WorkspaceError, OSError):
    """Something cannot be written: no space, no right to, no such disk.

    `errno` and `filename` are those of the system's error.
    """

    def __str__(self) -> str:
        return str(self.args[0])


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, or nothing."""
    close = difflib.get_close_matches(given, list(known), n=1)
    return f' Did you mean "{close[0]}"?' if close else ""
