"""Responses are read from the authors' layout, from archives and from CSV tables."""

import sys

import numpy as np
import pytest
import torch
from globalworkspace_probes.integration import read_responses, read_subject

from globalworkspace.errors import ConfigError, DataError

SITES, TIMES, EVENTS = ["LT1", "LT2", "RT1"], [-0.1, 0.0], 4
VALUES = np.arange(24.0).reshape(3, 2, 4)  # (sites, bins, events)


def frame():
    """As the authors' code holds responses: an index (electrode, time) and a column per event."""
    pandas = pytest.importorskip("pandas")
    index = pandas.MultiIndex.from_product([SITES, TIMES])
    return pandas.DataFrame(VALUES.reshape(6, 4), index=index, columns=[str(k) for k in range(4)])


def written_subject(folder, *, stimuli=EVENTS, columns="image_path,context"):
    frame().to_parquet(
        folder / "trial000_word_response_data-200mswindow.parquet.gzip", compression="gzip"
    )
    lines = ["," + columns] + [f"{k},frames/{k}.png,word {k}" for k in range(stimuli)]
    (folder / "trial000_word_stimulus_metadata.csv").write_text("\n".join(lines) + "\n")


def assert_as_made(found):
    assert found.sites == tuple(SITES)
    assert found.values.equal(torch.from_numpy(VALUES).transpose(1, 2))
    assert found.times == ("-0.1", "0.0")


def test_a_subject_is_read_as_the_authors_code_reads_it(tmp_path):
    written_subject(tmp_path)
    responses, stimuli = read_subject(tmp_path)
    assert_as_made(responses)
    assert responses.values.shape == (3, 4, 2)
    assert [row["context"] for row in stimuli] == [f"word {k}" for k in range(4)]
    assert stimuli[2]["image_path"] == "frames/2.png"


def test_scene_cuts_lie_in_files_of_their_own(tmp_path):
    written_subject(tmp_path)
    with pytest.raises(DataError, match="trial000_scene_response_data-200mswindow"):
        read_subject(tmp_path, alignment="vision")
    with pytest.raises(ConfigError, match='alignment="film" is unknown'):
        read_subject(tmp_path, alignment="film")


def test_index_levels_may_have_names_and_rows_any_order(tmp_path):
    shuffled = frame().rename_axis(["electrode", "bin"]).iloc[[5, 0, 1, 4, 3, 2]]
    shuffled.to_parquet(tmp_path / "r.parquet")
    found = read_responses(tmp_path / "r.parquet")
    assert found.sites == ("RT1", "LT1", "LT2") and found.times == ("0.0", "-0.1")
    expected = torch.from_numpy(VALUES)[[2, 0, 1]][:, [1, 0]].transpose(1, 2)
    assert found.values.equal(expected)


def test_a_table_without_index_names_its_columns(tmp_path):
    plain = frame().rename_axis(["electrode", "times"]).reset_index()
    plain.to_parquet(tmp_path / "r.parquet", index=False)
    assert_as_made(read_responses(tmp_path / "r.parquet"))
    plain.to_csv(tmp_path / "r.csv", index=False)
    assert_as_made(read_responses(tmp_path / "r.csv"))
    plain.rename(columns={"times": "time"}).to_parquet(tmp_path / "t.parquet", index=False)
    with pytest.raises(DataError, match='no column times.*Did you mean "time"'):
        read_responses(tmp_path / "t.parquet")


def test_an_archive_holds_responses_and_perhaps_names(tmp_path):
    values = VALUES.transpose(0, 2, 1)
    np.savez(tmp_path / "a.npz", responses=values, sites=SITES, times=TIMES)
    assert_as_made(read_responses(tmp_path / "a.npz"))
    np.savez(tmp_path / "b.npz", responses=values[:, :, 0])
    found = read_responses(tmp_path / "b.npz")
    assert found.values.shape == (3, 4, 1) and found.sites == ("0", "1", "2")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"data": np.zeros(3)}, "holds no such array"),
        ({"responses": np.zeros(3)}, r"float64 of shape \(3,\)"),
        ({"responses": np.array([["a"]])}, "<U1"),
        ({"responses": np.zeros((3, 4)), "sites": ["a"]}, "1 sites are named and 3 measured"),
    ],
)
def test_an_archive_that_cannot_be_used_is_refused(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=words):
        read_responses(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column electrode; it has no columns"),
        ("electrode,times,0\n", "holds no responses"),
        ("site,times,0\nA,1,2\n", "no column electrode; it has site, times, 0"),
        ("electrode,times,0\nA,1,x\n", "line 2: could not convert string to float"),
        ("electrode,times,0\nA,1,2,3\n", "line 2: 4 cells for 3 columns"),
        ("electrode,times,0\nA,1,2\nA,1,3\n", "electrode A has two rows for time 1"),
        ("electrode,times,0\nA,1,2\nA,2,3\nB,1,4\n", "electrode B has no row for time 2"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_its_line_or_electrode(tmp_path, text, words):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        read_responses(tmp_path / "r.csv")


def test_metadata_that_do_not_fit_the_responses_are_refused(tmp_path):
    written_subject(tmp_path, stimuli=3)
    with pytest.raises(DataError, match="has 3 events, and the responses beside it have 4"):
        read_subject(tmp_path)
    written_subject(tmp_path, columns="image,context")
    with pytest.raises(DataError, match="no column image_path"):
        read_subject(tmp_path)


def test_files_of_no_known_kind_and_absent_ones_are_refused(tmp_path):
    (tmp_path / "r.mat").write_text("")
    with pytest.raises(DataError, match="no file of responses that is known"):
        read_responses(tmp_path / "r.mat")
    with pytest.raises(DataError, match="does not exist"):
        read_responses(tmp_path / "absent.npz")
    for name in ("r.npz", "r.parquet"):
        for content in ("nothing of the kind", "PK\x03\x04 cut off", "PAR1"):
            (tmp_path / name).write_text(content)
            with pytest.raises(DataError, match="cannot be read as"):
                read_responses(tmp_path / name)


def test_without_pyarrow_the_error_names_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "r.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match="pip install pyarrow"):
        read_responses(tmp_path / "r.parquet")
