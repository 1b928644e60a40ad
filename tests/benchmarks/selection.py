"""A selection that was trained under corruption: whom it believes, and whether that transfers.

    python tests/benchmarks/selection.py       # a quarter of an hour

Pictures, captions and attributes of Simple Shapes (the shipped VAE, MiniLM, columns), 2,000 rows of
20,000 matched, each other one in one domain. A workspace with equal weights (*fixed*) is trained,
then frozen; key-query attention alone is trained on the matched rows: on clean ones, or with one
domain of half of the rows corrupted: by Gaussian noise, or by the two kinds of noise, another row's
latents and blank ones that are not the one it is judged by. *Random* draws weights as softmax(U /
0.2). All three domains are fused, one of them corrupted, and decoded to each; the error is the mean
over targets and over which domain is corrupted, on 1,000 test rows. *Without it* leaves the
corrupted domain out: what one could do who knows which it is. Noise of up to 4 standard deviations
is trained on, never more. *Missing at random*: each domain of a test row is missing with a chance
of one third (one at least is left), and so it is, in a second training, of the 2,000 matched rows.

Writes docs/results/selection.{md,json,png}.
"""

from __future__ import annotations

import argparse
import copy
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import questions
import torch
from globalworkspace_shapes.dataset import attribute_columns, load_attributes
from results_page import RESULTS, by_seed, head, keep, paragraph, plus_minus
from small_sets import quiet
from torch import Tensor

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig
from globalworkspace.corruption import KINDS, Corruption
from globalworkspace.evaluation.translation import normalized_error
from globalworkspace.fusion import RandomSoftmax
from globalworkspace.given_latents import GivenLatents
from globalworkspace.label_efficiency import interval
from globalworkspace.latents import LatentSpec
from globalworkspace.objectives.fused import Fused
from globalworkspace.pretrained import build_domain
from globalworkspace.randomness import derived_generator
from globalworkspace.recipes import recipe, usual_decay
from globalworkspace.standard_table import standardize_table

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "python tests/benchmarks/selection.py"
PAIRS, SEEDS, STEPS = 2000, 5, 1500
LEVELS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
UNSEEN = {"other": "another row's", "blank": "blank"}
ARMS = {
    "fixed": "fixed: equal weights",
    "random": "random",
    "clean": "attention, trained on clean rows",
    "noise": "attention, trained under noise",
    "unseen": "attention, trained under the two other kinds",
    "without": "without it",
}


def rows(split: str) -> dict[str, Tensor]:
    """Latents of the three domains."""
    held = questions.latents("shapes")
    number = len(held[f"{split}.picture"])
    name = "train" if split == "training" else split
    module = build_domain("attributes", {"columns": attribute_columns()})
    columns = load_attributes(name, number).columns()
    return {
        "picture": held[f"{split}.picture"],
        "caption": held[f"{split}.caption"],
        "attributes": module.encode(columns).float(),
    }


def domains_of(cells: Mapping[str, Tensor]) -> dict[str, GivenLatents]:
    """Domain modules of these latents."""
    module = build_domain("attributes", {"columns": attribute_columns()})
    specs = {n: LatentSpec.continuous(v.shape[1]) for n, v in cells.items()}
    specs["attributes"] = module.latent
    return {name: GivenLatents(spec) for name, spec in specs.items()}


def config(steps: int, seed: int, **changed: Any) -> TrainerConfig:
    """Of both trainings."""
    settings = {"batch_size": 128, "unmatched_batch_size": 128, "keep": "last"} | changed
    return TrainerConfig(**settings, steps=steps, seed=seed, device="cpu", progress=False)


def lacking(table: Table, seed: int) -> Table:
    """Each row lacks each domain with a chance of one third, but keeps one at least."""
    chance = derived_generator(seed, "lacking")
    keep_these = torch.rand(len(table), len(table.domains), generator=chance) > 1 / 3
    some = torch.randint(len(table.domains), (len(table),), generator=chance)
    none = ~keep_these.any(dim=1)
    keep_these[none.nonzero().flatten(), some[none]] = True
    columns = {n: table[n].keep(keep_these[:, k]) for k, n in enumerate(table)}
    return Table(columns, table.origin)


def workspaces(seed: int, *, missing: bool = False) -> dict[str, GlobalWorkspace]:
    """The fixed one, and its copies with a selection that was trained."""
    cells = rows("training")
    known = Table.from_columns(cells).match(PAIRS, seed=seed, unmatched="disjoint")
    if missing:  # of the matched rows: each lacks what it lacks, every other row is as it was
        lacks = lacking(known, seed)
        whole = torch.zeros(len(known), dtype=torch.bool)
        whole[known.matched_rows()] = True
        known = Table({n: known[n].keep(~whole | lacks[n].present) for n in known}, known.origin)
    matched = known.select(known.matched_rows())
    fixed = GlobalWorkspace(
        domains_of(cells), dim=64, hidden_dim=256, fusion="mean", activation="none", seed=seed
    )
    objectives = [*recipe("default").objectives(PAIRS, STEPS), Fused(1.0, subsets="every")]
    Trainer(config(STEPS, seed, weight_decay=usual_decay(PAIRS)), objectives).fit(
        fixed, known, latents=True
    )
    made = {"fixed": fixed}
    under = {"clean": None, "noise": ["noise"]}
    if not missing:
        under |= {f"no {kind}": [k for k in KINDS if k != kind] for kind in KINDS}
    for name, kinds in under.items():
        augmentation = None if kinds is None else Corruption(kinds, scale=4.0)
        workspace = copy.deepcopy(fixed)
        workspace.replace_fusion("attention")
        workspace.set_trainable([], fusion=True)
        fused = Fused(1.0, subsets="every")
        views = None
        if augmentation is not None:
            fused.seen_through("corrupted")
            views = {"corrupted": augmentation}
        plain = config(600, seed, weight_decay=0.0, unmatched_batch_size=0)
        Trainer(plain, [fused], augmentations=views).fit(workspace, matched, latents=True)
        made[name] = workspace
    return made


