import math

import pytest
import torch

from globalworkspace import Alternatives, Table
from globalworkspace.errors import DataError


def full(rows=100):
    return Table.from_columns(
        {name: torch.arange(rows) + 1000 * i for i, name in enumerate(("a", "b", "c"))}
    )


def cells_of(table, name):
    column = table[name]
    return set(column.take(column.present.nonzero().flatten()).tolist())


def counts(table):
    return {group: len(rows) for group, rows in table.groups().items()}


def matched_origins(table, group):
    rows = table.groups().get(group, torch.zeros(0, dtype=torch.int64))
    return set(table.origin[rows].tolist())


def test_missing_cells_say_not_observed_and_groups_follow():
    table = Table.from_columns(
        {"photo": ["p0", None, "p2", float("nan")], "caption": ["c0", "c1", None, "c3"]}
    )
    assert {g: r.tolist() for g, r in table.groups().items()} == {
        ("photo",): [2],
        ("caption",): [1, 3],
        ("photo", "caption"): [0],
    }
    assert table["photo"].take([0, 2]) == ["p0", "p2"]
    assert table.matched_rows().tolist() == [0]
    assert table.domains == ("photo", "caption")
    assert "1 {photo, caption}" in table.describe()


def test_a_record_column_gives_mappings():
    table = Table.from_columns({"row": {"x": torch.arange(4), "name": list("abcd")}})
    taken = table["row"].take([3, 1])
    assert taken["x"].tolist() == [3, 1] and taken["name"] == ["d", "b"]


def test_taking_a_missing_cell_names_the_row():
    table = Table.from_columns({"a": [1, None], "b": [1, 2]})
    with pytest.raises(DataError, match="Row 1 has no such cell"):
        table["a"].take([0, 1])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([("a", [1]), ("a", [2])], '"a" is named twice'),
        ({"a": [1, 2], "b": [1]}, 'unequal lengths .*"b": 1.*Put None'),
        ({"a": [1, 2], "b": [None, None]}, '"b" is empty: none of 2 rows'),
        ({"a": [1, None, None], "b": [1, 2, None]}, "Row 2 has no domain at all"),
        ({"a": [], "b": []}, "no rows"),
        ({}, "no domain"),
        ({"a": 3}, '"a": int is no column'),
        ({"a": "text"}, '"a": str is no column'),
        ({"a": {"x": [1], "y": [1, 2]}}, '"a": its columns need one common length'),
        ({"a": [Alternatives([])]}, '"a" is empty'),
    ],
)
def test_bad_columns_get_one_clear_message(columns, message):
    with pytest.raises(DataError, match=message):
        Table.from_columns(columns)


def test_an_unknown_domain_names_the_known_ones():
    with pytest.raises(DataError, match='"d"; it has a, b, c'):
        full()["d"]


def test_a_data_set_of_dicts_enters_with_its_gaps():
    items = [{"img": 1, "txt": "a"}, {"img": 2}, {"txt": "c", "img": None}]
    table = Table.from_dataset(items, {"photo": "img", "caption": "txt"})
    assert counts(table) == {("photo",): 1, ("caption",): 1, ("photo", "caption"): 1}
    with pytest.raises(DataError, match='key "image" asked for as domain "photo"'):
        Table.from_dataset(items, {"photo": "image"})
    with pytest.raises(DataError, match="Row 0 .* is a int; a mapping"):
        Table.from_dataset([1], ["a"])


def test_select_and_only_keep_the_origin_of_rows():
    table = Table.from_columns({"a": [1, None, 3], "b": [None, 2, 3], "c": [1, None, None]})
    assert table.select([2, 0]).origin.tolist() == [2, 0]
    assert table.only(["b"]).origin.tolist() == [1, 2]
    with pytest.raises(DataError, match="Row 1 has no domain"):
        Table({"a": table["a"], "c": table["c"]}, table.origin).check()


@pytest.mark.parametrize("count", [0, 1, 20, 100])
def test_disjoint_leaves_the_count_matched_and_every_other_row_one_cell(count):
    table = full().match(count, seed=3)
    assert len(table) == 100
    assert counts(table).get(("a", "b", "c"), 0) == count
    assert all(len(group) in (1, 3) for group in table.groups())


def test_disjoint_counterparts_are_truly_absent():
    table = full().match(20, seed=3)
    origins = {name: {v % 1000 for v in cells_of(table, name)} for name in "abc"}
    matched = matched_origins(table, ("a", "b", "c"))
    for first, second in (("a", "b"), ("b", "c"), ("a", "c")):
        assert origins[first] & origins[second] == matched


