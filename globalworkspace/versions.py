"""Which versions made something: of Python, of the plugins, and of what each of them needs."""

from __future__ import annotations

import platform
import re
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, requires, version

from globalworkspace.registry import get_registry


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Distribution -> version, as far as they are installed."""
    plugins = {record.distribution for record in get_registry().plugins}
    found = {"python": platform.python_version()}
    for name in sorted(plugins | {need for plugin in plugins for need in _needs(plugin)}):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _needs(distribution: str) -> list[str]:
    """What a distribution needs in any case, without its extras."""
    try:
        lines = [line for line in requires(distribution) or [] if "extra ==" not in line]
    except PackageNotFoundError:
        return []
    return [found[0].lower() for line in lines if (found := re.match(r"[\w.-]+", line))]