@torch.no_grad()
def error(
    workspace: GlobalWorkspace,
    seen: Mapping[str, Tensor],
    truth: Mapping[str, Tensor],
    present: Mapping[str, Tensor] | None = None,
    chance: torch.Generator | None = None,
) -> float:
    """Mean normalised error of all domains, decoded from the fused state.

    Args:
        workspace: In eval mode.
        seen: Domain -> standard latents that are fused.
        truth: Domain -> what is to be decoded.
        present: Domain -> (B,) bool; None: all are there.
        chance: For random weights in place of the workspace's own.
    """
    codes = {name: workspace.encoder(name)(values) for name, values in seen.items()}
    fusion = workspace.fusion
    if chance is not None:
        fusion = RandomSoftmax(fusion.dim, fusion.activation, temperature=0.2)
    state = fusion.fuse(codes, present, chance)
    errors = []
    for name, values in truth.items():
        spec = workspace.spec(name)
        told = spec.activate(workspace.decoder(name)(state.code))
        errors.append(float(normalized_error(told, values, spec).mean()))
    return statistics.mean(errors)


def corrupted(values: Tensor, kind: str, level: float, seed: int) -> Tensor:
    """Latents under one corruption."""
    if kind == "noise":
        drawn = torch.randn(values.shape, generator=derived_generator(seed, "noise"))
        return values + level * drawn
    return values.roll(1, dims=0) if kind == "other" else torch.zeros_like(values)


def one_seed(job: dict[str, Any]) -> dict[str, Any]:
    """All figures of one seed."""
    quiet()
    questions.start(job["cache"])
    seed, test = job["seed"], Table.from_columns(rows("test"))
    made = workspaces(seed)
    standard = standardize_table(made["fixed"], test)
    truth = {name: standard[name].take(torch.arange(len(standard))) for name in standard}
    cases = [("noise", level) for level in LEVELS] + [(kind, 1.0) for kind in UNSEEN]
    found: dict[str, Any] = {"seed": seed}
    for arm in ARMS:
        of: dict[str, float] = {}
        for kind, level in cases:
            workspace = made.get(f"no {kind}" if arm == "unseen" else arm, made["fixed"])
            values = []
            for name in truth:
                seen = {**truth, name: corrupted(truth[name], kind, level, seed)}
                if arm == "without":
                    del seen[name]
                chance = derived_generator(seed, "random") if arm == "random" else None
                values.append(error(workspace, seen, truth, chance=chance))
            of[f"{kind} {level:g}"] = statistics.mean(values)
        found[arm] = of
    lacks = workspaces(seed, missing=True)
    missing = lacking(standard, 1000 + seed)
    here = {name: missing[name].present for name in missing}
    found["missing"] = {}
    for label, models in (
        ("matched rows whole", made),
        ("matched rows that lack domains", lacks),
    ):
        for name in [name for name in ARMS if name in {"random", *models}]:
            workspace = models.get(name, models["fixed"])
            chance = derived_generator(seed, "random") if name == "random" else None
            value = error(workspace, truth, truth, here, chance)
            found["missing"][f"{name}, {label}"] = value
    return found


def page(found: Sequence[Mapping[str, Any]]) -> str:
    """The page."""
    text = head("Selection under corruption", COMMAND, paragraph(__doc__, 2))
    text += ["![Error against noise](selection.png)", ""]
    text += ["Normalised error, mean over the seeds ± half of the 95 % interval.", ""]
    heads = [f"noise {level:g}" for level in LEVELS] + list(UNSEEN.values())
    cases = list(found[0]["fixed"])
    text += [f"| selection | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for arm, label in ARMS.items():
        cells = [plus_minus([seed[arm][case] for seed in found]) for case in cases]
        text.append(f"| {label} | {' | '.join(cells)} |")
    text += ["", "Test rows that lack domains at random, decoded to all three:", ""]
    text += ["| selection, trained on | error |", "|---|---|"]
    for name in found[0]["missing"]:
        arm, _, trained_on = name.partition(", ")
        cell = plus_minus([seed["missing"][name] for seed in found])
        text.append(f"| {ARMS[arm]}, {trained_on} | {cell} |")
    return "\n".join([*text, ""])


def draw(found: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Error against noise."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axis = figure.subplots()
    for index, (arm, label) in enumerate(ARMS.items()):
        points = [interval([seed[arm][f"noise {level:g}"] for seed in found]) for level in LEVELS]
        means, lows, highs = zip(*points, strict=True)
        axis.plot(LEVELS, means, "o-", color=f"C{index}", label=label, ms=4, lw=1.4)
        axis.fill_between(LEVELS, lows, highs, color=f"C{index}", alpha=0.15, lw=0)
    axis.axvline(4.0, color="0.6", ls=":", lw=1)
    axis.text(4.1, axis.get_ylim()[1] * 0.02, "trained up to here", fontsize=8, color="0.4")
    axis.set(xlabel="noise on one domain (standard deviations)", ylabel="normalised error")
    axis.grid(True, alpha=0.2)
    axis.legend(fontsize=8)
    figure.savefig(file, dpi=130)


def main() -> None:
    """Measure, and write page and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "questions")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    quiet()
    questions.start(str(args.cache))
    questions.latents("shapes")
    found = by_seed(one_seed, "selection", args, SEEDS)
    keep("selection", found, page(found))
    draw(found, RESULTS / "selection.png")
    print((RESULTS / "selection.md").read_text())


if __name__ == "__main__":
    main()
