"""One comparison on equal terms: who translates, retrieves and tells classes best, with few pairs.

    python tests/benchmarks/comparison.py     # about two hours of one core; goes on when stopped

Frozen latents of pictures and attributes of Simple Shapes (20,000 rows, 1,000 to judge by) and of
drawings and names of emoji (1,210, hence no more than 1,000 pairs, and 251 of other families). N
rows are matched, every other row has one domain only. All that is trained has the same bodies (two
layers of 256, 64 dimensions), batches and learning rate, and four settings to choose from: each is
tried for each N on a draw that is not reported, twice a fifth of its pairs is held out, and the
mean of translation error and retrieval error (1 less the mean reciprocal rank) of both directions
decides. Then five draws, all N pairs trained on. What sees matched rows alone takes 3.3 times as
many steps, each being cheaper.

`default` and `paper` are the core's recipes. FuseMix is the recipe `fusemix`, with classes mixed,
too, and contrastive alone the same without the mixing. MMVM is demi-cycles and the pairwise
regulariser, with a tenth of the standard normal. Contrastive alone, FuseMix and CCA have no
decoders: they translate by a kernel ridge regression from their states, fitted on the same pairs.
CCA takes covariances from every row; it, ridge and kernel ridge tune themselves by cross-validation
on the pairs of every draw, which costs them next to nothing. *Error*: squared error over variance
of latents, mean of both directions; a constant guess has 1. *R@5*: of both directions. *Class*: of
a picture (3 shapes; 8 categories of emoji), by a small network on its states that was trained on
those of 5,000 (1,210) labelled pictures; *across*: by one trained on states of the other domain,
which never saw a picture. What ridge and kernel ridge have for a state of a picture is what they
predict.

Writes docs/results/comparison.{md,json,png}.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from comparison_methods import (
    LATENTS,
    METHODS,
    PAIRS,
    SETS,
    TRAINED,
    Joined,
    joined_by_training,
    joined_in_closed_form,
    standard_latents,
    trained,
    translation_errors,
    tries,
)
from comparison_page import draw, page
from results_page import RESULTS, head, keep, least_error, paragraph
from small_sets import SmallSet, quiet, small_set
from torch import Tensor

from globalworkspace import GlobalWorkspace
from globalworkspace.closed_form import retrieval_error, split_folds
from globalworkspace.evaluation.downstream import learn
from globalworkspace.evaluation.retrieval import recall_at
from globalworkspace.label_efficiency.baselines import workspace_of_units
from globalworkspace.label_efficiency.jobs import run_jobs
from globalworkspace.label_efficiency.trainings import (
    shown_table,
    split_rows,
    table_of_rows,
)

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "python tests/benchmarks/comparison.py"
TITLE = "A comparison on equal terms"
SEEDS, TUNING_SEED, FOLDS, TRIED = 5, 1000, 5, 2
LABELLED = 5000
_CACHE: dict[str, Path] = {}


@lru_cache(maxsize=1)
def _set(name: str) -> SmallSet:
    return small_set(name, _CACHE["home"])


@lru_cache(maxsize=1)
def labels(name: str) -> tuple[Tensor, Tensor]:
    """(training rows,) and (test rows,) classes."""
    data = _set(name)
    if name == "shapes":
        spec = data.specs["attributes"]
        shape = next(spec.slices()[p.name] for p in spec.parts if p.kind == "categorical")
        first, second = (
            part["attributes"][:, shape].argmax(dim=1) for part in (data.training, data.test)
        )
        return first, second
    told = []
    for part in ("train", "test"):
        with (_CACHE["home"] / "emoji" / "data" / part / "metadata.csv").open() as stream:
            told.append([row["category"] for row in csv.DictReader(stream)])
    known = sorted(set(told[0]) | set(told[1]))
    first, second = (torch.tensor([known.index(one) for one in some]) for some in told)
    return first, second


def start(cache: str) -> None:
    """What each process needs."""
    quiet()
    _CACHE["home"] = Path(cache)


def held_out_error(data: SmallSet, method: str, pairs: int, choice: Mapping[str, Any]) -> float:
    """Mean of translation error and retrieval error of held-out pairs, both directions."""
    matched, alone = _rows(data, pairs, TUNING_SEED)
    errors = []
    for training, held in split_folds(pairs, FOLDS, TUNING_SEED)[:TRIED]:
        known = table_of_rows(data.training, matched[training], alone)
        workspace = trained(data, method, known, len(training), choice, TUNING_SEED)
        made = joined_by_training(workspace, known, method)
        x, y = standard_latents(workspace, data.training, matched[held])
        errors += [*translation_errors(workspace, made, x, y)]
        errors += [retrieval_error(*made.compared(x, y, way)) for way in (0, 1)]
    return statistics.mean(errors)


def _rows(data: SmallSet, pairs: int, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
    number = len(next(iter(data.training.values())))
    return split_rows(number, list(data.specs), pairs, pairs, seed)


def work(job: dict[str, Any]) -> dict[str, Any]:
    """The outcome of one job."""
    data, pairs, method = _set(job["set"]), job["pairs"], job["method"]
    if "judged" in job:
        return {"error": held_out_error(data, method, pairs, job["judged"])}
    seed = job["seed"]
    if method == LATENTS:
        return {"class": class_of_latents(job["set"], seed)}
    known = shown_table(data.training, pairs, pairs, seed)
    if method in TRAINED:
        workspace = trained(data, method, known, pairs, job["setting"], seed)
        made = joined_by_training(workspace, known, method)
    else:
        workspace = workspace_of_units(data.domains, known)
        made = joined_in_closed_form(workspace, known, method, seed)
    return judged(workspace, made, job["set"], seed)


def class_of_latents(name: str, seed: int) -> float:
    """Accuracy of the same network on the pictures' frozen latents."""
    data, (learnt, asked) = _set(name), labels(name)
    picture = next(iter(data.specs))
    given = data.training[picture][:LABELLED]
    network = learn(given, learnt[: len(given)], steps=1000, seed=seed)
    return network.score(data.test[picture], asked)


