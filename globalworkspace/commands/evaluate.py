"""`globalworkspace evaluate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from globalworkspace.commands.figures import figures_text
from globalworkspace.commands.options import add_set


class Evaluate:
    """Judge a finished run again, by its own rows or by others.

    By its own rows, evaluation.json and report.html are written anew. With --set the figures of
    other rows, or of other settings, are printed, and written where --out says.
    example: globalworkspace evaluate runs/emoji --set test.kind=folder --set test.path=new-pictures
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See `cli.Command`."""
        parser.add_argument("run", help="the run folder")
        add_set(parser)
        parser.add_argument("--out", help="a JSON file for the figures")
        parser.add_argument("--quiet", action="store_true", help="no progress bars")

    def run(self, args: argparse.Namespace) -> int:
        """See `cli.Command`."""
        from globalworkspace.experiment import reopen_experiment, write_outcome
        from globalworkspace.files import write_json

        found = reopen_experiment(args.run, changes=args.changes, progress=not args.quiet)
        print(figures_text(found.evaluation))
        if args.out:
            write_json(Path(args.out), found.evaluation)
            print(f"Saved as {args.out}.")
        if not args.changes:
            write_outcome(found)
        return 0
