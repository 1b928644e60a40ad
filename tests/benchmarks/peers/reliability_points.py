"""Where a library that saves a checkpoint may be killed; see reliability_steps.py."""

from __future__ import annotations

import builtins
import os
import re
import signal
import tempfile
from pathlib import Path

import torch


class Points:
    """Named points of what is written while a checkpoint is saved; the `at`-th kills the process.

    A point "half-way through" a file leaves its first half where the library was writing it.
    """

    def __init__(self, owner, save, home, tell, watch, at=None):
        import safetensors.torch

        self.at, self.home, self.names, self.inside = at, home, [], False
        self._wrap(os, "rename", self._around)
        self._wrap(os, "replace", self._around)
        self._wrap(os, "fsync", self._fsync)
        self._wrap(os, "mkdir", self._mkdir)
        self._wrap(torch, "save", self._torch_save)
        self._wrap(safetensors.torch, "serialize_file", self._serialize_file)
        self._wrap(Path, "write_bytes", self._write_bytes)
        self._wrap(builtins, "open", self._open)
        call = getattr(owner, save)

        def saved(*args, **options):
            before, self.inside = len(self.names), True
            try:
                call(*args, **options)
            finally:
                self.inside = False
            if len(self.names) > before:
                tell(saved=watch.step)

        setattr(owner, save, saved)

    def _wrap(self, owner, name, how):
        call = getattr(owner, name)
        wrapped = how(name, call)
        setattr(owner, name, lambda *a, **o: wrapped(*a, **o) if self.inside else call(*a, **o))

    def _here(self, name, path, damage=None):
        self.names.append(f"{name} {self._kind(path)}")
        if len(self.names) - 1 == self.at:
            self.inside = False
            if damage is not None:
                damage()
            os.kill(os.getpid(), signal.SIGKILL)

    def _kind(self, path) -> str:
        path = Path(path)
        if path.parent in (self.home, Path(tempfile.gettempdir())) and path.name[:3] == "tmp":
            return "a temporary file"
        return re.sub(r"\d+(@\S+\.writing)?", "*", path.name)

    def _around(self, name, call):
        def around(source, target, **options):
            self._here("before renaming to", target)
            call(source, target, **options)
            self._here("after renaming to", target)

        return around

    def _fsync(self, name, call):
        def fsync(handle):
            self._here("before syncing", os.readlink(f"/proc/self/fd/{handle}"))
            call(handle)

        return fsync

    def _mkdir(self, name, call):
        def mkdir(path, *rest, **options):
            call(path, *rest, **options)
            self._here("after making the folder", path)

        return mkdir

    def _torch_save(self, name, call):
        def save(value, target, *rest, **options):
            if not isinstance(target, (str, os.PathLike)):
                return call(value, target, *rest, **options)

            def half():
                call(value, target, *rest, **options)
                os.truncate(target, os.path.getsize(target) // 2)

            self._here("half-way through", target, half)
            call(value, target, *rest, **options)
            self._here("after writing", target)

        return save

    def _serialize_file(self, name, call):
        """Of safetensors, which writes beside the file's place and then renames."""

        def serialize_file(tensors, target, **options):
            beside = os.path.join(os.path.dirname(target), ".tmpAbCdEf")

            def half():
                call(tensors, beside, **options)
                os.truncate(beside, os.path.getsize(beside) // 2)

            self._here("half-way through", target, half)
            call(tensors, target, **options)
            self._here("after writing", target)

        return serialize_file

    def _write_bytes(self, name, call):
        def write_bytes(path, content):
            self._here("half-way through", path, lambda: call(path, content[: len(content) // 2]))
            call(path, content)
            self._here("after writing", path)

        return write_bytes

    def _open(self, name, call):
        def opened(path, mode="r", *rest, **options):
            stream = call(path, mode, *rest, **options)
            if isinstance(path, int) or not set(mode) & set("wax"):
                return stream
            self._here("after opening", path)
            return _Half(stream, lambda half: self._here("half-way through", path, half))

        return opened


class _Half:
    """A stream that is at a point when it is closed; of what it wrote, half is left then."""

    def __init__(self, stream, here):
        self._stream, self._here = stream, here

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        if not self._stream.closed:
            self._stream.flush()
            handle = self._stream.fileno()
            self._here(lambda: os.ftruncate(handle, os.fstat(handle).st_size // 2))
            self._stream.close()
