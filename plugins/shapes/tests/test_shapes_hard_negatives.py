"""A hard negative differs in one respect, clearly, and in no other."""

import math

import pytest
import torch
from globalworkspace_shapes.attributes import POSITION_RANGE, SIZE_RANGE, sample_attributes
from globalworkspace_shapes.captions import read_caption, write_captions
from globalworkspace_shapes.hard_negatives import RESPECTS, altered, altered_captions
from globalworkspace_shapes.odd_one_out import GROUPS, group_distances

from globalworkspace.errors import ConfigError

OF = dict(zip(RESPECTS, ("class", "color", "size", "position", "rotation"), strict=True))
LEAST = {
    "class": 1.0,
    "color": 0.4 / math.sqrt(3),
    "size": 3 / (SIZE_RANGE[1] - SIZE_RANGE[0]),
    "place": 6 / ((POSITION_RANGE[1] - POSITION_RANGE[0]) * math.sqrt(2)),  # across or along
    "direction": 1 / 3,
}


@pytest.mark.parametrize("respect", RESPECTS)
def test_one_respect_changes_clearly_and_no_other(respect):
    shapes = sample_attributes(500, torch.Generator().manual_seed(0))
    before = {name: values.clone() for name, values in shapes.columns().items()}
    other = altered(shapes, respect, torch.Generator().manual_seed(1))
    apart = torch.stack(
        [group_distances(shapes[k : k + 1], other[k : k + 1])[0, 0] for k in range(500)]
    )
    for k, group in enumerate(GROUPS):
        if group == OF[respect]:
            assert float(apart[:, k].min()) >= LEAST[respect] - 1e-6
        else:
            assert float(apart[:, k].max()) == 0
    assert all(torch.equal(before[name], values) for name, values in shapes.columns().items())
    again = altered(shapes, respect, torch.Generator().manual_seed(1))
    assert all(torch.equal(again.columns()[n], v) for n, v in other.columns().items())


TOLD = {
    "class": ("category",),
    "color": ("color_name",),
    "size": ("size_bin",),
    "place": ("x", "y"),
    "direction": ("rotation",),
}


@pytest.mark.parametrize("respect", RESPECTS)
def test_a_sentence_differs_in_the_one_fact_and_in_no_other_word(respect):
    shapes = sample_attributes(300, torch.Generator().manual_seed(0))
    own = write_captions(shapes, 5)
    other = altered_captions(shapes, respect, torch.Generator().manual_seed(1), 5)
    for before, after in zip(own, other, strict=True):
        assert before != after
        first, second = read_caption(before), read_caption(after)
        for fact, names in TOLD.items():
            same = all(getattr(first, name) == getattr(second, name) for name in names)
            assert same == (fact != respect), (before, after)


def test_an_unknown_respect_is_named():
    shapes = sample_attributes(2, torch.Generator().manual_seed(0))
    with pytest.raises(ConfigError, match='"hue" is no respect; known: class'):
        altered(shapes, "hue", torch.Generator())
