"""Named points of what a process writes, at which it is killed or the system refuses."""

import os
import re
import shutil
import signal
from pathlib import Path

from globalworkspace import folders


class Points:
    """Named points of everything that a run writes; the process dies at the `at`-th of them.

    What is in the middle of being written is left half. With `error`, an error number, the system
    refuses there instead, and from there on.
    """

    def __init__(self, at=None, error=None):
        self.at, self.error, self.names = at, error, []
        self._wrap(os, "rename", self._around)
        self._wrap(os, "replace", self._around)
        self._wrap(os, "fsync", self._fsync)
        self._wrap(os, "write", self._write)
        self._wrap(Path, "write_bytes", self._write_bytes)
        self._wrap(Path, "write_text", self._write_bytes)
        self._wrap(folders, "save_file", self._save_file)
        self._wrap(shutil, "rmtree", self._rmtree)

    def _wrap(self, owner, name, how):
        setattr(owner, name, how(name, getattr(owner, name)))

    def _here(self, name, path, damage=None):
        self.names.append(f"{name} {_kind(path)}")
        number = len(self.names) - 1
        if self.error is not None and self.at is not None and number >= self.at:
            raise OSError(self.error, os.strerror(self.error))
        if number == self.at:
            if damage is not None:
                damage()
            os.kill(os.getpid(), signal.SIGKILL)

    def _around(self, name, call):
        def around(source, target, **options):
            self._here(f"before {name} to", target)
            call(source, target, **options)
            self._here(f"after {name} to", target)

        return around

    def _fsync(self, name, call):
        def fsync(handle):
            path = Path(os.readlink(f"/proc/self/fd/{handle}"))

            def half():
                if path.is_file():
                    os.truncate(path, path.stat().st_size // 2)

            self._here("before fsync of", path, half)
            call(handle)

        return fsync

    def _write(self, name, call):
        def write(handle, content):
            path = Path(os.readlink(f"/proc/self/fd/{handle}"))
            if path.is_file():
                self._here(
                    "half-way through", path, lambda: call(handle, content[: len(content) // 2])
                )
            return call(handle, content)

        return write

    def _write_bytes(self, name, call):
        def write_bytes(path, content, *rest):
            self._here("half-way through", path, lambda: call(path, content[: len(content) // 2]))
            return call(path, content, *rest)

        return write_bytes

    def _save_file(self, name, call):
        def save_file(tensors, path):
            def half():
                call(tensors, path)
                os.truncate(path, path.stat().st_size // 2)

            self._here("half-way through", path, half)
            call(tensors, path)

        return save_file

    def _rmtree(self, name, call):
        def rmtree(path, *rest, **options):
            def half():
                for file in sorted(p for p in Path(path).rglob("*") if p.is_file())[:1]:
                    file.unlink()

            if self.error is None:
                self._here("half-way through removing", path, half)
            else:  # it ignores errors by itself
                self.names.append("removing")
            call(path, *rest, **options)

        return rmtree


def _kind(path):
    """A path without what differs from run to run."""
    words = []
    for part in Path(path).parts[-2:]:
        part = re.sub(r"^\.(.*)\.\d+@.*\.(writing|replaced)$", r"\1", part)
        if re.fullmatch(r"[0-9a-f]{32}(-by-\d+)?|tmp\w+", part):
            part = "*"
        words.append(re.sub(r"\d{6,}", "*", part))
    return "/".join(words)
