"""What the target of each category must be, checked when it is imported.

Without this, a plugin that names a number as its fusion would show as an AttributeError far from
its cause. Base classes are named by path: the listing of plugins needs none of them, nor torch.
"""

from __future__ import annotations

import importlib
from typing import Any

_BASES = {
    "domain": "globalworkspace.domain:DomainModule",
    "objective": "globalworkspace.objectives.base:Objective",
    "fusion": "globalworkspace.fusion:Fusion",
    "augmentation": "globalworkspace.augmentation:Augmentation",
    "callback": "globalworkspace.training.callbacks:Callback",
}
"""Category -> the class that its targets are subclasses of."""

_OBJECTS = {"recipe": "globalworkspace.recipes:Recipe"}
"""Category -> the class that its targets are objects of."""

_METHODS = {"network": ("encoder", "decoder"), "command": ("add_arguments", "run")}
"""Category -> the functions that its targets have."""


class WrongTarget(TypeError):
    """A target is something else than its category needs; a fact about it, for a message."""


def import_target(target: str) -> Any:
    """What `"package.module:Name"` names."""
    module_name, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module_name), attribute)


def load_target(category: str, target: str) -> Any:
    """Import a target and check that it is what its category needs.

    Args:
        category: One of `registry.CATEGORIES`.
        target: `"package.module:Name"`.

    Raises:
        WrongTarget: Saying what it is and what was expected.
        Exception: Whatever importing it raises.
    """
    found = import_target(target)
    if category in _BASES:
        base = import_target(_BASES[category])
        if not (isinstance(found, type) and issubclass(found, base)):
            raise WrongTarget(
                f"is {_words(found)}, no subclass of {base.__module__}.{base.__name__}"
            )
    elif category in _OBJECTS:
        base = import_target(_OBJECTS[category])
        if not isinstance(found, base):
            raise WrongTarget(f"is {_words(found)}, no object of {base.__module__}.{base.__name__}")
    elif category in _METHODS:
        missing = [n for n in _METHODS[category] if not callable(getattr(found, n, None))]
        if missing:
            raise WrongTarget(
                f"is {_words(found)}, without {missing[0]}(); a class with "
                f"{'() and '.join(_METHODS[category])}() is expected"
            )
    elif not callable(found):
        raise WrongTarget(f"is {_words(found)}, no function")
    return found


def _words(found: Any) -> str:
    shown = repr(found)
    return shown if len(shown) < 80 else f"an object of {type(found).__name__}"
