"""The data set kind: three domains of the same shapes, disjoint splits, and its plugin."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from globalworkspace_shapes import attribute_columns, load, load_attributes, plugin
from globalworkspace_shapes.captions import read_caption
from globalworkspace_shapes.dataset import derived_seed
from globalworkspace_shapes.render import render
from globalworkspace_shapes.sound import sonify

from globalworkspace.errors import ConfigError
from globalworkspace.registry import PluginRecord, Registry


def test_a_split_has_three_domains_that_show_the_same_shapes() -> None:
    table = load("validation", num_items=20, seed=3)
    attributes = load_attributes("validation", num_items=20, seed=3)
    assert table.domains == ("picture", "caption", "attributes") and len(table) == 20
    rows = list(range(20))
    pictures = table["picture"].take(rows)
    assert pictures.shape == (20, 3, 32, 32) and pictures.dtype == torch.uint8
    assert torch.equal(pictures, render(attributes))
    captions = table["caption"].take(rows)
    assert [read_caption(c).category for c in captions] == attributes.category.tolist()
    record = table["attributes"].take([4, 2])
    assert list(record) == list(attribute_columns())
    assert torch.equal(record["rotation"], attributes.rotation[[4, 2]])


def test_the_same_arguments_make_the_same_data_and_splits_share_nothing() -> None:
    first, again = load_attributes("train", 3000), load_attributes("train", 3000)
    assert torch.equal(first.rotation, again.rotation)
    drawn = [
        load_attributes(s, 3000, seed).rotation
        for s in ("train", "validation", "test")
        for seed in (0, 1)
    ]
    keys = [set(rotation.tolist()) for rotation in drawn]
    shared = [len(a & b) for i, a in enumerate(keys) for b in keys[:i]]
    assert max(shared) < 10  # single angles may coincide in float32; no stream is another's


def test_captions_of_a_split_are_the_same_every_time() -> None:
    take = [
        load("test", 10, domains=["caption"])["caption"].take(list(range(10))) for _ in range(2)
    ]
    assert take[0] == take[1]


def test_domains_and_picture_size_can_be_chosen() -> None:
    table = load("test", num_items=2, picture_size=16, domains="picture")
    assert table.domains == ("picture",)
    assert table["picture"].take([0]).shape == (1, 3, 16, 16)
    assert load("test", num_items=2, domains=("attributes", "picture")).domains == (
        "attributes",
        "picture",
    )


def test_sounds_are_made_where_asked_for_and_show_the_same_shapes() -> None:
    table = load("validation", num_items=5, seed=3, domains=["sound", "attributes"])
    assert table.domains == ("sound", "attributes") and "sound" not in load(num_items=1).domains
    shapes = load_attributes("validation", num_items=5, seed=3)
    expected = sonify(shapes, derived_seed(3, "sounds"))
    assert torch.equal(table["sound"].take([4, 0]), expected[[4, 0]])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": "dev"}, 'no split "dev"; it has train, validation, test'),
        ({"num_items": 0}, "num_items is 0"),
        ({"num_items": 2.5}, "num_items is 2.5"),
        ({"picture_size": 0}, "picture_size is 0"),
        ({"domains": ["smell"]}, 'the domain "smell"; it has picture, caption, attributes, sound'),
        ({"domains": []}, "no domain"),
    ],
)
def test_wrong_options_are_errors_that_say_what_there_is(
    options: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        load(**options)  # type: ignore[arg-type]


def test_seeds_of_purposes_differ_and_fit_a_generator() -> None:
    seeds = {derived_seed(seed, purpose) for seed in range(50) for purpose in ("a", "b")}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_attribute_columns_describe_the_record_column() -> None:
    module = pytest.importorskip("globalworkspace_attributes")
    domain = module.AttributesDomain(columns=attribute_columns())
    table = load("test", num_items=50, domains=["attributes"])
    raw = table["attributes"].take(list(range(50)))
    decoded = domain.decode(domain.encode(raw))
    assert [
        attribute_columns()["shape"]["categories"][i] for i in raw["shape"].tolist()
    ] == decoded["shape"]
    torch.testing.assert_close(decoded["rotation"], raw["rotation"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(decoded["g"], raw["g"])


def test_the_plugin_announces_the_data_set_and_the_demo() -> None:
    registry = Registry()
    record = PluginRecord(
        name="shapes", distribution="globalworkspace-shapes", version="0", module=plugin.__name__
    )
    registry.add(plugin, record)
    assert registry.plugins[0].error is None
    assert registry.load("dataset", "shapes") is load
    assert registry.find("command", "demo").target == "globalworkspace_shapes.demo:DemoCommand"


def test_importing_the_plugin_imports_no_torch() -> None:
    code = "import sys, globalworkspace_shapes.plugin; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_readme_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("globalworkspace_audio", "espeakng_loader"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    scope: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL):
        exec(block, scope)  # noqa: S102
