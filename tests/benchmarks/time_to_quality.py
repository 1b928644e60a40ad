"""How long it takes to translate as well as the authors' `shimmer` does after its tutorial.

    python tests/benchmarks/time_to_quality.py --shimmer-python PATH  # the Python that has shimmer

Simple Shapes, 40,000 shapes of which half are matched: latents of the shipped picture VAE and the
attributes, every column standardised. Shimmer trains on them as in its tutorial: batches of 2,056
rows, 8,000 steps, workspace 12, networks of width 32, weights 1, 1, 1 and 0.1, AdamW with OneCycle
up to a rate of 3e-3, through Lightning. Ours trains on the same latents with `mlp` networks and
translation 1, contrastive 0.1, demi-cycle 0.1 and back-translation 0.3, {ours}. Settings were
chosen on the validation rows; errors are mean squared errors on the test rows, the mean of both
directions. One thread each, CPU time of the whole fit, in turns. Ours counts only where its test
error is not above shimmer's of the same seed.

Shimmer is installed from its public source (commit d729e5e) with Lightning 2.6.6 in an environment
of its own. Writes docs/results/time-to-quality.{{md,json}} and time_to_quality_speedup of
claims.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from globalworkspace_shapes.dataset import attribute_columns, load
from results_page import claim_median, head, keep, measured, paragraph
from safetensors.torch import load_file, save_file

from globalworkspace import GlobalWorkspace, LatentSpec, Table, Trainer, TrainerConfig
from globalworkspace.data.table import Column
from globalworkspace.given_latents import GivenLatents
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.translation import Translation
from globalworkspace.pretrained import build_domain, load_domain

PEER = Path(__file__).parent / "peers" / "shimmer_quality.py"
NAMES = ("picture", "attributes")
ROWS, MATCHED, HELD_OUT = 40_000, 20_000, 2_000
THEIRS = {"steps": 8_000, "max_lr": 3e-3}
OURS: dict[str, Any] = {"steps": 500, "batch_size": 512, "unmatched_batch_size": 64}
SIZES = {"dim": 16, "hidden_dim": 128, "num_layers": 2}
COMMAND = "python tests/benchmarks/time_to_quality.py --shimmer-python PATH"


def make_latents(file: Path) -> None:
    """Standardised latents of all splits."""
    modules = {
        "picture": load_domain("package:globalworkspace_shapes/weights/picture"),
        "attributes": build_domain("attributes", {"columns": attribute_columns()}),
    }
    found, moments = {}, {}
    for split, rows in (("train", ROWS), ("validation", HELD_OUT), ("test", HELD_OUT)):
        table = load(split, rows, seed=0, domains=list(NAMES))
        for name in NAMES:
            cells = table[name].cells
            with torch.no_grad():
                if name == "picture":
                    latents = torch.cat([modules[name].encode(c) for c in cells.split(500)])
                else:
                    latents = modules[name].encode(cells).float()
            if split == "train":
                moments[name] = latents.mean(dim=0), latents.std(dim=0)
            mean, std = moments[name]
            found[f"{split}.{name}"] = ((latents - mean) / std).contiguous()
    save_file(found, file)


def train_ours(file: Path, seed: int) -> dict[str, Any]:
    """Our trainer; CPU seconds of the fit and errors."""
    torch.set_num_threads(1)
    latents = load_file(file)
    rows = torch.arange(ROWS)
    counts = {  # the first rows are matched; of the others, half have a picture alone
        "picture": (rows < MATCHED) | (rows % 2 == 0),
        "attributes": (rows < MATCHED) | (rows % 2 == 1),
    }
    table = Table(
        {name: Column(latents[f"train.{name}"], rows, counts[name].long()) for name in NAMES}, rows
    )
    held_out = Table.from_columns({name: latents[f"validation.{name}"] for name in NAMES})
    specs = {name: LatentSpec.continuous(latents[f"train.{name}"].shape[1]) for name in NAMES}
    workspace = GlobalWorkspace({n: GivenLatents(s) for n, s in specs.items()}, seed=seed, **SIZES)
    config = TrainerConfig(
        device="cpu", progress=False, seed=seed, validate_every=10**6, keep="last", **OURS
    )
    began = time.process_time()
    families = [Translation(1.0), Contrastive(0.1), DemiCycle(0.1), Cycle(0.3, detach=True)]
    Trainer(config, families).fit(workspace, table, held_out, latents=True)
    seconds = time.process_time() - began
    errors = {}
    for split in ("validation", "test"):
        for source, target in (NAMES, NAMES[::-1]):
            state = workspace.encode({source: latents[f"{split}.{source}"]}, latents=True)
            guess = workspace.decode(state, target, latents=True)
            error = torch.nn.functional.mse_loss(guess, latents[f"{split}.{target}"])
            errors[f"{split} {source} -> {target}"] = float(error)
    return {"seconds": seconds, "errors": errors}


def mean_error(run: dict[str, Any], split: str = "test") -> float:
    """Mean over both directions."""
    return statistics.fmean(v for key, v in run["errors"].items() if key.startswith(split))


def speedups(saved: dict[str, Any]) -> list[float]:
    """Per seed; 0 where ours translates worse."""
    return [
        t["seconds"] / o["seconds"] if mean_error(o) <= mean_error(t) else 0.0
        for o, t in zip(saved["ours"], saved["shimmer"], strict=True)
    ]


def page(saved: dict[str, Any]) -> str:
    """docs/results/time-to-quality.md."""
    ours = (
        f"{OURS['steps']:,} steps of {OURS['batch_size']} matched rows and "
        f"{OURS['unmatched_batch_size']} more of each domain, a workspace of {SIZES['dim']} and "
        f"networks of width {SIZES['hidden_dim']}"
    )
    lines = [
        *head("Time to the same quality", COMMAND, paragraph(__doc__).format(ours=ours)),
        "| seed | | CPU seconds | test error | picture → attributes | attributes → picture |",
        "|---|---|---|---|---|---|",
    ]
    for seed in range(len(saved["ours"])):
        for name in ("shimmer", "ours"):
            run = saved[name][seed]
            errors = run["errors"]
            lines.append(
                f"| {seed} | {name} | {run['seconds']:.1f} | {mean_error(run):.4f} | "
                f"{errors['test picture -> attributes']:.4f} | "
                f"{errors['test attributes -> picture']:.4f} |"
            )
    found = speedups(saved)
    lines += [
        "",
        f"Ours takes 1/{statistics.median(found):.0f} of the time (median; per seed "
        f"{', '.join(f'1/{x:.0f}' for x in found)}).",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--shimmer-python")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--latents", type=Path, help="file of latents, made where it is missing")
    args = parser.parse_args()
    if args.one:
        job = json.loads(args.one)
        print(json.dumps(train_ours(Path(job["latents"]), job["seed"])))
        return
    if not args.shimmer_python:
        parser.error("--shimmer-python PATH is needed")
    saved: dict[str, Any] = {"shimmer": [], "ours": []}
    with tempfile.TemporaryDirectory() as scratch:
        file = args.latents or Path(scratch) / "latents.safetensors"
        if not file.exists():
            make_latents(file)
        for seed in range(args.seeds):
            job = {"latents": str(file), "seed": seed}
            theirs = job | THEIRS | {"matched": MATCHED}
            for name, command, given in (
                ("shimmer", [args.shimmer_python, str(PEER)], theirs),
                ("ours", [sys.executable, __file__, "--one"], job),
            ):
                saved[name].append(measured(command, given))
                print(name, saved[name][-1], flush=True)
    print(page(saved))
    if args.seeds < 3:
        return
    keep("time-to-quality", saved, page(saved))
    claim_median("time_to_quality_speedup", speedups(saved), "x", COMMAND)


if __name__ == "__main__":
    main()
