"""Sharing work among the machines of a Ray cluster, through Ray Data.

The work itself is the same as under `torchrun` or SLURM: worker K of N, through a folder that all
machines see. Ray starts the workers, and starts one again whose machine is lost.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from globalworkspace.errors import ConfigError


def share_with_ray(task: Callable[[int, int], object], workers: int) -> None:
    """Run `task(worker, workers)` for every worker, on the cluster that Ray finds or starts.

    Args:
        task: Picklable; run in the current folder, which every machine must see.
        workers: How many tasks.

    Raises:
        ConfigError: If Ray Data is not installed.
    """
    try:
        import ray.data as ray_data
    except ImportError:
        raise ConfigError(
            'Ray Data is not installed. Run: pip install "globalworkspace[ray]".'
        ) from None
    here = Path.cwd()

    def one(row: dict[str, Any]) -> dict[str, Any]:
        with contextlib.chdir(here):
            task(int(row["id"]), workers)
        return row

    ray_data.range(workers, override_num_blocks=workers).map(one).take_all()
