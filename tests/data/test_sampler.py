import pytest
import torch

from globalworkspace import Table
from globalworkspace.data.sampler import BatchSampler
from globalworkspace.data.table import Column


def latent_table():
    """a: 40 rows, b: 30 rows with 10 matched, c: 20 rows with 5 of them in all three."""
    rows = 60
    columns = {}
    for name, held in {"a": range(0, 40), "b": range(30, 60), "c": range(35, 55)}.items():
        count = torch.zeros(rows, dtype=torch.int64)
        count[list(held)] = 1
        columns[name] = Column(torch.arange(rows)[:, None].float(), torch.arange(rows), count)
    return Table(columns, torch.arange(rows))


def sampler(**options):
    defaults = {"matched_rows": 8, "unmatched_rows": 7, "seed": 3}
    return BatchSampler(latent_table(), **(defaults | options))


def test_a_batch_is_a_function_of_seed_and_step_alone():
    forward, backward = sampler(), sampler()
    ahead = [forward.batch(step) for step in range(20)]
    behind = [backward.batch(step) for step in reversed(range(20))][::-1]
    for one, two in zip(ahead, behind, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(one.rows, two.rows, strict=True))
        assert all(torch.equal(one.latents[n], two.latents[n]) for n in one.latents)
    other = sampler(seed=4).batch(0)
    assert any(not torch.equal(x, y) for x, y in zip(ahead[0].rows, other.rows, strict=True))


def test_quotas_are_fixed_and_at_most_what_a_group_has():
    layout = {(s.group, s.size) for s in sampler().segments}
    assert layout == {
        (("a", "b"), 2),
        (("b", "c"), 2),
        (("a", "b", "c"), 2),
        (("a",), 7),
        (("b",), 7),
        (("c",), 7),
    }
    large = {s.group: s.size for s in sampler(matched_rows=900, unmatched_rows=900).segments}
    assert large["a", "b", "c"] == 5 and large[("a",)] == 40
    assert not any(len(s.group) == 1 for s in sampler(unmatched_rows=0).segments)


def test_every_segment_holds_rows_of_its_group_in_table_order_of_domains():
    drawn = sampler()
    batch = drawn.batch(5)
    groups = latent_table().groups()
    for segment, rows in zip(batch.segments, batch.rows, strict=True):
        if segment.matched:
            assert set(rows.tolist()) <= set(groups[segment.group].tolist())
        else:
            assert latent_table()[segment.group[0]].present[rows].all()
    for name in "abc":
        expected = [r for s, r in zip(batch.segments, batch.rows, strict=True) if name in s.group]
        assert torch.equal(batch.latents[name][:, 0], torch.cat(expected).float())


@pytest.mark.parametrize("step", range(12))
def test_no_row_is_twice_in_a_segment(step):
    for rows in sampler().batch(step).rows:
        assert len(rows.unique()) == len(rows)


def test_every_row_is_used_and_about_equally_often():
    drawn = sampler()
    used = {index: torch.zeros(60) for index in range(len(drawn.segments))}
    for step in range(300):
        for index, rows in enumerate(drawn.batch(step).rows):
            used[index][rows] += 1
    table = latent_table()
    for index, segment in enumerate(drawn.segments):
        pool = table.groups()[segment.group] if segment.matched else None
        if pool is None:
            pool = table[segment.group[0]].present.nonzero().flatten()
        seen = used[index][pool]
        assert seen.min() > 0.6 * seen.mean()
        assert used[index].sum() == seen.sum()


def test_alternatives_are_drawn_anew_each_time():
    cells = torch.arange(9).float()[:, None]
    first, count = torch.tensor([0, 3, 8]), torch.tensor([3, 5, 1])
    table = Table({"a": Column(cells, first, count)}, torch.arange(3))
    drawn = BatchSampler(table, matched_rows=2, unmatched_rows=3, seed=0)
    seen = {row: set() for row in range(3)}
    for step in range(100):
        batch = drawn.batch(step)
        for row, value in zip(batch.rows[0].tolist(), batch.latents["a"][:, 0], strict=True):
            seen[row].add(int(value))
    assert seen == {0: {0, 1, 2}, 1: {3, 4, 5, 6, 7}, 2: {8}}
    assert torch.equal(drawn.batch(4).latents["a"], drawn.batch(4).latents["a"])
