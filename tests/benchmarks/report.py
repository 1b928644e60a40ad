"""The report in a real browser: errors, time to open, size, accessibility; and its screenshots.

A run on Simple Shapes with pictures, sentences, attributes and sounds is trained (a few minutes)
and its report opened in headless Chromium, light and dark, wide and as a phone, with everything
unfolded; so is the page of `globalworkspace serve`, asked for a translation. Then the run's log is
replaced by one of 100,000 steps, and the report that is made from it is opened several times. So is
the report that the emoji example leaves. Counted are console errors, requests that failed or left
the machine, images that do not load and players that do not play; axe-core looks for faults that it
calls serious or critical. Needs a Chromium on the path.

    python tests/benchmarks/report.py

Writes the report_ figures and axe_serious to docs/results/claims.json and the screenshots to
docs/images.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from claims import record

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "browser"))
from chromium import browser, open_page, url_of  # noqa: E402
from four_domains import run  # noqa: E402

from globalworkspace.report import FILE, write_report  # noqa: E402

COMMAND = "python tests/benchmarks/report.py"
IMAGES = ROOT / "docs" / "images"
STEPS, LOG_EVERY, VALIDATE_EVERY, REPEATS = 100_000, 50, 250, 5
SHOTS = (
    # name, section that it begins with, dark, width, height
    ("report-translations", "Translations", False, 1120, 1000),
    ("report-map", "Map of the workspace", True, 1120, 760),
    ("report-phone", "What is told of each part", False, 390, 780),
)


def long_log(folder: Path) -> None:
    """A log as a run of 100,000 steps would leave it: the same names, falling values."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    first: dict[str, dict[str, float]] = {
        group: next(line[group] for line in lines if group in line)
        for group in ("families", "validation", "training", "validation_families")
    }
    made: list[dict[str, Any]] = []
    for step in range(LOG_EVERY, STEPS + 1, LOG_EVERY):
        share = math.exp(-step / STEPS) * (1 + 0.05 * math.sin(step / 97))
        entry: dict[str, Any] = {
            "step": step,
            "families": {name: value * share for name, value in first["families"].items()},
        }
        if step % VALIDATE_EVERY == 0:
            entry |= {
                group: {name: value * share for name, value in values.items()}
                for group, values in first.items()
                if group != "families"
            }
        made.append(entry)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in made))


def main() -> None:
    """Train, open, count, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--items", type=int, default=20_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch, browser() as chromium:
        folder = Path(scratch) / "four-domains"
        made = run(folder, items=args.items, pairs=1000, judged=500, steps=args.steps)
        address = url_of(folder / FILE)
        errors, faults = [], []
        for dark in (False, True):
            opened = open_page(chromium, address, dark=dark)
            opened.page.evaluate(
                "document.querySelectorAll('details').forEach(e => { e.open = true; })"
            )
            errors += opened.errors + opened.broken_images() + silent_players(opened.page)
            faults += opened.faults()
        with served(folder) as page_address:
            for dark in (False, True):
                opened = open_page(chromium, page_address, dark=dark)
                opened.page.get_by_label("or caption as text").fill("A big red egg, turned left.")
                opened.page.get_by_role("button", name="Translate").click()
                opened.page.locator("#answers section").nth(3).wait_for(timeout=120_000)
                errors += opened.errors + opened.broken_images() + silent_players(opened.page)
                faults += opened.faults()
            opened.page.screenshot(path=IMAGES / "serve.png")
        errors += emoji(chromium, Path(scratch))
        for name, section, dark, width, height in SHOTS:
            shoot(chromium, address, name, section, dark, width, height)
        long_log(folder)
        write_report(made)
        seconds = []
        for _ in range(REPEATS):
            opened = open_page(chromium, address)
            seconds.append(opened.seconds)
            errors += opened.errors
        kib = (folder / FILE).stat().st_size / 1024
    print(*errors, *faults, sep="\n")
    figures = {
        "report_browser_errors": ([float(len(errors))], "errors"),
        "report_open_seconds": (seconds, "s"),
        "report_kib": ([kib], "KiB"),
        "axe_serious": ([float(len(faults))], "faults"),
    }
    for name, (values, unit) in figures.items():
        middle = statistics.median(values)
        record(name, middle, min(values), max(values), unit, len(values), COMMAND)
        print(f"{name}: {middle:.3g} ({min(values):.3g} to {max(values):.3g}) {unit}")


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of the page that `globalworkspace serve` shows of a run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "globalworkspace", "serve", str(folder), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        for _ in range(600):
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
        server.terminate()


def emoji(chromium: Any, scratch: Path) -> list[str]:
    """The report that the emoji example leaves: its picture, and what went wrong."""
    out = scratch / "emoji"
    command = [sys.executable, str(ROOT / "examples" / "emoji.py"), "--seeds", "1"]
    subprocess.run([*command, "--out", str(out)], check=True, stdout=subprocess.DEVNULL)
    address = url_of(out / FILE)
    shoot(chromium, address, "report-emoji", "Translations", False, 760, 900)
    opened = open_page(chromium, address)
    return opened.errors + opened.broken_images() + opened.faults()


def silent_players(page: Any) -> list[str]:
    """The players that cannot play what they hold."""
    found: list[str] = page.evaluate(
        """async () => {
            const silent = [];
            for (const player of document.querySelectorAll("audio")) {
                player.muted = true;
                try { await player.play(); player.pause(); }
                catch (error) { silent.push(String(error)); }
                if (!(player.duration > 0)) silent.push("no duration");
            }
            return silent;
        }"""
    )
    return found


def shoot(
    chromium: Any, address: str, name: str, section: str, dark: bool, width: int, height: int
) -> None:
    """A picture of the page from the heading of a section on."""
    page = open_page(chromium, address, dark=dark, width=width, height=height).page
    page.get_by_role("heading", name=section, exact=True).evaluate("e => e.scrollIntoView()")
    if section.startswith("Map"):
        page.get_by_label("Coloured by").first.select_option("attributes: shape")
        page.get_by_label("Coloured by").last.select_option("attributes: x")
    IMAGES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
