"""The attributes domain: exact latents, round trips, and errors that name the cell."""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from globalworkspace_attributes import AttributesDomain
from globalworkspace_attributes.domain import AttributesDomain as Direct

from globalworkspace.domain import CompletesConfig, Decodes, Renders, encode_checked
from globalworkspace.errors import ConfigError, DomainError

COLUMNS = {
    "shape": {"type": "categorical", "categories": ["diamond", "egg", "triangle"]},
    "x": {"type": "continuous"},
    "rotation": {"type": "circular", "period": math.tau},
}


@pytest.fixture
def domain() -> AttributesDomain:
    return AttributesDomain(columns=COLUMNS)


def rows(**changes: object) -> list[dict[str, object]]:
    return [
        {"shape": "egg", "x": 1.5, "rotation": 0.0},
        {"shape": "triangle", "x": -2, "rotation": 1.0} | changes,
    ]


def test_public_name_is_the_class_and_has_the_capabilities(domain: AttributesDomain) -> None:
    assert AttributesDomain is Direct
    assert (
        isinstance(domain, Decodes)
        and isinstance(domain, Renders)
        and isinstance(domain, CompletesConfig)
    )


def test_latents_are_one_hot_number_and_point_on_the_circle(domain: AttributesDomain) -> None:
    latents = domain.encode(rows(rotation=math.pi / 2))
    expected = torch.tensor([[0.0, 1, 0, 1.5, 1, 0], [0, 0, 1, -2, 0, 1]])
    torch.testing.assert_close(latents, expected, atol=1e-6, rtol=0)
    assert latents.dtype == torch.float32


def test_there_is_one_part_per_column_in_order(domain: AttributesDomain) -> None:
    assert [(p.name, p.kind, p.dim) for p in domain.latent.parts] == [
        ("shape", "categorical", 3),
        ("x", "continuous", 1),
        ("rotation", "circular", 2),
    ]


def test_rows_lists_arrays_and_tensors_give_the_same_latents(domain: AttributesDomain) -> None:
    expected = domain.encode(rows())
    as_lists = {"shape": ["egg", "triangle"], "x": [1.5, -2], "rotation": [0.0, 1.0]}
    as_tensors = {
        "shape": torch.tensor([1, 2]),
        "x": torch.tensor([1.5, -2.0], requires_grad=True),
        "rotation": torch.tensor([0.0, 1.0], dtype=torch.float64),
    }
    as_arrays = {
        "shape": np.array(["egg", "triangle"]),
        "x": np.array([1.5, -2]),
        "rotation": np.array([0, 1], dtype=np.int16),
    }
    as_objects = as_arrays | {
        "shape": np.array(["egg", "triangle"], dtype=object),
        "x": np.array([1.5, -2], dtype=object),
    }
    scalars = [{k: v[i].detach() for k, v in as_tensors.items()} for i in range(2)]
    for raw in (as_lists, as_tensors, as_arrays, as_objects, scalars, tuple(rows())):
        torch.testing.assert_close(domain.encode(raw), expected)


def test_decode_returns_names_numbers_and_angles_within_one_period(
    domain: AttributesDomain,
) -> None:
    table = domain.decode(domain.encode(rows(rotation=-1.0)))
    assert table["shape"] == ["egg", "triangle"]
    torch.testing.assert_close(table["x"], torch.tensor([1.5, -2.0]))
    torch.testing.assert_close(table["rotation"], torch.tensor([0.0, math.tau - 1]))


def test_decoding_then_encoding_changes_nothing(domain: AttributesDomain) -> None:
    generator = torch.Generator().manual_seed(0)
    raw = {
        "shape": torch.randint(3, (1000,), generator=generator),
        "x": torch.randn(1000, generator=generator) * 100,
        "rotation": torch.rand(1000, generator=generator) * math.tau,
    }
    latents = domain.encode(raw)
    torch.testing.assert_close(domain.encode(domain.decode(latents)), latents, atol=2e-6, rtol=1e-6)


