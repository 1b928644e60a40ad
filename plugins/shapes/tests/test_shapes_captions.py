"""Captions: every sentence can be read back, and its wording is a function of shape and seed."""

from __future__ import annotations

import math
import re
import time
from itertools import product

import attrs
import pytest
import torch
from globalworkspace_shapes import grammar
from globalworkspace_shapes.attributes import ShapeAttributes, sample_attributes
from globalworkspace_shapes.captions import (
    Choices,
    compose_captions,
    draw_choices,
    nearest_colors,
    read_caption,
    size_bins,
    write_captions,
)
from PIL import ImageColor

from globalworkspace.errors import DataError


def shapes(number: int, seed: int = 0) -> ShapeAttributes:
    return sample_attributes(number, torch.Generator().manual_seed(seed))


def one_shape(**changes: object) -> ShapeAttributes:
    values = {
        "category": torch.tensor([1]),
        "x": torch.tensor([7.0]),
        "y": torch.tensor([24.0]),
        "size": torch.tensor([7.0]),
        "rotation": torch.tensor([0.0]),
        "color": torch.tensor([[1.0, 0.0, 0.0]]),
    }
    return ShapeAttributes(**(values | changes))  # type: ignore[arg-type]


def one_choice(**changes: int) -> Choices:
    values = {field.name: 0 for field in attrs.fields(Choices)} | changes
    return Choices(**{name: torch.tensor([value]) for name, value in values.items()})


def turn_apart(first: float, second: float) -> float:
    return abs((first - second + math.pi) % math.tau - math.pi)


def check(attributes: ShapeAttributes, captions: list[str]) -> None:
    rgb = torch.tensor(list(grammar.COLORS.values()), dtype=torch.float64)
    wanted = (attributes.color.double() * 255).round()
    distances = torch.stack([(rgb - color).square().sum(dim=1) for color in wanted])
    for i, text in enumerate(captions):
        facts = read_caption(text)
        assert facts.category == int(attributes.category[i]), text
        size = float(attributes.size[i])
        low, high = facts.size_range
        assert low <= size <= high == low + 1, text
        assert facts.size_bin == sum(size >= edge for edge in (9, 11, 13)), text
        place = list(grammar.COLORS).index(facts.color_name)
        assert distances[i, place] == distances[i].min(), text
        assert facts.rgb == pytest.approx([v / 255 for v in grammar.COLORS[facts.color_name]])
        assert abs(facts.x - float(attributes.x[i])) <= facts.place_tolerance + 1e-5, text
        assert abs(facts.y - float(attributes.y[i])) <= facts.place_tolerance + 1e-5, text
        assert facts.rotation is not None and facts.rotation_tolerance is not None
        apart = turn_apart(facts.rotation, float(attributes.rotation[i]))
        assert apart <= facts.rotation_tolerance + 1e-5, text


@pytest.mark.parametrize("seed", [0, 1])
def test_five_thousand_random_captions_are_read_back_rightly(seed: int) -> None:
    attributes = shapes(5000, seed)
    check(attributes, write_captions(attributes, seed))


def test_every_order_of_every_structure_with_every_writer_is_read_back_rightly() -> None:
    combinations = [
        (s, o, writer, place, join)
        for s, orders in enumerate(grammar.STRUCTURES)
        for o, writer, (place, join) in product(
            range(len(orders)),
            range(len(grammar.DIRECTION_WRITERS)),
            [(0, 0), (0, 1), (0, 2), (1, 0)],
        )
    ]
    attributes = shapes(len(combinations) * 3, seed=5)
    columns = torch.tensor(combinations * 3).T
    names = ("structure", "order", "direction_writer", "place_writer", "grid_join")
    choices = attrs.evolve(draw_choices(attributes, 6), **dict(zip(names, columns, strict=True)))
    check(attributes, compose_captions(attributes, choices))


def test_every_color_size_word_name_and_verb_is_read_back() -> None:
    rgb = torch.tensor(list(grammar.COLORS.values())) / 255
    for structure, orders in enumerate(grammar.STRUCTURES):
        for order in range(0, len(orders), 3):
            number = len(rgb)
            picked = torch.arange(number)
            attributes = attrs.evolve(shapes(number, seed=order), color=rgb.float())
            choices = attrs.evolve(
                draw_choices(attributes, 1),
                structure=torch.full((number,), structure),
                order=torch.full((number,), order),
                opening=picked % len(grammar.OPENINGS),
                verb=picked % len(grammar.VERBS),
                size_word=picked % 3,
                shape_name=torch.where(attributes.category == 2, picked % 2, picked % 7),
            )
            captions = compose_captions(attributes, choices)
            check(attributes, captions)
            assert [read_caption(c).color_name for c in captions] == list(grammar.COLORS)


def test_a_caption_written_by_hand_is_what_comes_out() -> None:
    attributes = one_shape()
    assert compose_captions(attributes, one_choice(place_writer=1)) == [
        "There is a tiny red egg in the top left corner, pointing to the north."
    ]
    grid = one_choice(structure=6, size_word=2, direction_writer=3, direction_verb=1)
    assert compose_captions(one_shape(rotation=torch.tensor([math.pi / 2])), grid) == [
        "An egg: very small; red; at the very top and at the far left; facing straight left."
    ]


