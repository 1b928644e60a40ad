"""Clips of a moving shape, joined with which way it goes and how fast.

A shape of Simple Shapes crosses eight frames in a straight line. The frames' latents come from the
picture VAE that the shapes plugin ships, and it has never seen a movement. 1,000 of 4,000 rows hold
a clip *and* its motion, the others one of them. Three workspaces read the same frames:

* their mean, which cannot know the way: a clip and the same clip played backwards have one mean;
* their sequence through the network `mlp`;
* their sequence through the network `attention`.

The two last also draw: from a motion to a clip, judged by where its bright pixels go.

    pip install globalworkspace-attributes globalworkspace-shapes globalworkspace-vision
    python examples/clips.py --out runs/clips
"""

from __future__ import annotations

import argparse
import json
import math
import warnings
from pathlib import Path

import torch
from globalworkspace_attributes import AttributesDomain
from globalworkspace_shapes import CLASSES, ShapeAttributes, sample_attributes
from globalworkspace_shapes.render import render
from globalworkspace_vision.frames import FramesDomain
from torch import Tensor

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig, encode_table
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.translation import Translation
from globalworkspace.sheet import write_sheet

NUM_FRAMES = 8
SPEEDS = (0.5, 1.7)
"""Pixels per frame of a 32-pixel picture."""
PICTURE = {"pretrained": "package:globalworkspace_shapes/weights/picture"}
ARMS = {"mean, mlp": "mean", "sequence, mlp": "none", "sequence, attention": "none"}
CHANCE = {
    "class": 1 / 3,
    "speed R²": 0.0,
    "way off by": 90.0,
    "way right": 0.25,
    "drawn right": 0.25,
}
"""What a guess reaches: of the class, of the speed, degrees off, and within 45 degrees."""


