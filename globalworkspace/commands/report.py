"""`globalworkspace report`."""

from __future__ import annotations

import argparse


class Report:
    """Write report.html of a finished run again: with plugins installed since, say.

    example: globalworkspace report runs/emoji
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See `cli.Command`."""
        parser.add_argument("run", help="the run folder")
        parser.add_argument("--open", action="store_true", help="show it in the browser")
        parser.add_argument("--quiet", action="store_true", help="no progress bars")

    def run(self, args: argparse.Namespace) -> int:
        """See `cli.Command`."""
        from globalworkspace.experiment import reopen_experiment
        from globalworkspace.report import FILE, write_report

        found = reopen_experiment(args.run, judge=False, progress=not args.quiet)
        write_report(found)
        file = found.folder / FILE
        print(file)
        if args.open:
            import webbrowser

            webbrowser.open(file.resolve().as_uri())
        return 0
