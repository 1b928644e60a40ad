"""`globalworkspace serve`."""

from __future__ import annotations

import argparse
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
        hosts = ("127.0.0.1", "localhost", "[::1]") if alone else ("*",)
        workspace = load_run(args.run)
        site = application(workspace, f"Workspace of {', '.join(workspace.domains)}", hosts)
        try:
            import uvicorn
        except ImportError:
            raise ConfigError(
                "serve needs the package uvicorn. Install it: pip install 'globalworkspace[serve]'."
            ) from None
        address = f"http://{args.host}:{args.port}"
        print(f"{Path(args.run)} is shown at {address}; Ctrl-C ends it.", flush=True)
        if not alone:
            print("Everyone who can reach this address can use it: there is no password.")
        if args.open:
            import threading
            import webbrowser

            threading.Timer(1.0, webbrowser.open, [address]).start()
        uvicorn.run(site, host=args.host, port=args.port, log_level="warning")
        return 0
