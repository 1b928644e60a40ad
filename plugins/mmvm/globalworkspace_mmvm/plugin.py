"""What this distribution brings to `globalworkspace`; light, targets are imported on first use."""

from __future__ import annotations

from globalworkspace import hookimpl

globalworkspace_api = 1


@hookimpl
def register_networks(register) -> None:  # type: ignore[no-untyped-def]
    """Announce the networks `gaussian-mlp`."""
    register(
        "gaussian-mlp",
        "globalworkspace_mmvm.networks:GaussianNetworks",
        summary="an encoder to a mean and a log variance, and a decoder",
    )


@hookimpl
def register_fusions(register) -> None:  # type: ignore[no-untyped-def]
    """Announce the fusion `posteriors`."""
    register(
        "posteriors",
        "globalworkspace_mmvm.fusion:Posteriors",
        summary="states that are distributions: one a domain, a product, a mixture, an average",
    )


@hookimpl
def register_objectives(register) -> None:  # type: ignore[no-untyped-def]
    """Announce the objectives `mmvm` and `standard_prior`."""
    register(
        "mmvm",
        "globalworkspace_mmvm.mixture_prior:MixturePrior",
        summary="each domain's posterior is drawn to those of the row's other domains",
    )
    register(
        "standard_prior",
        "globalworkspace_mmvm.standard_prior:StandardPrior",
        summary="a row's posterior is drawn to N(0, I), as in a VAE",
    )
