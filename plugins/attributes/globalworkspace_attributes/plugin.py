"""What this distribution brings to `globalworkspace`; light, targets are imported on first use."""

from __future__ import annotations

from globalworkspace import hookimpl

globalworkspace_api = 1


@hookimpl
def register_domains(register) -> None:  # type: ignore[no-untyped-def]
    """Announce the domain kind `attributes`."""
    register(
        "attributes",
        "globalworkspace_attributes.domain:AttributesDomain",
        summary="table columns: categories, numbers and angles",
    )
