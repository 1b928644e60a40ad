"""Shapes seen, told, measured and heard: the workspace of examples/shapes_with_sound.py on seeds.

    python tests/benchmarks/shapes_with_sound.py

A seed draws the shapes, which rows are matched, and the training. Writes the tables of
docs/results/shapes-with-sound.md between its markers, the first test items of seed 0 as files
beside it, and headline figures to claims.json. Value: mean over the seeds, and their range.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import warnings
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "examples"), str(Path(__file__).parent)]

import shapes_with_sound as example  # noqa: E402
from claims import record  # noqa: E402
from globalworkspace_audio.sounds import describe, load_sound  # noqa: E402

from globalworkspace import encode_table  # noqa: E402

REPORT = ROOT / "docs" / "results" / "shapes-with-sound.md"
FILES = REPORT.with_suffix("")
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
COMMAND = "python tests/benchmarks/shapes_with_sound.py"
DRAWN, PLAYED, WRITTEN = 8, 3, 6
"""How many of the first test items are kept as pictures, as sounds and as sentences."""
KEPT_SOUNDS = (("picture-to-sound", "played"), ("sound", "true"))
CLAIMS = {
    "sound_to_picture_class_accuracy": ("sound -> picture, seen again", "class"),
    "sound_to_picture_r2_place": ("sound -> picture, seen again", "place"),
    "picture_to_sound_class_accuracy": ("picture -> sound, heard again", "class"),
    "picture_to_sound_r2_place": ("picture -> sound, heard again", "place"),
    "sound_to_sentence_shape_word_accuracy": ("sound -> caption", "shape"),
    "sound_to_sentence_colour_word_accuracy": ("sound -> caption", "color"),
}
"""Claim -> direction and figure; `place` of a picture or sound is the mean R² of x and y."""

Scores = dict[str, dict[str, dict[str, float]]]  # direction -> method -> figure -> value


def measure(args: argparse.Namespace, domains: example.Domains, judge: example.Judge) -> Scores:
    """One seed: every direction, and its first test items as files in `args.out`."""
    raw_training, raw_validation, raw_test = example.shapes(args)
    training, validation, test = (
        encode_table(domains, table) for table in (raw_training, raw_validation, raw_test)
    )
    workspace = example.train(domains, training, validation, args)
    matched = training.select(training.matched_rows())
    truth = example.facts_of_attributes(raw_test["attributes"].cells)
    scores = example.compare(judge, workspace, matched, test, truth)
    for source, target, sense in (("sound", "picture", "seen"), ("picture", "sound", "heard")):
        state = workspace.encode({source: test[source].cells}, latents=True)
        made = domains[target].encode(workspace.decode(state, target))
        scores[f"{source} -> {target}, {sense} again"] = {
            "workspace": example.score(judge.read(target, made), truth)
        }
    for name in ("picture", "sound"):
        scores[f"the true {name}"] = {
            "nothing translated": example.score(judge.read(name, test[name].cells), truth)
        }
    attributes = raw_test["attributes"].cells
    scores |= example.told(workspace, domains, matched, test, attributes)
    state = workspace.encode({"picture": test["picture"].cells}, latents=True)
    latents = workspace.decode(state, "caption", latents=True)
    dice = torch.Generator().manual_seed(args.seed)
    drawn = domains["caption"].write(latents, **example.DRAWN, generator=dice)
    scores["picture -> caption, words drawn"] = {
        "workspace": example.word_accuracy(drawn, attributes)
    }
    for methods in scores.values():
        for figures in methods.values():
            if "x" in figures:
                figures["place"] = (figures["x"] + figures["y"]) / 2
    example.show(workspace, raw_test, test, args.out, args.shown)
    directions = list(scores)  # what is seen or heard again stands beside its direction
    order = sorted(scores, key=lambda title: directions.index(title.partition(",")[0]))
    return {title: scores[title] for title in order}


def table(runs: list[Scores], figures: tuple[str, ...]) -> list[str]:
    """A row per direction and method that has these figures: means, and the range over seeds."""
    head = " | ".join(name.replace("_", " ") for name in figures)
    lines = [f"| direction | method | {head} |", "|---" * (len(figures) + 2) + "|"]
    for direction, methods in runs[0].items():
        for method, found in methods.items():
            if set(figures) <= set(found):
                cells = [
                    spread([run[direction][method][figure] for run in runs]) for figure in figures
                ]
                lines.append(f"| {direction.replace('->', '→')} | {method} | {' | '.join(cells)} |")
    return lines


def spread(values: list[float]) -> str:
    mean, low, high = (
        f"{f(values):.2f}".replace("-0.00", "0.00") for f in (statistics.fmean, min, max)
    )
    return mean if len(values) == 1 else f"{mean} ({low} to {high})"


def claim(runs: list[Scores]) -> None:
    for name, (direction, figure) in CLAIMS.items():
        values = [run[direction]["workspace"][figure] for run in runs]
        record(name, statistics.fmean(values), min(values), max(values), "1", len(runs), COMMAND)


def keep_files(made: Path) -> None:
    """Copy the sounds, and draw the pictures made from sounds above the true ones."""
    shutil.rmtree(FILES, ignore_errors=True)
    FILES.mkdir()
    for row in range(PLAYED):
        for source, name in KEPT_SOUNDS:
            shutil.copy(made / f"{row:02d}-{source}.wav", FILES / f"{row + 1}-{name}.wav")
    side, left, top = 96, 150, 26
    sheet = Image.new("RGB", (left + DRAWN * (side + 6), top + 2 * (side + 6)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for line, (source, name) in enumerate(
        (("sound-to-picture", "drawn from\nits sound"), ("picture", "true picture"))
    ):
        y = top + line * (side + 6)
        draw.text((8, y + side // 2 - 16), name, "black", font)
        for row in range(DRAWN):
            with Image.open(made / f"{row:02d}-{source}.png") as image:
                shown = image.resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(shown, (left + row * (side + 6), y))
            draw.text((left + row * (side + 6) + side // 2 - 4, 4), str(row + 1), "black", font)
    sheet.save(FILES / "sound-to-picture.png", optimize=True)


def shown(made: Path) -> list[str]:
    """The kept items, as Markdown."""
    folder = FILES.name
    lines = [
        f"![Pictures drawn from sounds above the true ones]({folder}/sound-to-picture.png)",
        "",
        "| picture | played from it | its true sound |",
        "|---|---|---|",
    ]
    for row in range(1, PLAYED + 1):
        cells = []
        for source, name in KEPT_SOUNDS:
            heard = describe(load_sound(made / f"{row - 1:02d}-{source}.wav", 8000))
            cells.append(f"[{row}-{name}.wav]({folder}/{row}-{name}.wav), {heard}")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    lines += ["", "| picture | written | written, words drawn by their odds | true sentence |"]
    lines += ["|---|---|---|---|"]
    for row in range(WRITTEN):
        texts = [
            (made / f"{row:02d}-{name}.txt").read_text("utf-8")
            for name in ("picture-to-caption", "picture-to-caption-drawn", "caption")
        ]
        lines.append(f"| {row + 1} | {' | '.join(texts)} |")
    return lines


def report(runs: list[Scores], args: argparse.Namespace, made: Path) -> str:
    """What stands between the markers."""
    factors = ("class", *example.FACTORS)
    drawn = ", ".join(f"{name} {value}" for name, value in example.DRAWN.items())
    lines = [
        f"{len(runs)} seeds (0 to {len(runs) - 1}); {args.items:,} shapes each, of which "
        f"{args.pairs:,} rows hold all four domains and each other row one; {args.steps:,} steps; "
        f"figures on {args.test_items:,} unseen shapes, mean and range over the seeds.",
        "",
        "## Into pictures, attributes and sounds",
        "",
        "*class*: accuracy, 0.33 by chance. Others: R², 0 by chance.",
        "",
        *table(runs, factors),
        "",
        "## Into sentences",
        "",
        "Shares of words that are right, read back by the grammar.",
        "",
        *table(runs, example.FIGURES),
        "",
        "## To look at and to listen to",
        "",
        f"The first unseen shapes of seed 0, not chosen. Drawn words: {drawn}.",
        "",
        *shown(made),
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "shapes-with-sound")
    options, rest = parser.parse_known_args()
    warnings.filterwarnings("ignore", message=".*latent dimensions are dead")
    domains = example.specialists()
    runs: list[Scores] = []
    for seed in range(options.seeds):
        out = ["--out", str(options.out / f"seed-{seed}"), "--seed", str(seed), "--quiet"]
        args = example.arguments([*rest, *out])
        if not runs:
            judge = example.Judge(domains, args.known)
        runs.append(measure(args, domains, judge))
        print(f"seed {seed} is measured", flush=True)
    made = options.out / "seed-0" / "files"
    text = report(runs, args, made)
    print(text)
    if rest or options.seeds < 3:
        print("Fewer seeds or other settings than the page's: nothing is recorded.")
        return
    keep_files(made)
    before, _, after = REPORT.read_text("utf-8").partition(BEGIN)
    REPORT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after.partition(END)[2]}", "utf-8")
    claim(runs)


if __name__ == "__main__":
    main()
