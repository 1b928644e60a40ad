"""The integration probe: which simulated sites are flagged, by which gates.

A site is known to respond to vision, to language, to the sum of both, to a nonlinear function of
vision, to noise, or to products of vision and language: only the last is integration. 40 sites of
each kind are drawn for each of five seeds, with tracks and noise that remember (1,200 events,
AR(1) of .8, signal 30 % of a response's variance), and the gates of the probe are put on one after
the other. This is a protocol validated on simulated sites; it says nothing of brains.

    OMP_NUM_THREADS=1 python tests/benchmarks/integration_probe.py

Writes docs/results/integration-probe.{md,json} and the probe_ figures of claims.json.
"""

from __future__ import annotations

import argparse
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from claims import record
from globalworkspace_probes.integration import (
    control_features,
    integration_probe,
    rich_model,
    simulate_sites,
    workspace_features,
)
from globalworkspace_probes.integration.features import additive_part
from globalworkspace_probes.integration.simulate import (
    HARDER_NULL_KINDS,
    INTERACTION,
    KINDS,
    NULL_KINDS,
)
from results_page import by_seed, head, keep, paragraph
from torch import Tensor

from globalworkspace import GlobalWorkspace, LatentSpec, Table, Trainer, TrainerConfig
from globalworkspace.given_latents import GivenLatents
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.randomness import derived_generator
from globalworkspace.recipes import default_objectives

ROOT = Path(__file__).parents[2]
COMMAND = "python tests/benchmarks/integration_probe.py"
SEEDS, SITES = 5, 40
PAPERS = ("unimodal", "concat")
GATES = {
    "unimodal": ("unimodal",),
    "unimodal, concat: the paper's criterion": PAPERS,
    "unimodal, concat, mispaired": (*PAPERS, "mispaired"),
    "all four (the default)": (*PAPERS, "mispaired", "additive"),
}
DEFAULT = "all four (the default)"
MIXED = "vision + language + interaction"
SIGNALS = (0.1, 0.2, 0.3, 0.4)
BINS = 10
STEPS, ROWS, EVENTS = 600, 3000, 1200
STATE_KINDS = ("film", "words", "state", "additive part of the state", "noise")

Counts = Mapping[str, int]


def plain_model(tracks: Mapping[str, Tensor]) -> Tensor:
    """A multimodal model whose features of each domain alone are the tracks themselves."""
    vision, language = tracks["vision"], tracks["language"]
    return torch.cat([vision, language, vision * language], dim=1)