def judged(workspace: GlobalWorkspace, made: Joined, name: str, seed: int) -> dict[str, Any]:
    """The FIGURES on test rows; errors and R@5 of each direction."""
    data = _set(name)
    learnt, asked = labels(name)
    x, y = standard_latents(workspace, data.test)
    sides = standard_latents(workspace, data.training, torch.arange(min(LABELLED, len(learnt))))
    own, other = made.compared(*sides, 0)
    of_pictures, _ = made.compared(x, y, 0)
    recalls = []
    for way in (0, 1):
        asking, answers = (torch.nn.functional.normalize(s) for s in made.compared(x, y, way))
        recalls.append(recall_at(asking @ answers.T)[5])
    probes = [
        learn(given.float(), learnt[: len(given)], steps=1000, seed=seed).score(
            of_pictures.float(), asked
        )
        for given in (own, other)
    ]
    errors = translation_errors(workspace, made, x, y)
    return {"error": errors, "R@5": recalls, "class": probes[0], "across": probes[1]}


def measured(args: argparse.Namespace) -> list[dict[str, Any]]:
    """All lines: tuning first, then the draws that are reported."""
    args.cache.mkdir(parents=True, exist_ok=True)
    for name in SETS:
        small_set(name, args.data)
    options: dict[str, Any] = {
        "start": start,
        "start_args": (str(args.data),),
        "workers": args.workers,
        "what": "comparison",
    }

    def done(jobs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        keyed = {json.dumps(job, sort_keys=True): job for job in jobs}
        return run_jobs(keyed, work, args.cache / "comparison.jsonl", **options)

    cells: list[dict[str, Any]] = [
        {"set": name, "pairs": pairs, "method": method}
        for name in SETS
        for pairs in PAIRS[name]
        for method in METHODS
    ]
    tuned = done(
        [
            {**cell, "judged": choice}
            for cell in cells
            if cell["method"] in TRAINED
            for choice in tries(cell["set"], cell["method"])
        ]
    )
    chosen = least_error(tuned, ("set", "pairs", "method"))
    jobs: list[dict[str, Any]] = [
        {**cell, "seed": seed}
        | ({"setting": chosen[tuple(cell.values())]["judged"]} if cell["method"] in TRAINED else {})
        for seed in range(SEEDS)
        for cell in cells
    ]
    jobs += [
        {"set": name, "pairs": 0, "method": LATENTS, "seed": seed}
        for name in SETS
        for seed in range(SEEDS)
    ]
    return done(jobs)


def main() -> None:
    """Measure, and write page and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "comparison")
    parser.add_argument("--data", type=Path, default=ROOT / "runs" / "fusemix")
    parser.add_argument("--workers", type=int, default=None)
    args = parser.parse_args()
    quiet()
    lines = json.loads(json.dumps(measured(args)))
    described = "\n\n".join(paragraph(__doc__, number) for number in (2, 3))
    keep("comparison", lines, page(lines, head(TITLE, COMMAND, described)))
    draw(lines, RESULTS / "comparison.png")
    print((RESULTS / "comparison.md").read_text())


if __name__ == "__main__":
    main()
