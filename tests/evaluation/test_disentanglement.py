import math
import sys

import pytest
import torch

from globalworkspace.evaluation.disentanglement import dci, mig


@pytest.fixture
def factors():
    generator = torch.Generator().manual_seed(0)
    return {
        "size": torch.rand(1500, generator=generator),
        "age": torch.randn(1500, generator=generator),
        "kind": torch.randint(0, 4, (1500,), generator=generator),
    }


def columns(factors):
    return {
        name: torch.nn.functional.one_hot(v).double() if name == "kind" else v[:, None]
        for name, v in factors.items()
    }


def noise(width, seed=1):
    return torch.randn(1500, width, generator=torch.Generator().manual_seed(seed))


def test_a_dimension_for_each_factor_scores_one(factors):
    codes = torch.stack([v.double() for v in factors.values()], dim=1)
    codes = torch.cat([3 - 2 * codes, noise(2)], dim=1)
    gaps = mig(codes, factors)
    assert gaps["kind"] == pytest.approx(1, abs=0.05) and min(gaps.values()) > 0.9
    found = dci(codes[:, :2], {n: columns(factors)[n] for n in ("size", "age")})
    assert min(found.values()) > 0.95


def test_factors_that_are_mixed_score_low_and_are_still_told(factors):
    pair = {n: factors[n] for n in ("size", "age")}
    clean = torch.stack([(v - v.mean()) / v.std() for v in pair.values()], dim=1)
    turn = torch.tensor([[math.cos(0.785), -math.sin(0.785)], [math.sin(0.785), math.cos(0.785)]])
    mixed = clean @ turn
    assert max(mig(mixed, pair).values()) < 0.1 < min(mig(clean, pair).values())
    told, before = (dci(c, {n: v[:, None] for n, v in pair.items()}) for c in (mixed, clean))
    assert told["disentanglement"] < 0.1 < 0.9 < before["disentanglement"]
    assert told["completeness"] < 0.1 and told["informativeness"] > 0.95


def test_codes_of_nothing_tell_nothing(factors):
    codes = noise(6)
    assert max(mig(codes, factors).values()) < 0.05
    found = dci(codes, columns(factors))
    assert found is None or abs(found["informativeness"]) < 0.05


def test_two_dimensions_that_share_a_factor_have_no_gap_and_are_incomplete(factors):
    size = factors["size"]
    codes = torch.stack([size, size + 1e-3 * noise(1)[:, 0]], dim=1)
    assert mig(codes, {"size": size})["size"] < 0.1


def test_a_factor_without_variation_is_left_out(factors):
    assert mig(noise(2), {"flat": torch.ones(1500), "size": factors["size"]}).keys() == {"size"}


def test_without_scikit_learn_there_is_no_dci(monkeypatch, factors):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    assert dci(noise(3), columns(factors)) is None


def test_what_does_not_vary_or_is_alone_scores_nothing(factors):
    codes = factors["size"][:, None] + 0.3 * noise(3)
    only = {"size": factors["size"][:, None]}
    alone = dci(codes, only)
    assert "disentanglement" not in alone
    assert dci(codes, {**only, "flat": torch.ones(1500, 2)}) == alone
    assert dci(codes, {"flat": torch.ones(1500, 2)}) is None


def test_few_rows_of_noise_have_no_gap():
    code = torch.randn(40, 1, generator=torch.Generator().manual_seed(2))
    factor = torch.randn(40, generator=torch.Generator().manual_seed(3))
    assert mig(code, {"x": factor})["x"] < 0.25
