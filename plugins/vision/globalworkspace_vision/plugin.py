"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

from globalworkspace import hookimpl
from globalworkspace.hookspecs import Register

globalworkspace_api = 1


@hookimpl
def register_domains(register: Register) -> None:
    """The kinds `frames`, `image-vae` and `timm`."""
    register(
        "frames",
        "globalworkspace_vision.frames:FramesDomain",
        summary="clips through a kind for pictures, frame by frame; averaged or as a sequence",
    )
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
