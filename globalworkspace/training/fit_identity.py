"""What a fit is a fit of: a module of certain settings, on certain cells.

A fit that is resumed must be the same one. Its checkpoint holds digests rather than the settings,
which may be long (a vocabulary), one for each, so that what changed can be named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from globalworkspace.data.cells import digest_cells
from globalworkspace.domain import DomainModule


def fit_identity(module: DomainModule, cells: Any, items: Tensor) -> dict[str, Any]:
    """JSON-able identity of a fit.

    Args:
        module: The module as it is before its first step.
        cells: All cells of the column.
        items: (N,) int64 positions of those that are trained and judged on.

    Returns:
        `class`, `config` (setting -> digest) and `cells`: a digest, or None where a cell cannot be
        digested.
    """
    return {
        "class": type(module).__name__,
        "config": {key: _digest(value) for key, value in module.config().items()},
        "cells": digest_cells([cells, items]),
    }


def what_changed(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Each difference in words; cells that cannot be digested are taken for the same."""
    if saved["class"] != now["class"]:
        return [f"a module of class {saved['class']} (now {now['class']})"]
    before, after = saved["config"], now["config"]
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    words = [f"another {key} of the module" for key in keys]
    if None not in (saved["cells"], now["cells"]) and saved["cells"] != now["cells"]:
        words.append("other cells")
    return words


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
