"""Options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_config(parser: argparse.ArgumentParser, what: str = "the TOML file") -> None:
    """The argument `config` and the option `--set`."""
    parser.add_argument("config", help=what)
    add_set(parser)


def add_set(parser: argparse.ArgumentParser) -> None:
    """The option `--set SECTION.NAME=VALUE`."""
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="SECTION.NAME=VALUE",
        help="change a setting of the file, as training.steps=500; may be given several times",
    )


def read_config(args: argparse.Namespace) -> dict[str, Any]:
    """The config that `add_config`'s arguments name.

    Raises:
        ConfigError: If it cannot be read, or a change does not fit.
    """
    from globalworkspace.settings import read_toml, with_changes

    return with_changes(read_toml(args.config), args.changes)


def run_folder(args: argparse.Namespace) -> Path:
    """`--out`, by default runs/ and the name of the config."""
    return Path(args.out) if args.out else Path("runs") / Path(args.config).stem
