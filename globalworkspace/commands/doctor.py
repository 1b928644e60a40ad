"""`globalworkspace doctor`."""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from globalworkspace.registry import get_registry

DISTRIBUTION = "globalworkspace"


class Doctor:
    """Say what is installed, what is missing and how to get it.

    Ends with 1 if something that is installed does not work.
    example: globalworkspace doctor
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See `cli.Command`."""
        parser.add_argument("--json", action="store_true", help="print JSON")

    def run(self, args: argparse.Namespace) -> int:
        """See `cli.Command`."""
        found = list(look())
        if args.json:
            keys = ("what", "state", "found", "remedy")
            print(json.dumps([dict(zip(keys, entry, strict=True)) for entry in found], indent=2))
        else:
            for what, state, told, remedy in found:
                print(f"{state:<8} {what:<28} {told}" + (f"\n{'':<9}{remedy}" if remedy else ""))
        return int(any(state == "broken" for _, state, _, _ in found))


def look() -> Iterator[tuple[str, str, str, str]]:
    """(what, "ok", "missing" or "broken", what was found, what to do) of everything."""
    yield "Python", "ok", platform.python_version(), ""
    yield DISTRIBUTION, "ok", version(DISTRIBUTION), ""
    yield from _torch()
    for plugin in get_registry().plugins:
        if plugin.error is not None:
            yield f"plugin {plugin.name}", "broken", plugin.error, plugin.remedy or ""
    for extra, needed in extras().items():
        lacking = [name for name in needed if not _version(name)]
        told = ", ".join(f"{name} {_version(name)}".strip() for name in needed)
        what = f"extra {extra}"
        if lacking:
            yield what, "missing", told, f"pip install '{DISTRIBUTION}[{extra}]'"
        else:
            yield what, "ok", told, ""
    free = shutil.disk_usage(".").free / 2**30
    low = free < 1
    yield (
        "disk",
        "broken" if low else "ok",
        f"{free:,.1f} GiB free in this folder",
        "Latents and checkpoints need room: make some, or work elsewhere." if low else "",
    )


def extras() -> dict[str, list[str]]:
    """What may be installed beside the core: extra -> the distributions it brings."""
    found: dict[str, list[str]] = {}
    for line in requires(DISTRIBUTION) or []:
        asked = re.match(r"([\w.-]+).*extra == ['\"]([\w-]+)['\"]", line)
        if asked and asked[2] != "dev":
            found.setdefault(asked[2], []).append(asked[1])
    return found


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _torch() -> Iterator[tuple[str, str, str, str]]:
    try:
        import torch
    except Exception as error:
        yield (
            "torch",
            "broken",
            f"{type(error).__name__}: {error}",
            "pip install --force-reinstall torch",
        )
        return
    yield "torch", "ok", str(torch.__version__), ""
    if torch.cuda.is_available():
        yield "GPU", "ok", torch.cuda.get_device_name(0), ""
    elif torch.backends.mps.is_available():
        yield "GPU", "ok", "Apple's, by mps", ""
    else:
        why = "this torch is built for one" if torch.version.cuda else "this torch is a CPU build"
        yield "GPU", "missing", f"training runs on the CPU; {why}", ""
    yield "CPU threads", "ok", str(torch.get_num_threads()), ""
