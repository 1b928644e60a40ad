"""Shapes that are seen, told, measured and heard: a workspace of four domains.

Simple Shapes come with a sound of half a second in stereo: height is pitch, the side is the side,
size is loudness, class is timbre, rotation is the moment of the swell, and red, green and blue are
three chimes. 1,000 rows have all four domains; each other row keeps one (a picture, a sentence, a
row of attributes *or* a sound). The workspace then has to draw what it hears, to play what it sees,
and to tell either in a sentence of its own. Beside it stand ridge regression on the same matched
rows, and chance.

    pip install "globalworkspace-shapes[demo,sound]"
    python examples/shapes_with_sound.py --out runs/sound

It leaves sheet.html, where the sounds can be played, the same as WAV and PNG files in files/, and
figures.json. The run folder translates:

    globalworkspace translate runs/sound --from sound=runs/sound/files/00-sound.wav --to picture
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from globalworkspace_shapes.attributes import sample_attributes
from globalworkspace_shapes.dataset import ALL_DOMAINS, load
from globalworkspace_shapes.demo import demo_domains
from globalworkspace_shapes.render import render
from globalworkspace_shapes.scoring import (
    FACTORS,
    Facts,
    LatentProbe,
    facts_of_attributes,
    score,
)
from globalworkspace_shapes.sound import sonify
from globalworkspace_shapes.words import FIGURES, word_accuracy
from torch import Tensor

from globalworkspace import (
    DomainModule,
    GlobalWorkspace,
    LatentStore,
    Rendering,
    Table,
    Trainer,
    TrainerConfig,
    encode_table,
)
from globalworkspace.closed_form import ridge
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.translation import Translation
from globalworkspace.pretrained import load_domain
from globalworkspace.run_folder import save_run
from globalworkspace.sheet import Section, write_page

SOUND_WEIGHTS = "package:globalworkspace_shapes/weights/sound"
DIRECTIONS = tuple(
    (source, target)
    for target in ("picture", "attributes", "sound")
    for source in ALL_DOMAINS
    if source != target
)
"""Those into sentences are judged by their words (`told`)."""
DRAWN = {"temperature": 1.0, "top_p": 1.0}
"""How sentences are drawn, by the writer's own odds here; else each word is the likeliest."""
Domains = dict[str, DomainModule]


def specialists() -> Domains:
    """The demo's, and the sounds that the plugin ships."""
    return {**demo_domains(), "sound": load_domain(SOUND_WEIGHTS)}


def shapes(args: argparse.Namespace) -> tuple[Table, Table, Table]:
    """Training, validation (all matched) and test rows of the four domains."""
    options = {"seed": args.seed, "domains": ALL_DOMAINS}
    raw = load("train", num_items=args.items, **options).match(args.pairs, seed=args.seed)
    return *raw.hold_out(seed=args.seed), load("test", num_items=args.test_items, **options)


def train(
    domains: Domains, training: Table, validation: Table, args: argparse.Namespace
) -> GlobalWorkspace:
    """One workspace on tables of latents, with the paper's families, cycles by back-translation."""
    workspace = GlobalWorkspace(domains, dim=32, seed=args.seed)
    settings = TrainerConfig(
        steps=args.steps,
        batch_size=128,
        weight_decay=1.0,  # chosen, as no dropout was, on seed 100
        validate_every=100,
        seed=args.seed,
        progress=not args.quiet,
    )
    families = [
        Translation(1.0, many_to_one=False),
        Contrastive(0.1),
        DemiCycle(0.1),
        Cycle(0.3, detach=True),
    ]
    trainer = Trainer(settings, families)
    trainer.fit(workspace, training, validation, latents=True, run_dir=args.out)
    return workspace


