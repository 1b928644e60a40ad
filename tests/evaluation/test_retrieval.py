import torch
from core_domains import small_workspace

from globalworkspace import Table
from globalworkspace.evaluation.retrieval import recall_at, retrieval
from globalworkspace.standard_table import standardize_table


def test_recall_by_hand():
    similarity = torch.tensor([[3.0, 2, 1], [3, 2, 1], [3, 2, 1]])
    assert recall_at(similarity, (1, 2, 3)) == {1: 1 / 3, 2: 2 / 3, 3: 1.0}


def test_the_right_answers_are_on_the_diagonal():
    assert recall_at(torch.eye(4))[1] == 1.0
    assert recall_at(torch.eye(4).roll(1, 0))[1] == 0.0


def test_constant_and_broken_states_score_nothing():
    assert recall_at(torch.ones(6, 6), (1, 5))[5] == 0.0
    assert recall_at(torch.full((6, 6), float("nan")))[1] == 0.0


def test_every_direction_among_shared_rows():
    columns = {"left": torch.randn(30, 4), "right": torch.randn(30, 6)}
    ws = small_workspace().eval()
    table = standardize_table(ws, Table.from_columns(columns))
    found = retrieval(ws, table, gallery_size=20, ks=(1, 20))
    assert set(found) == {"left -> right", "right -> left"}
    assert all(0 <= scores[1] <= scores[20] == 1.0 for scores in found.values())
