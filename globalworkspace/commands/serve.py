"""`globalworkspace serve`."""

from __future__ import annotations

import argparse
import socket
import threading
import webbrowser
from pathlib import Path

from globalworkspace.errors import ConfigError


class Serve:
    """Show a run as a page on this machine: give it an item, and see it in every domain.

    Nobody else can reach it unless --host says so; whoever can reach it can use it.
    example: globalworkspace serve runs/emoji --open
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See `cli.Command`."""
        parser.add_argument("run", help="the run folder")
        parser.add_argument("--port", type=int, default=8765, help="(8765)")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
        parser.add_argument("--open", action="store_true", help="show it in the browser")

    def run(self, args: argparse.Namespace) -> int:
        """See `cli.Command`."""
        from globalworkspace.run_folder import load_run
        from globalworkspace.served import application, is_loopback

        alone = is_loopback(args.host)
        hosts = ("127.0.0.1", "localhost", "[::1]", args.host) if alone else ("*",)
        workspace = load_run(args.run)
        site = application(workspace, f"Workspace of {', '.join(workspace.domains)}", hosts)
        try:
            import uvicorn
        except ImportError:
            raise ConfigError(
                "serve needs the package uvicorn. Install it: pip install 'globalworkspace[serve]'."
            ) from None
        with _bound(args.host, args.port) as listening:
            name = f"[{args.host}]" if ":" in args.host else args.host
            address = f"http://{name}:{listening.getsockname()[1]}"
            print(f"{Path(args.run)} is shown at {address}; Ctrl-C ends it.", flush=True)
            if not alone:
                print("Everyone who can reach this address can use it: there is no password.")
            if args.open:
                threading.Timer(1.0, webbrowser.open, [address]).start()
            config = uvicorn.Config(site, log_level="warning")
            uvicorn.Server(config).run(sockets=[listening])
        return 0


def _bound(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        ConfigError: If it cannot.
    """
    if not 0 <= port < 1 << 16:
        raise ConfigError(f"--port {port} is none; it must be from 0 to 65535.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigError(
            f"{host} port {port} cannot be listened on: {error}. Name another by --port (0: any)."
        ) from None
