import attrs
import numpy as np
import pytest
import torch

from globalworkspace import Alternatives
from globalworkspace.data.cells import digest_cells, is_missing, take_cells


@pytest.mark.parametrize("cell", [None, float("nan"), np.float32("nan"), Alternatives([])])
def test_missing_cells(cell):
    assert is_missing(cell)


@pytest.mark.parametrize("cell", [0, "", 0.0, False, torch.zeros(1), Alternatives([None])])
def test_cells_that_are_there(cell):
    assert not is_missing(cell)


@pytest.mark.parametrize("cells", [torch.arange(5), np.arange(5), list(range(5))])
def test_cells_are_taken_by_position(cells):
    assert list(take_cells(cells, torch.tensor([3, 0]))) == [3, 0]


def test_alternatives_are_a_sequence():
    cell = Alternatives(["a", "b"])
    assert list(cell) == ["a", "b"] and cell[1] == "b" and len(cell) == 2


CONTENTS = [
    torch.arange(4),
    torch.arange(4).float(),
    torch.arange(4).reshape(2, 2),
    np.arange(4),
    ["ab", "c"],
    ["a", "bc"],
    [["a"], ["b"]],
    [["a", "b"]],
    [1, 2],
    [1.0, 2.0],
    [True, False],
    [{"x": 1}],
    [{"x": 2}],
    [None, 1],
    [b"12"],
    [Alternatives(["a"])] * 2,
]


def test_different_contents_have_different_digests():
    digests = [digest_cells(cells) for cells in CONTENTS]
    assert None not in digests
    assert len(set(digests)) == len(CONTENTS)


def test_equal_contents_have_equal_digests():
    assert digest_cells(["a", torch.ones(2)]) == digest_cells(["a", torch.ones(2)])
    assert digest_cells([{"x": 1, "y": 2}]) == digest_cells([{"y": 2, "x": 1}])


def test_the_content_of_named_files_counts(tmp_path):
    file = tmp_path / "photo.png"
    file.write_bytes(b"1")
    for cell in (file, str(file)):
        file.write_bytes(b"1")
        first = digest_cells([cell])
        file.write_bytes(b"2")
        assert digest_cells([cell]) != first


def test_the_content_and_the_order_of_a_folders_files_count(tmp_path):
    clip = tmp_path / "clip"
    clip.mkdir()
    digests = []
    for frames in ({"0.png": b"1", "1.png": b"2"}, {"0.png": b"2", "1.png": b"1"}, {"0.png": b"2"}):
        for file in clip.iterdir():
            file.unlink()
        for name, content in frames.items():
            (clip / name).write_bytes(content)
        digests.append(digest_cells([clip]))
    assert None not in digests and len(set(digests)) == 3
    assert digest_cells([clip.rename(tmp_path / "elsewhere")]) == digests[-1]


def test_what_cannot_be_digested_has_no_digest(tmp_path):
    assert digest_cells([object()]) is None
    assert digest_cells([tmp_path / "missing.png"]) is None


@attrs.frozen
class Clip:
    samples: torch.Tensor
    rate: int


def test_cells_of_a_plugins_own_class_are_told_apart_by_their_fields():
    clip = Clip(torch.ones(3), 8)
    assert digest_cells([clip]) == digest_cells([Clip(torch.ones(3), 8)])
    others = [Clip(torch.ones(3), 9), Clip(torch.zeros(3), 8)]
    assert digest_cells([clip]) not in [digest_cells([other]) for other in others]
    assert digest_cells([attrs.make_class("Odd", {"thing": attrs.field()})(object())]) is None