def make(count: int, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Clips (count, 8, 3, 32, 32) uint8 and their motions.

    The middle of the way is drawn apart from the direction, so that no single frame tells it.
    """
    generator = torch.Generator().manual_seed(seed)
    shapes = sample_attributes(count, generator)
    way, speed, x, y = torch.rand(4, count, generator=generator)
    way, speed = math.tau * way, SPEEDS[0] + (SPEEDS[1] - SPEEDS[0]) * speed
    time = torch.arange(NUM_FRAMES) - (NUM_FRAMES - 1) / 2
    path_x = 13 + 6 * x[:, None] + time * (speed * way.cos())[:, None]
    path_y = 13 + 6 * y[:, None] + time * (speed * way.sin())[:, None]
    frames = ShapeAttributes(
        category=shapes.category.repeat_interleave(NUM_FRAMES),
        x=path_x.flatten(),
        y=path_y.flatten(),
        size=shapes.size.repeat_interleave(NUM_FRAMES),
        rotation=shapes.rotation.repeat_interleave(NUM_FRAMES),
        color=shapes.color.repeat_interleave(NUM_FRAMES, dim=0),
    )
    clips = render(frames).unflatten(0, (count, NUM_FRAMES))
    return clips, {"shape": shapes.category, "way": way, "speed": speed}


def draw(items: int, pairs: int, seed: int) -> tuple[Table, tuple[Tensor, dict[str, Tensor]]]:
    """Rows of which `pairs` are matched, and 1,000 clips and motions that are not among them."""
    clips, motions = make(items, 2 * seed)
    rows = Table.from_columns({"clip": clips, "motion": motions}).match(pairs, seed=seed)
    return rows, make(1000, 2 * seed + 1)


def motion_domain() -> AttributesDomain:
    shape = {"type": "categorical", "categories": list(CLASSES)}
    return AttributesDomain({"shape": shape, "way": "circular", "speed": "continuous"})


def train(arm: str, rows: Table, steps: int, seed: int) -> GlobalWorkspace:
    clip = FramesDomain(PICTURE, pooling=ARMS[arm], max_frames=NUM_FRAMES)
    workspace = GlobalWorkspace(
        {"clip": clip, "motion": motion_domain()},
        dim=32,
        networks={"clip": arm.rpartition(", ")[2]},
        seed=seed,
    )
    training, validation = (encode_table(workspace.domains, part) for part in rows.hold_out(0.2))
    config = TrainerConfig(steps=steps, seed=seed, device="cpu", progress=False)
    families = [Translation(1.0), Contrastive(0.1), DemiCycle(0.1), Cycle(0.3, detach=True)]
    Trainer(config, families).fit(workspace, training, validation, latents=True)
    return workspace


def judge(workspace: GlobalWorkspace, clips: Tensor, motions: dict[str, Tensor]) -> dict:
    """Figures on unseen clips, and unseen motions drawn where the domain can draw."""
    read = workspace.translate({"clip": clips}, to="motion")
    named = torch.tensor([CLASSES.index(name) for name in read["shape"]])
    found = {
        "class": float((named == motions["shape"]).double().mean()),
        "speed R²": share_explained(read["speed"], motions["speed"]),
        "way off by": float(apart(read["way"], motions["way"]).mean()),
        "way right": within_45_degrees(read["way"], motions["way"]),
    }
    if workspace.domains["clip"].pooling == "none":
        drawn = workspace.translate({"motion": motions}, to="clip")
        found["drawn right"] = within_45_degrees(way_of(drawn), motions["way"])
    return found


def way_of(clips: list[Tensor]) -> Tensor:
    """Which way the brightness moves between the halves of each clip, in radians."""
    moved = []
    for frames in clips:
        weight = frames.float().sum(dim=1).square()  # (T, 32, 32); square: the dark counts little
        weight = weight / weight.sum(dim=(1, 2), keepdim=True).clamp(min=1e-9)
        places = torch.arange(weight.shape[1]).float()
        x, y = (weight.sum(dim=1) @ places), -(weight.sum(dim=2) @ places)
        half = max(len(frames) // 2, 1)
        first, last = ((v[:half].mean(), v[-half:].mean()) for v in (x, y))
        moved.append(torch.atan2(last[1] - last[0], first[1] - first[0]))
    return torch.stack(moved)


def share_explained(found: Tensor, truth: Tensor) -> float:
    return float(1 - (found - truth).square().mean() / truth.var(correction=0))


def apart(found: Tensor, truth: Tensor) -> Tensor:
    """Degrees between directions in radians, 0 to 180."""
    return (found - truth).cos().clamp(-1, 1).acos() * 180 / math.pi


def within_45_degrees(found: Tensor, truth: Tensor) -> float:
    return float((apart(found, truth) < 45).double().mean())


def show(file: Path, workspace: GlobalWorkspace, clips: Tensor, motions: dict) -> None:
    """A page of unseen clips beside what was read off them and what was drawn from it."""
    clip, motion = workspace.domains["clip"], workspace.domains["motion"]
    truth = motion.render(motions)
    read = motion.render(workspace.translate({"clip": clips}, to="motion"))
    drawn = clip.render(workspace.translate({"motion": motions}, to="clip"))
    rows = list(zip(clip.render(clips), read, truth, drawn, strict=True))
    head = ["clip", "motion read off it", "motion", "clip drawn from the motion"]
    write_sheet(file, "Moving shapes, unseen", head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("--items", 4000), ("--pairs", 1000), ("--steps", 1500), ("--seed", 0)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--out", type=Path, default=Path("runs/clips"))
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*latent dimensions are dead")
    options.out.mkdir(parents=True, exist_ok=True)
    rows, unseen = draw(options.items, options.pairs, options.seed)
    print(f"{'1,000 unseen':<22}" + "".join(f"{name:>13}" for name in CHANCE))
    print(f"{'chance':<22}" + "".join(f"{value:>13.2f}" for value in CHANCE.values()))
    figures = {}
    for arm in ARMS:
        workspace = train(arm, rows, options.steps, options.seed)
        figures[arm] = judge(workspace, *unseen)
        print(f"{arm:<22}" + "".join(f"{value:>13.2f}" for value in figures[arm].values()))
    (options.out / "figures.json").write_text(json.dumps({"chance": CHANCE, **figures}, indent=2))
    some = unseen[0][:6], {name: values[:6] for name, values in unseen[1].items()}
    show(options.out / "sheet.html", workspace, *some)
    workspace.save_pretrained(options.out / "workspace")
    print(f"Look at {options.out / 'sheet.html'}.")


if __name__ == "__main__":
    main()
