"""A saved workspace as a repository of the Hugging Face hub.

What is pushed is what `save_pretrained` writes. The model card may be edited there: it is the one
file that the manifest does not hold to a digest.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from globalworkspace.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from globalworkspace.workspace import GlobalWorkspace

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*\Z")
"""How a repository is named: owner/name."""
PATTERNS = ("*.json", "*.safetensors", "README.md", "domains/*/assets/*")
"""What is fetched: never a pickle."""


def push_to_hub(
    workspace: GlobalWorkspace,
    repository: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    message: str = "Upload a global workspace",
) -> str:
    """Save a workspace into a repository of the hub, made if it is not there.

    Args:
        workspace: The workspace.
        repository: owner/name.
        private: Whether a new repository is; None: as the owner's settings say.
        token: Of the hub; None: the one that `hf auth login` stored.
        message: Of the commit.

    Returns:
        Address of the commit.

    Raises:
        ConfigError: On another name, or without the package huggingface_hub.
        CheckpointError: If the hub refuses, or cannot be reached.
    """
    from globalworkspace.pretrained import save_pretrained

    _check_name(repository)
    hub = _hub()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "workspace"
        save_pretrained(workspace, folder, repository=repository)
        api = hub.HfApi(token=token)
        with _said(repository, hub):
            api.create_repo(repository, private=private, exist_ok=True)
            made = api.upload_folder(repo_id=repository, folder_path=folder, commit_message=message)
    return str(made.commit_url)


def download(
    repository: str,
    *,
    revision: str | None = None,
    token: str | None = None,
    cache: str | Path | None = None,
) -> Path:
    """The folder of a repository in the cache of the hub, fetched where it is not there.

    Args:
        repository: owner/name.
        revision: Branch, tag or commit; None: the main branch.
        token: Of the hub.
        cache: Folder of the cache; None: the usual one.

    Raises:
        ConfigError: Without the package huggingface_hub.
        CheckpointError: If there is no such repository, or the hub cannot be reached and the cache
            lacks it.
    """
    _check_name(repository)
    hub = _hub()
    with _said(repository, hub):
        found = hub.snapshot_download(
            repository,
            revision=revision,
            token=token,
            cache_dir=cache,
            allow_patterns=list(PATTERNS),
        )
    return Path(found)


def _check_name(repository: str) -> None:
    if not REPOSITORY.match(repository):
        raise ConfigError(f'"{repository}" names no repository; write owner/name.')


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise ConfigError(
            "The hub needs the package huggingface_hub. Install it: "
            "pip install 'globalworkspace[hub]'."
        ) from None
    return huggingface_hub


class _said:
    """Turns what the hub raises into an error that names the repository."""

    def __init__(self, repository: str, hub: Any) -> None:
        self.repository, self.hub = repository, hub

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, *_: Any) -> None:
        if error is None or not isinstance(error, Exception):
            return
        reason = str(error).strip().splitlines()[0] if str(error).strip() else kind.__name__
        raise CheckpointError(
            f'The repository "{self.repository}" cannot be used: {reason} Check its name, the '
            "token (hf auth login) and the network; without one, give the folder of a copy."
        ) from error
