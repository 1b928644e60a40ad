"""A run on Simple Shapes with pictures, sentences, attributes and sounds, small or not."""

import tomllib
from pathlib import Path

from globalworkspace_shapes import attribute_columns

from globalworkspace.experiment import Experiment, run_experiment

CONFIG = """\
[data]
kind = "shapes"
num_items = {items}
domains = ["picture", "caption", "attributes", "sound"]
match = {{ count = {pairs} }}

[test]
kind = "shapes"
split = "test"
num_items = {judged}
domains = ["picture", "caption", "attributes", "sound"]

[domains.picture]
pretrained = "package:globalworkspace_shapes/weights/picture"

[domains.caption]
pretrained = "package:globalworkspace_shapes/weights/caption"

[domains.attributes]
kind = "attributes"

[domains.sound]
pretrained = "package:globalworkspace_shapes/weights/sound"

[workspace]
dim = 32
fusion = "attention"

[training]
steps = {steps}
batch_size = 128
unmatched_batch_size = 128
learning_rate = 0.01
validate_every = {validate}
device = "cpu"
"""


def run(
    folder: Path, *, items: int, pairs: int, judged: int, steps: int, progress: bool = False
) -> Experiment:
    """Train it and write its report."""
    text = CONFIG.format(
        items=items, pairs=pairs, judged=judged, steps=steps, validate=max(steps // 20, 1)
    )
    config = tomllib.loads(text)
    config["domains"]["attributes"]["columns"] = attribute_columns()
    return run_experiment(
        config,
        folder,
        progress=progress,
        command=["globalworkspace", "train", "four-domains.toml", "--out", folder.name],
    )
