"""`globalworkspace train`."""

from __future__ import annotations

import argparse
from pathlib import Path

from globalworkspace.commands.figures import figures_text
from globalworkspace.commands.options import add_config, read_config, run_folder


class Train:
    """Train a workspace as a TOML file says.

    A run that was interrupted goes on when the same command is run again, from its newest
    checkpoint; of one that was finished, only the evaluation is made again.
    example: globalworkspace train emoji.toml --set training.steps=500 --out runs/emoji
    on four processes: torchrun --nproc-per-node=4 -m globalworkspace train emoji.toml
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See `cli.Command`."""
        add_config(parser)
        parser.add_argument("--out", help="the run folder (default: runs/ and the config's name)")
        parser.add_argument(
            "--restart", action="store_true", help="begin anew, whatever the folder holds"
        )
        parser.add_argument("--quiet", action="store_true", help="no progress bars")

    def run(self, args: argparse.Namespace) -> int:
        """See `cli.Command`."""
        config, folder = read_config(args), run_folder(args)
        from globalworkspace.experiment import run_experiment
        from globalworkspace.processes import current_processes

        made = run_experiment(
            config,
            folder,
            resume=not args.restart,
            progress=not args.quiet,
            command=_command(args, folder),
        )
        if not current_processes().first:
            return 0
        print(figures_text(made.evaluation))
        if made.evaluation["stopped"]:
            print(f"Stopped before the last step: {made.evaluation['stopped']}.")
        print(f"Saved in {folder}; look at {folder}/report.html.")
        return 0


def _command(args: argparse.Namespace, folder: Path) -> list[str]:
    changes = [word for change in args.changes for word in ("--set", change)]
    return ["globalworkspace", "train", args.config, *changes, "--out", str(folder)]
