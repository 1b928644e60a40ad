"""Where a Whisper encoder comes from: a package, a hub name or a local folder; and building it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from globalworkspace.errors import ConfigError, DomainError, PluginError
from globalworkspace.references import is_package_reference, resolve
from globalworkspace_audio.ctranslate2 import MODEL_FILE, read_whisper_encoder

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?\Z")
_ENCODER_SETTINGS = (
    "activation_function",
    "d_model",
    "encoder_attention_heads",
    "encoder_ffn_dim",
    "encoder_layers",
    "max_source_positions",
    "num_mel_bins",
    "scale_embedding",
)
"""What of a Whisper config decides the encoder."""


def locate(model: str | Path) -> tuple[str, Literal["package", "hub", "folder"]]:
    """A model reference as (path or hub name, what it is).

    Raises:
        ConfigError: If it is none of these.
    """
    text = str(model)
    if is_package_reference(text):
        return str(resolve(text)), "package"
    folder = resolve(text)
    if folder.is_dir():
        return str(folder), "folder"
    if isinstance(model, Path) or not _HUB_NAME.match(text):
        raise ConfigError(
            f'The folder "{text}" does not exist, and it is no hub name. Give a folder with '
            "config.json and weights, a hub name such as owner/name, or package:NAME/folder."
        )
    return text, "hub"


def load_encoder(source: str, revision: str | None, local: bool) -> nn.Module:
    """The encoder in float32.

    Args:
        source: A folder (of transformers, or with CTranslate2's `model.bin`) or a hub name.
        revision: Of a hub name.
        local: Whether `source` is a folder.

    Raises:
        ConfigError: If it cannot be loaded.
        DomainError: If it holds another model or lacks weights.
    """
    if local and (Path(source) / MODEL_FILE).is_file():
        settings, state = read_whisper_encoder(Path(source) / MODEL_FILE)
        encoder = empty_encoder(settings)
        try:
            encoder.load_state_dict(state)
        except RuntimeError as error:
            raise DomainError(
                f'The weights in "{source}" are no whole Whisper encoder: {first_line(error)}.'
            ) from error
        return encoder
    transformers = _transformers()
    options: dict[str, Any] = {"local_files_only": True} if local else {"revision": revision}
    try:
        with _quiet(transformers):
            model, report = transformers.AutoModel.from_pretrained(
                source, dtype=torch.float32, output_loading_info=True, **options
            )
    except Exception as error:  # a missing file, network or key: transformers has no common error
        raise ConfigError(
            f'The encoder "{source}"{f" at revision {revision}" if revision else ""} cannot be '
            f"loaded: {first_line(error)}. Check the name, that you are online (or that it is in "
            "the cache), and that it holds config.json and model.safetensors."
        ) from error
    if model.config.model_type != "whisper":
        raise DomainError(
            f'"{source}" is a {type(model).__name__}; the kind "whisper" needs a model of the '
            "Whisper family."
        )
    missing = sorted(key for key in report["missing_keys"] if key.startswith("encoder."))
    if missing:
        raise DomainError(
            f'The weights of "{source}" lack {len(missing)} tensors of its encoder, first '
            f'"{missing[0]}". Give the folder of a complete model.'
        )
    encoder = model.encoder
    encoder.config._commit_hash = getattr(model.config, "_commit_hash", None)
    return encoder  # type: ignore[no-any-return]


def empty_encoder(architecture: Mapping[str, Any]) -> nn.Module:
    """An encoder with weights that wait to be replaced.

    Raises:
        ConfigError: If `architecture` is no set of Whisper settings.
    """
    whisper = _whisper_module()
    unknown = [name for name in architecture if name not in _ENCODER_SETTINGS]
    if unknown:
        raise ConfigError(
            f'`architecture` has the unknown setting "{unknown[0]}"; known: '
            f"{', '.join(_ENCODER_SETTINGS)}."
        )
    try:
        config = whisper.WhisperConfig(**architecture)
        with torch.random.fork_rng(devices=[]):
            encoder: nn.Module = whisper.modeling_whisper.WhisperEncoder(config)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"`architecture` is no Whisper config of an encoder: {first_line(error)}."
        ) from error
    return encoder


def architecture_of(encoder: Any) -> dict[str, Any]:
    """The settings with which `empty_encoder` builds an equal encoder."""
    settings = {name: getattr(encoder.config, name) for name in _ENCODER_SETTINGS}
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def first_line(error: Exception) -> str:
    """An error's type and the beginning of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.') if lines else ''}".rstrip(": ")


def _transformers() -> Any:
    try:
        import transformers
    except Exception as error:  # an installation can be broken in any way
        raise PluginError(
            f'The domain kind "whisper" needs transformers, which cannot be imported: '
            f'{first_line(error)}. Install it: pip install "transformers>=5"'
        ) from error
    return transformers


def _whisper_module() -> Any:
    _transformers()
    import transformers.models.whisper.modeling_whisper  # noqa: F401
    from transformers.models import whisper

    return whisper


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Load without a bar and without a report on the decoder, which is dropped here."""
    logging = transformers.utils.logging
    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()
