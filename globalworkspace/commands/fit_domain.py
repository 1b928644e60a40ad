"""`globalworkspace fit-domain`."""

from __future__ import annotations

import argparse

from globalworkspace.commands.options import add_config, read_config, run_folder


class FitDomain:
    """Train one domain module on its own data.

    The TOML file has [data] (a data set), [domain] (kind, column and the kind's settings) and
    [training]. A fit that was interrupted goes on when the same command is run again.
    example: globalworkspace fit-domain picture.toml --out runs/picture
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See `cli.Command`."""
        add_config(parser)
        parser.add_argument("--out", help="the run folder (default: runs/ and the config's name)")
        parser.add_argument(
            "--restart", action="store_true", help="begin anew, whatever the folder holds"
        )
        parser.add_argument("--quiet", action="store_true", help="no progress bar")

    def run(self, args: argparse.Namespace) -> int:
        """See `cli.Command`."""
        from globalworkspace.settings import check_keys, construct, section

        config = read_config(args)
        check_keys(config, ("data", "domain", "training"), "The config")
        from globalworkspace.components import build_domains, check_domains, load_table
        from globalworkspace.run_folder import clear_run
        from globalworkspace.training.unimodal import FitDomainConfig, fit_domain

        entry = section(config, "domain", required=True)
        check_domains({"domain": entry})
        table = load_table(
            section(config, "data", required=True),
            {"domain": entry.get("column", "domain")},
            "[data]",
        )
        module = build_domains({"domain": entry}, table)["domain"]
        training = {"progress": not args.quiet, **section(config, "training")}
        folder = run_folder(args)
        settings = construct(FitDomainConfig, training, "[training]")
        if args.restart:
            clear_run(folder, "domain")
        figures = fit_domain(
            module,
            table["domain"],
            folder,
            settings,
            resume=not args.restart,
        )
        print(
            f"{figures['steps']} steps, validation loss {figures['validation_loss']:.5g}, "
            f"{figures['seconds']:.0f} s."
        )
        print(f'Saved in {folder}/domain; use it as [domains.NAME] pretrained = "{folder}/domain".')
        if (folder / "reconstructions.html").is_file():
            print(f"Look at {folder}/reconstructions.html.")
        return 0
