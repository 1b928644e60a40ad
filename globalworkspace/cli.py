"""The command line: `globalworkspace COMMAND ...`.

Commands come from the registry, the core's own like anyone else's; a command's module is imported
only when it is called. Exit codes: 0 done, 1 the command itself says no (`plugins --check`), 2 bad
input or a disk that cannot be written to, 130 interrupted (Ctrl-C), 141 nobody reads what is
printed (`| head`), 143 ended by SIGTERM.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

from globalworkspace import __version__
from globalworkspace.errors import WorkspaceError
from globalworkspace.registry import Registration, get_registry


class Command(Protocol):
    """What a `register_commands` target is: a class or module with these two."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit code."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        print(f"globalworkspace {__version__}")
        return 0
    shown, warnings.showwarning = warnings.showwarning, _show_warning
    ended = _end_on_sigterm()
    try:
        registration = get_registry().find("command", words[0])
        command = load_command(registration)
        parser = argparse.ArgumentParser(
            prog=f"globalworkspace {words[0]}",
            description=command.__doc__ or registration.summary,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(parser)
        code = command.run(parser.parse_args(words[1:]))
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # argparse: --help, or arguments that do not fit
        return stop.code if isinstance(stop.code, int) else 2
    except WorkspaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        print(f'error: "{error.filename}" cannot be used: {error.strerror}.', file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever reads, `head` say, has enough
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt as interrupt:
        print(str(interrupt) or "interrupted", file=sys.stderr)
        return 130
    finally:
        warnings.showwarning = shown
        if ended is not None:
            signal.signal(signal.SIGTERM, ended)


def load_command(registration: Registration) -> Command:
    """The command that a registration names: an instance of its class, or its module."""
    loaded: Any = registration.load()
    command: Command = loaded() if isinstance(loaded, type) else loaded
    return command


def _end_on_sigterm() -> Any:
    """Let SIGTERM unwind the stack, so that what is half-written is cleared; the old handler."""
    if threading.current_thread() is not threading.main_thread():
        return None

    def end(*_: Any) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    return signal.signal(signal.SIGTERM, end)


def _overview() -> str:
    lines = ["usage: globalworkspace COMMAND ...", ""]
    lines += ["Join modalities through a Global Workspace.", "", "commands:"]
    for name, registration in get_registry().kinds("command").items():
        lines.append(f"  {name:<14} {registration.summary}")
    broken = [plugin for plugin in get_registry().plugins if plugin.error is not None]
    lines += ["", "globalworkspace COMMAND --help explains one."]
    if broken:
        names = ", ".join(plugin.name for plugin in broken)
        lines.append(f"Plugins out of use: {names}; see globalworkspace plugins.")
    return "\n".join(lines)


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
