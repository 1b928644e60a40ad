"""`globalworkspace retrieve`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from globalworkspace.commands.translate import add_sources, read_sources, words_or_file
from globalworkspace.errors import ConfigError, DataError

if TYPE_CHECKING:
    from torch import Tensor

    from globalworkspace.data.table import Column
    from globalworkspace.domain import DomainModule
    from globalworkspace.workspace import GlobalWorkspace


class Retrieve:
    """Find the items of a collection that are most like what is given, by their states.

    The collection is the gallery of the run, or the cells of its training rows; --among names
    another: a file or folder as [data] takes it.
    example: globalworkspace retrieve runs/emoji --from caption="a red heart" --to photo --top 5
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See `cli.Command`."""
        add_sources(parser)
        parser.add_argument("--to", required=True, metavar="DOMAIN", help="what is looked for")
        parser.add_argument("--top", type=int, default=5, help="how many answers (5)")
        parser.add_argument(
            "--among", metavar="PATH", help="a table file or a folder with metadata to look in"
        )
        parser.add_argument("--json", action="store_true", help="print JSON")

    def run(self, args: argparse.Namespace) -> int:
        """See `cli.Command`."""
        inputs = read_sources(args)
        if args.top < 1:
            raise ConfigError(f"--top is {args.top}; it must be at least 1.")
        from globalworkspace.run_folder import load_run
        from globalworkspace.state_index import StateIndex, states_of

        workspace = load_run(args.run)
        workspace.encode(inputs)  # refuses what cannot be read before a collection is
        if args.to not in workspace.domains:
            raise DataError(
                f'The workspace has no domain "{args.to}"; it has {", ".join(workspace.domains)}.'
            )
        items, latents = _collection(workspace, Path(args.run), args.to, args.among)
        state = workspace.encode(inputs)
        index = StateIndex(states_of(workspace, args.to, latents), exact=True)
        values, places = (found[0] for found in index.search(state.code, args.top))
        stem = Path(args.run) / "retrieved" / args.to
        told = _shown(workspace.domains[args.to], items.take(places), stem)
        answers = [
            {"rank": rank, "likeness": round(value, 4), "item": item}
            for rank, (value, item) in enumerate(zip(values.tolist(), told, strict=True), 1)
        ]
        if args.json:
            print(json.dumps(answers, indent=2, ensure_ascii=False))
            return 0
        for answer in answers:
            print(f"{answer['rank']}. {answer['likeness']:.3f}  {answer['item']}")
        return 0


def _collection(
    workspace: GlobalWorkspace, run: Path, domain: str, among: str | None
) -> tuple[Column, Tensor]:
    """The items to look in, and their latents (n, D)."""
    import attrs
    import torch

    from globalworkspace.components import domain_columns, load_table
    from globalworkspace.data.encoding import EncodingConfig, encode_table
    from globalworkspace.data.latent_store import LatentStore
    from globalworkspace.data.table import Table
    from globalworkspace.data.unreadable import without_unreadable
    from globalworkspace.experiment import plan_experiment
    from globalworkspace.folders import load_json
    from globalworkspace.gallery import GalleryDecoding
    from globalworkspace.run_folder import CONFIG
    from globalworkspace.settings import construct, section

    module = workspace.domains[domain]
    if among is None and isinstance(module, GalleryDecoding) and module.gallery is not None:
        assert module.gallery_latents is not None
        return Table.from_columns({domain: list(module.gallery)})[domain], module.gallery_latents
    file = run / CONFIG
    if not file.is_file():
        raise ConfigError(
            f'"{run}" holds no {CONFIG} that says where its rows are. Name a collection by --among.'
        )
    config = load_json(file)
    if among is None:
        table = plan_experiment(config, progress=False).training
    else:
        kind = "folder" if Path(among).is_dir() else "table"
        names = domain_columns({domain: config.get("domains", {}).get(domain, {})})
        table = load_table({"kind": kind, "path": among}, names, "--among")
    picked = Table({domain: table[domain]}, table.origin)
    picked = picked.select(picked.rows_with(domain))
    if not len(picked):
        raise DataError(f'No row to look in has the domain "{domain}".')
    options = attrs.asdict(construct(EncodingConfig, section(config, "encoding"), "[encoding]"))
    store = LatentStore(run / "latents")
    found = encode_table({domain: module}, picked, store=store, **options)
    picked, found = without_unreadable(picked, found)
    return picked[domain], found[domain].take(torch.arange(len(picked)))


def _shown(module: DomainModule, raw: Any, stem: Path) -> list[str]:
    """Each item of a raw batch as a path, in words, or as a file that was written."""
    from globalworkspace.domain import Renders

    if isinstance(raw, list) and all(isinstance(item, (str, Path)) for item in raw):
        return [str(item) for item in raw]
    if isinstance(module, Renders):
        return [
            words_or_file(rendering, stem.with_name(f"{stem.name}-{rank}"))
            for rank, rendering in enumerate(module.render(raw), 1)
        ]
    if isinstance(raw, dict):
        count = len(next(iter(raw.values())))
        return [str({name: values[k] for name, values in raw.items()}) for k in range(count)]
    return [str(item) for item in raw]
