import pytest
import torch
from torch.nn import functional as F

from globalworkspace.closed_form import (
    cca,
    retrieval_error,
    ridge,
    squared_error,
)
from globalworkspace.errors import ConfigError, DataError


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_ridge_recovers_an_affine_map_and_chooses_the_smallest_penalty_without_noise():
    x, weight, bias = random(60, 4), random(3, 4, seed=1), random(3, seed=2)
    found = ridge(x, x @ weight.T + bias, alphas=[0, 0.1, 10])
    assert found.alpha == 0
    torch.testing.assert_close(found.weight, weight)
    torch.testing.assert_close(found.bias, bias)


def test_ridge_without_penalty_equals_least_squares_with_a_column_of_ones():
    x, y = random(40, 5), random(40, 3, seed=1)
    ones = torch.cat([x, torch.ones(40, 1, dtype=torch.float64)], dim=1)
    expected = torch.linalg.lstsq(ones, y).solution
    found = ridge(x, y, alphas=[0])
    torch.testing.assert_close(found.weight, expected[:-1].T)
    torch.testing.assert_close(found.bias, expected[-1])


def test_ridge_without_penalty_and_with_more_columns_than_rows_gives_the_least_norm():
    x, y = random(6, 20), random(6, 2, seed=1)
    centred = x - x.mean(dim=0)
    expected = (torch.linalg.pinv(centred) @ (y - y.mean(dim=0))).T
    torch.testing.assert_close(ridge(x, y, alphas=[0]).weight, expected)


def test_ridge_solves_the_penalised_normal_equations_with_the_mean_squared_error():
    x, y, alpha = random(30, 4), random(30, 2, seed=1), 0.7
    a, b = x - x.mean(dim=0), y - y.mean(dim=0)
    eye = torch.eye(4, dtype=torch.float64)
    expected = torch.linalg.solve(a.T @ a / 30 + alpha * eye, a.T @ b / 30).T
    summed = torch.linalg.solve(a.T @ a + alpha * eye, a.T @ b).T  # penalty not per row: wrong
    found = ridge(x, y, alphas=[alpha]).weight
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, summed, atol=1e-3)


def test_ridge_on_noise_chooses_a_large_penalty_and_reports_every_error():
    found = ridge(random(50, 30), random(50, 2, seed=1), alphas=[0.01, 1, 100])
    assert found.alpha == 100
    assert set(found.errors) == {0.01, 1, 100}
    assert found.errors[100] < found.errors[0.01]


def test_ridge_chooses_by_the_error_that_was_asked_for():
    x, y = random(50, 30), random(50, 30, seed=1)
    found = ridge(x, y, alphas=[0.01, 100], error=lambda a, b: -squared_error(a, b))
    assert found.alpha == 0.01


def test_retrieval_error_is_zero_for_the_right_partners_and_counts_ranks():
    eye = torch.eye(4, dtype=torch.float64)
    assert retrieval_error(eye, eye) == 0
    assert retrieval_error(eye, eye.roll(1, dims=0)) > 0.5
    assert retrieval_error(torch.ones(4, 2), torch.ones(4, 2)) == pytest.approx(0.75)  # ties last