def one_seed(job: dict[str, Any]) -> dict[str, Any]:
    """All arms of one seed."""
    seed = job["seed"]
    drawn = simulate_sites(seed)
    features = control_features(rich_model, drawn.tracks)
    rich = integration_probe(features, drawn.responses)
    plain = integration_probe(control_features(plain_model, drawn.tracks), drawn.responses)
    found: dict[str, Any] = {
        "plain": {label: drawn.of_kind(plain.flagged(gates)) for label, gates in GATES.items()},
        "rich": {label: drawn.of_kind(rich.flagged(gates)) for label, gates in GATES.items()},
    }
    each = torch.stack([rich.adjusted(gate) <= rich.level for gate in rich.p_values]).all(dim=0)
    found["each gate corrected by itself"] = drawn.of_kind(each)

    harder = simulate_sites(seed, kinds=(*HARDER_NULL_KINDS, INTERACTION, MIXED))
    result = integration_probe(control_features(rich_model, harder.tracks), harder.responses)
    found["harder"] = {label: harder.of_kind(result.flagged(g)) for label, g in GATES.items()}

    found["power"] = {}
    for signal in SIGNALS:
        weak = simulate_sites(seed, kinds=(*NULL_KINDS, INTERACTION, MIXED), signal=signal)
        result = integration_probe(control_features(rich_model, weak.tracks), weak.responses)
        found["power"][str(signal)] = {
            "flagged": weak.of_kind(result.flagged()),
            "r": float(result.correlations["workspace"][-2 * SITES : -SITES].mean()),
        }

    kinds = ("additive", "nonlinear vision", INTERACTION)
    many = simulate_sites(seed, kinds=kinds, signal=SIGNALS[0], bins=BINS)
    result = integration_probe(control_features(rich_model, many.tracks), many.responses)
    found["many bins"] = {label: many.of_kind(result.flagged(g)) for label, g in GATES.items()}
    found["kept bins"] = float(result.kept_bins[-SITES:].double().mean())

    chance = derived_generator("untrained", seed)
    mixing = torch.randn(16, 40, generator=chance, dtype=torch.float64) / 4
    pair = {
        **features,
        "untrained": torch.tanh(features["concat"] @ mixing),
        # trained on rows that were never matched: its products are of other rows' language
        "unmatched": rich_model(
            {**drawn.tracks, "language": drawn.tracks["language"].roll(100, 0)}
        ),
    }
    result = integration_probe(pair, drawn.responses)
    found["pair"] = {"all six": drawn.of_kind(result.flagged())}
    for name in ("untrained", "unmatched"):
        turned = {"workspace": pair[name], "trained": pair["workspace"]}
        result = integration_probe(turned, drawn.responses, gates=["trained"])
        found["pair"][f"{name}, beating the trained"] = drawn.of_kind(result.flagged())

    alike = simulate_sites(seed, kinds=["nonlinear vision"], sites=200)
    shifted = {**alike.tracks, "language": alike.tracks["language"].roll(EVENTS // 2, 0)}
    result = integration_probe(
        {"workspace": rich_model(alike.tracks), "alike": rich_model(shifted)},
        alike.responses,
        gates=["alike"],
    )
    found["alike"] = float((result.p_values["alike"] <= 0.05).double().mean())
    return {**found, "workspace": trained_workspace(seed)}


def trained_workspace(seed: int) -> dict[str, Any]:
    """A workspace trained on two domains that share half of what they show, and its sites."""
    rows, events = shown(seed, ROWS, 0.0), shown(seed, EVENTS, 0.8)
    matched = trained(rows, default_objectives(pairs=ROWS, steps=STEPS), seed)
    unmatched = trained(rows, [DemiCycle(1.0)], seed)
    features = workspace_features(matched, events, untrained=True, unmatched=unmatched)
    with torch.no_grad():
        codes = {
            name: matched.encoder(name)(matched.standardizer(name).standardize(events[name]))
            for name in events
        }
        sum_of_two = additive_part(
            lambda tracks: matched.fusion.fuse(tracks).code.double(), codes, range(0, EVENTS, 4)
        )
    state = features["workspace"]
    left = (state - sum_of_two).var(dim=0) / state.var(dim=0)
    parts = {
        "film": events["film"].double(),
        "words": events["words"].double(),
        "state": standard(state),
        "additive part of the state": standard(sum_of_two),
        "noise": torch.zeros_like(state),
    }
    chance = derived_generator("sites of a workspace", seed)
    heard = []
    for name in STATE_KINDS:
        weights = torch.randn(parts[name].shape[1], SITES, generator=chance, dtype=torch.float64)
        noise = standard(remembering(EVENTS, SITES, 0.8, chance))
        share = 0.0 if name == "noise" else 0.3
        told = standard(parts[name] @ weights)
        heard.append(math.sqrt(share) * told + math.sqrt(1 - share) * noise)
    result = integration_probe(features, torch.cat(heard, dim=1).T)

    def counted(gates: Sequence[str] | None) -> dict[str, int]:
        flags = result.flagged(gates).split(SITES)
        return {name: int(f.sum()) for name, f in zip(STATE_KINDS, flags, strict=True)}

    chosen = {**GATES, "untrained": ("untrained",), "unmatched": ("unmatched",), "all six": None}
    return {
        "interaction_share": float(left.mean()),
        **{label: counted(gates) for label, gates in chosen.items()},
    }


def shown(seed: int, rows: int, persistence: float) -> dict[str, Tensor]:
    """Latents of both domains, (rows, 12) each: 4 factors are shared, 4 are each domain's own."""
    chance = derived_generator("shown", seed, rows)
    shared, film, words = (remembering(rows, 4, persistence, chance) for _ in range(3))
    mixing = derived_generator("how factors are shown", seed)
    return {
        name: torch.tanh(
            torch.cat([shared, own], dim=1)
            @ torch.randn(8, 12, generator=mixing, dtype=torch.float64)
            / 2
        ).float()
        for name, own in (("film", film), ("words", words))
    }


def trained(rows: Mapping[str, Tensor], objectives: Any, seed: int) -> GlobalWorkspace:
    """A workspace of these rows."""
    domains = {name: GivenLatents(LatentSpec.continuous(12)) for name in rows}
    workspace = GlobalWorkspace(domains, dim=32, seed=seed)
    training, validation = Table.from_columns(rows).hold_out(0.1, seed=seed)
    config = TrainerConfig(
        steps=STEPS, batch_size=128, learning_rate=3e-3, seed=seed, device="cpu", progress=False
    )
    Trainer(config, objectives).fit(workspace, training, validation, latents=True)
    return workspace


def standard(values: Tensor) -> Tensor:
    """Columns of mean 0 and variance 1; a constant one becomes 0."""
    spread = values.std(dim=0, correction=0)
    return (values - values.mean(dim=0)) / torch.where(spread > 0, spread, 1.0)


def remembering(rows: int, columns: int, persistence: float, chance: torch.Generator) -> Tensor:
    """AR(1) columns (rows, columns) of variance 1."""
    shocks = torch.randn(rows, columns, generator=chance, dtype=torch.float64)
    found = [shocks[0]]
    for shock in shocks[1:]:
        found.append(persistence * found[-1] + math.sqrt(1 - persistence**2) * shock)
    return torch.stack(found)


def ranges(counts: Sequence[Counts], kinds: Sequence[str]) -> str:
    """Cells of a table: the smallest and the largest count of each kind over seeds."""
    cells = []
    for kind in kinds:
        values = [count[kind] for count in counts]
        low, high = min(values), max(values)
        cells.append(str(low) if low == high else f"{low}–{high}")
    return " | ".join(cells)


def table(first: str, rows: Mapping[str, Sequence[Counts]], kinds: Sequence[str]) -> list[str]:
    """A table of counts."""
    lines = [f"| {first} | " + " | ".join(kinds) + " |", "|---" * (len(kinds) + 1) + "|"]
    return [*lines, *(f"| {label} | {ranges(c, kinds)} |" for label, c in rows.items()), ""]


def told(text: str) -> list[str]:
    """A paragraph."""
    return [*textwrap.wrap(text, 100), ""]


def page(found: Sequence[Mapping[str, Any]]) -> str:
    """docs/results/integration-probe.md."""

    def over(*keys: str) -> list[Any]:
        values: list[Any] = list(found)
        for key in keys:
            values = [value[key] for value in values]
        return values

    text = head("The integration probe", COMMAND, paragraph(__doc__, 1))
    text += told(f"Cells are flagged sites of {SITES}: smallest and largest of {SEEDS} seeds.")
    text += ["## Gates, one after the other", ""]
    text += told("A model that holds both tracks and their products:")
    text += table("gates", {label: over("plain", label) for label in GATES}, KINDS)
    text += told(
        "A model that also has better features of each domain alone, products within its track:"
    )
    rows = {label: over("rich", label) for label in GATES}
    rows["all four, each corrected by itself"] = over("each gate corrected by itself")
    text += table("gates", rows, KINDS)
    text += ["## Sites that are harder to tell", ""]
    text += told("The same model. The first three kinds are no integration, the last is in part.")
    kinds = (*HARDER_NULL_KINDS, INTERACTION, MIXED)
    text += table("gates", {label: over("harder", label) for label in GATES}, kinds)
    text += ["## How strong a response has to be", ""]
    text += told("All four gates. r is that of the model at interaction sites, mean over seeds.")
    kinds = (*NULL_KINDS, INTERACTION, MIXED)
    rows = {}
    for signal in SIGNALS:
        r = sum(over("power", str(signal), "r")) / SEEDS
        rows[f"{signal:.0%} of the variance, r {r:.2f}"] = over("power", str(signal), "flagged")
    text += table("signal", rows, kinds)
    kept = over("kept bins")
    text += told(
        f"The weakest of them, measured in {BINS} time bins of which {BINS // 2} hold signal, each "
        f"with noise of its own ({min(kept):.1f} to {max(kept):.1f} bins are kept at interaction "
        "sites):"
    )
    kinds = ("additive", "nonlinear vision", INTERACTION)
    text += table("gates", {label: over("many bins", label) for label in GATES}, kinds)
    text += ["## Untrained weights, and the architecture-matched pair", ""]
    text += told(
        "Untrained: random features of both tracks, as many. Unmatched: the same model with "
        "products of rows that do not belong together. All six gates; and each of the two in the "
        "place of the tested model, with the trained one as its only control."
    )
    text += table("tested", {label: over("pair", label) for label in found[0]["pair"]}, KINDS)
    text += ["## A trained workspace", ""]
    shares = over("workspace", "interaction_share")
    text += told(
        "Two domains share half of their factors; a workspace (32 dimensions, mean of codes, "
        f"tanh) is trained on {ROWS:,} matched rows for {STEPS} steps, and so is one by "
        "demi-cycles alone, without matches. Sites respond to the latents of one domain, to the "
        "fused state, or to the additive part of that state. What of the state is no sum over "
        f"domains is {min(shares):.1%} to {max(shares):.1%} of its variance: sites that it drives "
        "are hardly sites of integration. By the paper's criterion they are flagged nevertheless."
    )
    labels = [*GATES, "untrained", "unmatched", "all six"]
    text += table("gates", {label: over("workspace", label) for label in labels}, STATE_KINDS)
    text += ["## How often two models of equal worth are told apart", ""]
    shares = over("alike")
    text += told(
        "At nonlinear vision sites a model and the same with mispaired language are worth the "
        f"same. A single comparison of the two has p ≤ .05 at {min(shares):.1%} to "
        f"{max(shares):.1%} of 200 sites (mean {sum(shares) / SEEDS:.1%}): the bootstrap draws "
        "events, not fits, and is too sure. What keeps false flags few is that all gates have to "
        "agree, and that p-values are adjusted."
    )
    return "\n".join(text)


def main() -> None:
    """Measure, write the page and the claims."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "integration-probe")
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    found = by_seed(one_seed, "integration-probe", args, SEEDS)
    text = page(found)
    keep("integration-probe", found, text)
    counts = [seed["rich"][DEFAULT] for seed in found]
    false_flags = [max(count[kind] for kind in NULL_KINDS) for count in counts]
    true_flags = [count[INTERACTION] for count in counts]
    for name, values, worst in (
        ("probe_false_flags_max", false_flags, max(false_flags)),
        ("probe_interactions_min", true_flags, min(true_flags)),
    ):
        record(name, worst, min(values), max(values), f"of {SITES} sites", SEEDS, COMMAND)
    print(text)


if __name__ == "__main__":
    main()
