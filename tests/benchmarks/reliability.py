"""Counts what the harnesses of tests/reliability find, and writes it into docs/reliability.md.

    python tests/benchmarks/reliability.py

Runs crash.py (kills, resumes, full), damage.py and fuzz.py of tests/reliability and the hostile
folders of its tests, about a quarter of an hour on one core. Writes docs/results/reliability.json,
the tables of docs/reliability.md and the claims.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from claims import record
from results_page import RESULTS

ROOT = Path(__file__).parents[2]
HARNESS = ROOT / "tests" / "reliability"
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- counts:begin -->", "<!-- counts:end -->"
COMMAND = "python tests/benchmarks/reliability.py"
RUNS = {
    "kills": ("crash.py", "kills", "--times", "110", "--points", "110"),
    "resumes": ("crash.py", "resumes"),
    "full": ("crash.py", "full"),
    "damage": ("damage.py",),
    "fuzz": ("fuzz.py",),
}


def counted(name: str) -> Any:
    """What one harness prints."""
    script, *words = RUNS[name]
    print("running", script, *words, flush=True)
    done = subprocess.run(
        [sys.executable, str(HARNESS / script), *words], stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


def hostile() -> dict[str, int]:
    """How many hostile folders there are, and how many did harm (their test says so)."""
    test = str(HARNESS / "test_hostile.py")
    words = ["-q", "-k", "hostile_folder", "--no-header", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", test, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    last = done.stdout.strip().splitlines()[-1].split()
    counts = dict(zip([word.strip(",") for word in last[1::2]], last[::2], strict=False))
    return {"files": int(counts.get("passed", 0)), "executed": int(counts.get("failed", 0))}


def tables(found: dict[str, Any]) -> str:
    """The counts as tables."""
    kills, full, fuzz = found["kills"], found["full"], found["fuzz"]
    rows = [
        ("runs killed (SIGKILL)", kills["kills"], "crash.py kills"),
        ("- steps lost beyond the last finished save", kills["lost"], ""),
        ("- unreadable folders", kills["unreadable"], ""),
        ("- states mixed of two steps", kills["mixed"], ""),
        ("- runs that went on to another end", kills["different"], ""),
        ("steps at which a run was interrupted", found["resumes"]["points"], "crash.py resumes"),
        ("chains of three interruptions", found["resumes"]["chains"], ""),
        ("- runs that ended differently, by a byte", found["resumes"]["different"], ""),
        ("disk full, read-only or forbidden, at points", full["refused"], "crash.py full"),
        ("- without a message that names path and bytes needed", full["unclear"], ""),
        ("- lost, unreadable, mixed or different", _harm(full), ""),
        ("damaged folders", found["damage"]["corruptions"], "damage.py"),
        ("- accepted", len(found["damage"]["accepted"]), ""),
        ("- refused without file and remedy", len(found["damage"]["unclear"]), ""),
        ("hostile folders", found["hostile"]["files"], "test_hostile.py"),
        ("- that ran code, left their place or asked for too much", _executed(found), ""),
        ("cases of fuzzing", fuzz["cases"], "fuzz.py"),
        ("- crashes, hangs, wrong answers", len(fuzz["failures"]), ""),
    ]
    lines = ["| | count | in tests/reliability |", "|---|---|---|"]
    lines += [f"| {what} | {count:,} | {where and f'`{where}`'} |" for what, count, where in rows]
    lines += ["", "| killed at | times |", "|---|---|"]
    lines += [f"| {name} | {times} |" for name, times in kills["points"].items()]
    at_random = kills["kills"] - sum(kills["points"].values())
    lines += [f"| a random time | {at_random} |", "", "| damage | folders |", "|---|---|"]
    lines += [f"| {name} | {number} |" for name, number in found["damage"]["by_damage"].items()]
    lines += ["", "| fuzzed | cases | of them refused |", "|---|---|---|"]
    lines += [
        f"| {n} | {count:,} | {fuzz['refused'][n]:,} |" for n, count in fuzz["by_kind"].items()
    ]
    return "\n".join(lines)


def _harm(counts: dict[str, int]) -> int:
    return sum(counts[name] for name in ("lost", "unreadable", "mixed", "different"))


def _executed(found: dict[str, Any]) -> int:
    return int(found["hostile"]["executed"])


def claim(name: str, count: int) -> None:
    """One count; it has no spread."""
    record(name, count, count, count, "1", 1, COMMAND)


def main() -> None:
    """Run everything, print and record."""
    found = {name: counted(name) for name in RUNS} | {"hostile": hostile()}
    (RESULTS / "reliability.json").write_text(json.dumps(found, indent=1) + "\n")
    text = tables(found)
    print(text)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")
    claim("kills", found["kills"]["kills"])
    claim("kills_lost", _harm(found["kills"]))
    claim("resume_points", found["resumes"]["points"])
    claim("resume_points_different", found["resumes"]["different"])
    claim("corruptions", found["damage"]["corruptions"])
    claim("corruptions_accepted", len(found["damage"]["accepted"]))
    claim("fuzz_cases", found["fuzz"]["cases"])
    claim("fuzz_failures", len(found["fuzz"]["failures"]))
    claim("hostile_files", found["hostile"]["files"])
    claim("hostile_files_executed", found["hostile"]["executed"])


if __name__ == "__main__":
    main()
