import pytest
import torch
from torch.nn import functional as F

from globalworkspace.closed_form import cca
from globalworkspace.errors import ConfigError, DataError
from globalworkspace.maxvar import maxvar


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_maxvar_of_two_domains_is_cca():
    x, y = random(80, 5), random(80, 4, seed=1)
    two = cca(x, y, shrinkages=[0.2], dim=3)
    many = maxvar({"x": x, "y": y}, shrinkages=[0.2], dim=3)
    torch.testing.assert_close(many.correlations, two.correlations)
    torch.testing.assert_close(many.project("x", x).abs(), two.project_x(x).abs())
    torch.testing.assert_close(many.project("y", y).abs(), two.project_y(y).abs())


def test_maxvar_joins_three_domains_of_which_two_never_meet():
    shared = random(200, 2)
    views = {n: shared @ random(2, 3, seed=i + 1) for i, n in enumerate(("a", "b", "c"))}
    matched = {name: rows.clone() for name, rows in views.items()}
    matched["c"][:100] = float("nan")  # a and c share no row: b joins them
    matched["a"][100:] = float("nan")
    found = maxvar(matched, views, shrinkages=[0.001], dim=2)
    cosines = F.cosine_similarity(found.project("a", views["a"]), found.project("c", views["c"]))
    assert cosines.median() > 0.98


def test_maxvar_chooses_the_shrinkage_by_held_out_rows():
    shared = random(80, 3)
    views = {n: shared @ random(3, 4, seed=i + 1) for i, n in enumerate(("a", "b", "c"))}
    found = maxvar(views, shrinkages=[0.001, 1.0], powers=[0.0, 1.0])
    assert len(found.errors) == 4
    assert found.errors[found.shrinkage, found.power] == min(found.errors.values())


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: maxvar({"a": random(9, 2)}), DataError, "Two domains or more"),
        (lambda: maxvar({"a": random(9, 2), "b": random(8, 2)}), DataError, "equally many"),
        (lambda: maxvar({"a": random(9, 2), "b": random(9, 2)}, powers=[]), ConfigError, "powers"),
    ],
)
def test_a_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_domains_that_never_meet_are_refused():
    a, b = random(10, 2), random(10, 2, seed=1)
    a[:5], b[5:] = float("nan"), float("nan")
    with pytest.raises(DataError, match="at least 3 matched rows"):
        maxvar({"a": a, "b": b}, shrinkages=[0.1])
