"""Writing so that nothing is lost: a file or a folder is new and whole, or what it was before.

What is being written lies beside its final place, under a name that tells which process is at it:
what a killed one left behind can then be told from what a living one needs, see `sweep`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from globalworkspace.errors import StorageError

_IN_USE: set[Path] = set()
"""What this very process is writing."""
_LEFTOVER = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)@(?P<host>.*)\.(?P<role>writing|replaced)")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def digest_file(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_json(value: Any) -> str:
    """SHA-256 of a JSON-able value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def write_file(file: Path, content: bytes | str) -> None:
    """Put `content` (text in UTF-8) in place of what is there, and return when it is on the disk.

    Raises:
        StorageError: If it cannot be written; what was there before still is.
    """
    content = content.encode() if isinstance(content, str) else content
    with writing(file, len(content)), scratch_for(file) as scratch:
        with scratch.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(scratch, file)
        sync(file.parent)


def write_json(file: Path, value: Any) -> None:
    """`write_file` of a JSON-able value."""
    write_file(file, json.dumps(value, indent=2, ensure_ascii=False, default=str))


def sync(path: Path) -> None:
    """Return when a file, or what a folder lists, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def writing(path: Path, size: int | None = None) -> Iterator[None]:
    """Raise a `StorageError` about `path`, and the `size` in bytes, if the block cannot write."""
    try:
        yield
    except StorageError:
        raise
    except (OSError, SafetensorError) as error:
        raise _storage_error(path, size, error) from error


@contextlib.contextmanager
def scratch_for(place: Path) -> Iterator[Path]:
    """A path beside `place` to write at; what is still there in the end is removed."""
    scratch = _beside(place, "writing")
    _remove(scratch)
    _IN_USE.add(scratch)
    try:
        yield scratch
    finally:
        _remove(scratch)
        _IN_USE.discard(scratch)


def move_folder(scratch: Path, place: Path) -> None:
    """Make the folder `scratch` the one at `place`; one that was there goes, in this order.

    Between its going and the other's coming there is a moment without a folder: `sweep` puts the
    old one back if the process dies in it.
    """
    if not place.exists():
        os.rename(scratch, place)
        return
    aside = _beside(place, "replaced")
    _remove(aside)
    _IN_USE.add(aside)
    try:
        os.rename(place, aside)
        try:
            os.rename(scratch, place)
        except OSError:
            os.rename(aside, place)
            raise
        _remove(aside)
    finally:
        _IN_USE.discard(aside)


def discard(folder: Path) -> None:
    """Remove a folder, so that it is never seen half gone."""
    with scratch_for(folder) as scratch, contextlib.suppress(OSError):
        os.rename(folder, scratch)


def sweep(folder: Path) -> None:
    """Clear `folder` of what dead processes of this machine left half-written.

    What one of them had set aside for something that never came is put back.
    """
    with contextlib.suppress(OSError):  # a folder that cannot be listed or changed is left as it is
        for leftover in sorted(folder.iterdir()):
            found = _LEFTOVER.fullmatch(leftover.name)
            if found is None or leftover in _IN_USE or _alive(int(found["pid"]), found["host"]):
                continue
            place = folder / found["name"]
            if found["role"] == "replaced" and not place.exists():
                os.rename(leftover, place)
            else:
                _remove(leftover)


def _beside(place: Path, role: str) -> Path:
    return place.with_name(f".{place.name}.{os.getpid()}@{platform.node()}.{role}")


def _alive(pid: int, host: str) -> bool:
    """Whether a process lives, or might: that of another machine, or where asking would harm it."""
    if host != platform.node() or os.name == "nt":
        return True
    if pid == os.getpid():  # another of the same number, as in a container: ours are in use
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _storage_error(path: Path, size: int | None, error: Exception) -> StorageError:
    number = getattr(error, "errno", None)
    if number is None and (told := re.search(r"os error (\d+)", str(error))):
        number = int(told[1])  # safetensors says it in words
    reason = os.strerror(number) if number else str(error)
    needed = "" if size is None else f"; {size:,} bytes are needed"
    with contextlib.suppress(OSError):
        there = next(p for p in [path, *path.absolute().parents] if p.exists())
        needed += f", {shutil.disk_usage(there).free:,} are free" if needed else ""
    remedy = "Free some space" if number in _FULL else "Make it writable"
    found = StorageError(
        f'"{path}" cannot be written: {reason}{needed}. {remedy}, or choose another folder; what '
        "was saved before is still there."
    )
    found.errno, found.filename = number, str(path)
    return found
