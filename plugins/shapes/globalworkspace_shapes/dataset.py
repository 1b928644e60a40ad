"""The Simple Shapes data set, made on the spot: picture, caption, attributes, sound of one shape.

Nothing is downloaded or stored. Each split has a random stream of its own, derived from seed and
split name, so that splits share no item and each is the same on every machine.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from globalworkspace.errors import ConfigError
from globalworkspace_shapes.attributes import CLASSES, ShapeAttributes, sample_attributes

if TYPE_CHECKING:
    from globalworkspace import Table

SPLITS = {"train": 10_000, "validation": 1_000, "test": 1_000}
"""Split -> its number of items where none is given."""

DOMAINS = ("picture", "caption", "attributes")
"""The columns that are made where none are named."""

ALL_DOMAINS = (*DOMAINS, "sound")


def load(
    split: str = "train",
    num_items: int | None = None,
    seed: int = 0,
    picture_size: int = 32,
    domains: Sequence[str] = DOMAINS,
) -> Table:
    """Make one split as a table, every row matched; use `Table.match` to hide the matching of most.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        num_items: Rows; default 10,000 for training and 1,000 for the others.
        seed: Of the whole data set; splits of one seed belong together.
        picture_size: Pixels per side.
        domains: Which columns to make, in this order: `"picture"` (uint8 tensor (N, 3, size,
            size)), `"caption"` (strings), `"attributes"` (mapping of tensors, as
            `attribute_columns` describes) and, where asked for, `"sound"` (float32 tensor (N, 2,
            4000) at 8 kHz, as `globalworkspace_shapes.sound` describes; 32 kB an item).

    Returns:
        The table.

    Raises:
        ConfigError: On an unknown split or domain, or a number below 1.

    Example:
        >>> table = load("test", num_items=3, domains=["caption", "attributes"])
        >>> len(table), table.domains
        (3, ('caption', 'attributes'))
    """
    from globalworkspace import Table

    names = checked_domains("shapes", domains, ALL_DOMAINS, picture_size)
    attributes = load_attributes(split, num_items, seed)
    columns: dict[str, Any] = {}
    for name in names:
        if name == "picture":
            from globalworkspace_shapes.render import render

            columns[name] = render(attributes, picture_size)
        elif name == "caption":
            from globalworkspace_shapes.captions import write_captions

            columns[name] = write_captions(attributes, derived_seed(seed, split, "captions"))
        elif name == "sound":
            from globalworkspace_shapes.sound import sonify

            columns[name] = sonify(attributes, derived_seed(seed, "sounds"))
        else:
            columns[name] = attributes.columns()
    return Table.from_columns(columns)


def load_attributes(
    split: str = "train", num_items: int | None = None, seed: int = 0
) -> ShapeAttributes:
    """The attributes behind `load` with the same arguments, row by row.

    Raises:
        ConfigError: On an unknown split or a number below 1.
    """
    number = checked_number("shapes", split, num_items)
    generator = torch.Generator().manual_seed(derived_seed(seed, split, "attributes"))
    return sample_attributes(number, generator)


def checked_domains(
    data_set: str, domains: Sequence[str], known: Sequence[str], picture_size: int
) -> tuple[str, ...]:
    """The columns that are asked for, or a `ConfigError` about them or the size of pictures."""
    names = (domains,) if isinstance(domains, str) else tuple(domains)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        given = f'the domain "{unknown[0]}"' if unknown else "no domain"
        raise ConfigError(
            f"The {data_set} data set was asked for {given}; it has {', '.join(known)}."
        )
    if not isinstance(picture_size, int) or picture_size < 1:
        raise ConfigError(
            f"picture_size is {picture_size!r}; it must be a whole number of pixels, at least 1."
        )
    return names


def checked_number(data_set: str, split: str, num_items: int | None) -> int:
    """How many items a split has, or a `ConfigError` about the split or the number."""
    if split not in SPLITS:
        raise ConfigError(
            f'The {data_set} data set has no split "{split}"; it has {", ".join(SPLITS)}.'
        )
    number = SPLITS[split] if num_items is None else num_items
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ConfigError(f"num_items is {number!r}; it must be a whole number, at least 1.")
    return number


def attribute_columns() -> dict[str, Any]:
    """The `columns` setting of an `attributes` domain for this data set, in its order."""
    return {
        "shape": {"type": "categorical", "categories": list(CLASSES)},
        **{name: {"type": "continuous"} for name in ("x", "y", "size")},
        "rotation": {"type": "circular", "period": math.tau},
        **{name: {"type": "continuous"} for name in ("r", "g", "b")},
    }


def derived_seed(seed: int, *purpose: str) -> int:
    """A 63-bit seed for one purpose; other seeds and purposes give unrelated ones."""
    digest = hashlib.sha256("/".join([str(seed), *purpose]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
