"""Digests of what is written, and the certainty that it is on the disk."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any


def digest_file(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_json(value: Any) -> str:
    """SHA-256 of a JSON-able value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def write_json(file: Path, value: Any) -> None:
    """Write a JSON-able value in place of what is there; a reader never sees half a file."""
    scratch = file.with_name(f".{file.name}.writing")
    scratch.write_text(json.dumps(value, indent=2, ensure_ascii=False, default=str))
    os.replace(scratch, file)


def sync(path: Path) -> None:
    """Return when a file, or what a folder lists, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
