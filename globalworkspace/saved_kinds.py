"""The kinds that a saved workspace names: who brought each, and how it is found again.

Owner and distribution are saved beside the kind, so that an add-on that is no longer there can be
named with the command that brings it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from globalworkspace.errors import PluginError
from globalworkspace.registry import CORE, Registration, get_registry


def describe_kind(registration: Registration | None) -> dict[str, Any]:
    """JSON-able `kind` (by its owner), `distribution` and `version`; None for an unregistered."""
    return {
        "kind": f"{registration.owner}:{registration.kind}" if registration else None,
        "distribution": registration.distribution if registration else None,
        "version": registration.version if registration else None,
    }


def find_saved(category: str, saved: Mapping[str, Any]) -> Registration:
    """The registration of a saved kind, by its owner if that plugin is here, else by the bare kind.

    Another plugin may have taken the kind over; the core never has, since it keeps its own names.

    Args:
        category: One of `registry.CATEGORIES`.
        saved: What `describe_kind` gave; `kind` alone for what older versions saved.

    Raises:
        PluginError: If no installed plugin brings it, with the distribution to install.
    """
    registry = get_registry()
    kind, distribution, version = saved["kind"], saved.get("distribution"), saved.get("version")
    owner, _, bare = kind.rpartition(":")
    if not owner:
        return registry.find(category, kind)
    with suppress(PluginError):
        return registry.find(category, kind)
    with suppress(PluginError):
        found = registry.find(category, bare)
        if found.owner != CORE:
            return found
    message = f"{registry.missing(category, kind)} It was saved with {distribution} {version}"
    records = [p for p in registry.plugins if p.distribution == distribution]
    if not records:
        message += f": pip install {distribution}"
    elif any(p.error is None for p in records):  # installed, and no longer brings it
        message += f': pip install "{distribution}=={version}"'
    raise PluginError(message)