class Judge:
    """Reads what a translation says about the shape, whatever domain it is in.

    Latents of pictures and of sounds are read by perceptrons that learned it from shapes whose
    attributes are known; attributes are read off.
    """

    def __init__(self, domains: Domains, known: int) -> None:
        self.domains = domains
        seen = sample_attributes(known, torch.Generator().manual_seed(987_654_321))
        parts = [seen[slice(i, i + 500)] for i in range(0, known, 500)]
        self.probes = {}
        for name, make in (("picture", render), ("sound", sonify)):
            latents = torch.cat([domains[name].encode(make(part)) for part in parts])
            self.probes[name] = LatentProbe(latents, seen)

    def read(self, target: str, latents: Tensor) -> Facts:
        """The facts in latents (N, D) of a domain with a decoder of its own."""
        if target in self.probes:
            return self.probes[target].read(latents)
        return facts_of_attributes(self.domains[target].decode(latents.float()))

    def of_workspace(
        self, workspace: GlobalWorkspace, source: str, latents: Tensor, target: str
    ) -> Facts:
        """The facts in the workspace's translations."""
        state = workspace.encode({source: latents}, latents=True)
        return self.read(target, workspace.decode(state, target, latents=True))


def compare(
    judge: Judge, workspace: GlobalWorkspace, matched: Table, test: Table, truth: Facts
) -> dict[str, dict[str, dict[str, float]]]:
    """Direction -> "workspace" and "ridge" -> class accuracy and R² on the test rows."""
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for source, target in DIRECTIONS:
        latents = test[source].cells
        found = {"workspace": judge.of_workspace(workspace, source, latents, target)}
        rows = torch.arange(len(matched))
        line = ridge(matched[source].take(rows), matched[target].take(rows))
        found["ridge"] = judge.read(target, line(latents).float())
        figures[f"{source} -> {target}"] = {
            name: score(facts, truth) for name, facts in found.items()
        }
    return figures


def told(
    workspace: GlobalWorkspace, domains: Domains, matched: Table, test: Table, truth: Any
) -> dict[str, dict[str, dict[str, float]]]:
    """Direction into sentences -> "workspace" and "ridge" -> shares of words that are right."""
    figures: dict[str, dict[str, dict[str, float]]] = {}
    rows = torch.arange(len(matched))
    writer = domains["caption"]
    for source in ("sound", "picture", "attributes"):
        latents = test[source].cells
        state = workspace.encode({source: latents}, latents=True)
        line = ridge(matched[source].take(rows), matched["caption"].take(rows))
        written = {
            "workspace": workspace.decode(state, "caption"),
            "ridge": writer.decode(line(latents).float()),
        }
        figures[f"{source} -> caption"] = {
            name: word_accuracy(texts, truth) for name, texts in written.items()
        }
    return figures


def print_words(figures: dict[str, Any]) -> None:
    """A line per direction and method."""
    print("\nwords of written sentences that are right (a neighbouring cell, size or color counts")
    print("in place, size and color, and not in the exact figures)")
    print(f"{'':<24}{'':<11}" + "".join(f"{name:>12}" for name in FIGURES))
    for title, methods in figures.items():
        for name, shares in methods.items():
            print(f"{title:<24}{name:<11}" + "".join(f"{shares[f]:>12.2f}" for f in FIGURES))


def print_table(figures: dict[str, Any], pairs: int, test_items: int) -> None:
    """A line per direction and method."""
    print(f"\n{pairs:,} matched rows, {test_items:,} unseen shapes; class: accuracy, others: R²")
    print(f"{'':<24}{'':<11}" + "".join(f"{name:>9}" for name in ("class", *FACTORS)))
    for title, methods in figures.items():
        for name, scores in methods.items():
            values = "".join(f"{scores[factor]:>9.2f}" for factor in ("class", *FACTORS))
            print(f"{title:<24}{name:<11}{values}")
    print(f"{'':<24}{'chance':<11}{1 / 3:>9.2f}" + f"{0:>9.2f}" * len(FACTORS))


