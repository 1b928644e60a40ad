"""What workspaces do with shapes they have never seen, with noise, and without a domain.

Workspaces of pictures and attributes with 1,000 matched rows among 100,000, by three recipes.
*Never seen*: two attribute values are held out of every training row, matched or not, and the rows
that have one are judged apart. *Noise*: both domains are fused and decoded to the attributes while
the picture's latent is shaken by Gaussian noise, of 0 to 2 of its standard deviations, on all test
rows: those never seen are among them, which is why the error without noise is not that of the seen.
*Missing*: what each set of domains tells of each, on the seen.

    python tests/benchmarks/robustness.py      # half an hour on two cores

Writes docs/results/robustness.{md,json}.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import attrs
import torch
from globalworkspace_shapes.attributes import ShapeAttributes
from globalworkspace_shapes.dataset import load_attributes
from globalworkspace_shapes.splits import ood_split
from label_efficiency import CHUNK, latents, specialists
from odd_one_out import PAIRS, RECIPES, ROOT, ROWS, SEEDS, trained
from results_page import by_seed, head, keep, paragraph, plus_minus

from globalworkspace import Table
from globalworkspace.evaluation.robustness import NOISE, missing_domains, noise_curve
from globalworkspace.evaluation.translation import translation_error
from globalworkspace.given_latents import GivenLatents
from globalworkspace.standard_table import standardize_table

COMMAND = "python tests/benchmarks/robustness.py"


def whole(pieces: list[ShapeAttributes]) -> ShapeAttributes:
    """The attributes of all chunks."""
    names = [field.name for field in attrs.fields(ShapeAttributes)]
    return ShapeAttributes(**{n: torch.cat([getattr(p, n) for p in pieces]) for n in names})


def one_seed(job: dict[str, Any]) -> dict[str, Any]:
    """All figures of one seed."""
    seed, cache = job["seed"], Path(job["cache"])
    domains = GivenLatents.of(specialists())
    rows, test = latents("train", ROWS, cache), latents("test", 10_000, cache)
    shapes = whole([load_attributes("train", CHUNK, i) for i in range(ROWS // CHUNK)])
    split = ood_split(shapes, seed)
    judged = ood_split(load_attributes("test", 10_000, 0), seed)
    seen = _dense(rows.select(split.in_distribution))
    found: dict[str, Any] = {"seed": seed, "held out": split.description}
    for name in RECIPES:
        workspace = trained(domains, seen, name, seed)
        standard = standardize_table(workspace, test)
        both = ("picture", "attributes")
        found[name] = {
            "inside": translation_error(workspace, standard.select(judged.in_distribution)),
            "outside": translation_error(workspace, standard.select(judged.out_of_distribution)),
            "noise": noise_curve(
                workspace, standard, noisy="picture", sources=both, target="attributes"
            ),
            "noise alone": noise_curve(
                workspace, standard, noisy="picture", sources=both[:1], target="attributes"
            ),
            "missing": missing_domains(workspace, standard.select(judged.in_distribution)),
        }
    return found


def _dense(table: Table) -> Table:
    rows = torch.arange(len(table))
    return Table.from_columns({name: table[name].take(rows) for name in table})


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "label-efficiency")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    latents("train", ROWS, args.cache)
    latents("test", 10_000, args.cache)
    found = by_seed(one_seed, "robustness", args, SEEDS)

    def cell(*path: Any) -> str:
        values = []
        for seed in found:
            value: Any = seed
            for key in path:
                value = value[key]
            values.append(value)
        return plus_minus(values)

    text = head("Robustness", COMMAND, paragraph(__doc__, 1))
    text += [f"Means over {SEEDS} seeds and half of their 95 % intervals; normalised errors.", ""]
    text += [f"## Held-out attribute values ({PAIRS:,} matched rows)", ""]
    directions = list(found[0]["default"]["inside"])
    text += ["| recipe | " + " | ".join(f"{d}, {w}" for d in directions for w in ("seen", "never"))]
    text[-1] += " |"
    text += ["|---" * (1 + 2 * len(directions)) + "|"]
    for name in RECIPES:
        cells = [cell(name, w, d) for d in directions for w in ("inside", "outside")]
        text.append(f"| `{name}` | " + " | ".join(cells) + " |")
    held = "; ".join(f"seed {seed['seed']}: {seed['held out']}" for seed in found)
    text += ["", f"Held out: {held}.", "", "## Noise on the picture, decoded to attributes", ""]
    text += ["| recipe, fused from | " + " | ".join(f"noise {v:g}" for v in NOISE) + " |"]
    text += ["|---" * (1 + len(NOISE)) + "|"]
    for name in RECIPES:
        for kind, label in (("noise alone", "picture"), ("noise", "picture + attributes")):
            cells = [cell(name, kind, str(level)) for level in NOISE]
            text.append(f"| `{name}`, {label} | " + " | ".join(cells) + " |")
    text += ["", "## Which domains are there", ""]
    sets = list(found[0]["default"]["missing"])
    text += ["| recipe | " + " | ".join(sets) + " |", "|---" * (1 + len(sets)) + "|"]
    for name in RECIPES:
        text.append(f"| `{name}` | " + " | ".join(cell(name, "missing", s) for s in sets) + " |")
    keep("robustness", found, "\n".join([*text, ""]))
    print("\n".join(text))


if __name__ == "__main__":
    main()
