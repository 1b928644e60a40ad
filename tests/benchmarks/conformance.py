"""How many of the domain modules that are broken on purpose the conformance kit catches.

A module counts as caught where the check that it is made for fails and no other does.

python tests/benchmarks/conformance.py
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from claims import record

from globalworkspace.testing import (
    ConformanceError,
    check_augmentation,
    check_domain,
    check_evaluation,
    check_fusion,
    check_network,
    check_objective,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "testing"))
from broken_augmentations import BROKEN_AUGMENTATIONS  # noqa: E402
from broken_evaluations import BROKEN_EVALUATIONS  # noqa: E402
from broken_fusions import BROKEN_FUSIONS  # noqa: E402
from broken_fusions import make as make_fusion  # noqa: E402
from broken_modules import BROKEN, cells, make  # noqa: E402
from broken_networks import BROKEN_NETWORKS  # noqa: E402
from broken_objectives import BROKEN_OBJECTIVES  # noqa: E402

COMMAND = "python tests/benchmarks/conformance.py"


def caught(broken: Mapping[Any, str], check: Any) -> int:
    """How many fail exactly the check made for them; the others are printed."""
    number = 0
    for thing, meant in broken.items():
        try:
            check(thing)
            failed = []
        except ConformanceError as error:
            failed = [failure.check for failure in error.failures]
        if failed == [meant]:
            number += 1
        else:
            print(f"{thing.__name__} is made for {meant} and fails {', '.join(failed) or 'none'}")
    return number


def measure() -> dict[str, int]:
    """The two figures of domain modules; the other kinds are printed beside them."""
    modules = caught(BROKEN, lambda cls: check_domain(make(cls), cells()))
    objectives = caught(BROKEN_OBJECTIVES, lambda cls: check_objective(cls()))
    evaluations = caught(BROKEN_EVALUATIONS, check_evaluation)
    augmentations = caught(BROKEN_AUGMENTATIONS, lambda cls: check_augmentation(cls()))
    fusions = caught(BROKEN_FUSIONS, lambda cls: check_fusion(make_fusion(cls)))
    networks = caught(BROKEN_NETWORKS, check_network)
    print(f"domain modules: {modules} of {len(BROKEN)} caught")
    print(f"objectives: {objectives} of {len(BROKEN_OBJECTIVES)} caught")
    print(f"evaluations: {evaluations} of {len(BROKEN_EVALUATIONS)} caught")
    print(f"augmentations: {augmentations} of {len(BROKEN_AUGMENTATIONS)} caught")
    print(f"fusions: {fusions} of {len(BROKEN_FUSIONS)} caught")
    print(f"networks: {networks} of {len(BROKEN_NETWORKS)} caught")
    return {
        "conformance_broken_modules": len(BROKEN),
        "conformance_broken_modules_caught": modules,
    }


def main() -> None:
    """Print and record the figures."""
    for name, value in measure().items():
        record(name, value, value, value, "modules", 1, COMMAND)


if __name__ == "__main__":
    main()
