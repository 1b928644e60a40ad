"""A small table file and a config for it, which tests of the command line change."""

import csv
import random
from pathlib import Path

CONFIG = """\
[data]
kind = "table"
path = "things.csv"

[domains.place]
kind = "script-numbers"
column = ["x", "y"]

[domains.look]
kind = "script-numbers"
column = ["size", "age"]

[workspace]
dim = 4
hidden_dim = 8

[training]
steps = 6
batch_size = 8
unmatched_batch_size = 8
validate_every = 3
checkpoint_every = 2
device = "cpu"
"""


def things(rows=40, seed=0):
    """Rows whose x is their number; size and age follow from x and y."""
    generator = random.Random(seed)
    found = []
    for x in range(rows):
        y = generator.random()
        found.append({"x": x, "y": y, "size": x + y, "age": x - y, "word": "ab"[x % 2] * 3 + "c"})
    return found


def write_csv(rows, file="things.csv"):
    with Path(file).open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_config(*changes, file="run.toml"):
    """The config with (old, new) texts exchanged."""
    text = CONFIG
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    Path(file).write_text(text)
