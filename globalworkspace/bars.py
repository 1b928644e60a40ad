"""Whether progress bars are shown: where someone watches, and nowhere else."""

from __future__ import annotations

import sys


def unwatched(progress: bool) -> bool:
    """Whether a bar is left out: it is not wanted, or goes to a file and not to a screen.

    Args:
        progress: Whether it is wanted.
    """
    watched = "ipykernel" in sys.modules or sys.stderr.isatty()
    return not progress or not watched
