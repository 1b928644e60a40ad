"""The integration probe: which measured responses are explained by integration (arXiv 2406.14481).

`workspace_features` gives the features of a workspace and of its controls, `integration_probe`
compares them at each site, `read_responses` and `read_subject` read what was measured, and
`simulate_sites` draws sites of known truth.
"""

from globalworkspace_probes.integration.features import control_features as control_features
from globalworkspace_probes.integration.features import workspace_features as workspace_features
from globalworkspace_probes.integration.probe import integration_probe as integration_probe
from globalworkspace_probes.integration.result import IntegrationResult as IntegrationResult
from globalworkspace_probes.integration.simulate import rich_model as rich_model
from globalworkspace_probes.integration.simulate import simulate_sites as simulate_sites
from globalworkspace_probes.integration.table_layout import read_responses as read_responses
from globalworkspace_probes.integration.table_layout import read_subject as read_subject

__all__ = [
    "IntegrationResult",
    "control_features",
    "integration_probe",
    "read_responses",
    "read_subject",
    "rich_model",
    "simulate_sites",
    "workspace_features",
]
