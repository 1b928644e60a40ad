"""`globalworkspace label-efficiency`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from globalworkspace.commands.options import add_config, read_config, run_folder

SECTIONS = ("data", "test", "domains", "workspace", "encoding", "training", "label_efficiency")
QUICK = {"pairs": (50, 200), "recipes": ("supervised", "default"), "seeds": 2, "steps": 300}


class LabelEfficiency:
    """Find out how many matched rows each recipe needs for a given error.

    The config is that of `train`; its rows must hold every domain, as the matching of most is
    hidden here. Run it again after an interruption: what is done is kept.

    example: globalworkspace label-efficiency shapes.toml --out runs/pairs --pairs 100,500,2500
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See `cli.Command`."""
        add_config(parser)
        parser.add_argument("--out", help="the folder (default: runs/ and the config's name)")
        parser.add_argument("--pairs", help="numbers of matched rows, as 100,500,2500")
        parser.add_argument("--recipes", help="names of recipes, as supervised,paper,default")
        parser.add_argument("--seeds", type=int, help="trainings of each (default: 3)")
        parser.add_argument("--steps", type=int, help="of each training (default: 10,000)")
        parser.add_argument(
            "--untuned", action="store_true", help="take each recipe's first choice of settings"
        )
        parser.add_argument("--workers", type=int, help="processes (default: one per core)")
        parser.add_argument(
            "--quick",
            action="store_true",
            help="a few short trainings, to see that everything works; says nothing about recipes",
        )
        parser.add_argument("--quiet", action="store_true", help="no progress bars")

    def run(self, args: argparse.Namespace) -> int:
        """See `cli.Command`."""
        from globalworkspace.files import write_json
        from globalworkspace.label_efficiency.figure import draw
        from globalworkspace.label_efficiency.grid import label_efficiency
        from globalworkspace.label_efficiency.text import factor_lines, level_lines, table_lines

        config, folder = read_config(args), run_folder(args)
        domains, training, test, grid = plan(config, args, folder)
        lines = label_efficiency(
            domains,
            training,
            test,
            grid,
            folder,
            workers=args.workers,
            progress=not args.quiet,
        )
        tables = [*table_lines(lines), "", *level_lines(lines), "", *factor_lines(lines)]
        print("\n".join(tables))
        write_json(folder / "label-efficiency.json", lines)
        figure = draw(lines, folder / "label-efficiency.png", title=Path(args.config).stem)
        print(f"\nSaved in {folder}; look at {figure}.")
        return 0


def plan(config: Mapping[str, Any], args: argparse.Namespace, folder: Path) -> Any:
    """Domains, latents of training and test rows, and the grid; what cannot be used is an error."""
    import attrs

    from globalworkspace.components import build_domains, check_domains, domain_columns, load_table
    from globalworkspace.data.encoding import EncodingConfig, encode_table
    from globalworkspace.data.latent_store import LatentStore
    from globalworkspace.errors import ConfigError
    from globalworkspace.label_efficiency.grid import Grid
    from globalworkspace.settings import check_keys, construct, section

    check_keys(config, SECTIONS, "The config")
    sections = section(config, "domains", required=True)
    check_domains(sections)
    settings = {
        **section(config, "label_efficiency"),
        **_given(args),
        "training": section(config, "training"),
        "workspace": section(config, "workspace"),
    }
    grid = construct(Grid, settings, "[label_efficiency]")
    encoding = construct(EncodingConfig, section(config, "encoding"), "[encoding]")
    data = section(config, "data", required=True)
    if "match" in data:
        raise ConfigError(
            "[data.match] has no place here: label-efficiency itself hides which rows belong "
            "together. Take it out."
        )
    columns = domain_columns(sections)
    raw = load_table(data, columns, "[data]")
    domains = build_domains(sections, raw)
    store = LatentStore(folder / "latents")

    def encoded(table: Any) -> Any:
        return encode_table(
            domains, table, store=store, progress=not args.quiet, **attrs.asdict(encoding)
        )

    training = encoded(raw)
    if "test" in config:
        return (
            domains,
            training,
            encoded(load_table(section(config, "test"), columns, "[test]")),
            grid,
        )
    training, test = training.hold_out(min(0.2, 5000 / len(training)))
    return domains, training, test, grid


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """The settings of the grid that the command line gives."""
    from globalworkspace.errors import ConfigError

    found: dict[str, Any] = dict(QUICK) if args.quick else {}
    if args.pairs:
        try:
            found["pairs"] = tuple(int(text) for text in args.pairs.split(","))
        except ValueError:
            raise ConfigError(
                f'--pairs "{args.pairs}" must be whole numbers with commas, as 100,500,2500.'
            ) from None
    if args.recipes:
        outside = r",(?![^(]*\))"  # a comma between parentheses separates strengths
        found["recipes"] = tuple(name.strip() for name in re.split(outside, args.recipes))
    for name in ("seeds", "steps"):
        if getattr(args, name) is not None:
            found[name] = getattr(args, name)
    if args.untuned or args.quick:
        found["tuned"] = False
    return found
