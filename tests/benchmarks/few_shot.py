"""Few-shot learning with language: the claim rule on data whose answer is known, and on shapes.

Prototypical networks on frozen latents, whose batch norms are modulated by a network that has
learned language, and its controls: no bridge, no bridge and as many parameters, shuffled language,
a random network, a constant. Episodes have 5 ways and 5 shots, of classes that were never trained
on; each arm is trained in five runs with first weights and episodes of their own, and on generated
data with a split of the classes of their own. Language is said to help only if it beats both
shuffled language and as many parameters, by paired differences whose 95 % intervals lie above 0.
*Frozen*: the auxiliary network learns first; *joint*: it learns with the network. Data with signal
have seeds 3 to 7, because the generator's sizes were chosen on seeds 0 to 2 in frozen mode.

    OMP_NUM_THREADS=1 python tests/benchmarks/few_shot.py    # goes on where it was stopped

Writes docs/results/few-shot.{md,json} and the fewshot_ figures of claims.json.
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial
from pathlib import Path
from typing import Any

import torch
from claims import record
from globalworkspace_probes.few_shot import few_shot, with_signal, without_signal
from globalworkspace_probes.few_shot.episodes import split_classes
from globalworkspace_probes.few_shot.generators import Generated
from globalworkspace_probes.few_shot.verdict import CONTROLS, DECISIVE, LANGUAGE, PROTONET
from globalworkspace_probes.few_shot.workspaces import mispaired_workspace, workspace_auxiliary
from globalworkspace_shapes.dataset import load, load_attributes
from globalworkspace_shapes.splits import attribute_bins
from results_page import by_seed, claim_median, head, keep, paragraph
from safetensors.torch import load_file, save_file
from torch import Tensor

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig
from globalworkspace.given_latents import GivenLatents
from globalworkspace.label_efficiency import interval
from globalworkspace.pretrained import load_domain

ROOT = Path(__file__).parents[2]
COMMAND = "python tests/benchmarks/few_shot.py"
NULL_SEEDS, SIGNAL_SEEDS, SHAPES_SEEDS = 10, 5, 5
FIRST_SIGNAL_SEED = 3
ROWS, WORKSPACE_STEPS = 3000, 800
PICTURE, CAPTION = "picture", "caption"
OWN, TRANSLATION = "own network, captions", "workspace, picture → caption"
MODES = ("frozen", "joint")
COMBINED = ("shape", "hue", "size")
NO_HUE = -1
"""A gray picture's class."""


def specialists() -> dict[str, Any]:
    """The frozen domain modules."""
    return {
        name: load_domain(f"package:globalworkspace_shapes/weights/{name}")
        for name in (PICTURE, CAPTION)
    }


def latents(cache: Path) -> dict[str, Tensor]:
    """Latents of pictures and captions; kept in the cache."""
    file = cache / f"few-shot-shapes-{ROWS}.safetensors"
    if not file.exists():
        modules, table = specialists(), load("train", ROWS, 0, domains=[PICTURE, CAPTION])
        pictures = [modules[PICTURE].encode(some) for some in table[PICTURE].cells.split(500)]
        told = modules[CAPTION].encode(table[CAPTION].cells)
        save_file({PICTURE: torch.cat(pictures).contiguous(), CAPTION: told.contiguous()}, file)
    return load_file(file)


def classes() -> Tensor:
    """(ROWS,): a class for each of the 27 combinations of shape, third of hue, third of size."""
    shapes = load_attributes("train", ROWS, 0)
    bins = {name: attribute_bins(shapes, name) for name in COMBINED}
    combined = 9 * bins["shape"] + 3 * bins["hue"] + bins["size"]
    return torch.where(bins["hue"] < 0, NO_HUE, combined)


def null_seed(job: dict[str, Any], mode: str = "frozen") -> dict[str, Any]:
    """The generator without signal."""
    return compared(without_signal(job["seed"]), job["seed"], mode)


def signal_seed(job: dict[str, Any], mode: str = "frozen") -> dict[str, Any]:
    """The generator with signal."""
    return compared(with_signal(job["seed"]), job["seed"], mode)


def compared(data: Generated, seed: int, mode: str) -> dict[str, Any]:
    """All arms on generated data."""
    result = few_shot(data.latents, data.language, data.labels, seed=seed, mode=mode)
    return result.to_json()


def shapes_seed(job: dict[str, Any]) -> dict[str, Any]:
    """Simple Shapes with held-out combinations, by both kinds of auxiliary network."""
    seed = job["seed"]
    held, labels = latents(Path(job["cache"])), classes()
    hue = (labels != NO_HUE).nonzero().flatten()
    held, labels = {name: values[hue] for name, values in held.items()}, labels[hue]
    split = split_classes(labels, 5, 10, torch.Generator().manual_seed(seed))
    of_training = torch.isin(labels, torch.tensor(split.train)).nonzero().flatten()
    table = Table.from_columns(held).select(of_training)
    workspace = GlobalWorkspace(GivenLatents.of(specialists()), dim=32, seed=seed)
    training, validation = table.hold_out(0.2, seed=seed)
    config = TrainerConfig(steps=WORKSPACE_STEPS, seed=seed, device="cpu", progress=False)
    Trainer(config).fit(workspace, training, validation, latents=True)
    names = {"domain": PICTURE, "language": CAPTION}
    control = mispaired_workspace(workspace, table, **names, steps=WORKSPACE_STEPS, seed=seed)
    told = workspace_auxiliary(workspace, control, held[PICTURE], **names)
    return {
        TRANSLATION: few_shot(held[PICTURE], told, labels, split=split, seed=seed).to_json(),
        OWN: few_shot(held[PICTURE], held[CAPTION], labels, split=split, seed=seed).to_json(),
    }


