"""How many Simple Shapes pictures a second one core draws.

python tests/benchmarks/renderer.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import torch
from claims import record
from globalworkspace_shapes.attributes import sample_attributes
from globalworkspace_shapes.render import render


def rates(num_pictures: int, repeats: int, size: int) -> list[float]:
    """Pictures a second of each repeat, on one thread; drawing the attributes is not timed."""
    torch.set_num_threads(1)
    shapes = sample_attributes(num_pictures, torch.Generator().manual_seed(0))
    render(shapes[:1000], size)
    result = []
    for _ in range(repeats):
        start = time.perf_counter()
        render(shapes, size)
        result.append(num_pictures / (time.perf_counter() - start))
    return result


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Print and record the rate at the given picture size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=20_000, help="pictures per repeat")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--size", type=int, default=32, help="pixels per side")
    options = parser.parse_args(arguments)
    measured = rates(options.pictures, options.repeats, options.size)
    median, low, high = (round(f(measured)) for f in (statistics.median, min, max))
    print(
        f"{median} pictures/s ({low} to {high} over {options.repeats} repeats), "
        f"{options.size} pixels, one core"
    )
    name = "renderer_pictures_per_s_one_core" + (
        "" if options.size == 32 else f"_{options.size}_pixels"
    )
    command = "python tests/benchmarks/renderer.py" + (
        "" if options.size == 32 else f" --size {options.size}"
    )
    record(name, median, low, high, "pictures/s on one core", options.repeats, command)
    return {name: median}


if __name__ == "__main__":
    main()
