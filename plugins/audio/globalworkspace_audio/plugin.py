"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

from globalworkspace import hookimpl
from globalworkspace.hookspecs import Register

globalworkspace_api = 1


@hookimpl
def register_domains(register: Register) -> None:
    """The kinds `spectrogram-vae` and `whisper`."""
    register(
        "spectrogram-vae",
        "globalworkspace_audio.spectrogram_vae:SpectrogramVAE",
        summary="sounds through a trainable variational auto-encoder, with a decoder",
    )
    register(
        "whisper",
        "globalworkspace_audio.whisper:WhisperDomain",
        summary="speech through a pretrained Whisper encoder; decodes to a gallery",
    )
