"""`globalworkspace benchmark`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import product
from typing import Any

from globalworkspace.commands.options import add_set, read_config
from globalworkspace.errors import ConfigError

HEADINGS = ("domains", "rows", "width", "precision", "ms", "from", "to", "rows/s", "peak", "MiB")


class Benchmark:
    """Time training steps on this machine: those of a config, or of a grid of sizes.

    rows: of a step in all; ms: median, and the range over steps; peak: share of what this machine
    reaches on a large matrix product; MiB: the process's largest memory so far.

    example: globalworkspace benchmark --domains 2,4,8 --batch 512 --width 32,256
    example: globalworkspace benchmark emoji.toml --precision fp32,bf16
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See `cli.Command`."""
        parser.add_argument("config", nargs="?", help="a TOML file as `train` reads it")
        add_set(parser)
        parser.add_argument("--domains", default="2,4", help="without a config: numbers of domains")
        parser.add_argument("--batch", default="512", help="matched rows, and unmatched per domain")
        parser.add_argument("--width", default="128", help="hidden units of the networks")
        parser.add_argument("--precision", default="fp32", help="fp32, bf16 or both")
        parser.add_argument("--compile", action="store_true", help="torch.compile the whole step")
        parser.add_argument("--steps", type=int, default=30, help="timed steps of each")
        parser.add_argument("--threads", type=int, help="of the CPU (default: torch's own choice)")
        parser.add_argument("--json", action="store_true", help="one JSON line for each instead")

    def run(self, args: argparse.Namespace) -> int:
        """See `cli.Command`."""
        import torch

        from globalworkspace.benchmark import matmul_peak
        from globalworkspace.training.device import pick_device

        if args.threads:
            torch.set_num_threads(args.threads)
        grid = [
            _numbers(args.domains, "--domains"),
            _numbers(args.batch, "--batch"),
            _numbers(args.width, "--width"),
        ]
        for name in args.precision.split(","):
            if name not in ("fp32", "bf16"):
                raise ConfigError(
                    f'--precision "{name}" is unknown; write fp32, bf16 or fp32,bf16.'
                )
        device = pick_device("auto")
        peaks = {
            precision: matmul_peak(device, precision) for precision in args.precision.split(",")
        }
        if not args.json:
            reached = ", ".join(f"{x / 1e9:,.0f} GFLOP/s in {name}" for name, x in peaks.items())
            print(f"{device}, {torch.get_num_threads()} threads; matrix products reach {reached}")
            print("  ".join(f"{heading:>9}" for heading in HEADINGS), flush=True)
        for cost in _config_costs(args, peaks) if args.config else _grid_costs(args, grid, peaks):
            if args.json:
                print(json.dumps(cost), flush=True)
                continue
            print(
                f"{cost['domains']:>9}  {cost['batch']:>9,}  {cost['width']:>9}  "
                f"{cost['precision']:>9}  {cost['ms']:>9.2f}  {cost['fastest_ms']:>9.2f}  "
                f"{cost['slowest_ms']:>9.2f}  {cost['rows_per_s']:>9,.0f}  "
                f"{cost['peak_share']:>9.1%}  {cost['memory_mib']:>9,.0f}",
                flush=True,
            )
        return 0


def _config_costs(args: argparse.Namespace, peaks: dict[str, float]) -> Iterator[dict[str, Any]]:
    """The figures of a config's own training, in each precision."""
    import attrs

    from globalworkspace.benchmark import measure
    from globalworkspace.data.encoding import encode_table
    from globalworkspace.experiment import plan_experiment

    plan = plan_experiment(read_config(args), progress=False)
    latents = encode_table(
        plan.workspace.domains,
        plan.training,
        progress=not args.json,
        **attrs.asdict(attrs.evolve(plan.encoding, shard_rows=None)),
    )
    for precision, peak in peaks.items():
        given: dict[str, Any] = {"precision": precision, "compile": args.compile}
        config = attrs.evolve(plan.trainer.config, **given)
        objectives = plan.trainer.objectives
        cost = measure(plan.workspace, latents, config, objectives, steps=args.steps, peak=peak)
        yield attrs.asdict(cost)


def _grid_costs(
    args: argparse.Namespace, grid: list[list[int]], peaks: dict[str, float]
) -> Iterator[dict[str, Any]]:
    """The figures of each size of the grid."""
    import attrs

    from globalworkspace.benchmark import grid_workspace, measure
    from globalworkspace.training.config import TrainerConfig

    for domains, batch, width in product(*grid):
        for precision, peak in peaks.items():
            workspace, table = grid_workspace(domains, width)
            given: dict[str, Any] = {"precision": precision, "compile": args.compile}
            config = TrainerConfig(batch_size=batch, unmatched_batch_size=batch, **given)
            yield attrs.asdict(measure(workspace, table, config, steps=args.steps, peak=peak))


def _numbers(text: str, option: str) -> list[int]:
    try:
        numbers = [int(piece) for piece in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 2:
        raise ConfigError(f'{option} "{text}" must be whole numbers of at least 2, such as 2,4,8.')
    return numbers
