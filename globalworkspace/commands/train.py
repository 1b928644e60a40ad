"""`globalworkspace train`."""

from __future__ import annotations

import argparse
from pathlib import Path


class Train:
    """Train a workspace as a TOML file says.

    A run that was interrupted goes on when the same command is run again, from its newest
    checkpoint; of one that was finished, only the evaluation is made again.
    example: globalworkspace train emoji.toml --out runs/emoji
    on four processes: torchrun --nproc-per-node=4 -m globalworkspace train emoji.toml
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See `cli.Command`."""
        parser.add_argument("config", help="the TOML file")
        parser.add_argument("--out", help="the run folder (default: runs/ and the config's name)")
        parser.add_argument(
            "--restart", action="store_true", help="begin anew, whatever the folder holds"
        )
        parser.add_argument("--quiet", action="store_true", help="no progress bars")

    def run(self, args: argparse.Namespace) -> int:
        """See `cli.Command`."""
        from globalworkspace.settings import read_toml

        config = read_toml(args.config)
        from globalworkspace.experiment import run_experiment
        from globalworkspace.processes import current_processes

        folder = Path(args.out) if args.out else Path("runs") / Path(args.config).stem
        made = run_experiment(
            config,
            folder,
            resume=not args.restart,
            progress=not args.quiet,
            command=["globalworkspace", "train", args.config, "--out", str(folder)],
        )
        if not current_processes().first:
            return 0
        figures = made.evaluation
        print(f"{figures['data']}\n")
        print(f"{'on ' + figures['rows'] + ' rows':<32}{'error':>8}{'R@1':>8}{'R@5':>8}")
        for direction, error in figures["translation"].items():
            recall = figures["retrieval"][direction]
            print(f"{direction:<32}{error:>8.3f}{recall[1]:>8.3f}{recall[5]:>8.3f}")
        print("\nerror: normalised squared error of latents, 0 perfect, 1 a constant guess.")
        if figures["stopped"]:
            print(f"Stopped before the last step: {figures['stopped']}.")
        print(f"Saved in {folder}; look at {folder}/report.html.")
        return 0
