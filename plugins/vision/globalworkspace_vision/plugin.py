"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

from globalworkspace import hookimpl
from globalworkspace.hookspecs import Register

globalworkspace_api = 1


@hookimpl
def register_domains(register: Register) -> None:
    """The kinds `image-vae` and `timm`."""
    register(
        "image-vae",
        "globalworkspace_vision.image_vae:ImageVAE",
        summary="pictures through a trainable variational auto-encoder, with a decoder",
    )
    register(
        "timm",
        "globalworkspace_vision.timm_encoder:TimmDomain",
        summary="pictures through a pretrained timm network; decodes to a gallery",
    )