def test_angles_stay_below_the_period_even_just_under_a_full_turn() -> None:
    domain = AttributesDomain({"hour": {"type": "circular", "period": 24}})
    hours = domain.decode(torch.tensor([[1.0, -1e-12], [1.0, 0.0], [0.0, -3.0], [-2.0, 0.0]]))[
        "hour"
    ]
    assert hours.tolist() == pytest.approx([0.0, 0.0, 18.0, 12.0])
    assert (hours < 24).all()


def test_a_full_turn_does_not_matter() -> None:
    domain = AttributesDomain({"angle": {"type": "circular", "period": 360}})
    torch.testing.assert_close(domain.encode({"angle": [10.0]}), domain.encode({"angle": [370]}))


def test_logits_decode_to_the_likeliest_category(domain: AttributesDomain) -> None:
    assert domain.decode(torch.tensor([[-3.0, 9, 2, 0, 1, 0]]))["shape"] == ["egg"]


def test_whole_number_categories_are_values_also_in_a_tensor() -> None:
    domain = AttributesDomain({"grade": {"categories": [3, 5, 7]}})
    assert domain.encode({"grade": torch.tensor([7, 3])}).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert domain.decode(domain.encode([{"grade": 5}]))["grade"] == [5]
    with pytest.raises(
        DomainError, match=r'"grade", row 0: 0 \(int\) is none of the categories: 3, 5, 7'
    ):
        domain.encode({"grade": torch.tensor([0])})


def test_boolean_categories_are_not_confused_with_zero_and_one() -> None:
    domain = AttributesDomain({"open": {"categories": [False, True]}})
    assert domain.encode({"open": torch.tensor([True, False])}).tolist() == [[0, 1], [1, 0]]
    with pytest.raises(DomainError, match=r"1 \(int\)"):
        domain.encode([{"open": 1}])


def test_short_and_long_forms_are_the_same_domain() -> None:
    short = AttributesDomain({"x": "continuous", "a": "circular", "c": {"categories": ["u", "v"]}})
    full = short.config()
    assert full["columns"]["a"] == {"type": "circular", "period": math.tau}
    again = AttributesDomain.from_config(json.loads(json.dumps(full)))
    assert again.config() == full and again.latent == short.latent
    assert again.fingerprint() == short.fingerprint()


def test_columns_of_the_data_that_are_not_configured_are_ignored(domain: AttributesDomain) -> None:
    assert len(domain.encode([row | {"note": object()} for row in rows()])) == 2


