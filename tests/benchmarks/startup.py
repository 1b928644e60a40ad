"""How long the command line takes to start, beside `import torch` and beside bare Python.

Every repeat times all of them once, one after the other, so that a busy machine slows each alike;
the figures are medians of ratios within a repeat.

    python tests/benchmarks/startup.py
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from claims import record

COMMANDS = {
    "python": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "--help": ["-m", "globalworkspace", "--help"],
    "plugins": ["-m", "globalworkspace", "plugins"],
}
RATIOS = {
    # figure -> (what, beside what)
    "help_time_over_import_torch": ("--help", "import torch"),
    "plugins_time_over_import_torch": ("plugins", "import torch"),
    "plugin_list_time_over_python_start": ("plugins", "python"),
}


def seconds(arguments: list[str]) -> float:
    """Wall time of one process from start to end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    for arguments in COMMANDS.values():
        seconds(arguments)  # files into the cache
    runs = [{name: seconds(a) for name, a in COMMANDS.items()} for _ in range(repeats)]
    for name in COMMANDS:
        times = [run[name] for run in runs]
        print(f"{name:<14} {statistics.median(times):.3f} s [{min(times):.3f}, {max(times):.3f}]")
    for figure, (what, beside) in RATIOS.items():
        ratios = [run[what] / run[beside] for run in runs]
        value = statistics.median(ratios)
        print(f"{figure}: {value:.2f} [{min(ratios):.2f}, {max(ratios):.2f}]")
        record(
            figure,
            value,
            min(ratios),
            max(ratios),
            "1",
            repeats,
            f"python tests/benchmarks/startup.py --repeats {repeats}",
        )


if __name__ == "__main__":
    main()
