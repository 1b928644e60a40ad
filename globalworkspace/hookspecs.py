"""The hooks a plugin may implement: all of them, read in a minute.

A plugin is a light module named by an entry point of the group `globalworkspace`. It imports only
`globalworkspace.hookimpl`, declares `globalworkspace_api = 1`, and names what it brings as dotted
targets `"package.module:Name"` that are imported on first use.
"""

from __future__ import annotations

from typing import Protocol

import pluggy

PROJECT = "globalworkspace"
API_VERSION = 1
"""Version of the hooks below; a plugin states its own as `globalworkspace_api`."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Register(Protocol):
    """The callback that every hook receives."""

    def __call__(self, kind: str, target: str, *, summary: str = "") -> None:
        """Announce `kind`, implemented by the dotted `target`; `summary` is one line."""


@hookspec
def register_domains(register: Register) -> None:
    """Domain kinds: subclasses of `globalworkspace.DomainModule`."""


@hookspec
def register_datasets(register: Register) -> None:
    """Data set kinds: callables `(**options) -> globalworkspace.Table`."""


@hookspec
def register_objectives(register: Register) -> None:
    """Loss families: subclasses of `globalworkspace.Objective`."""


@hookspec
def register_fusions(register: Register) -> None:
    """Fusions: subclasses of `globalworkspace.Fusion`."""


@hookspec
def register_initializers(register: Register) -> None:
    """First weights from the matched rows: callables `(workspace, data, **options) -> None`."""


@hookspec
def register_networks(register: Register) -> None:
    """Encoder and decoder families: classes with the static methods `encoder` and `decoder`."""


@hookspec
def register_augmentations(register: Register) -> None:
    """Changes to the latents of a matched group: subclasses of `globalworkspace.Augmentation`."""


@hookspec
def register_recipes(register: Register) -> None:
    """Named sets of objectives: objects of `globalworkspace.recipes.Recipe`."""


@hookspec
def register_callbacks(register: Register) -> None:
    """Listeners to training events: subclasses of `globalworkspace.Callback`."""


@hookspec
def register_evaluations(register: Register) -> None:
    """Figures of a trained workspace: callables `(workspace, held_out, **options) -> dict`."""


@hookspec
def register_report_sections(register: Register) -> None:
    """Sections of a run's report: callables `(experiment) -> Section | None`."""


@hookspec
def register_commands(register: Register) -> None:
    """Subcommands of `globalworkspace`: with `add_arguments(parser)` and `run(args) -> int`."""
