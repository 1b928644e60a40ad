"""`globalworkspace translate`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from globalworkspace.errors import ConfigError

if TYPE_CHECKING:
    from globalworkspace.domain import Rendering


class Translate:
    """Translate an item from one or several domains to another.

    example: globalworkspace translate runs/emoji --from photo=cat.png --to caption
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See `cli.Command`."""
        add_sources(parser)
        parser.add_argument("--to", required=True, metavar="DOMAIN", help="the target domain")
        parser.add_argument(
            "--top",
            type=int,
            default=1,
            help="how many answers, where the domain answers from a gallery",
        )
        parser.add_argument(
            "--out", help="file for an answer that is no text (default: in the run folder)"
        )

    def run(self, args: argparse.Namespace) -> int:
        """See `cli.Command`."""
        inputs = read_sources(args)
        if args.top < 1:
            raise ConfigError(f"--top is {args.top}; it must be at least 1.")
        from globalworkspace.domain import Renders
        from globalworkspace.gallery import GalleryDecoding
        from globalworkspace.run_folder import load_run

        workspace = load_run(args.run)
        state = workspace.encode(inputs)
        module = workspace.domains.get(args.to)
        if isinstance(module, GalleryDecoding) and args.top > 1:
            positions = workspace.nearest(state, args.to, args.top)[0].tolist()
            assert module.gallery is not None
            for rank, position in enumerate(positions, start=1):
                print(f"{rank}. {module.gallery[position]}")
            return 0
        answer = workspace.decode(state, args.to)
        if isinstance(answer, list) and isinstance(answer[0], (str, Path)):
            print(answer[0])
            return 0
        shown = module.render(answer)[0] if isinstance(module, Renders) else None
        if shown is None:
            print(
                answer[0]
                if not isinstance(answer, Mapping)
                else {k: v[0] for k, v in answer.items()}
            )
        else:
            stem = Path(args.run) / "translations" / args.to
            print(words_or_file(shown, stem, args.out))
        return 0


def words_or_file(shown: Rendering, stem: Path, out: str | None = None) -> str:
    """An item in words; or the file, at `out` or by the name of `stem`, that it was written to."""
    if shown.in_words is not None:
        return shown.in_words
    file = Path(out) if out else stem.with_name(stem.name + shown.ending)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(shown.data)
    return str(file)


def add_sources(parser: argparse.ArgumentParser) -> None:
    """The argument `run` and the option `--from`."""
    parser.add_argument("run", help="the run folder")
    parser.add_argument(
        "--from",
        dest="sources",
        action="append",
        required=True,
        metavar="DOMAIN=ITEM",
        help="an item: a file, a text, or a JSON object; several domains are fused",
    )


def read_sources(args: argparse.Namespace) -> dict[str, list[Any]]:
    """What `--from` gives: domain -> a batch of one item."""
    inputs = dict(_parse(text) for text in args.sources)
    if len(inputs) != len(args.sources):
        raise ConfigError("--from names a domain twice. Give each domain once.")
    return inputs


def _parse(text: str) -> tuple[str, list[Any]]:
    name, sign, item = text.partition("=")
    if not sign or not name or not item:
        raise ConfigError(f'--from "{text}" is not DOMAIN=ITEM, as --from photo=cat.png.')
    if item.startswith("{"):
        try:
            return name, [json.loads(item)]
        except json.JSONDecodeError as error:
            raise ConfigError(
                f'--from {name}: "{item}" looks like JSON and is not: {error}.'
            ) from None
    return name, [Path(item) if Path(item).is_file() else item]
