"""FuseMix mixes what belongs together, and only that; the wrong variants of it are told apart."""

import pytest
import torch
from globalworkspace_fusemix.mixing import FuseMix, coefficients

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig
from globalworkspace.errors import ConfigError, DomainError
from globalworkspace.given_latents import GivenLatents
from globalworkspace.latents import LatentSpec, Part
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.translation import Translation

SPECS = {"x": LatentSpec.continuous(6), "y": LatentSpec.continuous(4)}
TOLERANCE = 1e-10


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def linear_rows(number=64, seed=0):
    """Rows whose y is a linear map of x, and the map."""
    draw = chance(seed)
    x = torch.randn(number, 6, generator=draw, dtype=torch.float64)
    weight = torch.randn(6, 4, generator=draw, dtype=torch.float64)
    return {"x": x, "y": x @ weight}, weight


def identity_error(augmentation, seed=0):
    """How far mixed y is from the map of mixed x, at most: 0 for a map that mixing respects."""
    rows, weight = linear_rows(seed=seed)
    mixed = augmentation.apply(rows, SPECS, chance(seed))
    return float((mixed["y"] - mixed["x"] @ weight).abs().max())


@pytest.mark.parametrize("granularity", ["batch", "sample"])
@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_a_linear_map_between_domains_holds_after_mixing(alpha, granularity):
    for seed in range(20):
        assert identity_error(FuseMix(alpha, granularity=granularity), seed) < TOLERANCE


@pytest.mark.parametrize("share", ["partner", "coefficient"])
def test_a_coefficient_or_partner_of_each_domains_own_breaks_it(share):
    of_rows, of_batch = (
        [identity_error(FuseMix(share=share, granularity=each), seed) for seed in range(20)]
        for each in ("sample", "batch")
    )
    assert min(of_rows) > 0.1
    assert sorted(of_batch)[10] > 0.1, "two coefficients of a batch may be close by chance"


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_coefficients_have_the_moments_of_beta(alpha):
    drawn = coefficients(alpha, 200_000, chance())
    assert drawn.dtype == torch.float64 and drawn.shape == (200_000, 1)
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.005)
    assert float(drawn.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.02)
    kept = float((drawn.square() + (1 - drawn).square()).mean())
    assert kept == pytest.approx((alpha + 1) / (2 * alpha + 1), rel=0.01)


def test_a_batch_has_one_coefficient_and_a_sample_has_its_own():
    rows = {"x": torch.eye(8)}
    specs = {"x": LatentSpec.continuous(8)}
    of_batch = FuseMix().apply(rows, specs, chance())["x"]
    of_rows = FuseMix(granularity="sample").apply(rows, specs, chance())["x"]
    assert len(of_batch.diagonal().unique()) == 1
    assert len(of_rows.diagonal().unique()) == 8
    for mixed in (of_batch, of_rows):  # of each row, and of one other
        assert ((mixed > 0).sum(dim=1) == 2).all()
        assert torch.allclose(mixed.sum(dim=1), torch.ones(8))
        assert ((mixed > 0).sum(dim=0) == 2).all(), "each row is the partner of one"


def test_no_two_rows_are_each_others_partner():
    rows = {"x": torch.eye(9)}
    for seed in range(20):
        mixed = FuseMix().apply(rows, {"x": LatentSpec.continuous(9)}, chance(seed))["x"]
        others = (mixed > 0) & ~torch.eye(9, dtype=torch.bool)
        assert not (others & others.T).any(), "two rows with the same mixture are no negatives"


def test_mixed_latents_have_two_thirds_of_the_squared_length():
    x = torch.randn(20_000, 5, generator=chance())
    mixed = FuseMix(granularity="sample").apply(
        {"x": x}, {"x": LatentSpec.continuous(5)}, chance(1)
    )["x"]
    assert float(mixed.square().mean() / x.square().mean()) == pytest.approx(2 / 3, abs=0.02)


def test_alpha_of_zero_changes_nothing_and_a_small_one_little():
    rows, _ = linear_rows()
    assert FuseMix(0.0).apply(rows, SPECS, chance())["x"] is rows["x"]
    drawn = coefficients(1e-4, 10_000, chance())
    assert bool(((drawn < 1e-3) | (drawn > 1 - 1e-3)).double().mean() > 0.99)
    assert bool(drawn.isfinite().all())


def test_latents_given_are_left_as_they_are_and_a_seed_gives_the_same():
    rows, _ = linear_rows()
    before = rows["x"].clone()
    first, second = (FuseMix().apply(rows, SPECS, chance(3)) for _ in range(2))
    assert torch.equal(rows["x"], before)
    assert all(torch.equal(first[name], second[name]) for name in rows)
    other = FuseMix().apply(rows, SPECS, chance(4))
    assert not torch.equal(first["x"], other["x"])


