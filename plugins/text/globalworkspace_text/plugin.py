"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

from globalworkspace import hookimpl
from globalworkspace.hookspecs import Register

globalworkspace_api = 1


@hookimpl
def register_domains(register: Register) -> None:
    """The kinds `bert` and `text-autoencoder`."""
    register(
        "bert",
        "globalworkspace_text.bert:BertDomain",
        summary="sentences through a Hugging Face BERT-family encoder",
    )
    register(
        "text-autoencoder",
        "globalworkspace_text.autoencoder:TextAutoencoder",
        summary="sentences to a small latent and back, written word by word",
    )