def test_rendering_is_named_texts_and_one_line_in_words(domain: AttributesDomain) -> None:
    rendered = domain.render({"shape": torch.tensor([1]), "x": [12.345], "rotation": [1.0]})
    assert [r.alt for r in rendered] == ["shape: egg · x: 12.35 · rotation: 1"]
    assert rendered[0].media_type == "application/json"
    assert json.loads(rendered[0].data) == {"shape": "egg", "x": "12.35", "rotation": "1"}
    assert rendered[0].in_words == rendered[0].alt


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (rows(shape="eg"), ['"shape", row 1', '"eg"', "diamond, egg, triangle", 'mean "egg"']),
        (rows(shape=2), ['"shape", row 1', "2 (int)", "integer tensors only"]),
        (rows(shape=None), ['"shape", row 1', "None"]),
        (rows(shape=[1]), ['"shape", row 1', "[1] (list)"]),
        (rows(x=float("nan")), ['"x", row 1', "nan is not a finite number"]),
        (rows(x=float("inf")), ['"x", row 1', "inf"]),
        (rows(x="3"), ['"x", row 1', '"3" is not a number']),
        (rows(x=None), ['"x", row 1', "None is not a number", "missing cell"]),
        (rows(x=True), ['"x", row 1', "True (bool)"]),
        (rows(x=torch.zeros(2)), ['"x", row 1', "not a number"]),
        ([rows()[0], {"shape": "egg", "rotation": 0.0}], ["Row 1", 'column "x" is missing']),
        ([rows()[0], None], ["Row 1", "NoneType"]),
        ("egg", ["a str", "list of mappings"]),
        (torch.zeros(2, 3), ["a Tensor"]),
        (
            {"shape": ["egg"], "X": [1.0], "rotation": [0.0]},
            ['"x" is missing', "Known: shape, X, rotation"],
        ),
        ({"shape": ["egg"], "x": [1.0, 2.0], "rotation": [0.0]}, ["unequal", '"shape": 1, "x": 2']),
        ({"shape": "egg", "x": 1.0, "rotation": 0.0}, ['"shape" is the single value', "['egg']"]),
        (
            {"shape": torch.tensor([0, 3]), "x": [1, 1], "rotation": [0, 0]},
            ["row 1", "position 3", "0 to 2"],
        ),
        ({"shape": torch.tensor([0.0]), "x": [1], "rotation": [0]}, ['"shape"', "torch.float32"]),
        ({"shape": ["egg"], "x": torch.tensor([[1.0]]), "rotation": [0]}, ['"x"', "(1, 1)"]),
        ({"shape": ["egg"], "x": torch.tensor([True]), "rotation": [0]}, ['"x"', "torch.bool"]),
        ({"shape": ["egg"], "x": np.array(["1"]), "rotation": [0]}, ['"x", row 0', '"1"']),
        (
            {"shape": ["egg"], "x": torch.tensor([torch.nan]), "rotation": [0]},
            ['"x", row 0', "nan"],
        ),
    ],
)
def test_wrong_cells_are_errors_that_name_column_row_and_value(
    domain: AttributesDomain, raw: object, words: list[str]
) -> None:
    with pytest.raises(DomainError) as caught:
        domain.encode(raw)  # type: ignore[arg-type]
    for word in words:
        assert word in str(caught.value), (word, str(caught.value))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({}, ["at least one"]),
        (["x"], ["['x']"]),
        ({"x": "continous"}, ['"x"', "'continous'", 'mean "continuous"']),
        ({"x": {"type": "circular", "perod": 3}}, ['"perod"', 'mean "period"']),
        ({"x": {"type": "continuous", "period": 3}}, ['no setting "period"']),
        ({"x": {"type": "circular", "period": 0}}, ["period 0"]),
        ({"x": {"type": "circular", "period": True}}, ["period True"]),
        ({"x": {}}, ["no type"]),
        ({"x": 3}, ["3 (int)"]),
        ({"x": "auto"}, ["complete_config", "its type"]),
        ({"x": "categorical"}, ["complete_config", "its categories"]),
        ({"x": {"categories": []}}, ["at least one"]),
        ({"x": {"categories": "abc"}}, ['"abc"']),
        ({"x": {"categories": ["a", 1]}}, ["int, str"]),
        ({"x": {"categories": [1.5]}}, ["float"]),
        ({"x": {"categories": ["a", "b", "a"]}}, ['"a" twice']),
    ],
)
def test_wrong_settings_are_errors_that_name_the_setting(columns: object, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        AttributesDomain(columns)  # type: ignore[arg-type]
    for word in words:
        assert word in str(caught.value), (word, str(caught.value))


def test_unknown_keys_beside_columns_are_errors_with_the_nearest() -> None:
    for build in (AttributesDomain.from_config, lambda c: AttributesDomain.complete_config(c, [])):
        with pytest.raises(ConfigError, match='"column".* Did you mean "columns"'):
            build({"column": {}})


def test_completing_a_config_finds_categories_and_types_in_the_training_cells() -> None:
    cells = [
        {"s": "b", "k": 1, "ok": True, "v": 2.5},
        None,
        {"s": "a", "k": 3, "ok": False, "v": 1},
    ]
    given = {
        "columns": {"s": "categorical", "k": {"type": "categorical"}, "ok": "auto", "v": "auto"}
    }
    completed = AttributesDomain.complete_config(given, cells)
    assert completed == {
        "columns": {
            "s": {"type": "categorical", "categories": ["a", "b"]},
            "k": {"type": "categorical", "categories": [1, 3]},
            "ok": {"type": "categorical", "categories": [False, True]},
            "v": {"type": "continuous"},
        }
    }
    assert given["columns"]["s"] == "categorical"
    AttributesDomain.from_config(completed).encode([c for c in cells if c])


def test_completing_takes_every_column_when_none_is_named_and_reads_columns_too() -> None:
    cells = {"s": np.array(["b", "a", "b"]), "k": torch.tensor([2, 1, 2]), "v": [0.5, 1.0, 2.0]}
    assert AttributesDomain.complete_config({}, cells)["columns"] == {
        "s": {"type": "categorical", "categories": ["a", "b"]},
        "k": {"type": "continuous"},
        "v": {"type": "continuous"},
    }


def test_completing_keeps_what_was_given() -> None:
    given = {
        "columns": {"s": {"type": "categorical", "categories": ["b", "a", "c"]}, "r": "circular"}
    }
    completed = AttributesDomain.complete_config(given, [{"s": "a", "r": 1.0}])
    assert completed["columns"]["s"]["categories"] == ["b", "a", "c"]
    assert completed["columns"]["r"] == {"type": "circular"}


def test_completing_refuses_what_it_cannot_settle() -> None:
    with pytest.raises(ConfigError, match="no type fits cells of list, str"):
        AttributesDomain.complete_config({}, [{"v": "a"}, {"v": [1]}, {"v": 2.0}][:2])
    with pytest.raises(ConfigError, match="1001 distinct values"):
        AttributesDomain.complete_config({}, {"name": [str(i) for i in range(1001)]})
    with pytest.raises(ConfigError, match="no training cells"):
        AttributesDomain.complete_config({}, [])
    with pytest.raises(DomainError, match='column "w" is missing'):
        AttributesDomain.complete_config({"columns": {"w": "auto"}}, [{"v": 1}])


def test_encode_passes_the_core_contract_check(domain: AttributesDomain) -> None:
    assert encode_checked("table", domain, rows(), [0, 1]).shape == (2, 6)


def test_a_table_s_record_column_is_a_batch(domain: AttributesDomain) -> None:
    table_class = pytest.importorskip("globalworkspace.data.table").Table
    raw = {"shape": torch.tensor([0, 1, 2]), "x": torch.arange(3.0), "rotation": torch.zeros(3)}
    batch = table_class.from_columns({"table": raw})["table"].take([2, 0])
    assert domain.decode(domain.encode(batch))["shape"] == ["triangle", "diamond"]
    table_class.from_columns({"table": rows()})
    assert len(domain.encode(table_class.from_columns({"table": rows()})["table"].take([1]))) == 1


def test_encoding_a_hundred_thousand_rows_does_not_loop_over_them(domain: AttributesDomain) -> None:
    raw = {
        "shape": torch.zeros(100_000, dtype=torch.int64),
        "x": torch.zeros(100_000),
        "rotation": torch.zeros(100_000),
    }
    started = time.perf_counter()
    assert domain.encode(raw).shape == (100_000, 6)
    print(f"100,000 rows: {time.perf_counter() - started:.3f} s")


def test_readme_code_runs() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    scope: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL):
        exec(block, scope)  # noqa: S102


def test_plugin_announces_the_kind_without_importing_torch_code() -> None:
    from globalworkspace_attributes import plugin

    from globalworkspace.registry import PluginRecord, Registry

    registry = Registry()
    registry.add(
        plugin,
        PluginRecord(
            name="attributes",
            distribution="globalworkspace-attributes",
            version="0",
            module=plugin.__name__,
        ),
    )
    assert registry.plugins[0].error is None
    assert registry.load("domain", "attributes") is AttributesDomain
