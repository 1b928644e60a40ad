"""`globalworkspace encode`."""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from globalworkspace.commands.options import add_config, run_folder
from globalworkspace.errors import ConfigError

LAUNCHERS = (
    ("RANK", "WORLD_SIZE"),  # torchrun
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
)
"""Where launchers say which worker this is and how many there are."""


class Encode:
    """Encode a config's data into its run folder, alone or as one of several workers.

    `train` with the same config and folder then finds the latents there. Workers share the files of
    [encoding] shard_rows among them, on one machine or on several that see the same folder; each
    may be stopped and started again at any time: only what is missing is made.

    example: globalworkspace encode emoji.toml --out runs/emoji --worker 0/4
    under SLURM: sbatch --array=0-15 --wrap "globalworkspace encode emoji.toml --out runs/emoji"
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See `cli.Command`."""
        add_config(parser, "the TOML file of `train`")
        parser.add_argument("--out", help="the run folder (default: runs/ and the config's name)")
        parser.add_argument(
            "--worker",
            help="K/N: worker K, from 0, of N (default: what torchrun or SLURM says, else 0/1)",
        )
        parser.add_argument(
            "--ray",
            metavar="N",
            help="N workers on a Ray cluster, this machine alone where there is none "
            '(pip install "globalworkspace[ray]")',
        )
        parser.add_argument("--quiet", action="store_true", help="no progress bars")

    def run(self, args: argparse.Namespace) -> int:
        """See `cli.Command`."""
        folder = run_folder(args)
        if args.ray is None:
            worker, workers = worker_of(args.worker, os.environ)
        else:
            from globalworkspace.data.ray_shares import share_with_ray

            task = functools.partial(encode_as_worker, args.config, folder, changes=args.changes)
            share_with_ray(task, _ray_workers(args.ray))
            worker, workers = 0, 1  # what they made is looked through once more
        done = encode_as_worker(
            args.config, folder, worker, workers, progress=not args.quiet, changes=args.changes
        )
        for name, whole in done.items():
            print(f"{name}: {'complete' if whole else 'this share is done'}")
        print(
            f"All latents are in {folder / 'latents'}."
            if all(done.values())
            else f"Worker {worker} of {workers} is done; others are not yet."
        )
        return 0


def encode_as_worker(
    config: str,
    folder: Path,
    worker: int,
    workers: int,
    *,
    progress: bool = False,
    changes: Sequence[str] = (),
) -> dict[str, bool]:
    """One worker's share of a config's data, all of it with one worker.

    Args:
        config: The TOML file.
        folder: The run folder.
        worker: This one, from 0.
        workers: How many there are.
        progress: Show bars.
        changes: To the config, see `globalworkspace.settings.with_changes`.

    Returns:
        Part and domain -> whether its latents are complete now.

    Raises:
        ConfigError: If several workers have no files to share.
    """
    from globalworkspace.data.encoding import encode_share, encode_table
    from globalworkspace.data.latent_store import LatentStore
    from globalworkspace.experiment import plan_experiment
    from globalworkspace.settings import read_toml, with_changes

    plan = plan_experiment(with_changes(read_toml(config), changes), progress=False)
    encoding, store = plan.encoding, LatentStore(folder / "latents")
    if encoding.shard_rows is None and workers > 1:
        raise ConfigError(
            f"{workers} workers share the files of [encoding] shard_rows, and the config has "
            'none. Add "shard_rows = 65536", say, or start one worker.'
        )
    shared: dict[str, Any] = {
        "store": store,
        "progress": progress,
        "precision": encoding.precision,
        "batch_size": encoding.batch_size,
        "unreadable": encoding.unreadable,
    }
    found: dict[str, bool] = {}
    for part, table in (
        ("training", plan.training),
        ("validation", plan.held_out),
        ("test", plan.test),
    ):
        if table is None:
            continue
        if encoding.shard_rows is None:
            encode_table(plan.workspace.domains, table, **shared)
            done = dict.fromkeys(table, True)
        else:
            done = encode_share(
                plan.workspace.domains,
                table,
                shard_rows=encoding.shard_rows,
                worker=worker,
                workers=workers,
                **shared,
            )
        found |= {f"{part} {name}": whole for name, whole in done.items()}
    return found


def _ray_workers(given: str) -> int:
    try:
        workers = int(given)
    except ValueError:
        workers = 0
    if workers < 1:
        raise ConfigError(f'--ray "{given}" must be a number of workers of at least 1.')
    return workers


def worker_of(given: str | None, environment: Mapping[str, str]) -> tuple[int, int]:
    """Which worker this is, from 0, and how many there are.

    Args:
        given: `"K/N"`; None: what a launcher has put into the environment, else alone.
        environment: Of this process.

    Raises:
        ConfigError: If that is no worker.
    """
    source = given
    if given is None:
        for number, count in LAUNCHERS:
            if number in environment and count in environment:
                source = f"{environment[number]}/{environment[count]}"
                break
        else:
            return 0, 1
    try:
        worker, workers = map(int, str(source).split("/"))
    except ValueError:
        worker, workers = 0, 0
    if not 0 <= worker < workers:
        raise ConfigError(
            f'The worker "{source}" is none; write K/N with K from 0 to N - 1, such as 0/4. (A '
            "SLURM array begins at 0: --array=0-3.)"
        )
    return worker, workers
