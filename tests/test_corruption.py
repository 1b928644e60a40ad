"""One domain of some rows is corrupted, and a selection learns whom not to believe."""

import pytest
import torch
from core_domains import Vector

from globalworkspace import GlobalWorkspace, LatentSpec, Part, Table, Trainer, TrainerConfig
from globalworkspace.corruption import KINDS, Corruption
from globalworkspace.errors import ConfigError
from globalworkspace.evaluation.robustness import noise_curve
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.fused import Fused
from globalworkspace.objectives.translation import Translation
from globalworkspace.standard_table import standardize_table

NAMES = ("a", "b", "c")
SPECS = {name: LatentSpec.continuous(3) for name in NAMES}


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(number=600, dim=3):
    return {name: 1 + torch.rand(number, dim, generator=chance(k)) for k, name in enumerate(NAMES)}


def changed(before, view):
    """(rows, domains) bool: which cells differ."""
    return torch.stack([(view[n] != before[n]).any(dim=1) for n in before], dim=1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_share_of_the_rows_loses_one_domain_and_no_row_two(kind):
    before = rows()
    view = Corruption([kind], share=0.4).apply(before, SPECS, chance(9))
    hit = changed(before, view)
    assert int(hit.sum(dim=1).max()) == 1
    assert 0.33 < float(hit.any(dim=1).double().mean()) < 0.47
    assert (hit.double().mean(dim=0) > 0.08).all(), "every domain is hit"


def test_each_kind_is_what_it_says():
    before = rows()
    blank = Corruption(["blank"], share=1.0).apply(before, SPECS, chance())
    for name in NAMES:
        cells = blank[name][(blank[name] != before[name]).any(dim=1)]
        assert len(cells) > 100 and not cells.any()
    other = Corruption(["other"], share=1.0).apply(before, SPECS, chance())
    for name in NAMES:
        cells = other[name][(other[name] != before[name]).any(dim=1)]
        assert (cells[:, None] == before[name]).all(dim=2).any(dim=1).all()
    noise = Corruption(["noise"], share=1.0, scale=2.0).apply(before, SPECS, chance())
    apart = torch.cat([(noise[n] - before[n]).flatten() for n in NAMES])
    apart = apart[apart != 0]
    assert float(apart.var()) == pytest.approx(4 / 3, rel=0.15)  # of a scale uniform in [0, 2]


def test_noise_leaves_classes_angles_and_masks_as_they_are():
    parts = (
        Part(name="shape", size=2, kind="categorical"),
        Part(name="turn", size=1, kind="circular"),
        Part(name="words", size=2, kind="sequence", length=2),
        Part(name="x", size=1),
    )
    spec = LatentSpec(parts)
    cells = torch.tensor([[1.0, 0, 0, 1, 0.5, 0.5, 1, 0, 0, 0, 2.0]]).repeat(50, 1)
    rows_ = {"a": cells, "b": cells.clone()}
    view = Corruption(["noise"], share=1.0).apply(rows_, {"a": spec, "b": spec}, chance())
    moved = torch.cat([view["a"] - cells, view["b"] - cells]).abs().sum(dim=0) > 0
    # shape, turn, (value, value, mask) of a word and of padding, x
    assert moved.tolist() == [False] * 4 + [True, True, False] + [False] * 3 + [True]


def test_kinds_are_mixed_and_a_seed_gives_the_same():
    before = rows()
    mixed = Corruption(KINDS, share=1.0)
    first, second = (mixed.apply(before, SPECS, chance(5)) for _ in range(2))
    assert all(torch.equal(first[n], second[n]) for n in NAMES)
    blank = sum(int((~first[n].any(dim=1)).sum()) for n in NAMES)
    assert 140 < blank < 260
    assert torch.equal(before["a"], rows()["a"])


def test_a_lone_domain_is_left_as_it_is():
    lone = {"a": rows()["a"]}
    assert Corruption(share=1.0).apply(lone, SPECS, chance())["a"] is lone["a"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kinds": ["fog"]}, "kinds=.*noise, other, blank"),
        ({"kinds": "noise"}, "must be a list"),
        ({"kinds": []}, "must be a list"),
        ({"share": 0}, "share=0"),
        ({"scale": 0.0}, "scale=0.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        Corruption(**settings)


@pytest.fixture(scope="module")
def joined():
    """A trained workspace of three views of the same four numbers, and test rows."""
    draw = chance(3)
    known = torch.randn(1200, 4, generator=draw)
    cells = {
        name: known @ torch.randn(4, 6, generator=draw) + 0.1 * torch.randn(1200, 6, generator=draw)
        for name in NAMES
    }
    table = Table.from_columns(cells)
    training, test = table.hold_out(0.25, seed=0)
    workspace = GlobalWorkspace(
        {n: Vector(6) for n in NAMES}, dim=8, hidden_dim=32, fusion="mean", seed=0
    )
    config = TrainerConfig(steps=300, device="cpu", progress=False)
    losses = [Translation(1.0), Contrastive(0.1), Fused(1.0)]
    Trainer(config, losses).fit(workspace, training, latents=True)
    return workspace, training, standardize_table(workspace, test)


def selecting(workspace, training, augmentations=None):
    """The same networks with a selection of their own, which alone was trained."""
    import copy

    made = copy.deepcopy(workspace)
    made.replace_fusion("attention", {"head_dim": 8})
    made.set_trainable([], fusion=True)
    fused = Fused(1.0, subsets="every")
    if augmentations:
        fused.seen_through("corrupted")
    config = TrainerConfig(steps=300, device="cpu", progress=False, weight_decay=0.0, keep="last")
    Trainer(config, [fused], augmentations=augmentations).fit(made, training, latents=True)
    return made


def test_a_selection_trained_under_corruption_turns_away_from_a_noisy_domain(joined):
    workspace, training, test = joined
    corrupted = selecting(workspace, training, {"corrupted": Corruption(["noise"])})
    curves = {
        name: noise_curve(
            each, test, noisy="a", sources=NAMES, target="b", levels=(0.0, 4.0), seed=1
        )
        for name, each in {
            "fixed": workspace,
            "clean": selecting(workspace, training),
            "corrupted": corrupted,
        }.items()
    }
    assert curves["corrupted"][4.0] < 0.6 * curves["fixed"][4.0]
    assert curves["corrupted"][4.0] < curves["clean"][4.0]
    assert curves["corrupted"][0.0] < curves["fixed"][0.0] + 0.05
    for name, weight in workspace.state_dict().items():
        if not name.startswith("fusion."):
            assert torch.equal(weight, corrupted.state_dict()[name]), name


def test_a_fusion_that_was_replaced_is_saved_and_read(joined, tmp_path):
    import copy

    workspace, _, _ = joined
    made = copy.deepcopy(workspace)
    made.replace_fusion("attention", {"head_dim": 4})
    assert made.fusion.activation == workspace.fusion.activation
    made.save_pretrained(tmp_path / "saved")
    domains = {n: Vector(6) for n in NAMES}
    again = GlobalWorkspace.from_pretrained(tmp_path / "saved", domains=domains)
    cells = {n: torch.randn(5, 6, generator=chance(k)) for k, n in enumerate(NAMES)}
    codes = [w.encode(cells, latents=True).code for w in (made, again)]
    assert torch.equal(*codes)


def test_direct_translators_have_no_fusion_to_replace():
    workspace = GlobalWorkspace({n: Vector(2) for n in NAMES}, dim=3, topology="direct")
    with pytest.raises(ConfigError, match="fuse nothing"):
        workspace.replace_fusion("attention")
