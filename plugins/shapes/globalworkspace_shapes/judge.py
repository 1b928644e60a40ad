"""What the demo's workspaces are worth: errors, retrieval, and the facts in every translation."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import torch

from globalworkspace import DomainModule, GlobalWorkspace, Table
from globalworkspace.evaluation.retrieval import retrieval
from globalworkspace.evaluation.translation import direction, translation_error
from globalworkspace.standard_table import standardize_table
from globalworkspace_shapes.attributes import sample_attributes
from globalworkspace_shapes.render import render
from globalworkspace_shapes.scoring import (
    FACTORS,
    Facts,
    LatentProbe,
    facts_of_attributes,
    facts_of_captions,
    score,
)

PROBE_PICTURES = 12_000


@attrs.frozen(eq=False, kw_only=True)
class Arm:
    """One trained workspace and its figures on the test rows."""

    workspace: GlobalWorkspace
    errors: dict[str, float]
    """Direction -> normalised squared error of latents."""
    retrieval: dict[str, dict[int, float]]
    scores: dict[str, dict[str, float]]
    """Direction -> class accuracy and R² of each attribute."""

    @property
    def error(self) -> float:
        """Mean over directions."""
        return sum(self.errors.values()) / len(self.errors)


class Judge:
    """Scores workspaces on unseen shapes.

    Args:
        domains: The frozen specialists.
        raw: Test rows.
        latents: The same rows, encoded.
    """

    def __init__(self, domains: Mapping[str, DomainModule], raw: Table, latents: Table) -> None:
        self.domains, self.raw, self.latents = domains, raw, latents
        self.truth = facts_of_attributes(raw["attributes"].cells)
        known = sample_attributes(PROBE_PICTURES, torch.Generator().manual_seed(987_654_321))
        codes = torch.cat([domains["picture"].encode(chunk) for chunk in render(known).split(1000)])
        self.probe = LatentProbe(codes, known)

    def facts(self, workspace: GlobalWorkspace, source: str, target: str) -> Facts:
        """What the translations of all test rows say about their shapes."""
        state = workspace.encode({source: self.latents[source].cells}, latents=True)
        if target == "picture":
            return self.probe.read(workspace.decode(state, target, latents=True))
        decoded = workspace.decode(state, target)
        return facts_of_captions(decoded) if target == "caption" else facts_of_attributes(decoded)

    def judge(self, workspace: GlobalWorkspace) -> Arm:
        """All figures of one workspace."""
        standard = standardize_table(workspace, self.latents)
        scores = {}
        for source in self.latents:
            for target in self.latents:
                if source != target:
                    found = self.facts(workspace, source, target)
                    scores[direction((source,), target)] = score(found, self.truth)
        return Arm(
            workspace=workspace,
            errors=translation_error(workspace, standard),
            retrieval=retrieval(workspace, standard, ks=(1, 5, 10)),
            scores=scores,
        )

    def ceilings(self) -> dict[str, dict[str, float]]:
        """What the true item of each domain says: no translation can say more."""
        found = {
            "picture": self.probe.read(self.latents["picture"].cells),
            "caption": facts_of_captions(self.raw["caption"].cells),
            "attributes": self.truth,
        }
        return {name: score(facts, self.truth) for name, facts in found.items()}


def table_text(
    arms: Mapping[str, Arm], ceilings: Mapping[str, Mapping[str, float]], test_items: int
) -> str:
    """The printed table."""
    head = ("class", *(f"R² {name[:3]}" for name in FACTORS), "R@1", "R@5", "error")
    lines = [
        "",
        f"{test_items:,} unseen shapes; "
        "class: accuracy; error: normalised squared error of latents",
    ]
    lines.append(f"{'':<24}{'trained on':<14}" + "".join(f"{name:>8}" for name in head))
    for name in next(iter(arms.values())).errors:
        for arm_name, arm in arms.items():
            values = [arm.scores[name][factor] for factor in ("class", *FACTORS)]
            values += [arm.retrieval[name][1], arm.retrieval[name][5], arm.errors[name]]
            label = name if arm_name == next(iter(arms)) else ""
            lines.append(
                f"{label:<24}{arm_name:<14}" + "".join(f"{value:>8.2f}" for value in values)
            )
    for name, scores in ceilings.items():
        values = [scores[factor] for factor in ("class", *FACTORS)]
        lines.append(
            f"{'true ' + name:<24}{'(ceiling)':<14}" + "".join(f"{value:>8.2f}" for value in values)
        )
    errors = ", ".join(f"{name} {arm.error:.3f}" for name, arm in arms.items())
    lines.append(f"mean error over directions: {errors}")
    return "\n".join(lines)
