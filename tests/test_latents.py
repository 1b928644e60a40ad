import math
import warnings

import pytest
import torch
from core_domains import random_latents
from torch.nn import functional as F

from globalworkspace import LatentSpec, Part
from globalworkspace.errors import DomainError
from globalworkspace.latents import Standardizer, pack_sequence, unpack_sequence

MIXED = LatentSpec(
    (
        Part(name="where", size=2),
        Part(name="class", size=3, kind="categorical"),
        Part(name="angle", size=1, kind="circular"),
    )
)


def mixed(rows=6, seed=0):
    return random_latents(MIXED, rows, torch.Generator().manual_seed(seed))


def test_parts_lie_side_by_side_in_column_order():
    assert MIXED.dim == 7
    assert MIXED.slices() == {"where": slice(0, 2), "class": slice(2, 5), "angle": slice(5, 7)}
    assert [p.num_components for p in MIXED.parts] == [2, 1, 1]


@pytest.mark.parametrize("parts", [(), (Part(name="a", size=1), Part(name="a", size=2))])
def test_a_latent_needs_parts_with_unique_names(parts):
    with pytest.raises(DomainError, match="unique part names"):
        LatentSpec(parts)


def test_a_spec_survives_json():
    assert LatentSpec.from_json(MIXED.to_json()) == MIXED


def test_the_loss_by_hand():
    target = torch.tensor([[1.0, 2.0, 0.0, 1.0, 0.0, 1.0, 0.0]])
    logits = [0.0, math.log(2.0), 0.0]
    guess = torch.tensor([[1.5, 1.0, *logits, 0.0, 3.0]])
    squared, entropy, angle = 0.25 + 1.0, math.log(2.0), 1.0
    expected = (squared + entropy + angle) / 4
    assert MIXED.loss(guess, target).item() == pytest.approx(expected)
    weighted = (squared + 3 * entropy + angle) / (2 + 3 + 1)
    assert MIXED.loss(guess, target, {"class": 3}).item() == pytest.approx(weighted)
    per_column_mean = (squared / 2 + entropy / 3 + angle / 2) / 3  # mean over parts: another loss
    assert abs(expected - per_column_mean) > 0.1


def test_the_loss_is_per_row():
    targets = mixed()
    guesses = torch.randn(6, 7, dtype=torch.float64)
    together = MIXED.loss(guesses, targets)
    alone = torch.cat([MIXED.loss(guesses[i : i + 1], targets[i : i + 1]) for i in range(6)])
    assert together.shape == (6,)
    torch.testing.assert_close(together, alone)


def test_the_loss_of_an_angle_ignores_its_length_and_is_periodic():
    spec = LatentSpec((Part(name="angle", size=1, kind="circular"),))

    def at(angle, length=1.0):
        return length * torch.tensor([[math.cos(angle), math.sin(angle)]])

    assert spec.loss(at(0.3, 5.0), at(0.3)).item() == pytest.approx(0, abs=1e-6)
    assert spec.loss(at(0.3 + math.pi), at(0.3)).item() == pytest.approx(2)
    assert spec.loss(at(2 * math.pi + 0.1), at(0.0)).item() == pytest.approx(
        1 - math.cos(0.1), rel=1e-4
    )


def test_the_loss_has_right_gradients():
    targets = mixed(3)
    guesses = torch.randn(3, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda g: MIXED.loss(g, targets), (guesses,))
    assert torch.autograd.gradcheck(MIXED.activate, (guesses,))


def test_an_exact_prediction_has_almost_no_loss_and_less_than_any_perturbed_one():
    targets = mixed(8)
    exact = MIXED.exact_prediction(targets)
    least = MIXED.loss(exact, targets)
    assert float(least.max()) < 1e-3
    generator = torch.Generator().manual_seed(1)
    for _ in range(100):
        noise = 0.5 * torch.randn(exact.shape, generator=generator, dtype=torch.float64)
        noise[:, 2:5] *= 20  # logits: beyond what sharpens an already certain class
        noise[:, 2:5] = -noise[:, 2:5].abs() * targets[:, 2:5]
        assert (MIXED.loss(exact + noise, targets) > least).all()


