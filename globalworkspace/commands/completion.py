"""`globalworkspace completion`."""

from __future__ import annotations

import argparse

from globalworkspace.errors import ConfigError


class Completion:
    """Print a script by which a shell completes commands, options and files.

    example: globalworkspace completion bash >> ~/.bash_completion
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See `cli.Command`."""
        parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="which shell")

    def run(self, args: argparse.Namespace) -> int:
        """See `cli.Command`."""
        try:
            import shtab
        except ImportError:
            raise ConfigError(
                "completion needs the package shtab. Install it: "
                "pip install 'globalworkspace[completion]'."
            ) from None
        print(shtab.complete(_whole_parser(), shell=args.shell))
        return 0


def _whole_parser() -> argparse.ArgumentParser:
    """One parser of all commands; a command that cannot be loaded has no options."""
    from globalworkspace.cli import load_command
    from globalworkspace.registry import get_registry

    parser = argparse.ArgumentParser(prog="globalworkspace")
    commands = parser.add_subparsers()
    for name, registration in get_registry().kinds("command").items():
        entry = commands.add_parser(name, help=registration.summary)
        try:
            command = load_command(registration)
        except Exception:
            continue
        command.add_arguments(entry)
    return parser
