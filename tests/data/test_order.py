import pytest
import torch

from globalworkspace.data import order as module
from globalworkspace.data.order import ShuffledRows, WindowedRows


class Files:
    """Latents in files of ten rows; remembers what was announced."""

    shard_rows = 10

    def __init__(self):
        self.announced = []

    def __len__(self):
        return 10**6

    def __getitem__(self, items):
        raise AssertionError("an order reads no latents")

    def split(self, rows):
        raise AssertionError("an order reads no latents")

    def prefetch(self, shards):
        self.announced.append(shards)


def windowed(count=125, seed=3, first=0):
    rows = torch.arange(count) + 1000
    return WindowedRows(rows, seed, 0, torch.arange(count) + first, Files())


def drawn(order, size, steps):
    return torch.stack([order.draw(size, step) for step in steps])


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    monkeypatch.setattr(module, "WINDOW_SHARDS", 3)


@pytest.mark.parametrize("make", [windowed, lambda **o: ShuffledRows(torch.arange(125), 3, 0)])
@pytest.mark.parametrize("size", [1, 7, 40, 125])
def test_an_epoch_has_every_row_at_most_once_and_the_next_another_order(make, size):
    order = make()
    steps = 125 // size
    first, second = drawn(order, size, range(steps)), drawn(order, size, range(steps, 2 * steps))
    for epoch in (first, second):
        assert len(epoch.flatten().unique()) == steps * size
    assert not torch.equal(first, second)


def test_a_draw_is_a_function_of_seed_and_step_alone():
    ahead = drawn(windowed(), 7, range(40))
    order = windowed()
    behind = torch.stack([order.draw(7, step) for step in reversed(range(40))]).flip(0)
    assert torch.equal(ahead, behind)
    assert not torch.equal(ahead, drawn(windowed(seed=4), 7, range(40)))


def test_few_files_are_needed_at_a_time_and_in_the_end_all():
    order = windowed(count=300)
    files = [set(((rows - 1000) // 10).tolist()) for rows in drawn(order, 6, range(50))]
    assert all(len(found) <= 2 * 3 for found in files)  # at most two windows meet in a batch
    recent = [set().union(*files[i : i + 5]) for i in range(46)]
    assert max(map(len, recent)) <= 2 * 3
    assert set().union(*files) == set(range(30))
    spread = ShuffledRows(torch.arange(300), 3, 0)
    assert len(set((spread.draw(60, 0) // 10).tolist())) > 20  # a full shuffle touches all


def test_rows_are_shuffled_within_a_window():
    rows = windowed(count=30).draw(30, 0) - 1000
    assert sorted(rows.tolist()) == list(range(30))
    assert (rows.diff() == 1).sum() < 5


def test_the_next_files_are_announced_when_a_window_is_entered():
    order = windowed(count=120)  # twelve files, four windows
    drawn(order, 30, range(4))
    announced = [shard for shards in order.cells.announced for shard in shards]
    assert len(order.cells.announced) == 3 and len(set(announced)) == 9


def test_latents_that_begin_elsewhere_are_grouped_by_their_own_files():
    order = windowed(count=20, first=95)  # items 95 to 114: files 9, 10 and 11
    assert order.shards.tolist() == [9, 10, 11]
    assert sorted(drawn(order, 10, range(2)).flatten().tolist()) == list(range(1000, 1020))
