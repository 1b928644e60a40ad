"""Simple Shapes for `globalworkspace`: pictures, captions, attributes, sounds, made on the spot.

Each public name is loaded when it is first used. `render` and `odd_one_out` share their name with
their module and are therefore imported from there: `from globalworkspace_shapes.render import
render`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from globalworkspace_shapes.attributes import CLASSES as CLASSES
    from globalworkspace_shapes.attributes import ShapeAttributes as ShapeAttributes
    from globalworkspace_shapes.attributes import sample_attributes as sample_attributes
    from globalworkspace_shapes.captions import CaptionFacts as CaptionFacts
    from globalworkspace_shapes.captions import Choices as Choices
    from globalworkspace_shapes.captions import compose_captions as compose_captions
    from globalworkspace_shapes.captions import draw_choices as draw_choices
    from globalworkspace_shapes.captions import read_caption as read_caption
    from globalworkspace_shapes.captions import write_captions as write_captions
    from globalworkspace_shapes.dataset import attribute_columns as attribute_columns
    from globalworkspace_shapes.dataset import load as load
    from globalworkspace_shapes.dataset import load_attributes as load_attributes
    from globalworkspace_shapes.odd_one_out import Triples as Triples
    from globalworkspace_shapes.splits import OODSplit as OODSplit
    from globalworkspace_shapes.splits import ood_split as ood_split

_HOME = {
    "CLASSES": "attributes",
    "CaptionFacts": "captions",
    "Choices": "captions",
    "OODSplit": "splits",
    "ShapeAttributes": "attributes",
    "Triples": "odd_one_out",
    "attribute_columns": "dataset",
    "compose_captions": "captions",
    "draw_choices": "captions",
    "load": "dataset",
    "load_attributes": "dataset",
    "ood_split": "splits",
    "read_caption": "captions",
    "sample_attributes": "attributes",
    "write_captions": "captions",
}

__all__ = list(_HOME)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
