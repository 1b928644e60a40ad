"""What this distribution brings to `globalworkspace`; light, targets are imported on first use."""

from __future__ import annotations

from globalworkspace import hookimpl

globalworkspace_api = 1


@hookimpl
def register_evaluations(register) -> None:  # type: ignore[no-untyped-def]
    """Announce the evaluation kinds `integration` and `few-shot`."""
    register(
        "integration",
        "globalworkspace_probes.integration.evaluation:integration",
        summary="which responses the fused state predicts better than its controls",
    )
    register(
        "few-shot",
        "globalworkspace_probes.few_shot.evaluation:few_shot_evaluation",
        summary="whether language helps a few-shot learner, beside its controls",
    )