def test_rotation_zero_points_up_and_turns_counter_clockwise() -> None:
    for writer, words in enumerate(["west", "west", "left", "left"]):
        text = compose_captions(
            one_shape(rotation=torch.tensor([math.pi / 2]), x=torch.tensor([16.0])),
            one_choice(direction_writer=writer, place_writer=1),
        )[0]
        direction = text.split("pointing")[1]
        assert words in direction
        assert read_caption(text).rotation == pytest.approx(math.pi / 2)
    just_under = torch.tensor([math.tau - 1e-3])
    assert (
        read_caption(compose_captions(one_shape(rotation=just_under), one_choice())[0]).rotation
        == 0.0
    )


def test_size_bins_begin_at_nine_eleven_and_thirteen() -> None:
    assert size_bins(torch.arange(7.0, 15.0)).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_colors_are_all_distinct_css_colors_in_words() -> None:
    known = {name: ImageColor.getrgb(name) for name in ImageColor.colormap}
    assert set(grammar.COLORS.values()) == set(known.values())
    assert len(grammar.COLORS) == len(set(grammar.COLORS.values())) == 139


def test_the_nearest_color_is_exact_and_the_first_of_equals() -> None:
    rgb = torch.tensor(list(grammar.COLORS.values())) / 255
    assert nearest_colors(rgb).tolist() == list(range(139))
    color = torch.rand(2000, 3, generator=torch.Generator().manual_seed(0))
    whole = (color * 255).round().double()
    brute = torch.stack([((rgb * 255).round().double() - c).square().sum(1) for c in whole]).argmin(
        dim=1
    )
    assert torch.equal(nearest_colors(color), brute)
    assert nearest_colors(torch.zeros(0, 3)).shape == (0,)


def test_wording_depends_on_shape_and_seed_only_not_on_other_rows() -> None:
    attributes = shapes(300)
    captions = write_captions(attributes, 3)
    assert captions == write_captions(attributes, 3)
    rows = torch.randperm(300, generator=torch.Generator().manual_seed(1))[:100]
    assert write_captions(attributes[rows], 3) == [captions[i] for i in rows.tolist()]
    other = write_captions(attributes, 4)
    assert sum(a != b for a, b in zip(captions, other, strict=True)) > 290


def test_a_generator_gives_the_seed_and_moves_on() -> None:
    attributes = shapes(50)
    generator = torch.Generator().manual_seed(9)
    first, second = write_captions(attributes, generator), write_captions(attributes, generator)
    assert first != second
    assert first == write_captions(attributes, torch.Generator().manual_seed(9))


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64 - 1])
def test_any_whole_number_is_a_seed(seed: int) -> None:
    assert len(write_captions(shapes(3), seed)) == 3


def test_choices_are_about_uniform_and_not_tied_to_each_other() -> None:
    choices = draw_choices(shapes(20_000), seed=0)
    counts = torch.bincount(choices.structure, minlength=len(grammar.STRUCTURES))
    assert (counts / 20_000 - 1 / len(grammar.STRUCTURES)).abs().max() < 0.01
    pairs = torch.bincount(choices.direction_writer * 2 + choices.place_writer, minlength=8)
    assert (pairs / 20_000 - 1 / 8).abs().max() < 0.01
    assert torch.bincount(choices.opening).min() > 20_000 / 8 * 0.9


def test_the_grammar_is_as_rich_as_promised() -> None:
    assert len(grammar.STRUCTURES) >= 7 and sum(len(o) > 1 for o in grammar.STRUCTURES) >= 6
    assert [len(names) for names in grammar.SHAPE_NAMES] == [7, 7, 2]
    assert len(set(write_captions(shapes(5000)))) == 5000


def test_sentences_are_english_in_form() -> None:
    for text in write_captions(shapes(3000)):
        assert text[0].isupper() and text.endswith(".") and "  " not in text
        assert not re.search(r"\ba [aeiou]", text, flags=re.IGNORECASE), text
        assert not re.search(r"\ban [^aeiou]", text, flags=re.IGNORECASE), text
        assert "{" not in text and "<" not in text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("A photo of a dog.", "names no class"),
        ("There is a tiny red egg beside a kite in the top left corner.", "names 2 of the class"),
        ("There is a red egg in the top left corner.", "names no size"),
        ("There is a tiny egg in the top left corner.", "names no color"),
        ("There is a tiny red egg.", "names no height"),
    ],
)
def test_a_text_without_the_facts_is_an_error_that_says_which(text: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_caption(text)


def test_a_text_without_a_direction_has_no_rotation() -> None:
    facts = read_caption("A tiny red egg in the top left corner.")
    assert facts.rotation is None and facts.rotation_tolerance is None


def test_writing_prints_its_speed() -> None:
    attributes = shapes(20_000)
    started = time.perf_counter()
    captions = write_captions(attributes)
    middle = time.perf_counter()
    for text in captions[:2000]:
        read_caption(text)
    print(
        f"{20_000 / (middle - started):,.0f} captions/s; read "
        f"{2000 / (time.perf_counter() - middle):,.0f}/s"
    )


def test_no_shapes_give_no_captions() -> None:
    assert write_captions(shapes(5)[:0]) == []
