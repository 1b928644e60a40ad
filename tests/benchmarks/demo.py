"""The demo's two arms on several seeds: semi-supervised against the matched rows alone.

Writes demo_semi_error and demo_matched_only_error to docs/results/claims.json and the rows to
docs/results/demo.json. The demo's own time is measured by `--time`, which runs the command as a
user does and writes demo_minutes.

    python tests/benchmarks/demo.py --seeds 5
    python tests/benchmarks/demo.py --time
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from claims import record
from globalworkspace_shapes.demo import DemoConfig, demo_domains, prepare, train_arm
from globalworkspace_shapes.judge import Judge

from globalworkspace import LatentStore
from globalworkspace.label_efficiency import interval

ROOT = Path(__file__).parents[2]


def measure(seeds: int) -> None:
    """Train and judge both arms per seed; data, matching and training all follow the seed."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            config = DemoConfig(seed=seed, progress=False)
            domains = demo_domains()
            _, training, validation, raw_test, test = prepare(domains, config, LatentStore(folder))
            judge = Judge(domains, raw_test, test)
            matched = training.select(training.matched_rows())
            for name, data, used in (
                ("semi", training, "default"),
                ("matched_only", matched, "supervised"),
            ):
                arm = judge.judge(train_arm(domains, data, validation, config, used))
                rows.append(
                    {
                        "seed": seed,
                        "arm": name,
                        "error": arm.error,
                        "errors": arm.errors,
                        "retrieval": arm.retrieval,
                    }
                )
                print(f"seed {seed} {name}: error {arm.error:.4f}", flush=True)
    results = ROOT / "docs" / "results" / "demo.json"
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps(rows, indent=1) + "\n")
    command = f"python tests/benchmarks/demo.py --seeds {seeds}"
    errors = {
        arm: [row["error"] for row in rows if row["arm"] == arm] for arm in ("semi", "matched_only")
    }
    for arm, values in errors.items():
        mean, low, high = interval(values)
        record(f"demo_{arm}_error", mean, low, high, "normalised squared error", seeds, command)
        print(f"{arm}: {mean:.4f} [{low:.4f}, {high:.4f}]")
    gain, low, high = interval(
        [m - s for s, m in zip(errors["semi"], errors["matched_only"], strict=True)]
    )
    print(f"gain, paired by seed: {gain:.4f} [{low:.4f}, {high:.4f}]")


def clock(repeats: int) -> None:
    """Time `globalworkspace demo` from process start to end, nothing cached."""
    minutes = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            subprocess.run(
                [sys.executable, "-m", "globalworkspace", "demo", "--out", folder, "--quiet"],
                check=True,
            )
            minutes.append((time.monotonic() - began) / 60)
    value = statistics.median(minutes)
    record(
        "demo_minutes",
        value,
        min(minutes),
        max(minutes),
        "minutes",
        repeats,
        f"python tests/benchmarks/demo.py --time --repeats {repeats}",
    )
    print(f"demo: median {value:.2f} minutes, {min(minutes):.2f} to {max(minutes):.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    clock(args.repeats) if args.time else measure(args.seeds)
