"""Questions about pictures, and whether a sentence belongs to a picture, on frozen states.

    python tests/benchmarks/questions.py       # an hour; goes on where it was stopped

Pictures and captions of Simple Shapes (the shipped VAE, MiniLM) and of rooms (EfficientNet-Lite0,
MiniLM) are joined with 100 to 2,500 matched pairs, other rows having one of the two.
*Questions*: a network with one hidden layer learns 5,000 questions and answers on the states of
pictures beside the question (MiniLM), and is asked 3,000 others about pictures that neither it nor
the workspace has seen, in wordings it has not seen. The same network gets, instead of states of the
`default` workspace: states by contrastive alone, nothing but the question, or the frozen latents of
the picture, which hold strictly more. Each chooses its weight decay among two by 1,000 validation
questions. Each recipe chooses for each number of pairs among two settings (2,000 steps; 500 steps,
ten times the weight decay and dropout 0.3) by the mean reciprocal rank of a fifth of the pairs of a
draw that is not reported. The network is also asked about captions, with their states in place of
the pictures'.
*Matching*: the cosine of the states of a picture and a caption, against the caption of another row,
and against its own sentence with one phrase changed. The threshold of the accuracy is that of other
rows. Five seeds of pairs, training and questions.

Writes docs/results/questions.{md,json}, the vqa_ figures and matching_auroc_500 of claims.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from claims import record
from globalworkspace_shapes import dataset, rooms
from globalworkspace_shapes.dataset import derived_seed
from globalworkspace_shapes.hard_negatives import RESPECTS, altered_captions
from globalworkspace_shapes.questions import (
    TOPICS,
    Questions,
    Scenes,
    ask,
    scenes_of_rooms,
    scenes_of_shapes,
)
from globalworkspace_shapes.room_negatives import ROOM_RESPECTS, altered_room_captions
from results_page import head, keep, least_error, paragraph, plus_minus
from safetensors.torch import load_file, save_file
from small_sets import quiet
from torch import Tensor
from torch.nn.functional import normalize

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig
from globalworkspace.closed_form import cca, retrieval_error
from globalworkspace.domain import DomainModule
from globalworkspace.evaluation.downstream import learn
from globalworkspace.evaluation.matching import accuracy, auroc, threshold
from globalworkspace.given_latents import GivenLatents
from globalworkspace.label_efficiency.jobs import run_jobs
from globalworkspace.latents import LatentSpec
from globalworkspace.pretrained import build_domain, load_domain
from globalworkspace.recipes import recipe, usual_decay

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "python tests/benchmarks/questions.py"
SETS = {"shapes": "Simple Shapes", "rooms": "Rooms"}
ALTERED = {"shapes": RESPECTS, "rooms": ROOM_RESPECTS}
ROWS = {"shapes": 20_000, "rooms": 6_000}
VALIDATION, TEST = 1_000, 1_000
PAIRS, SEEDS, TUNING_SEED = (100, 500, 2500), 5, 1000
CHOICES: tuple[dict[str, Any], ...] = (
    {"steps": 2000, "decay": 1.0, "dropout": 0.0},
    {"steps": 500, "decay": 10.0, "dropout": 0.3},
)
RECIPES = {"default": "workspace", "contrastive-only": "contrastive alone"}
ASKED = {"training": 5_000, "validation": 1_000, "test": 3_000}
DECAYS = (1e-4, 1e-1)
SPLITS = ("training", "validation", "test")
_CACHE: dict[str, Path] = {}


# ---- latents, made once


def made(name: str, home: Path) -> dict[str, Tensor]:
    """Latents of both domains for each split, and of the changed captions of two of them."""
    text = build_domain("bert", {})
    picture = (
        load_domain("package:globalworkspace_shapes/weights/picture")
        if name == "shapes"
        else build_domain("timm", {})
    )
    found: dict[str, Tensor] = {}
    for split in SPLITS:
        table = _source(name).load(*_split(name, split), domains=["picture", "caption"])
        for domain, module in (("picture", picture), ("caption", text)):
            found[f"{split}.{domain}"] = _encoded(module, table[domain].cells)
        if split != "training":
            chance = torch.Generator().manual_seed(7)
            for respect in ALTERED[name]:
                changed = _altered(name, split, respect, chance)
                found[f"{split}.{respect}"] = _encoded(text, changed)
    return found


def _altered(name: str, split: str, respect: str, chance: torch.Generator) -> list[str]:
    """The captions of a split, each with one phrase changed."""
    part = _split(name, split)
    if name == "shapes":
        shapes, wording = dataset.load_attributes(*part), derived_seed(0, part[0], "captions")
        return altered_captions(shapes, respect, chance, wording)
    wording = derived_seed(0, part[0], "room captions")
    return altered_room_captions(rooms.load_rooms(*part), respect, chance, wording)


def _source(name: str) -> Any:
    return dataset if name == "shapes" else rooms


def _split(name: str, split: str) -> tuple[str, int]:
    number = {"training": ROWS[name], "validation": VALIDATION, "test": TEST}[split]
    return ("train" if split == "training" else split), number


@torch.no_grad()
def _encoded(module: DomainModule, cells: Any) -> Tensor:
    pieces = [module.encode(cells[k : k + 256]) for k in range(0, len(cells), 256)]
    return torch.cat([torch.as_tensor(piece) for piece in pieces]).float().contiguous()


@lru_cache(maxsize=2)
def latents(name: str) -> dict[str, Tensor]:
    """What `made` gives, from the cache."""
    file = _CACHE["home"] / f"questions-{name}.safetensors"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(made(name, file.parent), file)
    return load_file(file)


@lru_cache(maxsize=6)
def scenes(name: str, split: str) -> Scenes:
    """What the pictures of a split show."""
    if name == "shapes":
        return scenes_of_shapes(dataset.load_attributes(*_split(name, split)))
    return scenes_of_rooms(rooms.load_rooms(*_split(name, split)))


@lru_cache(maxsize=3)
def questions(name: str, seed: int) -> dict[str, tuple[Questions, Tensor]]:
    """Split -> questions and the latents (Q, 384) of their texts."""
    text, known = build_domain("bert", {}), dict[str, Tensor]()
    found = {}
    for split in SPLITS:
        wordings = "training" if split == "training" else "test"
        if split == "validation":
            wordings = "training"
        some = ask(scenes(name, split), ASKED[split], seed, wordings=wordings)
        new = sorted(set(some.texts) - set(known))
        if new:
            known |= dict(zip(new, _encoded(text, new), strict=True))
        found[split] = some, torch.stack([known[each] for each in some.texts])
    return found


# ---- one seed


def known_rows(name: str, pairs: int, seed: int) -> Table:
    """Latents of all training rows, N of them matched and each other in one domain."""
    held = latents(name)
    table = Table.from_columns({d: held[f"training.{d}"] for d in ("picture", "caption")})
    return table.match(pairs, seed=seed, unmatched="disjoint")


def trained(
    known: Table, used: str, pairs: int, choice: Mapping[str, Any], seed: int
) -> GlobalWorkspace:
    """A workspace of pictures and captions."""
    table, steps = known, choice["steps"]
    domains = {d: GivenLatents(LatentSpec.continuous(table[d].cells.shape[1])) for d in table}
    chosen = recipe(used).for_pairs(pairs)
    workspace = GlobalWorkspace(
        domains, dim=64, hidden_dim=256, dropout=choice["dropout"], seed=seed
    )
    sizes = {"batch_size": 128, "unmatched_batch_size": 128}
    settings = {**sizes, "keep": "last", **chosen.training}
    config = TrainerConfig(
        **settings,
        steps=steps,
        weight_decay=choice["decay"] * usual_decay(pairs),
        seed=seed,
        device="cpu",
        progress=False,
    )
    Trainer(config, chosen.objectives(pairs, steps)).fit(workspace, known, latents=True)
    return workspace


def held_out_error(name: str, used: str, pairs: int, choice: Mapping[str, Any]) -> float:
    """1 less the mean reciprocal rank of a fifth of the pairs, both directions."""
    training, held = known_rows(name, pairs, TUNING_SEED).hold_out(0.2, seed=TUNING_SEED)
    workspace = trained(training, used, pairs, choice, TUNING_SEED)
    first, second = (
        states_of(workspace, held[d].take(torch.arange(len(held))), d)
        for d in ("picture", "caption")
    )
    return (retrieval_error(first, second) + retrieval_error(second, first)) / 2


def answered(
    name: str, seed: int, of: Callable[[str, str], Tensor | None], captions: bool
) -> dict[str, Any]:
    """Accuracies on test questions, whole and by topic, of a network that is given `of`.

    Args:
        name: The set.
        seed: Of questions and network.
        of: (split, domain) -> what stands for a picture or caption (N, D); None: nothing.
        captions: Whether to ask about captions, too.
    """
    asked = questions(name, seed)

    def inputs(split: str, domain: str) -> Tensor:
        some, told = asked[split]
        states = of(split, domain)
        if states is None:
            return told
        first, second = some.rows.unbind(dim=1)
        return torch.cat([states[first], states[second], told], dim=1)

    best = None
    for decay in DECAYS:
        network = learn(
            inputs("training", "picture"),
            asked["training"][0].answer,
            hidden_dim=256,
            steps=2000,
            batch_size=256,
            weight_decay=decay,
            seed=seed,
        )
        score = network.score(inputs("validation", "picture"), asked["validation"][0].answer)
        if best is None or score > best[0]:
            best = score, network
    assert best is not None
    test, found = asked["test"][0], dict[str, Any]()
    for domain in ("picture", "caption") if captions else ("picture",):
        right = best[1](inputs("test", domain)).argmax(dim=1) == test.answer
        found[domain] = {"all": float(right.double().mean())} | {
            topic: float(right[test.topic == k].double().mean()) for k, topic in enumerate(TOPICS)
        }
    return found


@torch.no_grad()
def states_of(workspace: GlobalWorkspace, held: Tensor, domain: str) -> Tensor:
    """(N, D) latents -> (N, W) states."""
    return workspace.encode({domain: held}, latents=True).code


def matched(name: str, project: Callable[[str, Tensor], Tensor]) -> dict[str, dict[str, float]]:
    """Negatives -> AUROC and accuracy; the threshold is that of the validation rows."""
    held = latents(name)
    scores: dict[str, dict[str, Tensor]] = {}
    for split in ("validation", "test"):
        pictures = normalize(project("picture", held[f"{split}.picture"]), dim=1)

        def likeness(texts: Tensor, pictures: Tensor = pictures) -> Tensor:
            return (pictures * normalize(project("caption", texts), dim=1)).sum(dim=1)

        captions = held[f"{split}.caption"]
        found = {"own": likeness(captions), "another": likeness(captions.roll(1, dims=0))}
        for respect in ALTERED[name]:
            found[respect] = likeness(held[f"{split}.{respect}"])
        scores[split] = found
    return {
        negatives: {
            "auroc": auroc(scores["test"]["own"], values),
            "accuracy": accuracy(
                scores["test"]["own"],
                values,
                threshold(scores["validation"]["own"], scores["validation"][negatives]),
            ),
        }
        for negatives, values in scores["test"].items()
        if negatives != "own"
    }


def closed_form(name: str, pairs: int, seed: int) -> Callable[[str, Tensor], Tensor]:
    """Canonical correlations of the same pairs, with the covariances of all rows."""
    held, known = latents(name), known_rows(name, pairs, seed)
    rows = known.matched_rows()
    scale = {d: (held[f"training.{d}"].mean(0), held[f"training.{d}"].std(0)) for d in known}

    def standard(domain: str, values: Tensor) -> Tensor:
        mean, spread = scale[domain]
        return (values - mean) / spread.clamp(min=1e-6)

    x, y = (standard(d, known[d].take(rows)) for d in ("picture", "caption"))
    x_all, y_all = (standard(d, known[d].take(known.rows_with(d))) for d in ("picture", "caption"))
    joint = cca(x, y, x_all, y_all, powers=(0.0, 0.5, 1.0))
    projections = {"picture": joint.project_x, "caption": joint.project_y}
    return lambda domain, values: projections[domain](standard(domain, values)).float()


def work(job: dict[str, Any]) -> dict[str, Any]:
    """The outcome of one job."""
    torch.set_num_threads(1)
    name, seed, arm = job["set"], job.get("seed", TUNING_SEED), job["arm"]
    held = latents(name)
    if "judged" in job:
        return {"error": held_out_error(name, arm, job["pairs"], CHOICES[job["judged"]])}
    if arm == "question alone":
        return {"answers": answered(name, seed, lambda split, domain: None, False)}
    if arm == "frozen latents":
        pick = lambda split, domain: held[f"{split}.{domain}"]  # noqa: E731
        return {"answers": answered(name, seed, pick, False)}
    if arm == "CCA":
        return {"matching": matched(name, closed_form(name, job["pairs"], seed))}
    known = known_rows(name, job["pairs"], seed)
    workspace = trained(known, arm, job["pairs"], CHOICES[job["choice"]], seed)
    states = {
        (split, domain): states_of(workspace, held[f"{split}.{domain}"], domain)
        for split in SPLITS
        for domain in ("picture", "caption")
    }
    return {
        "answers": answered(name, seed, lambda *key: states[key], True),
        "matching": matched(name, lambda domain, values: states_of(workspace, values, domain)),
    }


def start(cache: str) -> None:
    """What each process needs."""
    quiet()
    _CACHE["home"] = Path(cache)


def measured(args: argparse.Namespace) -> list[dict[str, Any]]:
    """All lines."""
    start(str(args.cache))
    for name in SETS:
        latents(name)

    def done(jobs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return run_jobs(
            {json.dumps(job, sort_keys=True): job for job in jobs},
            work,
            args.cache / "questions.jsonl",
            start=start,
            start_args=(str(args.cache),),
            workers=args.workers,
            what="questions",
        )

    tuned = done(
        [
            {"set": name, "arm": arm, "pairs": pairs, "judged": choice}
            for name in SETS
            for pairs in PAIRS
            for arm in RECIPES
            for choice in range(len(CHOICES))
        ]
    )
    chosen = least_error(tuned, ("set", "arm", "pairs"))
    jobs: list[dict[str, Any]] = []
    for seed in range(args.seeds):
        for name in SETS:
            jobs += [
                {"set": name, "arm": arm, "seed": seed}
                for arm in ("question alone", "frozen latents")
            ]
            for pairs in PAIRS:
                jobs.append({"set": name, "arm": "CCA", "pairs": pairs, "seed": seed})
                for arm in RECIPES:
                    choice = chosen[name, arm, pairs]["judged"]
                    jobs.append(
                        {"set": name, "arm": arm, "pairs": pairs, "seed": seed, "choice": choice}
                    )
    return done(jobs)


# ---- the page


def values(
    lines: Sequence[Mapping[str, Any]], name: str, arm: str, pairs: int | None, *path: str
) -> list[Any]:
    """What stands there for each seed."""
    found = []
    for line in sorted(lines, key=lambda line: line["seed"]):
        if (line["set"], line["arm"], line.get("pairs")) == (name, arm, pairs):
            value: Any = line
            for key in path:
                value = value[key]
            found.append(value)
    return found


def page(lines: Sequence[Mapping[str, Any]]) -> str:
    """The page."""
    text = head("Questions about pictures, and matching", COMMAND, paragraph(__doc__, 2))
    for name, title in SETS.items():
        text += [f"## {title}", "", "Share of questions answered rightly, ± half of the 95 % "]
        text[-1] += "interval over the seeds."
        text += ["", f"| given | pairs | all | {' | '.join(TOPICS)} | asked about captions |"]
        text += ["|---" * (len(TOPICS) + 4) + "|"]
        arms: list[tuple[str, str, int | None]] = [
            ("question alone", "the question alone", None),
            ("frozen latents", "frozen latents of the picture", None),
        ]
        arms += [(arm, label, pairs) for arm, label in RECIPES.items() for pairs in PAIRS]
        for arm, label, pairs in arms:
            cells = [
                plus_minus(values(lines, name, arm, pairs, "answers", "picture", topic))
                for topic in ("all", *TOPICS)
            ]
            told = ""
            if pairs:
                told = plus_minus(values(lines, name, arm, pairs, "answers", "caption", "all"))
            text.append(f"| {label} | {pairs or ''} | {' | '.join(cells)} | {told} |")
        negatives = ["another", *ALTERED[name]]
        heads = ["another row's", *(f"its own, other {each}" for each in negatives[1:])]
        text += [
            "",
            "A picture's own caption against others: AUROC ± half of the 95 % interval / accuracy.",
        ]
        text += ["", f"| by | pairs | {' | '.join(heads)} |", "|---" * (len(heads) + 2) + "|"]
        for arm, label in ({"CCA": "CCA"} | RECIPES).items():
            for pairs in PAIRS:
                cells = []
                for each in negatives:
                    of, right = (
                        values(lines, name, arm, pairs, "matching", each, k)
                        for k in ("auroc", "accuracy")
                    )
                    cells.append(f"{plus_minus(of)} / {statistics.mean(right):.3f}")
                text.append(f"| {label} | {pairs} | {' | '.join(cells)} |")
        text.append("")
    return "\n".join(text)


def main() -> None:
    """Measure, and write page and claims."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "questions")
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    args = parser.parse_args()
    quiet()
    lines = measured(args)
    for line in lines:
        del line["key"]
    keep("questions", lines, page(lines))
    answers = ("answers", "picture", "all")
    figures = {
        "vqa_accuracy_workspace_500": values(lines, "shapes", "default", 500, *answers),
        "vqa_accuracy_contrastive_500": values(lines, "shapes", "contrastive-only", 500, *answers),
        "vqa_accuracy_question_only": values(lines, "shapes", "question alone", None, *answers),
        "vqa_accuracy_concat_500": values(lines, "shapes", "frozen latents", None, *answers),
        "matching_auroc_500": values(
            lines, "shapes", "default", 500, "matching", "another", "auroc"
        ),
        "matching_auroc_hard_500": [
            statistics.mean(found[respect]["auroc"] for respect in RESPECTS)
            for found in values(lines, "shapes", "default", 500, "matching")
        ],
    }
    for claim, found in figures.items():
        mean, low, high = (round(f(found), 4) for f in (statistics.mean, min, max))
        record(claim, mean, low, high, "1", len(found), COMMAND)
        print(claim, mean, low, high)


if __name__ == "__main__":
    main()