def show(workspace: GlobalWorkspace, raw: Table, test: Table, folder: Path, items: int) -> None:
    """Write sheet.html, and each thing on it as a file."""
    rows = list(range(items))
    modules = workspace.domains
    (folder / "files").mkdir(parents=True, exist_ok=True)

    def predicted(source: str, target: str) -> Tensor:
        state = workspace.encode({source: test[source].take(rows)}, latents=True)
        return workspace.decode(state, target, latents=True)

    def translated(source: str, target: str) -> list[Rendering]:
        return modules[target].render(modules[target].decode(predicted(source, target)))

    true = {name: modules[name].render(raw[name].take(rows)) for name in ("picture", "sound")}
    writer, dice = modules["caption"], torch.Generator().manual_seed(0)
    drawn = writer.write(predicted("picture", "caption"), **DRAWN, generator=dice)
    columns = {
        "sound": true["sound"],
        "sound-to-picture": translated("sound", "picture"),
        "picture": true["picture"],
        "picture-to-sound": translated("picture", "sound"),
        "caption": writer.render(raw["caption"].take(rows)),
        "sound-to-caption": translated("sound", "caption"),
        "picture-to-caption": translated("picture", "caption"),
        "picture-to-caption-drawn": writer.render(drawn),
        "caption-to-sound": translated("caption", "sound"),
    }
    for name, renderings in columns.items():
        for row, rendering in enumerate(renderings):
            (folder / "files" / f"{row:02d}-{name}{rendering.ending}").write_bytes(rendering.data)
    sections = []
    for title, names in (
        ("Sound to picture", ("sound", "sound-to-picture", "picture")),
        ("Picture to sound", ("picture", "picture-to-sound", "sound")),
        ("Sound to sentence", ("sound", "sound-to-caption", "caption")),
        (
            "Picture to sentence",
            ("picture", "picture-to-caption", "picture-to-caption-drawn", "caption"),
        ),
        ("Sentence to sound", ("caption", "caption-to-sound", "sound")),
    ):
        cells = list(zip(*(columns[name] for name in names), strict=True))
        middle = ["translated", "translated, words drawn by their odds"][: len(names) - 2]
        headings = (names[0], *middle, f"true {names[-1]}")
        sections.append(Section(title=title, headings=headings, rows=cells))
    write_page(folder / "sheet.html", "Shapes seen, told and heard", sections)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """The whole example; returns the figures."""
    domains = specialists()
    raw_training, raw_validation, raw_test = shapes(args)
    options = {"store": LatentStore(args.out / "latents"), "progress": not args.quiet}
    training, validation, test = (
        encode_table(domains, table, **options)
        for table in (raw_training, raw_validation, raw_test)
    )
    print(f"training: {training.describe()}; validation: {len(validation)} matched rows")
    workspace = train(domains, training, validation, args)
    matched = training.select(training.matched_rows())
    truth = facts_of_attributes(raw_test["attributes"].cells)
    judge = Judge(domains, args.known)
    figures = compare(judge, workspace, matched, test, truth)
    print_table(figures, args.pairs, args.test_items)
    words = told(workspace, domains, matched, test, raw_test["attributes"].cells)
    print_words(words)
    save_run(args.out, workspace, raw_training, training)
    (args.out / "figures.json").write_text(json.dumps(figures | words, indent=2))
    show(workspace, raw_test, test, args.out, args.shown)
    print(f"\nOpen {args.out / 'sheet.html'}; the files are in {args.out / 'files'}.")
    return figures


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/sound"), help="the run folder")
    parser.add_argument("--pairs", type=int, default=1_000, help="matched rows")
    parser.add_argument("--items", type=int, default=12_000, help="shapes in all")
    parser.add_argument("--test-items", type=int, default=1_000, help="unseen shapes")
    parser.add_argument("--known", type=int, default=12_000, help="shapes that teach the probes")
    parser.add_argument("--steps", type=int, default=3_000, help="training steps")
    parser.add_argument("--shown", type=int, default=12, help="items on the sheet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    return parser.parse_args(given)


if __name__ == "__main__":
    run(arguments())