@pytest.mark.parametrize("classes", [2, 200, 30_000])
def test_an_exact_class_has_almost_no_loss_however_many_there_are(classes):
    spec = LatentSpec((Part(name="class", size=classes, kind="categorical"),))
    targets = torch.eye(classes)[:1] if classes < 1000 else F.one_hot(torch.tensor([7]), classes)
    exact = spec.exact_prediction(targets.double())
    assert float(spec.loss(exact, targets.double())) < 1e-3


def test_an_activated_exact_prediction_is_the_latent():
    targets = mixed(8)
    activated = MIXED.activate(MIXED.exact_prediction(targets))
    torch.testing.assert_close(activated, targets, atol=1e-3, rtol=0)


def test_activation_gives_probabilities_and_unit_vectors_and_leaves_numbers():
    raw = 5 * torch.randn(9, 7)
    where, kind, angle = MIXED.split(MIXED.activate(raw)).values()
    assert torch.equal(where, raw[:, :2])
    torch.testing.assert_close(kind, F.softmax(raw[:, 2:5], dim=1))
    torch.testing.assert_close(angle.norm(dim=1), torch.ones(9))
    assert MIXED.activate(torch.zeros(2, 7)).isfinite().all()


def columns(rows=200):
    values = 3 + 2 * torch.randn(rows, 5, generator=torch.Generator().manual_seed(0))
    values[:, 1] = 4.0
    values[:, 3] *= 0.001
    return values


def test_dead_dimensions_are_reported_left_out_and_refilled_with_their_mean():
    values = columns()
    with pytest.warns(UserWarning, match=r'"photo": 2 of 5 .* 1, 3\. They are left out'):
        standardizer = Standardizer.fit(LatentSpec.continuous(5), values, "photo")
    standard = standardizer.standardize(values)
    assert standard.shape == (200, 3)
    assert standardizer.standard_spec.dim == 3
    assert float(standard.abs().max()) < 6  # not blown up
    restored = standardizer.restore(standard)
    torch.testing.assert_close(restored[:, [0, 2, 4]], values[:, [0, 2, 4]])
    torch.testing.assert_close(restored[:, [1, 3]], values[:, [1, 3]].mean(0).expand(200, 2))


def test_standard_latents_have_mean_zero_and_variance_one_and_restore_to_latents():
    values = mixed(500) * torch.tensor([5.0, 0.1, 1, 1, 1, 1, 1]) + torch.tensor(
        [2.0, -3, 0, 0, 0, 0, 0]
    )
    standardizer = Standardizer.fit(MIXED, values).double()
    standard = standardizer.standardize(values)
    torch.testing.assert_close(standard[:, :2].mean(0), torch.zeros(2).double(), atol=1e-5, rtol=0)
    unbiased = standard[:, :2].var(0, correction=0)
    torch.testing.assert_close(unbiased, torch.ones(2).double(), atol=1e-5, rtol=0)
    assert torch.equal(standard[:, 2:], values[:, 2:])
    torch.testing.assert_close(standardizer.restore(standard), values, atol=1e-6, rtol=0)


def test_a_part_whose_dimensions_are_all_dead_leaves_the_spec():
    spec = LatentSpec((Part(name="a", size=1), Part(name="b", size=2)))
    values = torch.randn(50, 3)
    values[:, 0] = 1
    with pytest.warns(UserWarning, match="1 of 3"):
        standardizer = Standardizer.fit(spec, values)
    assert [p.name for p in standardizer.standard_spec.parts] == ["b"]
    assert torch.equal(standardizer.restore(standardizer.standardize(values))[:, 0], values[:, 0])


def test_rows_that_do_not_differ_at_all_are_an_error_that_names_the_domain():
    with pytest.raises(DomainError, match='"photo".*no latent dimension varies over 4'):
        Standardizer.fit(LatentSpec.continuous(2), torch.ones(4, 2), "photo")


def test_constant_classes_are_no_dead_dimensions():
    spec = LatentSpec((Part(name="class", size=2, kind="categorical"),))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Standardizer.fit(spec, torch.tensor([[1.0, 0], [1, 0]])).alive.all()


SEQUENCE = LatentSpec(
    (Part(name="tokens", kind="sequence", size=2, length=4), Part(name="size", size=1))
)