def test_a_class_is_refused_by_name_and_mixed_on_demand():
    spec = LatentSpec((Part(name="shape", size=3, kind="categorical"), Part(name="x", size=1)))
    rows = {"thing": torch.tensor([[1.0, 0, 0, 0.5], [0, 1.0, 0, 1.5]])}
    with pytest.raises(DomainError, match='"shape" of domain "thing" is categorical.*"mix"'):
        FuseMix().apply(rows, {"thing": spec}, chance())
    mixed = FuseMix(discrete="mix").apply(rows, {"thing": spec}, chance())["thing"]
    assert torch.allclose(mixed[:, :3].sum(dim=1), torch.ones(2))
    assert bool((mixed[:, :2] > 0).all())


def test_a_part_that_says_so_may_be_mixed():
    spec = LatentSpec((Part(name="shares", size=2, kind="categorical", interpolable=True),))
    rows = {"thing": torch.tensor([[0.5, 0.5], [0.1, 0.9]])}
    assert FuseMix().apply(rows, {"thing": spec}, chance())["thing"].shape == (2, 2)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"alpha": -1.0}, "alpha=-1.0 must be at least 0"),
        ({"alpha": float("nan")}, "alpha=nan"),
        ({"granularity": "row"}, 'granularity="row" is unknown'),
        ({"discrete": "keep"}, 'discrete="keep" is unknown'),
        ({"share": "nothing"}, 'share="nothing" is unknown'),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        FuseMix(**settings)


def fitted(objectives, augmentations=None, **changed):
    """A workspace trained on rows of which x and y know the same."""
    draw = chance(5)
    known = torch.randn(400, 3, generator=draw)
    maps = {name: torch.randn(3, spec.dim, generator=draw) for name, spec in SPECS.items()}
    table = Table.from_columns({name: known @ weight for name, weight in maps.items()})
    workspace = GlobalWorkspace({n: GivenLatents(s) for n, s in SPECS.items()}, dim=4, seed=0)
    settings = {"steps": 5, "device": "cpu", "progress": False, "log_every": 1} | changed
    trainer = Trainer(TrainerConfig(**settings), objectives, augmentations=augmentations)
    result = trainer.fit(workspace, table.match(100, seed=0), latents=True)
    return workspace, result


def test_other_families_see_the_rows_as_they_are():
    mixing = {"mixed": FuseMix()}
    _, plain = fitted([Translation(1.0)])
    _, beside = fitted([Translation(1.0), Contrastive(0.0).seen_through("mixed")], mixing)
    first = [result.history[0]["families"]["translation"] for result in (plain, beside)]
    assert first[0] == first[1]
    _, mixed = fitted([Translation(1.0).seen_through("mixed")], mixing)
    assert mixed.history[0]["families"]["translation"] != first[0]


def test_what_is_judged_is_never_mixed():
    """Neither held-out rows nor errors depend on a mixture: two seeds of it tell the same."""
    draw = chance(5)
    known = torch.randn(400, 3, generator=draw)
    maps = {name: torch.randn(3, spec.dim, generator=draw) for name, spec in SPECS.items()}
    table = Table.from_columns({name: known @ weight for name, weight in maps.items()})
    training, held_out = table.hold_out(0.2, seed=0)
    told = []
    for alpha in (1.0, 5.0):
        workspace = GlobalWorkspace({n: GivenLatents(s) for n, s in SPECS.items()}, dim=4, seed=0)
        config = TrainerConfig(
            steps=1, device="cpu", progress=False, learning_rate=1e-12, weight_decay=0.0
        )
        objectives = [Contrastive(1.0).seen_through("mixed")]
        trainer = Trainer(config, objectives, augmentations={"mixed": FuseMix(alpha)})
        result = trainer.fit(workspace, training, held_out, latents=True)
        told.append(result.history[-1])
    assert told[0]["families"] != told[1]["families"]
    first, second = (entry["validation_families"]["contrastive"] for entry in told)
    assert first == pytest.approx(second, abs=1e-6)


def test_rows_without_a_match_are_not_mixed_as_matched():
    """A group of one domain is mixed by itself: no route of the contrastive family walks it."""
    seen = []

    class Watched(FuseMix):
        def apply(self, latents, specs, generator):
            seen.append(tuple(latents))
            return super().apply(latents, specs, generator)

    fitted(
        [Contrastive(1.0).seen_through("mixed"), Translation(1.0)],
        {"mixed": Watched()},
        unmatched_batch_size=32,
    )
    assert set(seen) == {("x", "y")}


def test_a_training_is_a_function_of_its_seed():
    mixing = {"mixed": FuseMix()}
    runs = [
        fitted([Contrastive(1.0).seen_through("mixed")], mixing, seed=seed) for seed in (1, 1, 2)
    ]
    losses = [[entry["loss"] for entry in result.history] for _, result in runs]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("granularity", ["batch", "sample"])
def test_a_captured_step_draws_anew_as_a_plain_one_does(monkeypatch, granularity):
    from globalworkspace.training import captured

    monkeypatch.setattr(captured, "COMPILE", lambda function: function)
    losses = []
    for compile_ in (False, True):
        mixing = {"mixed": FuseMix(granularity=granularity)}
        objectives = [Contrastive(1.0).seen_through("mixed")]
        _, result = fitted(objectives, mixing, steps=8, compile=compile_)
        losses.append([entry["loss"] for entry in result.history])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert len(set(losses[0])) == 8
