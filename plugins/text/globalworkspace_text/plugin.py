"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

from globalworkspace import hookimpl
from globalworkspace.hookspecs import Register

globalworkspace_api = 1


@hookimpl
def register_domains(register: Register) -> None:
    """The kind `bert`."""
    register(
        "bert",
        "globalworkspace_text.bert:BertDomain",
        summary="sentences through a Hugging Face BERT-family encoder",
    )
