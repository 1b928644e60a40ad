import logging

import pytest
import torch
from core_domains import Vector, Weighted

from globalworkspace import Alternatives, LatentStore, Table, encode_table
from globalworkspace.errors import CheckpointError, DomainError


def table(scale=1.0):
    cells = scale * torch.arange(30).reshape(10, 3).float()
    return Table.from_columns({"left": cells, "right": [None, *cells[1:].tolist()]})


def modules(seed=0):
    torch.manual_seed(seed)
    return {"left": Weighted(3, seed), "right": Vector(3)}


def fresh_files(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_cell_is_encoded_once_and_lands_in_its_row():
    domains = modules()
    encoded = encode_table(domains, table(), batch_size=4)
    assert domains["left"].encoded == 10
    torch.testing.assert_close(
        encoded["left"].take([3, 7]), domains["left"].encode(table()["left"].take([3, 7])).detach()
    )
    assert encoded["right"].present.tolist() == [False] + [True] * 9
    assert encoded["right"].take([1]).tolist() == [[3.0, 4.0, 5.0]]
    assert encoded["left"].cells.dtype == torch.float32


def test_rows_that_share_a_cell_share_its_latent():
    domains = modules()
    repeated = table().select([4, 4, 2])
    encoded = encode_table(domains, repeated)
    assert domains["left"].encoded == 2
    assert torch.equal(encoded["left"].take([0]), encoded["left"].take([1]))


def test_all_alternatives_are_encoded():
    cells = [Alternatives([[0.0, 0, 1], [0.0, 0, 2]]), [0.0, 0, 3], None]
    encoded = encode_table(
        {"a": Vector(3), "b": Vector(1)}, Table.from_columns({"a": cells, "b": [[1], [1], [1]]})
    )
    column = encoded["a"]
    assert column.count.tolist() == [2, 1, 0]
    assert column.cells[:, 2].tolist() == [1, 2, 3]


def test_a_second_run_does_not_encode_again(tmp_path):
    store = LatentStore(tmp_path / "store")
    first = encode_table(modules(), table(), store=store)
    again = modules()
    second = encode_table(again, table(), store=store)
    assert again["left"].encoded == 0
    assert torch.equal(first["left"].cells, second["left"].cells)


def test_other_weights_or_data_are_encoded(tmp_path):
    store = LatentStore(tmp_path / "store")
    encode_table(modules(), table(), store=store)
    other = modules(1)
    encode_table(other, table(), store=store)
    assert other["left"].encoded == 10
    same = modules()
    encode_table(same, table(scale=2.0), store=store)
    assert same["left"].encoded == 10
    encode_table(same, table(), store=store)
    assert same["left"].encoded == 10


class Thing:
    """A cell that nobody can digest."""


class OfThings(Weighted):
    def encode(self, raw):
        self.encoded += len(raw)
        return torch.zeros(len(raw), 3)


def test_a_column_that_cannot_be_digested_is_encoded_again_and_says_so(tmp_path, caplog):
    store = LatentStore(tmp_path / "store")
    things = Table.from_columns({"left": [Thing(), Thing()]})
    module = OfThings(3)
    for _ in range(2):
        with caplog.at_level(logging.WARNING):
            encode_table({"left": module}, things, store=store)
        assert 'domain "left" cannot be digested; they are encoded again' in caplog.text
        caplog.clear()
    assert module.encoded == 4


def damage(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize("harm", ["flip", "truncate", "delete", "edit manifest", "no manifest"])
def test_a_damaged_store_is_refused_with_what_to_delete(tmp_path, harm):
    store = LatentStore(tmp_path / "store")
    encode_table({"left": modules()["left"]}, table().only(["left"]), store=store)
    (file,) = store.folder.rglob("latents.safetensors")
    manifest = file.parent / "manifest.json"
    if harm == "flip":
        damage(file)
    elif harm == "truncate":
        file.write_bytes(file.read_bytes()[:-4])
    elif harm == "delete":
        file.unlink()
    elif harm == "edit manifest":
        manifest.write_text(manifest.read_text().replace('"sha256": "', '"sha256": "0'))
    else:
        manifest.unlink()
    with pytest.raises(CheckpointError, match='cannot be used: .* delete the folder "'):
        encode_table({"left": modules()["left"]}, table().only(["left"]), store=store)


def test_a_failure_while_encoding_leaves_the_store_as_it_was(tmp_path):
    store = LatentStore(tmp_path / "store")
    encode_table({"left": modules()["left"]}, table().only(["left"]), store=store)
    before = fresh_files(store.folder)
    bad = torch.arange(30).reshape(10, 3).float()
    bad[7, 1] = float("nan")
    with pytest.raises(DomainError, match='"left" returned NaN or infinity for row 7'):
        encode_table({"left": Vector(3)}, Table.from_columns({"left": bad}), store=store)
    assert fresh_files(store.folder) == before
    assert not list(store.folder.glob(".writing-*"))


def test_a_failure_while_writing_leaves_no_half_entry(tmp_path, monkeypatch):
    store = LatentStore(tmp_path / "store")

    def full_disk(*_):
        raise OSError("disk full")

    monkeypatch.setattr("globalworkspace.folders.save_file", full_disk)
    with pytest.raises(OSError, match="disk full"):
        encode_table({"left": Vector(3)}, table().only(["left"]), store=store)
    assert list(store.folder.iterdir()) == []


class Picky(Vector):
    def encode(self, raw):
        if any(float(row[0]) == 21 for row in raw):
            raise DomainError("this cell is corrupt")
        return super().encode(raw)


def test_the_culprit_of_a_failing_batch_is_found():
    with pytest.raises(DomainError, match='Domain "left", row 7: this cell is corrupt'):
        encode_table({"left": Picky(3)}, table().only(["left"]), batch_size=5)
    # rows keep the numbers of the source
    picked = table().only(["left"]).select([2, 7])
    with pytest.raises(DomainError, match="row 7"):
        encode_table({"left": Picky(3)}, picked)


def test_a_domain_without_a_module_is_named():
    with pytest.raises(DomainError, match='domain "right" and the workspace has left'):
        encode_table({"left": Vector(3)}, table())


class Rounded(Weighted):
    """What autocast does to it depends on whether its weights matter much."""

    def __init__(self, faithful, dim=64):
        super().__init__(dim)
        self.faithful = faithful

    def encode(self, raw):
        raw = torch.as_tensor(raw)
        latents = super().encode(raw)
        # two large products that cancel lose their difference in half the bits
        return latents if self.faithful else latents.float() - self.linear(1.001 * raw).float()


def wide():
    return Table.from_columns({"a": torch.randn(40, 64), "b": torch.randn(40, 64)})


def test_bfloat16_is_used_where_the_latents_stay_the_same(caplog):
    rows, plain = wide(), {n: Rounded(n == "a") for n in "ab"}
    exact = encode_table(plain, rows)
    with caplog.at_level(logging.WARNING):
        fast = encode_table(plain, rows, precision="bf16")
    assert not torch.equal(fast["a"].cells, exact["a"].cells)
    torch.testing.assert_close(fast["a"].cells, exact["a"].cells, rtol=0.02, atol=0.2)
    assert torch.equal(fast["b"].cells, exact["b"].cells)
    (message,) = caplog.messages
    assert 'Domain "b" is encoded in float32' in message and "at least 0.999" in message


def test_each_precision_is_stored_by_itself(tmp_path):
    store, rows, modules = LatentStore(tmp_path), wide(), {n: Rounded(True) for n in "ab"}
    exact = encode_table(modules, rows, store=store)
    fast = encode_table(modules, rows, store=store, precision="bf16")
    assert not torch.equal(exact["a"].cells, fast["a"].cells)
    encoded = modules["a"].encoded
    assert torch.equal(encode_table(modules, rows, store=store)["a"].cells, exact["a"].cells)
    again = encode_table(modules, rows, store=store, precision="bf16")
    assert torch.equal(again["a"].cells, fast["a"].cells)
    assert modules["a"].encoded == encoded  # not even the probe


def test_in_bfloat16_convolutions_lay_channels_last_while_they_encode():
    class Convolved(Vector):
        def __init__(self, dim):
            super().__init__(dim)
            self.conv = torch.nn.Conv2d(2, 4, 3)
            self.last = []

        def encode(self, raw):
            memory = {"memory_format": torch.channels_last}
            self.last.append(self.conv.weight.is_contiguous(**memory))
            return self.conv(raw.reshape(-1, 2, 3, 3)).flatten(1)[:, :3]

    module, rows = Convolved(3), Table.from_columns({"a": torch.randn(40, 18)})
    before = module.fingerprint()
    exact = encode_table({"a": module}, rows)
    assert not any(module.last)
    module.last.clear()
    fast = encode_table({"a": module}, rows, precision="bf16")
    assert module.last == [False, True, True]  # the probe in float32, in bfloat16, then encoding
    assert module.conv.weight.is_contiguous() and module.fingerprint() == before
    torch.testing.assert_close(fast["a"].cells, exact["a"].cells, rtol=0.05, atol=0.05)


def test_a_module_says_how_many_cells_it_wants_at_once():
    calls = []

    class Eager(Vector):
        cells_per_call = 7

        def encode(self, raw):
            calls.append(len(raw))
            return super().encode(raw)

    rows = Table.from_columns({"a": torch.randn(16, 3)})
    encode_table({"a": Eager(3)}, rows)
    assert calls == [7, 7, 2]
    calls.clear()
    encode_table({"a": Eager(3)}, rows, batch_size=16)
    assert calls == [16]
