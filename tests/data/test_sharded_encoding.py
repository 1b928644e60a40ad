"""Latents in files give what latents in memory give: tables, statistics, training."""

import pytest
import torch
from core_domains import Weighted, small_workspace

from globalworkspace import GlobalWorkspace, LatentStore, Table, Trainer, TrainerConfig
from globalworkspace.data import order
from globalworkspace.data.encoding import encode_share, encode_table
from globalworkspace.data.order import ShuffledRows
from globalworkspace.data.sampler import BatchSampler
from globalworkspace.data.shards import ShardedLatents
from globalworkspace.errors import ConfigError, DomainError
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.translation import Translation
from globalworkspace.standard_table import standardize_table

ROWS = 90


def modules():
    torch.manual_seed(0)  # of the weights that their seeds leave open
    return {"left": Weighted(4, seed=0), "right": Weighted(6, seed=1)}


def raw():
    generator = torch.Generator().manual_seed(0)
    cells = {n: torch.randn(ROWS, d, generator=generator) for n, d in (("left", 4), ("right", 6))}
    return Table.from_columns(cells).match(30)


@pytest.fixture
def both(tmp_path):
    store = LatentStore(tmp_path)
    return encode_table(modules(), raw()), encode_table(
        modules(), raw(), store=store, shard_rows=16
    )


def test_rows_have_the_same_latents(both):
    whole, files = both
    for name in whole:
        assert isinstance(files[name].cells, ShardedLatents)
        rows = whole[name].present.nonzero().flatten()
        torch.testing.assert_close(files[name].take(rows), whole[name].take(rows))
        assert torch.equal(files[name].count, whole[name].count)


def test_statistics_are_the_same(both):
    found = []
    for table in both:
        workspace = small_workspace((4, 6))
        workspace.fit_standardizers({n: table[n].cells for n in table})
        found.append(workspace)
    whole, files = found
    for name in ("left", "right"):
        for part in ("mean", "std", "alive"):
            first, second = (getattr(ws.standardizer(name), part) for ws in (whole, files))
            torch.testing.assert_close(first, second)


def test_training_is_the_same_when_the_order_is(both, monkeypatch):
    monkeypatch.setattr(  # one order for both: what is left to compare is the reading
        BatchSampler,
        "_order",
        lambda self, index, group, rows: ShuffledRows(rows, self.seed, index),
    )
    results = []
    for table in both:
        workspace = GlobalWorkspace(modules(), dim=4, hidden_dim=8)
        config = TrainerConfig(
            steps=12,
            batch_size=8,
            unmatched_batch_size=8,
            progress=False,
            device="cpu",
            log_every=1,
        )
        families = [Translation(), Contrastive(), DemiCycle(), Cycle(detach=True)]
        results.append(Trainer(config, families).fit(workspace, table, latents=True).history)
    for first, second in zip(*results, strict=True):
        assert first["loss"] == pytest.approx(second["loss"], rel=1e-5)


def test_training_draws_file_by_file(both, monkeypatch):
    monkeypatch.setattr(order, "WINDOW_SHARDS", 1)
    workspace = GlobalWorkspace(modules(), dim=4, hidden_dim=8)
    workspace.fit_standardizers({n: both[1][n].cells for n in both[1]})
    standard = standardize_table(workspace, both[1])
    sampler = BatchSampler(standard, matched_rows=8, unmatched_rows=8, seed=0)
    segment = [s.group for s in sampler.segments].index(("left",))
    for step in range(5):
        batch = sampler.batch(step)
        items = both[1]["left"].first[batch.rows[segment]]
        assert len((items // 16).unique()) <= 2
        values = batch.latents["left"]
        rows = torch.cat(
            [r for s, r in zip(batch.segments, batch.rows, strict=True) if "left" in s.group]
        )
        expected = workspace.standardizer("left").standardize(both[1]["left"].take(rows))
        torch.testing.assert_close(values, expected)


def test_a_second_run_encodes_nothing_and_a_small_domain_stays_in_memory(tmp_path):
    store, domains = LatentStore(tmp_path), modules()
    first = encode_table(domains, raw(), store=store, shard_rows=16)
    counts = {n: m.encoded for n, m in domains.items()}
    again = encode_table(domains, raw(), store=store, shard_rows=16)
    assert {n: m.encoded for n, m in domains.items()} == counts
    assert again["left"].cells.folder == first["left"].cells.folder
    whole = encode_table(domains, raw(), store=store, shard_rows=1000)
    assert isinstance(whole["left"].cells, torch.Tensor)


def test_workers_without_a_word_to_each_other_fill_one_store(tmp_path):
    store = LatentStore(tmp_path)
    done, encoded = [], []
    for worker in (2, 0, 1):
        domains = modules()
        done.append(
            encode_share(domains, raw(), store=store, shard_rows=16, worker=worker, workers=3)
        )
        encoded.append(domains["left"].encoded)
    assert done == [
        {"left": False, "right": False},
        {"left": False, "right": False},
        {"left": True, "right": True},
    ]
    assert all(count > 0 for count in encoded)
    domains = modules()
    table = encode_table(domains, raw(), store=store, shard_rows=16)
    assert domains["left"].encoded == 0
    assert torch.equal(
        table["left"].cells[torch.arange(5)], encode_table(domains, raw())["left"].cells[:5]
    )


def test_a_bad_cell_is_named_and_finished_shards_stay(tmp_path):
    store, table = LatentStore(tmp_path), raw()
    row = int(table["left"].present.nonzero()[40])
    table["left"].cells[table["left"].first[row]] = torch.nan
    with pytest.raises(DomainError, match=f'"left".*row {int(table.origin[row])}[.]'):
        encode_table(modules(), table, store=store, shard_rows=16)
    assert list(tmp_path.rglob("shard-000000.json"))


def test_files_need_a_store():
    with pytest.raises(ConfigError, match="there is no store"):
        encode_table(modules(), raw(), shard_rows=16)
