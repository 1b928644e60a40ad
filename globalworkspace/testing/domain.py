"""All checks of a domain module, and the function that runs them without pytest."""

from __future__ import annotations

from typing import Any

from globalworkspace.domain import DomainModule
from globalworkspace.testing.checks import Check, run_checks
from globalworkspace.testing.domain_abilities import ABILITIES
from globalworkspace.testing.domain_encoding import ENCODING
from globalworkspace.testing.domain_freezing import FREEZING
from globalworkspace.testing.domain_saving import SAVING
from globalworkspace.testing.subject import DomainSubject

DOMAIN_CHECKS: tuple[Check, ...] = (*ENCODING, *FREEZING, *SAVING, *ABILITIES)


def check_domain(
    module: DomainModule, batch: Any, *, other_batch: Any = None, plugin: str | None = None
) -> dict[str, str]:
    """Run every check on a domain module; the module itself is not changed.

    Args:
        module: The module, of any class: it need not be registered.
        batch: A raw batch as `encode` takes it: two or more different cells, a handful is enough.
        other_batch: Further cells, if there are any.
        plugin: Dotted name of the plugin module that registers the class; found by itself where the
            plugin is installed.

    Returns:
        Check -> `"passed"`, or `"not judged: ..."` where the module lacks the capability.

    Raises:
        ConformanceError: With all checks that failed, each with what was wrong, what was expected
            and what to do.

    Example:
        >>> import torch
        >>> from globalworkspace import DomainModule, LatentSpec
        >>> class Thermometer(DomainModule):
        ...     latent = LatentSpec.continuous(1)
        ...     def encode(self, raw): return torch.tensor(raw, dtype=torch.float32).reshape(-1, 1)
        ...     def config(self): return {}
        >>> check_domain(Thermometer(), [20.5, 21.0])["encode_returns_one_row_per_cell"]
        'passed'
    """
    subject = DomainSubject(module, batch, other_batch, plugin)
    return run_checks(DOMAIN_CHECKS, subject, type(module).__name__)
