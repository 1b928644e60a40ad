"""The figure and the printed tables."""

import pytest

from globalworkspace.label_efficiency.figure import curves, directions, draw
from globalworkspace.label_efficiency.text import factor_lines, level_lines, table_lines


def lines():
    found = []
    for name, scale in (("supervised", 4.0), ("default", 2.0)):
        for pairs in (100, 400, 1600):
            for seed in (1, 0):
                error = scale * pairs**-0.5 * (1 + 0.01 * seed)
                found.append(
                    {
                        "recipe": name,
                        "pairs": pairs,
                        "seed": seed,
                        "errors": {"a -> b": error, "b -> a": 3 * error},
                    }
                )
    found.append(
        {"baseline": "ridge", "pairs": 100, "seed": 0, "errors": {"a -> b": 0.5, "b -> a": 0.5}}
    )
    return found


def test_curves_are_sorted_by_pairs_and_seed():
    found = curves(lines(), "a -> b")
    assert list(found) == ["supervised", "default", "ridge"]
    assert list(found["default"]) == [100, 400, 1600]
    assert found["default"][100] == pytest.approx([0.2, 0.202])
    assert curves(lines())["ridge"] == {100: [0.5]}
    assert directions(lines()) == ["a -> b", "b -> a"]


def test_the_tables_say_what_was_measured():
    text = "\n".join(table_lines(lines()))
    assert "a -> b: normalised error" in text and "mean of all directions" in text
    assert "0.201" in text
    factors = factor_lines(lines())
    assert len(factors) == 3
    assert "default against supervised, at 100: 4.00" in factors[0]
    assert "1,600: > 1" in factors[0]


def test_the_pairs_that_a_level_takes():
    head, levels, supervised, ours, ridge, *_ = level_lines(lines())
    assert head.startswith("a -> b: matched rows needed")
    assert levels.split() == ["0.2", "0.1"]  # 0.05 is the best there is, 0.402 the worst
    assert supervised.split() == ["supervised", "404", ">", "1,600"]
    assert ours.split()[1:] == ["101", "(4.0x,", "3.9-4.1)", "404", "(>", "4.0x)"]
    assert ridge.split() == ["ridge", ">", "100", ">", "100"]


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_figure_is_drawn(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    file = draw(lines(), tmp_path / "deep" / f"figure.{suffix}", title="three points")
    assert file.stat().st_size > 10_000
