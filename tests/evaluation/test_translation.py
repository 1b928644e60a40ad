import pytest
import torch
from core_domains import Parts, Vector, small_workspace

from globalworkspace import GlobalWorkspace, Table
from globalworkspace.errors import DataError
from globalworkspace.evaluation.translation import normalized_error, predict, translation_error
from globalworkspace.latents import LatentSpec, Part
from globalworkspace.standard_table import standardize_table


def test_zero_is_perfect_and_one_is_a_constant_guess():
    truths = torch.randn(100, 3) * torch.tensor([1.0, 10.0, 0.1])
    assert float(normalized_error(truths, truths).abs().max()) == 0
    guess = truths.mean(0).expand(100, 3)
    torch.testing.assert_close(normalized_error(guess, truths), torch.ones(3).double())


def test_by_hand():
    truths, guesses = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [2.0]])
    assert normalized_error(guesses, truths).tolist() == [0.5]


def test_a_column_that_hardly_varies_among_few_rows_does_not_outweigh_the_others():
    spec = LatentSpec((Part(name="x", size=2), Part(name="shape", size=2, kind="categorical")))
    truths = torch.tensor([[1.0, 0.01, 0.9, 0.1], [-1.0, -0.01, 1.0, 0.0]])
    guesses = truths + 0.1
    plain, floored = (normalized_error(guesses, truths, s).tolist() for s in (None, spec))
    assert plain == pytest.approx([0.01, 100, 4, 4], rel=1e-4)
    assert floored == pytest.approx([0.01, 0.1, 4, 4], rel=1e-4)


def test_columns_that_do_not_vary_are_left_out():
    assert normalized_error(torch.zeros(5, 2), torch.ones(5, 2)).shape == (0,)


def setting():
    ws = small_workspace((4, 6, 3)).eval()
    rows = {"left": torch.randn(30, 4), "right": torch.randn(30, 6)}
    third = [None] * 30
    third[0] = [1.0, 2.0, 3.0]
    return ws, standardize_table(ws, encode(ws, Table.from_columns(rows | {"third": third})))


def encode(ws, table):
    from globalworkspace import encode_table

    return encode_table(ws.domains, table)


def test_every_direction_with_shared_rows_has_an_error():
    ws, table = setting()
    assert set(translation_error(ws, table)) == {"left -> right", "right -> left"}


def test_predictions_are_activated():
    parts = [{"name": "class", "size": 3, "kind": "categorical"}]
    ws = GlobalWorkspace({"left": Vector(4), "kind": Parts(parts)}, dim=4).eval()
    columns = {"left": torch.randn(9, 4), "kind": torch.eye(3).repeat(3, 1)}
    table = standardize_table(ws, Table.from_columns(columns))
    predicted = predict(ws, table, ("left",), "kind", torch.arange(9))
    torch.testing.assert_close(predicted.sum(1), torch.ones(9))


def test_rows_to_judge_by_are_needed():
    ws = small_workspace().eval()
    apart = Table.from_columns({"left": torch.randn(30, 4), "right": torch.randn(30, 6)}).match(0)
    with pytest.raises(DataError, match=r"No two domains share rows.*30 rows"):
        translation_error(ws, standardize_table(ws, apart))
