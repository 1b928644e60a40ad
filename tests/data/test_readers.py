import json

import pytest

from globalworkspace import Alternatives
from globalworkspace.data.readers import read_folder, read_huggingface, read_table
from globalworkspace.errors import DataError


@pytest.fixture
def folder(tmp_path):
    for name in ("a.bin", "b.bin"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "metadata.csv").write_text(
        "file_name,words,height\na.bin,a cat,1.5\nb.bin,,2\n,no file,\n"
    )
    return tmp_path


def test_a_folder_with_metadata_becomes_a_table_with_its_gaps(folder):
    table = read_folder(str(folder), {"photo": "file_name", "caption": "words", "tall": "height"})
    assert {g: len(r) for g, r in table.groups().items()} == {
        ("caption",): 1,
        ("photo", "tall"): 1,
        ("photo", "caption", "tall"): 1,
    }
    assert table["photo"].take([0, 1]) == [folder / "a.bin", folder / "b.bin"]
    assert table["tall"].take([0, 1]) == [1.5, 2.0]


def test_an_item_may_be_a_folder(folder):
    (folder / "clip").mkdir()
    (folder / "clip" / "000.png").write_bytes(b"a frame")
    write(folder, "metadata.csv", "file_name,words\nclip,a cat\n")
    table = read_folder(str(folder), {"clip": "file_name"})
    assert table["clip"].take([0]) == [folder / "clip"]


def test_a_domain_of_several_columns_holds_records_and_is_missing_where_one_is(folder):
    columns = {"photo": "file_name", "caption": "words", "both": ["words", "height"]}
    table = read_folder(str(folder), columns)
    assert table["both"].present.sum() == 1
    assert table["both"].take([0]) == [{"words": "a cat", "height": 1.5}]


def test_json_lines_hold_alternatives(tmp_path):
    rows = [{"x": 1, "text": ["a", "b"]}, {"x": 2}, {"text": ["c"]}]
    file = tmp_path / "t.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    table = read_table(str(file))
    assert table["text"].count.tolist() == [2, 0, 1]
    assert table["x"].present.tolist() == [True, True, False]


def test_parquet_reads_like_csv(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    file = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pa.table({"a": [1, 2, None], "b": ["x", None, "z"]}), file)
    table = read_table(str(file))
    assert table["a"].present.tolist() == [True, True, False]
    assert table["b"].take([2]) == ["z"]


def test_hugging_face_data_sets_enter_through_the_same_door(tmp_path):
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_dict({"words": ["a", None], "n": [1, 2]})
    made.save_to_disk(str(tmp_path / "saved"))
    table = read_huggingface(str(tmp_path / "saved"), columns={"caption": "words", "number": "n"})
    assert {g: len(r) for g, r in table.groups().items()} == {
        ("number",): 1,
        ("caption", "number"): 1,
    }


def test_alternatives_of_lists_keep_their_items(tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_text('{"text": ["a", "b"]}\n')
    table = read_table(str(file))
    assert table["text"].cells == list(Alternatives(["a", "b"]))


def write(tmp_path, name, text):
    file = tmp_path / name
    file.write_text(text)
    return str(file)


def test_bad_tables_name_file_row_and_remedy(tmp_path):
    for name, text, message in [
        ("a.csv", "x,y\n1,2\n3\n", 'Row 1 of ".*a.csv" has another number of fields'),
        ("b.csv", "x,x\n1,2\n", 'column "x" twice'),
        ("c.csv", "x,y\n", "no rows"),
        ("d.jsonl", '{"x": 1}\n{oops\n', "Line 2 of .* is no JSON"),
        ("e.jsonl", "[1]\n", "Line 1 .* is a list; an object"),
        ("f.txt", "x", r"known endings: .csv, .jsonl, .parquet"),
        ("g.csv", "x,y\n1,\n,\n", 'Domain "y" is empty'),
        ("h.csv", "x,y\n1,2\n,\n", "Row 1 has no domain"),
    ]:
        with pytest.raises(DataError, match=message):
            read_table(write(tmp_path, name, text))
    with pytest.raises(DataError, match="does not exist"):
        read_table(str(tmp_path / "none.csv"))


def test_a_misspelt_column_gets_the_nearest_name(folder):
    with pytest.raises(DataError, match='"caption" asks for the column "wrods".*mean "words"'):
        read_folder(str(folder), {"caption": "wrods"})


def test_bad_folders_name_what_is_missing(folder, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_folder(str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="holds no other.csv"):
        read_folder(str(folder), metadata="other.csv")
    with pytest.raises(DataError, match="known endings"):
        read_folder(str(folder), metadata="a.bin")
    write(folder, "metadata.csv", "file_name,words\nz.bin,x\n")
    with pytest.raises(DataError, match='Row 0 of .* names ".*z.bin", which does not exist'):
        read_folder(str(folder))
    write(folder, "metadata.csv", "name,words\nz.bin,x\n")
    with pytest.raises(DataError, match="no column file_name; it has name, words"):
        read_folder(str(folder))
