"""The evaluation kind: it keeps the contract, and classes are what the labels say."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest
import torch
from globalworkspace_probes.few_shot import evaluation as module
from globalworkspace_probes.few_shot.evaluation import class_labels, few_shot_evaluation
from globalworkspace_probes.few_shot.workspaces import mispaired_workspace, workspace_auxiliary
from torch import Tensor

from globalworkspace import GlobalWorkspace, LatentSpec, Part, Table
from globalworkspace.errors import ConfigError, DataError, DomainError
from globalworkspace.evaluation.base import Evaluation, HeldOut
from globalworkspace.given_latents import GivenLatents
from globalworkspace.testing import EvaluationConformance

ATTRIBUTES = LatentSpec(
    (
        Part(name="shape", size=3, kind="categorical"),
        Part(name="turn", size=1, kind="circular"),
        Part(name="size", size=1),
    )
)
SPECS = {
    "picture": LatentSpec.continuous(4),
    "caption": LatentSpec.continuous(3),
    "attributes": ATTRIBUTES,
}
QUICK = {
    "domain": "picture",
    "language": "caption",
    "labels": ["attributes.shape", "attributes.size"],
    "control_steps": 3,
    "ways": 2,
    "shots": 2,
    "queries": 2,
    "runs": 2,
    "steps": 3,
    "test_episodes": 5,
}


def made_workspace() -> GlobalWorkspace:
    return GlobalWorkspace(
        {name: GivenLatents(spec) for name, spec in SPECS.items()}, dim=6, hidden_dim=8
    )


def made_rows(number: int = 160) -> HeldOut:
    chance = torch.Generator().manual_seed(0)
    shape = torch.nn.functional.one_hot(torch.arange(number) % 3, 3).float()
    angle = math.tau * torch.rand(number, generator=chance)
    size = torch.randn(number, 1, generator=chance)
    attributes = torch.cat([shape, angle.cos()[:, None], angle.sin()[:, None], size], dim=1)
    noise = torch.randn(number, 7, generator=chance)
    cells = {
        "picture": noise[:, :4] + attributes[:, :4],
        "caption": noise[:, 4:] + shape,
        "attributes": attributes,
    }
    table = Table.from_columns(cells)
    return HeldOut(raw=table, latents=table)


class OfTheRun(EvaluationConformance):
    plugin = "globalworkspace_probes.plugin"
    auxiliary = "workspace"

    @pytest.fixture
    def evaluation(self) -> Evaluation:
        return functools.partial(few_shot_evaluation, **QUICK, auxiliary=self.auxiliary)

    @pytest.fixture
    def workspace(self) -> GlobalWorkspace:
        return made_workspace()

    @pytest.fixture
    def held_out(self) -> HeldOut:
        return made_rows()


class TestByTheWorkspace(OfTheRun):
    pass


class TestByAnOwnNetwork(OfTheRun):
    auxiliary = "own"


def asked(**settings: Any) -> dict[str, Any]:
    return few_shot_evaluation(made_workspace(), made_rows(), **{**QUICK, **settings})


def labels_of(text: str, bins: int) -> tuple[Tensor, Tensor]:
    """Labels, and the values of that part."""
    table = made_rows().latents
    name = text.partition(".")[2]
    part = {part.name: part for part in ATTRIBUTES.parts}[name]
    columns = ATTRIBUTES.slices()[name]
    found = class_labels(table, [("attributes", part, columns)], bins)
    return found, table["attributes"].cells[:, columns]


def test_a_category_is_a_class_and_a_number_is_cut_into_bins_of_equally_many_rows() -> None:
    labels, values = labels_of("attributes.shape", 3)
    assert torch.equal(labels, values.argmax(dim=1))
    labels, values = labels_of("attributes.size", 4)
    assert torch.bincount(labels).tolist() == [40] * 4
    for lower in range(3):
        assert values[labels == lower].max() < values[labels == lower + 1].min()


def test_an_angle_is_cut_into_sectors_of_equal_width() -> None:
    labels, values = labels_of("attributes.turn", 4)
    for angle, label in zip(torch.atan2(values[:, 1], values[:, 0]), labels, strict=True):
        assert int(angle.remainder(math.tau) / (math.tau / 4)) == label


def test_several_parts_make_a_class_of_every_combination() -> None:
    table, slices = made_rows().latents, ATTRIBUTES.slices()
    shape, _, size = ATTRIBUTES.parts
    both = class_labels(
        table,
        [("attributes", shape, slices["shape"]), ("attributes", size, slices["size"])],
        2,
    )
    singles = [labels_of(f"attributes.{name}", 2)[0] for name in ("shape", "size")]
    pairs = list(zip(*(labels.tolist() for labels in singles), strict=True))
    assert len(set(zip(both.tolist(), pairs, strict=True))) == len(set(pairs)) == 6


def test_the_control_of_a_workspace_has_its_shape_and_statistics_and_other_pairs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workspace, table = made_workspace(), made_rows().latents
    workspace.fit_standardizers({name: table[name].cells for name in SPECS})
    seen: list[Table] = []
    original = module.mispaired_workspace.__globals__["Trainer"].fit

    def watched(self: Any, made: GlobalWorkspace, training: Table, *rest: Any, **more: Any) -> Any:
        seen.append(training)
        return original(self, made, training, *rest, **more)

    monkeypatch.setattr(module.mispaired_workspace.__globals__["Trainer"], "fit", watched)
    names = {"domain": "picture", "language": "caption"}
    made = mispaired_workspace(workspace, table, **names, steps=2, seed=0)
    assert list(made.domains) == ["picture", "caption"]
    assert {**made.config(), "seed": 0} == {**workspace.config(), "seed": 0}
    for name in made.domains:
        assert torch.equal(made.standardizer(name).mean, workspace.standardizer(name).mean)
    rows = torch.arange(len(seen[0]))
    captions = seen[0]["caption"].take(rows)
    of_picture = {tuple(p): c for p, c in zip(table["picture"].cells.tolist(), rows, strict=False)}
    own = [int(of_picture.get(tuple(p), -1)) for p in seen[0]["picture"].take(rows).tolist()]
    same = [
        torch.equal(table["caption"].cells[row], caption)
        for row, caption in zip(own, captions, strict=True)
        if row >= 0
    ]
    assert len(same) > 50 and sum(same) < 5
    told = workspace_auxiliary(workspace, made, table["picture"].cells, **names)
    expected = workspace.translate({"picture": table["picture"].cells}, "caption", latents=True)
    assert torch.equal(told.told, expected)
    assert not torch.equal(told.told, told.told_by_shuffled)


def test_domains_parts_and_settings_that_are_not_there_are_refused() -> None:
    with pytest.raises(ConfigError, match='needs the domain "photo"; there are picture'):
        asked(domain="photo")
    with pytest.raises(ConfigError, match='labels names "attributes.shap", .* "attributes.shape"'):
        asked(labels="attributes.shap")
    with pytest.raises(ConfigError, match='needs the domain "attribute"; .* "attributes"'):
        asked(labels=["attribute.shape"])
    with pytest.raises(ConfigError, match='auxiliary="both" is unknown'):
        asked(auxiliary="both")
    with pytest.raises(DataError, match="3 of 3 classes .* need 6"):
        asked(labels="attributes.shape")
    with pytest.raises(DomainError, match='has no domain "sound"'):
        mispaired_workspace(
            made_workspace(),
            made_rows().latents,
            domain="picture",
            language="sound",
            steps=1,
            seed=0,
        )


def test_rows_that_lack_a_domain_are_left_out_and_there_must_be_others() -> None:
    held = made_rows()
    table = held.latents
    mask = torch.arange(len(table)) < 120
    columns = {name: table[name] for name in table}
    columns["picture"] = table["picture"].keep(mask)
    columns["caption"] = table["caption"].keep(~mask)
    gone = Table(columns, table.origin)
    with pytest.raises(DataError, match="No held-out row holds attributes, caption, picture"):
        few_shot_evaluation(made_workspace(), HeldOut(raw=gone, latents=gone), **QUICK)
