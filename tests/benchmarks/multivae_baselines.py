"""multivae's JMVAE and MoPoE on the rows of the fair protocol; for its figure.

    python tests/benchmarks/multivae_baselines.py --multivae-python PATH

PATH is the Python of an environment with multivae 1.0.3 (and this repository's packages). Models
have our networks' bodies (see peers/multivae_models.py), the same matched, held-out and unmatched
rows as the recipes, and four settings each, chosen for each N of `TUNE_AT` on the tuning seed by
held-out rows. Lines are added to docs/results/label-efficiency/multivae.jsonl as they are done.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path
from typing import Any

from label_efficiency import HOME, PAIRS, ROOT, ROWS, TEST_ROWS, latents, specialists
from results_page import measured
from safetensors.torch import save_file

from globalworkspace.given_latents import GivenLatents
from globalworkspace.label_efficiency.baselines import workspace_of_units
from globalworkspace.label_efficiency.grid import TUNING_SEED
from globalworkspace.label_efficiency.jobs import run_jobs
from globalworkspace.label_efficiency.trainings import shown_table
from globalworkspace.recipes import usual_decay
from globalworkspace.standard_table import standardize_table

PEER = Path(__file__).parent / "peers" / "multivae_models.py"
LINES = HOME / "multivae.jsonl"
NUMBERS, TUNE_AT, SEEDS = (200, 500, 1000, 2500, 5000, 10_000), (500, 5000), 3
SETTINGS = ({"scale": 0.1}, {"scale": 0.3}, {"scale": 0.03}, {"scale": 0.1, "decay": 3.0})
STEPS = {"jmvae": 30_000, "mopoe": 10_000}
_HELD: dict[str, Any] = {}


def start(python: str, cache: str) -> None:
    """Load the latents."""
    _HELD.update(
        python=python,
        domains=GivenLatents.of(specialists()),
        training=latents("train", ROWS, Path(cache)),
        test=latents("test", TEST_ROWS, Path(cache)),
    )


def work(job: dict[str, Any]) -> dict[str, Any]:
    """One training, in the other environment."""
    table = shown_table(
        {n: _HELD["training"][n].cells for n in _HELD["training"]},
        job["pairs"],
        PAIRS[-1],
        job["seed"],
    )
    training, validation = table.hold_out(min(0.2, 1000 / job["pairs"]), seed=job["seed"])
    workspace = workspace_of_units(_HELD["domains"], training)
    flat = {}
    for part, some in (("seen", training), ("validation", validation), ("test", _HELD["test"])):
        standard = standardize_table(workspace, some)
        for name in standard:
            rows = standard[name].present
            if part == "seen":
                matched = some.matched_rows()
                flat[f"pairs.{name}"] = standard[name].take(matched).contiguous()
                rows = rows.clone()
                rows[matched] = False
                flat[f"alone.{name}"] = standard[name].take(rows.nonzero().flatten()).contiguous()
            else:
                flat[f"{part}.{name}"] = standard[name].take(rows.nonzero().flatten()).contiguous()
    setting = dict(SETTINGS[job["choice"]])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "latents.safetensors"
        save_file(flat, file)
        return measured(
            [_HELD["python"], str(PEER)],
            {
                "latents": str(file),
                "model": job["baseline"],
                "pairs": job["pairs"],
                "seed": job["seed"],
                "steps": job["steps"],
                "dim": 32,
                "batch": 128,
                "unmatched": 256,
                "lr": 3e-3,
                "scale": setting["scale"],
                "decay": usual_decay(job["pairs"]) * setting.get("decay", 1.0),
            },
        )


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--multivae-python", required=True)
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "label-efficiency")
    parser.add_argument("--workers", type=int)
    args = parser.parse_args()
    HOME.mkdir(parents=True, exist_ok=True)

    def run(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return run_jobs(
            {json.dumps(job, sort_keys=True): job for job in jobs},
            work,
            LINES,
            start=start,
            start_args=(args.multivae_python, str(args.cache)),
            workers=args.workers,
            what="multivae",
        )

    tried = run(
        [
            {"baseline": m, "pairs": n, "seed": TUNING_SEED, "choice": c, "steps": STEPS[m] // 3}
            for m in STEPS
            for n in TUNE_AT
            for c in range(len(SETTINGS))
        ]
    )

    def choice(model: str, pairs: int) -> int:
        near = min(TUNE_AT, key=lambda n: abs(math.log(n / pairs)))
        found = [t for t in tried if t["baseline"] == model and t["pairs"] == near]
        return int(min(found, key=lambda t: t["validation"])["choice"])

    for seed in range(SEEDS):
        run(
            [
                {"baseline": m, "pairs": n, "seed": seed, "choice": choice(m, n), "steps": STEPS[m]}
                for m in STEPS
                for n in NUMBERS
            ]
        )


if __name__ == "__main__":
    main()
