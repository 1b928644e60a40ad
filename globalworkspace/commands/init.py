"""`globalworkspace init`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from globalworkspace.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from globalworkspace.proposals import Proposal, ProposedDomain


class Init:
    """Look at a folder or a table, ask a few questions, and write a config that `train` reads.

    A folder holds files and a table of what belongs to each, as captions.csv with the columns
    file_name and caption.
    example: globalworkspace init my-pictures
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See `cli.Command`."""
        parser.add_argument("path", help="the folder, or a table file (.csv, .jsonl, .parquet)")
        parser.add_argument("--out", help="the config to write (default: the name of PATH, .toml)")
        parser.add_argument("--yes", action="store_true", help="ask nothing, take what is proposed")
        parser.add_argument(
            "--force", action="store_true", help="write over a config that is there"
        )

    def run(self, args: argparse.Namespace) -> int:
        """See `cli.Command`."""
        from globalworkspace.files import write_file
        from globalworkspace.proposals import propose, toml_text

        found = propose(args.path)
        print(f"{found.rows:,} rows, {found.matched:,} of them with two of these domains or more:")
        for entry in found.domains:
            print(f"  {entry.name}: {', '.join(entry.columns)}, of kind {entry.kind}")
        for column, why in found.left_out.items():
            print(f"  {column} is left out: {why}")
        if not args.yes:
            _ask_domains(found)
        if len(found.domains) < 2:
            raise ConfigError(
                f"There is {len(found.domains)} domain, and a workspace joins two or more. Add a "
                "column that tells something else of the same rows."
            )
        stem = Path(args.path).stem if Path(args.path).is_file() else Path(args.path).resolve().name
        steps = 4000 if args.yes else _number("Training steps", 4000)
        file = Path(args.out or (f"{stem}.toml" if args.yes else _ask("Config", f"{stem}.toml")))
        if file.exists() and not args.force:
            raise ConfigError(f'"{file}" is there already. Name another by --out, or add --force.')
        config = found.config(training={"steps": steps})
        _check(config)
        comment = f"Written by globalworkspace init. Train: globalworkspace train {file}"
        write_file(file, toml_text(config, comment))
        print(f"\nSaved as {file}. Next:\n  globalworkspace train {file}")
        print(f"  globalworkspace report runs/{file.stem} --open")
        first, second = found.domains[0].name, found.domains[1].name
        print(f"  globalworkspace translate runs/{file.stem} --from {first}=... --to {second}")
        return 0


def _ask_domains(found: Proposal) -> None:
    """Let the reader rename, change or leave out each domain."""
    from globalworkspace.domain import Suits
    from globalworkspace.registry import get_registry

    print("\nEnter keeps what stands in brackets; - leaves a domain out.")
    known = list(get_registry().kinds("domain"))
    kept: list[ProposedDomain] = []
    for entry in found.domains:
        told = f"{', '.join(entry.columns)} ({entry.kind})"
        name = _ask(f"Name of {told}", entry.name)
        if name == "-":
            continue
        while name in [other.name for other in kept]:
            print(f'Another domain is called "{name}".')
            name = _ask(f"Name of {told}", entry.name)
        entry.name = name
        kind = _ask(f"Kind of {name}", entry.kind)
        while kind not in known:
            print(
                f'There is no kind "{kind}"; known: {", ".join(known)}.{did_you_mean(kind, known)}'
            )
            kind = _ask(f"Kind of {name}", entry.kind)
        if kind != entry.kind:
            loaded = get_registry().load("domain", kind)
            entry.kind = kind
            entry.joined = loaded.joins_columns if isinstance(loaded, Suits) else entry.joined
        kept.append(entry)
    found.domains[:] = kept


def _ask(question: str, default: str) -> str:
    try:
        return input(f"{question} [{default}]: ").strip() or default
    except EOFError:
        raise ConfigError(
            "The answers ended. Run it in a terminal, or with --yes to take what is proposed."
        ) from None


def _number(question: str, default: int) -> int:
    while True:
        given = _ask(question, str(default)).replace(",", "")
        if given.isdigit() and int(given) >= 1:
            return int(given)
        print(f'"{given}" is no whole number of at least 1.', file=sys.stderr)


def _check(config: dict[str, Any]) -> None:
    """Build what the config names, so that what is missing is said now."""
    from globalworkspace.experiment import plan_experiment

    plan_experiment(config, progress=False)