def test_unlinked_keeps_every_cell_in_a_row_of_its_own():
    table = full().match(20, seed=3, unmatched="unlinked")
    assert counts(table) == {("a",): 80, ("b",): 80, ("c",): 80, ("a", "b", "c"): 20}
    for index, name in enumerate("abc"):
        assert cells_of(table, name) == {1000 * index + i for i in range(100)}


def test_matched_rows_hold_what_belongs_together():
    for unmatched in ("disjoint", "unlinked"):
        table = full().match(20, seed=3, unmatched=unmatched)
        rows = table.groups()["a", "b", "c"]
        a, b, c = (table[name].take(rows) for name in "abc")
        assert torch.equal(a + 1000, b) and torch.equal(a + 2000, c)
        assert torch.equal(table.origin[rows], a)


def test_choices_of_one_seed_are_nested_and_seeds_differ():
    group = ("a", "b", "c")
    few, more = (matched_origins(full().match(n, seed=3), group) for n in (10, 30))
    assert few < more
    assert matched_origins(full().match(10, seed=3), group) == few
    assert matched_origins(full().match(10, seed=4), group) != few


def test_a_fraction_is_of_the_rows_that_could_match():
    table = Table.from_columns({"a": [1] * 80 + [None] * 20, "b": [None] * 20 + [1] * 80})
    assert counts(table.match(fraction=0.25))["a", "b"] == 15


def test_between_links_some_domains_only():
    disjoint = full().match(20, between=("a", "c"))
    assert counts(disjoint)["a", "c"] == 20 and len(disjoint) == 100
    unlinked = full().match(20, between=("a", "c"), unmatched="unlinked")
    assert counts(unlinked) == {("a",): 80, ("b",): 100, ("c",): 80, ("a", "c"): 20}


def test_several_sets_take_different_rows():
    table = full().match({("a", "b"): 30, ("b", "c"): 20, ("a", "b", "c"): 10})
    found = counts(table)
    assert (found["a", "b"], found["b", "c"], found["a", "b", "c"]) == (30, 20, 10)
    groups = [("a", "b"), ("b", "c"), ("a", "b", "c")]
    assert sum(len(matched_origins(table, g)) for g in groups) == 60
    assert len(set().union(*(matched_origins(table, g) for g in groups))) == 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 101}, "101 matched rows of a, b, c were asked for; only 100"),
        ({"count": -1}, "a count is at least 0"),
        ({"fraction": 1.5}, "a fraction between 0 and 1"),
        ({}, "either a count or a fraction"),
        ({"count": 1, "fraction": 0.1}, "either a count or a fraction"),
        ({"count": 1, "between": ("a",)}, "at least two domains"),
        ({"count": 1, "between": ("a", "z")}, '"z"; the table has a, b, c'),
        ({"count": {("a", "b"): 1}, "between": ("a", "b")}, "not both"),
        ({"count": 1, "unmatched": "shuffled"}, "'shuffled' is unknown"),
    ],
)
def test_impossible_matches_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        full().match(**arguments)


def test_rows_with_domains_have_all_of_them():
    table = Table.from_columns(
        {"a": [1, 2, 3, None], "b": [4, None, 5, 6], "c": [None, None, 7, None]}
    )
    assert table.rows_with("a").tolist() == [0, 1, 2]
    assert table.rows_with("a", "b").tolist() == table.rows_with("b", "a").tolist() == [0, 2]
    assert table.rows_with("a", "b", "c").tolist() == [2]
    with pytest.raises(DataError, match='"d"'):
        table.rows_with("a", "d")


@pytest.mark.parametrize(("number", "share"), [(500, 0.2), (7, 0.2), (100, 0.07), (2, 0.5)])
def test_a_share_of_the_matched_rows_is_held_out_and_the_count_covers_both(number, share):
    table = full(1000).match(number, seed=1)
    training, validation = table.hold_out(share, seed=2)
    assert len(validation) == math.ceil(round(share * number, 9))
    assert set(validation.groups()) == {("a", "b", "c")}
    assert len(training) + len(validation) == len(table)
    held = matched_origins(validation, ("a", "b", "c"))
    assert held.isdisjoint(training.origin.tolist())


def test_every_matched_group_gives_its_share():
    table = full().match({("a", "b"): 30, ("b", "c"): 1, ("a", "c"): 10})
    _, validation = table.hold_out()
    assert counts(validation) == {("a", "b"): 6, ("a", "c"): 2}


def test_holding_out_needs_matched_rows_and_a_fair_share():
    with pytest.raises(DataError, match="too few matched rows"):
        full().match(0).hold_out()
    with pytest.raises(DataError, match="between 0 and 1"):
        full().hold_out(1.0)
