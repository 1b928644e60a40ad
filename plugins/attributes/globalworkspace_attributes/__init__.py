"""Table columns as a domain: categories, numbers and angles. See `AttributesDomain`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from globalworkspace_attributes.domain import AttributesDomain as AttributesDomain

__all__ = ["AttributesDomain"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("globalworkspace_attributes.domain"), name)
