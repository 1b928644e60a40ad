"""What the probe found at each site, and which sites are flagged.

A *gate* compares the workspace with its controls, and a site is flagged if it passes all gates:

    p_gate = max over the gate's controls of the bootstrap p of  r(workspace) - r(control) <= 0
    p_site = max over gates of p_gate;   flagged: Benjamini-Hochberg over sites of p_site <= level

The largest p of several comparisons is a p-value of "not all of them hold", so the false discovery
rate is that of the whole claim. The paper's code corrects each comparison by itself and takes the
sites that pass them all: these sites, and further ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

from globalworkspace.errors import ConfigError, did_you_mean
from globalworkspace_probes.integration.bootstrap import benjamini_hochberg


@attrs.frozen(eq=False, kw_only=True)
class IntegrationResult:
    """The table of S sites; see `integration_probe`."""

    sites: tuple[str, ...]
    kept_bins: Tensor
    """(S,) int64: time bins with signal."""
    judged: Tensor
    """(S,) bool: enough bins are kept; no other site can be flagged."""
    correlations: Mapping[str, Tensor]
    """Model -> (S,): mean r over the kept bins of a judged site, over all bins of another."""
    differences: Mapping[str, Tensor]
    """Gate -> (S, 3): r of the workspace minus that of the strongest control, and its 95 %
    interval."""
    p_values: Mapping[str, Tensor]
    """Gate -> (S,), before correction; 1 at sites that are not judged."""
    level: float
    """False discovery rate."""

    def adjusted(self, gate: str) -> Tensor:
        """(S,): p-values of one gate, Benjamini-Hochberg adjusted over sites."""
        return benjamini_hochberg(self.p_values[self._checked([gate])[0]])

    def p_site(self, gates: Iterable[str] | None = None) -> Tensor:
        """(S,): adjusted p-values of "it does not pass all gates".

        Args:
            gates: Some of those that were judged; None: all.

        Raises:
            ConfigError: On a gate that was not judged.
        """
        chosen = self._checked(self.p_values if gates is None else gates)
        return benjamini_hochberg(torch.stack([self.p_values[g] for g in chosen]).amax(dim=0))

    def flagged(self, gates: Iterable[str] | None = None) -> Tensor:
        """(S,) bool: the sites of integration, by all gates or by some; see `p_site`."""
        return self.p_site(gates) <= self.level

    def rows(self) -> list[dict[str, Any]]:
        """A JSON-able row per site: `r MODEL`, `gain GATE` and the adjusted `p GATE` among it."""
        columns: dict[str, list[Any]] = {
            "site": list(self.sites),
            "flagged": self.flagged().tolist(),
            "p": self.p_site().tolist(),
            "kept_bins": self.kept_bins.tolist(),
        }
        columns |= {f"r {name}": r.tolist() for name, r in self.correlations.items()}
        for gate, difference in self.differences.items():
            columns[f"gain {gate}"] = difference[:, 0].tolist()
            columns[f"p {gate}"] = self.adjusted(gate).tolist()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def summary(self) -> dict[str, Any]:
        """JSON-able: how many sites are judged, flagged, and passed by each gate alone."""
        flagged = self.flagged().tolist()
        return {
            "sites": len(self.sites),
            "judged": int(self.judged.sum()),
            "flagged": sum(flagged),
            "flagged_sites": [s for s, yes in zip(self.sites, flagged, strict=True) if yes],
            "passed": {g: int((self.adjusted(g) <= self.level).sum()) for g in self.p_values},
            "correlation": {name: float(r.mean()) for name, r in self.correlations.items()},
        }

    def _checked(self, gates: Iterable[str]) -> list[str]:
        chosen = list(gates)
        for gate in chosen or [""]:
            if gate not in self.p_values:
                raise ConfigError(
                    f'The gate "{gate}" was not judged; those that were: '
                    f"{', '.join(self.p_values)}.{did_you_mean(gate, self.p_values)}"
                )
        return chosen