def sequences(rows=40, seed=0):
    return random_latents(SEQUENCE, rows, torch.Generator().manual_seed(seed))


def test_a_sequence_packs_into_columns_and_back_with_padding_at_zero():
    values, mask = torch.randn(5, 4, 2), torch.arange(4) < torch.tensor([1, 2, 3, 4, 0])[:, None]
    columns = pack_sequence(values, mask)
    again, mask_again = unpack_sequence(columns, 2)
    assert columns.shape == (5, SEQUENCE.parts[0].dim)
    assert torch.equal(mask_again.bool(), mask)
    assert torch.equal(again[mask], values[mask])
    assert not again[~mask].any()


def test_only_a_sequence_has_a_length():
    with pytest.raises(DomainError, match='"where" has length 3'):
        Part(name="where", size=2, length=3)


def test_the_loss_of_a_sequence_by_hand_counts_what_is_there_and_the_mask():
    spec = LatentSpec((SEQUENCE.parts[0],))
    mask = torch.tensor([[True, True, False, False]])
    target = pack_sequence(torch.ones(1, 4, 2), mask)
    guess = target.clone().reshape(1, 4, 3)
    guess[0, 0, 0] = 4.0  # 9 off at one of two positions
    guess[0, 3, 0] = 100.0  # padding: does not count
    guess[:, :, 2] = 0.0  # a mask that knows nothing
    expected = (9 / 2 + math.log(2)) / 3
    assert spec.loss(guess.flatten(1), target).item() == pytest.approx(expected)


def test_an_exact_sequence_has_almost_no_loss_less_than_perturbed_and_activates_to_the_latent():
    targets = sequences()
    exact = SEQUENCE.exact_prediction(targets)
    least = SEQUENCE.loss(exact, targets)
    assert float(least.max()) < 1e-3
    torch.testing.assert_close(SEQUENCE.activate(exact), targets, atol=1e-3, rtol=0)
    generator = torch.Generator().manual_seed(1)
    for _ in range(100):
        noise = 0.5 * torch.randn(exact.shape, generator=generator, dtype=torch.float64)
        noise[:, 2:12:3] = -8 * noise[:, 2:12:3].abs() * (2 * targets[:, 2:12:3] - 1)
        assert (SEQUENCE.loss(exact + noise, targets) > least).all()


def test_a_sequence_without_any_position_has_a_finite_loss():
    empty = torch.zeros(1, SEQUENCE.dim, requires_grad=True)
    value = SEQUENCE.loss(empty, torch.zeros(1, SEQUENCE.dim))
    value.sum().backward()
    assert value.isfinite().all()
    assert empty.grad.isfinite().all()


def test_standard_sequences_keep_padding_at_zero_share_statistics_and_restore():
    values = sequences(400)
    inside, mask = unpack_sequence(values[:, :12], 2)
    values[:, :12] = pack_sequence(3 + 5 * inside, mask)
    standardizer = Standardizer.fit(SEQUENCE, values).double()
    standard = standardizer.standardize(values)
    tokens, standard_mask = unpack_sequence(standard[:, :12], 2)
    there = tokens[mask > 0.5]
    assert torch.equal(standard_mask, mask)
    assert not tokens[mask < 0.5].any()
    torch.testing.assert_close(there.mean(0), torch.zeros(2).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        there.var(0, correction=0), torch.ones(2).double(), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(standardizer.restore(standard), values, atol=1e-5, rtol=0)


def test_dead_values_of_a_sequence_stay_and_are_not_blown_up():
    values = sequences(100)
    inside, mask = unpack_sequence(values[:, :12], 2)
    inside[:, :, 1] = 2.0
    values[:, :12] = pack_sequence(inside, mask)
    standardizer = Standardizer.fit(SEQUENCE, values).double()
    standard = standardizer.standardize(values)
    assert standard.shape == values.shape
    assert float(standard.abs().max()) < 6


def test_the_loss_of_a_sequence_has_right_gradients():
    targets = sequences(3)
    guesses = torch.randn(3, SEQUENCE.dim, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda g: SEQUENCE.loss(g, targets), (guesses,))
    assert torch.autograd.gradcheck(SEQUENCE.activate, (guesses,))
