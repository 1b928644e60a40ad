"""`globalworkspace plugins`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from globalworkspace.registry import CATEGORIES, PluginRecord, Registration, Registry, get_registry


class Plugins:
    """List plugins and what they bring; nothing is imported unless --check asks for it.

    example: globalworkspace plugins --check
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See `cli.Command`."""
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument(
            "--check", action="store_true", help="import every target, each in a process of its own"
        )

    def run(self, args: argparse.Namespace) -> int:
        """See `cli.Command`: 1 if something is broken."""
        registry = get_registry()
        states = {id(r): "unchecked" for r in registry.registrations}
        if args.check:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                found = pool.map(_check, registry.registrations)
                states = {
                    id(r): state for r, state in zip(registry.registrations, found, strict=True)
                }
        broken = any(plugin.error for plugin in registry.plugins) or any(
            state not in ("ok", "unchecked") for state in states.values()
        )
        if args.json:
            print(
                json.dumps(
                    [_entry(plugin, registry, states) for plugin in registry.plugins], indent=2
                )
            )
            return int(broken)
        category_width = max(map(len, CATEGORIES))
        kind_width = max((len(r.kind) for r in registry.registrations), default=0)
        for plugin in registry.plugins:
            print(
                f"{plugin.name} ({plugin.distribution} {plugin.version})"
                + (f": out of use, {plugin.error}. {plugin.remedy}" if plugin.error else "")
            )
            for r in registry.registrations:
                if r.owner == plugin.name and plugin.error is None:
                    what = f"{r.category:<{category_width}} {r.kind:<{kind_width}}"
                    print(f"  {what} {states[id(r)]:<9} {r.summary}")
                    clash = registry.clash(r)
                    if clash:
                        print(f'    {clash}: write "{r.owner}:{r.kind}" for this one')
        return int(broken)


def _entry(plugin: PluginRecord, registry: Registry, states: dict[int, str]) -> dict[str, object]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "module": plugin.module,
        "error": plugin.error,
        "remedy": plugin.remedy,
        "details": plugin.details,
        "kinds": [
            {
                "category": r.category,
                "kind": r.kind,
                "target": r.target,
                "summary": r.summary,
                "state": states[id(r)],
                "clash": registry.clash(r),
            }
            for r in registry.registrations
            if r.owner == plugin.name and plugin.error is None
        ],
    }


def _check(registration: Registration) -> str:
    """`ok`, or the last line of what importing the target printed."""
    what = f"{registration.category!r}, {registration.target!r}"
    code = f"from globalworkspace.targets import load_target; load_target({what})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return "ok"
    lines = done.stderr.strip().splitlines()
    return f"broken: {lines[-1] if lines else f'exit code {done.returncode}'}"
