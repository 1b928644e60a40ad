"""How far onnxruntime is from the workspace on exported paths: pictures and attributes.

A workspace of the shipped Simple Shapes specialists is trained for some steps on a few hundred
rows, then each of its paths is exported: from either domain and from both, to either and to the
state. onnxruntime and the workspace are given 1,000 other rows, all at once and one alone.

    python tests/benchmarks/export.py       # a minute or two on one core

Records onnx_max_abs_difference, the largest of all seeds, paths, rows and columns, in the units of
the latents; its range is over the seeds.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path

import onnxruntime
import torch
from claims import record
from globalworkspace_shapes.dataset import load
from label_efficiency import encoded, specialists

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig
from globalworkspace.export import export_translation

COMMAND = "python tests/benchmarks/export.py"
ROWS, MATCHED, TEST_ROWS, STEPS, SEEDS = 400, 200, 1_000, 100, 3


def one_seed(seed: int) -> dict[str, float]:
    """Path -> largest absolute difference, of a workspace trained with this seed."""
    modules = specialists()
    latents = encoded(modules, load("train", ROWS, seed, domains=list(modules)))
    test = encoded(modules, load("test", TEST_ROWS, seed, domains=list(modules)))
    workspace = GlobalWorkspace(modules, dim=32, seed=seed)
    config = TrainerConfig(steps=STEPS, seed=seed, device="cpu", progress=False)
    table = Table.from_columns(latents).match(MATCHED, seed=seed)
    Trainer(config).fit(workspace, table, latents=True)
    found = {}
    sources = [names for n in (1, 2) for names in itertools.combinations(modules, n)]
    for names, to in itertools.product(sources, (*modules, None)):
        found[f"{' and '.join(names)} -> {to or 'state'}"] = difference(workspace, names, to, test)
    return found


def difference(
    workspace: GlobalWorkspace,
    sources: tuple[str, ...],
    to: str | None,
    latents: dict[str, torch.Tensor],
) -> float:
    """The largest absolute difference of one path, on all rows and on the first alone."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "path.onnx"
        export_translation(workspace, sources, to, file)
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    largest = 0.0
    for rows in (TEST_ROWS, 1):
        given = {name: latents[name][:rows] for name in sources}
        (found,) = session.run(None, {name: cells.numpy() for name, cells in given.items()})
        state = workspace.encode(given, latents=True)
        truth = state.code if to is None else workspace.decode(state, to, latents=True)
        largest = max(largest, (torch.from_numpy(found) - truth).abs().max().item())
    return largest


def main() -> None:
    """Measure every seed, print the differences and record the largest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--no-record", action="store_true", help="leave claims.json as it is")
    args = parser.parse_args()
    largest = []
    for seed in range(args.seeds):
        found = one_seed(seed)
        for path, value in found.items():
            print(f"seed {seed}  {path:<36} {value:.2e}", flush=True)
        largest.append(max(found.values()))
    print(f"largest: {max(largest):.2e} (seeds from {min(largest):.2e} to {max(largest):.2e})")
    if not args.no_record:
        name = "onnx_max_abs_difference"
        record(name, max(largest), min(largest), max(largest), "1", len(largest), COMMAND)


if __name__ == "__main__":
    main()