Lines = list[dict[str, Any]]


def seeds_table(lines: Lines) -> list[str]:
    """A line for each seed: the differences that decide, and the verdict."""
    text = [
        f"| seed | {' | '.join(f'language less {control}' for control in DECISIVE)} | verdict |",
        "|---|" + "---|" * (len(DECISIVE) + 1),
    ]
    for line in lines:
        cells = [shown(line["differences"][control]) for control in DECISIVE]
        verdict = "language helps" if line["language_helps"] else "no gain is shown"
        text.append(f"| {line['seed']} | {' | '.join(cells)} | {verdict} |")
    return [*text, ""]


def arms_table(lines: Lines) -> list[str]:
    """Mean accuracies of the arms over seeds, and what language adds to each."""
    text = ["| arm | parameters | accuracy | language less it |", "|---|---|---|---|"]
    for name in (LANGUAGE, *CONTROLS):
        mean, low, high = interval([line["arms"][name]["mean"] for line in lines])
        added = ""
        if name in CONTROLS:
            apart = interval([line["differences"][name]["mean"] for line in lines])
            added = f"{apart[0]:+.3f} ({apart[1]:+.3f} to {apart[2]:+.3f})"
        accuracy = f"{mean:.3f} ({low:.3f} to {high:.3f})"
        text.append(f"| {name} | {lines[0]['parameters'][name]:,} | {accuracy} | {added} |")
    return [*text, "", f"Means over {len(lines)} seeds with their 95 % intervals.", ""]


def shown(apart: dict[str, float]) -> str:
    """A difference and its interval."""
    return f"{apart['mean']:+.3f} ({apart['low']:+.3f} to {apart['high']:+.3f})"


def wins(lines: Lines) -> int:
    """How many seeds are said to show that language helps."""
    return sum(line["language_helps"] for line in lines)


def wins_over(lines: Lines, control: str) -> int:
    """How many would be said to, if that control were the only one."""
    return sum(line["differences"][control]["low"] > 0 for line in lines)


def generated(null: Lines, signal: Lines) -> list[str]:
    """What is said of generated data in one mode."""
    gains, plain = [line["gain"] for line in signal], wins_over(null, PROTONET)
    whatever = ": a bridge that reads anything of a row helps, which is why there are others"
    return [
        "### Captions without signal",
        "",
        f"A win is declared for **{wins(null)} of {len(null)}** seeds. With the plain protonet as "
        f"the only control it would be {plain}{whatever if plain > 1 else ''}.",
        "",
        *seeds_table(null),
        *arms_table(null),
        "### Captions with signal",
        "",
        f"A win is declared for **{wins(signal)} of {len(signal)}** seeds. The language arm is "
        f"better than the best control by {statistics.median(gains):.3f} ({min(gains):.3f} to "
        f"{max(gains):.3f}; median and range over seeds).",
        "",
        *seeds_table(signal),
        *arms_table(signal),
    ]


def page(null: dict[str, Lines], signal: dict[str, Lines], shapes: Lines) -> list[str]:
    """The page's lines; null and signal by mode."""
    text = head("Few-shot with language", COMMAND, paragraph(__doc__, 1))
    for mode in MODES:
        text += [f"## Generated data, {mode} mode", "", *generated(null[mode], signal[mode])]
    text += ["## Simple Shapes", ""]
    text += [
        f"{ROWS:,} pictures and captions; the classes are 27 combinations of shape, third of the "
        "hue and third of the size. The learner sees latents of the picture VAE. Workspaces are "
        f"trained for {WORKSPACE_STEPS:,} steps on the rows of the training classes alone, so the "
        "five runs of a seed share one split of the classes.",
        "",
    ]
    for name in (TRANSLATION, OWN):
        lines = [{"seed": line["seed"], **line[name]} for line in shapes]
        text += [f"### Auxiliary network: {name}", ""]
        text += [f"A win is declared for {wins(lines)} of {len(lines)} seeds.", ""]
        text += [*seeds_table(lines), *arms_table(lines)]
    return text


def main() -> None:
    """Measure, write the page and the claims."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "few-shot")
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    null, signal = {}, {}
    for mode in MODES:
        name = "few-shot-{}" + ("" if mode == "frozen" else f"-{mode}")
        one = partial(null_seed, mode=mode)
        null[mode] = by_seed(one, name.format("null"), args, NULL_SEEDS)
        one = partial(signal_seed, mode=mode)
        signal[mode] = by_seed(
            one, name.format("signal"), args, SIGNAL_SEEDS, first=FIRST_SIGNAL_SEED
        )
    latents(args.cache)
    shapes = by_seed(shapes_seed, "few-shot-shapes", args, SHAPES_SEEDS)
    text = page(null, signal, shapes)
    keep("few-shot", {"null": null, "signal": signal, "shapes": shapes}, "\n".join(text))
    won, gains = wins(null["frozen"]), [line["gain"] for line in signal["frozen"]]
    record("fewshot_null_wins", won, won, won, "wins", NULL_SEEDS, COMMAND)
    record("fewshot_null_seeds", NULL_SEEDS, NULL_SEEDS, NULL_SEEDS, "seeds", NULL_SEEDS, COMMAND)
    claim_median("fewshot_signal_gain", gains, "1", COMMAND)
    print("\n".join(text))


if __name__ == "__main__":
    main()
