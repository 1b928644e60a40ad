"""Ridge encoding models: closed form, folds of neighbours, penalties per response."""

import pytest
import torch
from globalworkspace_probes.integration.correlation import correlation
from globalworkspace_probes.integration.ridge import Fold, RidgeEncoder, contiguous_folds
from globalworkspace_probes.integration.simulate import simulate_sites

from globalworkspace.errors import DataError


def normal(*shape, seed=0):
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=chance, dtype=torch.float64)


def shuffled_folds(events, folds=5):
    """The wrong variant: held-out events lie among those that are fitted."""
    order = torch.randperm(events, generator=torch.Generator().manual_seed(0))
    return [
        Fold(
            train=torch.cat([order[: held[0]], order[held[-1] + 1 :]]),
            validation=order[held][: len(held) // 2],
            scored=order[held][len(held) // 2 :],
        )
        for held in torch.arange(events).tensor_split(folds)
    ]


def test_every_event_is_held_out_once_in_a_stretch_of_neighbours():
    folds = contiguous_folds(53, 5)
    held = [torch.cat([fold.validation, fold.scored]) for fold in folds]
    assert torch.cat(held).tolist() == list(range(53))
    for fold, stretch in zip(folds, held, strict=True):
        assert stretch.tolist() == list(range(int(stretch[0]), int(stretch[-1]) + 1))
        assert not set(stretch.tolist()) & set(fold.train.tolist())
        assert len(stretch) + len(fold.train) == 53


def test_too_few_events_for_the_folds_are_refused():
    with pytest.raises(DataError, match="39 events were given for 5 folds"):
        contiguous_folds(39, 5)


def test_one_feature_and_one_penalty_give_what_is_computed_by_hand():
    # fitted rows: x = -1, 1, standard already; y = 1, 5 with mean 3, x'y = 4, slope 4 / (2 + 2) = 1
    x = torch.tensor([[-1.0], [1.0], [2.0], [3.0], [4.0], [5.0]])
    y = torch.tensor([[1.0], [5.0], [0.0], [0.0], [0.0], [0.0]])
    fold = Fold(
        train=torch.tensor([0, 1]), validation=torch.tensor([2, 3]), scored=torch.tensor([4, 5])
    )
    predicted = RidgeEncoder(x, [fold], alphas=[2.0]).predict(y)
    assert predicted.validation[0].flatten().tolist() == pytest.approx([5.0, 6.0])
    assert predicted.scored[0].flatten().tolist() == pytest.approx([7.0, 8.0])


@pytest.mark.parametrize("columns", [5, 60], ids=["fewer than events", "more than events"])
def test_the_decomposition_solves_the_normal_equations(columns):
    x, y = normal(50, columns), normal(50, 3, seed=1)
    folds = contiguous_folds(50, 5)
    predicted = RidgeEncoder(x, folds, alphas=[7.0]).predict(y)
    for fold, found in zip(folds, predicted.scored, strict=True):
        known = x[fold.train]
        mean, spread = known.mean(dim=0), known.std(dim=0, correction=0)
        z, mid = (known - mean) / spread, y[fold.train].mean(dim=0)
        gram = z.T @ z + 7.0 * torch.eye(columns, dtype=torch.float64)
        weights = torch.linalg.solve(gram, z.T @ (y[fold.train] - mid))
        torch.testing.assert_close(found, (x[fold.scored] - mean) / spread @ weights + mid)


def test_an_endless_penalty_leaves_the_mean_and_none_gives_least_squares():
    x, y = normal(60, 4), 5 + normal(60, 2, seed=1)
    folds = contiguous_folds(60, 5)
    flat = RidgeEncoder(x, folds, alphas=[1e15]).predict(y).scored[2]
    torch.testing.assert_close(flat, y[folds[2].train].mean(dim=0).expand(6, 2))  # no penalty on it
    ones = torch.ones(60, 1, dtype=torch.float64)
    full = torch.cat([ones, x], dim=1)
    weights = torch.linalg.lstsq(full[folds[2].train], y[folds[2].train]).solution
    exact = RidgeEncoder(x, folds, alphas=[1e-12]).predict(y).scored[2]
    torch.testing.assert_close(exact, full[folds[2].scored] @ weights)


def test_units_of_a_feature_do_not_matter_and_a_constant_one_has_no_part():
    x, y = normal(60, 3), normal(60, 2, seed=1)
    folds = contiguous_folds(60, 4)
    told = RidgeEncoder(x, folds).predict(y)
    other = torch.cat([x * torch.tensor([1e3, 1.0, 1e-3]) + 7, torch.full((60, 1), 0.1)], dim=1)
    again = RidgeEncoder(other, folds).predict(y)
    torch.testing.assert_close(torch.cat(again.scored), torch.cat(told.scored))


def test_the_penalty_is_chosen_for_each_response_on_the_first_halves():
    x = normal(200, 30)
    y = torch.stack([x[:, 0], normal(200, seed=3)], dim=1)
    folds = contiguous_folds(200, 5)
    alphas = (1e-3, 1e5)
    found = RidgeEncoder(x, folds, alphas).predict(y)
    single = [RidgeEncoder(x, folds, [alpha]).predict(y) for alpha in alphas]
    scores = torch.stack(
        [
            sum(correlation(p, y[f.validation]) for p, f in zip(s.validation, folds, strict=True))
            for s in single
        ]
    )
    assert found.alpha.tolist() == [alphas[k] for k in scores.argmax(dim=0)]
    assert found.alpha[0] == 1e-3
    for column, best in enumerate(scores.argmax(dim=0).tolist()):
        told, own = found.scored[0][:, column], single[best].scored[0][:, column]
        torch.testing.assert_close(told, own)


def test_what_is_scored_has_no_part_in_what_predicts_it():
    x, y = normal(80, 6), normal(80, 2, seed=1)
    folds = contiguous_folds(80, 4)
    before = RidgeEncoder(x, folds).predict(y)
    changed = y.clone()
    changed[folds[1].scored] += 100 * normal(10, 2, seed=2)
    after = RidgeEncoder(x, folds, [float(before.alpha[0])]).predict(changed)
    same = RidgeEncoder(x, folds, [float(before.alpha[0])]).predict(y)
    torch.testing.assert_close(after.scored[1], same.scored[1])
    assert not torch.allclose(after.scored[0], same.scored[0])


def test_folds_of_shuffled_events_would_find_noise_predictable():
    drawn = simulate_sites(0, kinds=["noise"], dim=30, events=600, persistence=0.95)
    x, y = torch.cat(list(drawn.tracks.values()), dim=1), drawn.responses[:, :, 0].T

    def score(folds):
        told = RidgeEncoder(x, folds).predict(y).scored
        r = [correlation(p, y[f.scored]) for p, f in zip(told, folds, strict=True)]
        return float(torch.stack(r).mean())

    assert abs(score(contiguous_folds(600))) < 0.1
    assert score(shuffled_folds(600)) > 0.5
