"""Damaged cells in the middle of the data: the run stops with the row, or passes them over."""

import math

import pytest
import torch
from core_domains import Vector

from globalworkspace import (
    Alternatives,
    GlobalWorkspace,
    LatentStore,
    Table,
    Trainer,
    TrainerConfig,
    encode_table,
)
from globalworkspace.data.unreadable import without_unreadable
from globalworkspace.errors import DomainError

ROWS, BAD = 40, {7, 8, 23}


class Picky(Vector):
    """Cannot read rows that begin with a certain number, in one way or another."""

    def __init__(self, dim=3, how="error"):
        super().__init__(dim)
        self.how, self.calls = how, 0

    def encode(self, raw):
        self.calls += 1
        raw = torch.stack([torch.as_tensor(row) for row in raw]).float()
        bad = raw[:, 0] < -100
        if self.how == "nan":
            return raw.masked_fill(bad[:, None], math.nan)
        if bad.any():
            raise {"error": DomainError, "crash": RuntimeError}[self.how]("truncated file")
        return raw


def columns(bad=BAD):
    left = torch.randn(ROWS, 3)
    left[sorted(bad)] -= 1000
    return {"left": left.tolist(), "right": torch.randn(ROWS, 2).tolist()}


@pytest.mark.parametrize("how", ["error", "crash", "nan"])
def test_stopping_names_the_row_and_skipping_counts_them(how):
    modules = {"left": Picky(3, how), "right": Vector(2)}
    table = Table.from_columns(columns())
    with pytest.raises(DomainError, match=r'"left".*row 7'):
        encode_table(modules, table, batch_size=10)
    with pytest.warns(UserWarning, match=r'"left": 3 of 40 cells cannot be read.*row 7, 8, 23\.'):
        latents = encode_table(modules, table, batch_size=10, unreadable="skip")
    assert set((~latents["left"].present).nonzero().flatten().tolist()) == BAD
    assert latents["right"].present.all() and latents["left"].cells.isfinite().all()
    clean = encode_table(modules, table.select([r for r in range(ROWS) if r not in BAD]))
    kept = latents["left"].cells[latents["left"].first[latents["left"].present]]
    assert torch.equal(kept, clean["left"].cells)


@pytest.mark.parametrize("shard_rows", [None, 8])
def test_the_next_run_knows_them_and_does_not_try_again(tmp_path, shard_rows):
    modules = {"left": Picky(), "right": Vector(2)}
    table, store = Table.from_columns(columns()), LatentStore(tmp_path)
    for _ in range(2):
        modules["left"].calls = 0
        with pytest.warns(UserWarning, match="3 of 40 cells"):
            latents = encode_table(
                modules, table, store=store, shard_rows=shard_rows, unreadable="skip"
            )
        assert set((~latents["left"].present).nonzero().flatten().tolist()) == BAD
    assert modules["left"].calls == 0
    with pytest.raises(DomainError, match="row 7"):  # who wants to stop does not take them
        encode_table(modules, table, store=store, shard_rows=shard_rows)


def test_rows_that_held_nothing_else_go_and_a_workspace_trains_on_the_rest():
    cells = columns()
    cells["right"][8] = None
    table, modules = Table.from_columns(cells), {"left": Picky(), "right": Vector(2)}
    with pytest.warns(UserWarning):
        latents = encode_table(modules, table, unreadable="skip")
    raw, kept = without_unreadable(table, latents)
    assert len(raw) == len(kept) == ROWS - 1 and 8 not in raw.origin.tolist()
    assert torch.equal(raw["left"].present, kept["left"].present)
    kept.check()
    config = TrainerConfig(steps=3, device="cpu", progress=False)
    Trainer(config).fit(GlobalWorkspace(modules, dim=2), kept, latents=True)


def test_a_cell_with_an_unreadable_alternative_is_missing_as_a_whole():
    spoilt = torch.full((3,), -1000.0)
    cells = [Alternatives([torch.zeros(3), spoilt]), Alternatives([torch.ones(3)]), None]
    table = Table.from_columns({"left": cells, "right": torch.zeros(3, 2)})
    with pytest.warns(UserWarning, match="1 of 2 cells"):
        latents = encode_table({"left": Picky(), "right": Vector(2)}, table, unreadable="skip")
    assert latents["left"].present.tolist() == [False, True, False]


def test_a_module_that_reads_nothing_is_not_passed_over():
    cells = columns(bad=range(ROWS))
    with pytest.raises(DomainError, match="row 0: truncated file"):
        encode_table(
            {"left": Picky(), "right": Vector(2)}, Table.from_columns(cells), unreadable="skip"
        )
