"""What this distribution brings to `globalworkspace`; light, targets are imported on first use."""

from __future__ import annotations

from globalworkspace import hookimpl

globalworkspace_api = 1


@hookimpl
def register_augmentations(register) -> None:  # type: ignore[no-untyped-def]
    """Announce the augmentation kind `fusemix`."""
    register(
        "fusemix",
        "globalworkspace_fusemix.mixing:FuseMix",
        summary="mixes rows, alike in every domain",
    )


@hookimpl
def register_networks(register) -> None:  # type: ignore[no-untyped-def]
    """Announce the network kind `fusemix-adapter`."""
    register(
        "fusemix-adapter",
        "globalworkspace_fusemix.adapters:FuseMixAdapters",
        summary="pre-norm residual blocks at the latent's width",
    )


@hookimpl
def register_recipes(register) -> None:  # type: ignore[no-untyped-def]
    """Announce the recipe `fusemix`."""
    register(
        "fusemix",
        "globalworkspace_fusemix.recipe:FUSEMIX",
        summary="contrastive on mixed pairs",
    )