def factors(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Two linear views of two shared factors, each with private ones; noise-free in the shared."""
    shared = random(count, 2, seed=seed)
    x = torch.cat([shared, random(count, 2, seed=seed + 1)], dim=1) @ random(4, 4, seed=90)
    y = torch.cat([shared, random(count, 1, seed=seed + 2)], dim=1) @ random(3, 3, seed=91)
    return x, y


def test_cca_recovers_shared_linear_factors_exactly():
    x, y = factors(100)
    found = cca(x, y, shrinkages=[0], dim=2)
    torch.testing.assert_close(found.correlations, torch.ones(2, dtype=torch.float64))
    x_new, y_new = factors(20, seed=50)
    torch.testing.assert_close(found.project_x(x_new), found.project_y(y_new))


def test_cca_correlations_equal_those_of_orthonormal_bases():
    x, y = random(80, 5), random(80, 4, seed=1)
    y[:, 0] += x[:, 0]
    bases = [torch.linalg.qr(v - v.mean(dim=0)).Q for v in (x, y)]
    expected = torch.linalg.svdvals(bases[0].T @ bases[1])
    torch.testing.assert_close(cca(x, y, shrinkages=[0]).correlations, expected)


def test_cca_projections_have_unit_variance_and_the_correlations_between_them():
    x, y = random(80, 5), random(80, 4, seed=1)
    found = cca(x, y, shrinkages=[0])
    a, b = found.project_x(x, power=0), found.project_y(y, power=0)
    eye = torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(a.T @ a / 79, eye)
    torch.testing.assert_close(a.T @ b / 79, torch.diag(found.correlations))


def test_cca_without_shrinkage_is_invariant_to_invertible_linear_maps_and_with_it_is_not():
    x, y = factors(60)
    y = y + 0.5 * random(60, 3, seed=7)
    mapped = x @ random(4, 4, seed=8) + 3
    for shrinkage, same in ((0.0, True), (0.3, False)):
        plain = cca(x, y, shrinkages=[shrinkage]).correlations
        other = cca(mapped, y, shrinkages=[shrinkage]).correlations
        assert torch.allclose(plain, other, atol=1e-8) is same


def test_cca_at_full_shrinkage_is_the_svd_of_the_cross_covariance():
    x, y = factors(60)
    a, b = x - x.mean(dim=0), y - y.mean(dim=0)
    u = torch.linalg.svd(a.T @ b, full_matrices=False).U
    found = cca(x, y, shrinkages=[1.0]).x_weight
    torch.testing.assert_close(F.normalize(found, dim=0).abs(), u.abs())


def test_cca_leaves_directions_without_variance_out():
    x, y = factors(60)
    padded = torch.cat([x, x[:, :1]], dim=1)
    plain, wide = cca(x, y, shrinkages=[0]), cca(padded, y, shrinkages=[0])
    torch.testing.assert_close(plain.correlations, wide.correlations)


def test_more_unmatched_rows_help_cca_where_pairs_are_hardly_more_than_columns():
    def views(count: int, seed: int) -> list[torch.Tensor]:
        shared = random(count, 4, seed=seed)
        return [
            torch.cat(
                [
                    shared + 0.3 * random(count, 4, seed=seed + i),
                    random(count, 16, seed=seed + i + 2),
                ],
                1,
            )
            @ random(20, 20, seed=i)
            for i in (3, 4)
        ]

    def error(unmatched: int, seed: int) -> float:
        x, y = views(24 + 1000 + 100, seed)
        end = 24 + unmatched
        found = cca(x[:24], y[:24], x[:end], y[:end], dim=4, shrinkages=[0])
        return retrieval_error(found.project_x(x[-100:]), found.project_y(y[-100:]))

    few, many = (sum(error(n, seed) for seed in range(100, 200, 10)) / 10 for n in (0, 1000))
    assert many < few - 0.03


def test_cca_chooses_shrinkage_and_power_by_held_out_pairs_and_reports_their_errors():
    x, y = factors(60)
    found = cca(x, y, shrinkages=[0.0, 1.0], powers=[0.0, 1.0])
    assert set(found.errors) == {(s, s, p) for s in (0.0, 1.0) for p in (0.0, 1.0)}
    assert found.errors[(*found.shrinkages, found.power)] == min(found.errors.values())
    assert found.shrinkages == (0.0, 0.0)


def test_cca_takes_a_shrinkage_for_each_side():
    x, y = factors(60)
    assert cca(x, y, shrinkages=[(0.1, 0.9)]).shrinkages == (0.1, 0.9)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ridge(random(5, 2), random(4, 2)), DataError, r"\(5, 2\) and \(4, 2\)"),
        (lambda: ridge(random(2, 2), random(2, 2)), DataError, "2 matched rows are too few"),
        (lambda: ridge(random(5, 2), random(5, 2), alphas=[]), ConfigError, "at least one"),
        (lambda: ridge(random(5, 2), random(5, 2), alphas=[-1]), ConfigError, "none below 0"),
        (lambda: ridge(random(5, 2), random(5, 2), folds=1), ConfigError, "folds=1"),
        (lambda: ridge(random(5, 2) / 0, random(5, 2)), DataError, "NaN or infinity"),
        (lambda: cca(random(9, 2), random(9, 2), shrinkages=[2]), ConfigError, r"in \[0, 1\]"),
        (lambda: cca(random(9, 2), random(9, 2), powers=[-1]), ConfigError, "powers"),
        (lambda: cca(random(9, 2), random(9, 2), dim=0), ConfigError, "dim=0"),
        (lambda: cca(random(9, 2), random(9, 2), random(9, 3)), DataError, "x_all has shape"),
        (lambda: cca(random(9, 2), random(9, 2) * 0), DataError, "does not vary"),
    ],
)
def test_a_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
