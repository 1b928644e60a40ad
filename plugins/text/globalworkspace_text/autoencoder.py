"""Text that writes: sentences to a small latent through a frozen encoder, and back word by word.

The encoder of the BERT family stays as it is. Trained are a pooling of its token features into a
Gaussian latent, and a recurrent decoder over a vocabulary of subwords; the loss is that of a
variational autoencoder (Bowman et al. 2016, "Generating Sentences from a Continuous Space"), word
dropout included: without it a decoder learns to lean on the words before instead of the latent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from globalworkspace.bars import unwatched
from globalworkspace.domain import DomainModule, Rendering
from globalworkspace.errors import ConfigError, DomainError
from globalworkspace.latents import LatentSpec
from globalworkspace_text.bert import DEFAULT_MODEL, BertDomain, check_sentences

PAD, BEGIN, END = 0, 1, 2
_SPECIAL = ("<pad>", "<begin>", "<end>")
CACHE_BYTES = 4 * 2**30
"""Token features up to this size are computed once and kept in memory while training."""


@attrs.frozen(eq=False)
class PreparedSentence:
    """A sentence whose frozen part is done: what training takes instead of the text."""

    features: Tensor
    """(T, hidden) float16 or float32, the encoder's token features."""
    target: Tensor
    """(S,) int64 subwords, the end included."""


class TextAutoencoder(DomainModule):
    """Sentences <-> latents (B, latent_dim) that a decoder can turn into new sentences.

    Args:
        vocabulary: Subwords, as `train_vocabulary` makes them; `globalworkspace fit-domain` makes
            them from the training sentences.
        vocabulary_size: How many subwords it makes.
        latent_dim: Z.
        hidden_dim: Width of the pooling and of the decoder's state.
        reads: `"sentence"`: the encoder's pooled embedding of the whole sentence, which keeps what
            is said better than how; `"tokens"`: every token, through learned attention.
        num_queries: Learned questions that this attention asks the tokens.
        embedding_dim: Of the decoder's subwords.
        word_dropout: Share of the decoder's input words that are hidden in training.
        dropout: Of the decoder's state, in training.
        beta: Weight of the divergence from a standard normal posterior.
        warmup: Share of the training in which `beta` rises from 0.
        max_length: Longest sentence that is read or written, in subwords.
        encoder: Settings of the frozen `BertDomain`.

    Raises:
        ConfigError: On a setting out of range.

    Example:
        >>> text = "a red egg", "a blue kite"
        >>> words = TextAutoencoder.train_vocabulary(text, 300)
        >>> writer = TextAutoencoder(words, latent_dim=8)
        >>> writer.encode(["a red kite"]).shape
        torch.Size([1, 8])
        >>> len(writer.write(torch.zeros(2, 8)))
        2
    """

    def __init__(
        self,
        vocabulary: Mapping[str, Any] | None = None,
        vocabulary_size: int = 2000,
        latent_dim: int = 64,
        hidden_dim: int = 256,
        reads: Literal["sentence", "tokens"] = "sentence",
        num_queries: int = 8,
        embedding_dim: int = 128,
        word_dropout: float = 0.3,
        dropout: float = 0.1,
        beta: float = 0.2,
        warmup: float = 0.3,
        max_length: int = 64,
        encoder: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        for name, value in (
            ("latent_dim", latent_dim),
            ("hidden_dim", hidden_dim),
            ("num_queries", num_queries),
            ("embedding_dim", embedding_dim),
            ("max_length", max_length),
        ):
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name}={value!r} must be a whole number of at least 1.")
        for name, share in (("word_dropout", word_dropout), ("dropout", dropout)):
            if not 0 <= share < 1:
                raise ConfigError(f"{name}={share} must lie in [0, 1).")
        if reads not in ("sentence", "tokens"):
            raise ConfigError(f'reads="{reads}" is unknown. Choose "sentence" or "tokens".')
        if beta < 0 or not 0 <= warmup <= 1:
            raise ConfigError(f"beta={beta} must be at least 0 and warmup={warmup} in [0, 1].")
        if vocabulary is None:
            raise ConfigError(
                "A text autoencoder needs the subwords it writes with. Let `globalworkspace "
                "fit-domain` make them from the training sentences, or give "
                "vocabulary=TextAutoencoder.train_vocabulary(sentences, size)."
            )
        self._settings: dict[str, Any] = {
            "vocabulary_size": vocabulary_size,
            "latent_dim": latent_dim,
            "hidden_dim": hidden_dim,
            "reads": reads,
            "num_queries": num_queries,
            "embedding_dim": embedding_dim,
            "word_dropout": word_dropout,
            "dropout": dropout,
            "beta": beta,
            "warmup": warmup,
            "max_length": max_length,
        }
        self.vocabulary = dict(vocabulary)
        self._words = _tokenizer(self.vocabulary)
        self.latent = LatentSpec.continuous(latent_dim, name="sentence")
        self.word_dropout, self.beta, self.warmup, self.max_length = (
            word_dropout,
            beta,
            warmup,
            max_length,
        )
        self.latent_dim, self.reads = latent_dim, reads
        frozen = BertDomain(**dict(encoder or {"model": DEFAULT_MODEL}))
        self.encoder = frozen
        if not frozen.stores_weights:  # fetched by name: no stored weight of this module
            self._register_state_dict_hook(_drop_encoder)  # type: ignore[no-untyped-call]
            self.register_load_state_dict_post_hook(_expect_no_encoder)  # type: ignore[no-untyped-call]
        size = self._words.get_vocab_size()
        questions = num_queries if reads == "tokens" else 1
        self.pooling = _Pooling(frozen.latent.dim, hidden_dim, questions, latent_dim)
        self.embedding = nn.Embedding(size, embedding_dim)
        self.start = nn.Linear(latent_dim, hidden_dim)
        self.recurrent = nn.GRU(embedding_dim + latent_dim, hidden_dim, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Sequential(
            nn.Linear(hidden_dim + latent_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, size),
        )
        self.eval()

    @staticmethod
    def train_vocabulary(sentences: Iterable[str], size: int = 2000) -> dict[str, Any]:
        """Byte-pair subwords of the sentences, every byte included so that any text can be read.

        Args:
            sentences: Training text.
            size: Number of subwords, at least 259 (256 bytes and 3 marks).

        Returns:
            The vocabulary as the `tokenizers` library describes it, JSON-able.

        Raises:
            ConfigError: If `size` is too small.
        """
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        if size < 256 + len(_SPECIAL):
            raise ConfigError(
                f"vocabulary_size={size} must be at least {256 + len(_SPECIAL)}: each byte is a "
                "subword, so that any text can be read."
            )
        words = Tokenizer(models.BPE())
        words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        words.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=list(_SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        words.train_from_iterator(iter(sentences), trainer)
        described: dict[str, Any] = json.loads(words.to_str())
        return described

    @classmethod
    def complete_config(cls, config: Mapping[str, Any], cells: Sequence[Any]) -> dict[str, Any]:
        """Make the vocabulary from the training sentences, where the settings give none."""
        settings = dict(config)
        if settings.get("vocabulary") is None:
            check_sentences(cells)
            settings["vocabulary"] = cls.train_vocabulary(
                cells, settings.get("vocabulary_size", 2000)
            )
        return settings

    def config(self) -> dict[str, Any]:
        """Settings, subwords and the frozen encoder's settings."""
        return self._settings | {"vocabulary": self.vocabulary, "encoder": self.encoder.config()}

    def fingerprint(self) -> str:
        """Digest of what decides the latents and sentences: settings, subwords and all weights."""
        settings = json.dumps([self._settings, self.vocabulary], sort_keys=True)
        digest = hashlib.sha256(f"{self.encoder.fingerprint()} {settings}".encode())
        for name, value in sorted(self.state_dict().items()):
            if not name.startswith("encoder."):
                digest.update(name.encode())
                digest.update(
                    value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
                )
        return digest.hexdigest()

    def train(self, mode: bool = True) -> TextAutoencoder:
        """Training mode for all but the frozen encoder."""
        super().train(mode)
        self.encoder.eval()
        return self

    def trainable_parameters(self) -> list[nn.Parameter]:
        """Everything but the frozen encoder."""
        return [p for name, p in self.named_parameters() if not name.startswith("encoder.")]

    cells_per_call = BertDomain.cells_per_call

    @torch.no_grad()
    def encode(self, raw: Sequence[str]) -> Tensor:
        """Sentences -> mean latents (B, latent_dim), in the order given.

        Raises:
            DomainError: If a cell is not a string.
        """
        check_sentences(raw)
        latents = torch.zeros(len(raw), self.latent_dim, device=self.start.weight.device)
        for rows, features, mask in self._features(raw):
            latents[rows.to(latents.device)] = self.pooling(features, mask)[0].float()
        return latents

    def decode(self, latents: Tensor) -> list[str]:
        """Latents (B, latent_dim) -> B sentences, the likeliest word each time."""
        return self.write(latents)

    @torch.no_grad()
    def write(
        self,
        latents: Tensor,
        *,
        temperature: float = 0.0,
        top_p: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> list[str]:
        """Write a sentence per latent, word by word.

        Args:
            latents: (B, latent_dim).
            temperature: 0: the likeliest subword each time; above: drawn, the flatter the higher.
            top_p: Draw among the likeliest subwords that together have this probability.
            generator: Source of the draws, on the CPU; default: the global one.

        Returns:
            B sentences.

        Raises:
            ConfigError: If `temperature` is negative or `top_p` not in (0, 1].
            DomainError: If the latents have another width.
        """
        if temperature < 0 or not 0 < top_p <= 1:
            raise ConfigError(
                f"temperature={temperature} must be at least 0 and top_p={top_p} in (0, 1]."
            )
        if latents.ndim != 2 or latents.shape[1] != self.latent_dim:
            raise DomainError(
                f"Latents of shape {tuple(latents.shape)} were given; this writer takes (batch, "
                f"{self.latent_dim})."
            )
        reference = self.start.weight
        written: list[str] = []
        for part in latents.to(reference.device, reference.dtype).split(512):
            written += self._write(part, temperature, top_p, generator)
        return written

    def _write(
        self, latents: Tensor, temperature: float, top_p: float, generator: torch.Generator | None
    ) -> list[str]:
        state = self.start(latents).tanh()[None]
        word = torch.full((len(latents),), BEGIN, device=latents.device)
        done = torch.zeros(len(latents), dtype=torch.bool, device=latents.device)
        words = []
        for _ in range(self.max_length):
            inputs = torch.cat([self.embedding(word), latents], dim=1)[:, None]
            hidden, state = self.recurrent(inputs, state)
            logits = self.output(torch.cat([hidden[:, 0], latents], dim=1)).float()
            logits[:, [PAD, BEGIN]] = -torch.inf
            word = _choose(logits, temperature, top_p, generator)
            word = word.where(~done, PAD)
            words.append(word)
            done |= word == END
            if done.all():
                break
        rows = torch.stack(words, dim=1).tolist()
        ends = [row.index(END) if END in row else len(row) for row in rows]
        return [
            str(self._words.decode(row[:end], skip_special_tokens=True))
            for row, end in zip(rows, ends, strict=True)
        ]

    def prepare(self, raw: Sequence[str], *, progress: bool = False) -> Sequence[Any]:
        """The frozen features of each sentence, in half precision; sentences, if they are too many.

        Raises:
            DomainError: If a cell is not a string.
        """
        check_sentences(raw)
        targets = self._targets(raw)
        one = self.reads == "sentence"
        tokens = sum(1 if one else len(target) for target in targets)
        if 2 * tokens * self.encoder.latent.dim > CACHE_BYTES:
            return raw
        features: list[Tensor] = [torch.empty(0)] * len(raw)
        with tqdm(
            total=len(raw), desc="encode", unit="sentence", disable=unwatched(progress), leave=False
        ) as bar:
            for rows, hidden, mask in self._features(raw):
                lengths = mask.sum(dim=1).tolist()
                for row, values, length in zip(rows.tolist(), hidden, lengths, strict=True):
                    features[row] = values[:length].half().cpu()
                bar.update(len(rows))
        return [PreparedSentence(f, t) for f, t in zip(features, targets, strict=True)]

    def unimodal_loss(
        self, raw: Sequence[Any], progress: float, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Negative log likelihood of the words and weighted divergence, (B,) each, in nats.

        Args:
            raw: Sentences, or what `prepare` made of them.
            progress: Share of the training done; the divergence is weighted up with it.
            generator: Source of noise and word dropout.
        """
        features, mask, targets = self._inputs(raw)
        mean, logvar = self.pooling(features, mask)
        noise = torch.randn(mean.shape, generator=generator).to(mean)
        latents = mean + noise * (0.5 * logvar).exp()
        reconstruction = self._likelihood(latents, targets, generator)
        divergence = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(dim=1)
        rise = min(1.0, progress / self.warmup) if self.warmup else 1.0
        return {
            "reconstruction": reconstruction,
            "divergence": self.beta * rise * divergence,
        }

    def render(self, raw: Sequence[str]) -> list[Rendering]:
        """Each sentence as plain text."""
        return self.encoder.render(raw)

    def save_assets(self, folder: Path) -> None:
        """Write the tokenizer of a frozen encoder that is stored here."""
        self.encoder.save_assets(folder)

    def load_assets(self, folder: Path) -> None:
        """Read it back."""
        self.encoder.load_assets(folder)

    def _features(self, raw: Sequence[str]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """As `BertDomain.token_batches`; a pooled sentence counts as one token."""
        if self.reads == "tokens":
            yield from self.encoder.token_batches(raw)
            return
        for rows in torch.arange(len(raw)).split(8 * self.encoder.batch_size):
            pooled = self.encoder.encode([raw[i] for i in rows.tolist()])[:, None]
            yield rows, pooled, torch.ones(pooled.shape[:2], dtype=torch.bool, device=pooled.device)

    def _targets(self, sentences: Sequence[str]) -> list[Tensor]:
        """Subwords (S,) of each sentence, the end included."""
        encoded = self._words.encode_batch([str(text) for text in sentences])
        return [torch.tensor([*ids.ids[: self.max_length - 1], END]) for ids in encoded]

    def _inputs(self, raw: Sequence[Any]) -> tuple[Tensor, Tensor, Tensor]:
        """Token features (B, T, hidden), their mask (B, T), and targets (B, S) padded with PAD."""
        cells = raw if isinstance(raw[0], PreparedSentence) else self.prepare(raw)
        device = self.start.weight.device
        features = nn.utils.rnn.pad_sequence([c.features for c in cells], batch_first=True)
        lengths = torch.tensor([len(c.features) for c in cells])
        mask = torch.arange(features.shape[1]) < lengths[:, None]
        targets = nn.utils.rnn.pad_sequence(
            [c.target for c in cells], batch_first=True, padding_value=PAD
        )
        return features.to(device, torch.float32), mask.to(device), targets.to(device)

    def _likelihood(self, latents: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
        """(B,): negative log likelihood of the targets given the latents, every word summed."""
        before = torch.cat([torch.full_like(targets[:, :1], BEGIN), targets[:, :-1]], dim=1)
        words = self.embedding(before)
        if self.training and self.word_dropout:
            kept = torch.rand(before.shape, generator=generator).to(words) >= self.word_dropout
            words = words * kept[:, :, None]
        spread = latents[:, None].expand(-1, targets.shape[1], -1)
        hidden, _ = self.recurrent(
            torch.cat([words, spread], dim=2), self.start(latents).tanh()[None]
        )
        logits = self.output(torch.cat([self.dropout(hidden), spread], dim=2))
        return (
            F.cross_entropy(
                logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, reduction="none"
            )
            .view_as(targets)
            .sum(dim=1)
        )

    def _apply(self, fn: Any, recurse: bool = True) -> TextAutoencoder:
        """Moves go to all weights; a change of dtype spares an encoder that is fetched by name."""
        if self.encoder.stores_weights:
            super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
            return self

        def move_only(value: Tensor) -> Tensor:
            moved: Tensor = fn(value)
            return moved if moved.dtype == value.dtype else value.to(moved.device)

        frozen = self.encoder
        del self.encoder
        try:
            super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        finally:
            self.encoder = frozen
        frozen._apply(move_only, recurse)
        return self


class _Pooling(nn.Module):
    """Token features (B, T, F) -> mean and log variance (B, Z), asked by learned questions."""

    def __init__(self, in_dim: int, hidden_dim: int, num_queries: int, latent_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(in_dim)
        self.key = nn.Linear(in_dim, hidden_dim)
        self.value = nn.Linear(in_dim, hidden_dim)
        self.query = nn.Parameter(torch.randn(num_queries, hidden_dim))
        self.head = nn.Sequential(
            nn.Linear(num_queries * hidden_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, 2 * latent_dim),
        )

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        features = self.norm(features)
        queries = self.query.expand(len(features), -1, -1)
        pooled = F.scaled_dot_product_attention(
            queries, self.key(features), self.value(features), attn_mask=mask[:, None, :]
        )
        mean, logvar = self.head(pooled.flatten(1)).chunk(2, dim=1)
        return mean, logvar.clamp(-10, 5)


def _drop_encoder(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}encoder.")]:
        del state[name]


def _expect_no_encoder(module: nn.Module, keys: Any) -> None:
    keys.missing_keys[:] = [n for n in keys.missing_keys if not n.startswith("encoder.")]


def _choose(
    logits: Tensor, temperature: float, top_p: float, generator: torch.Generator | None
) -> Tensor:
    """Logits (B, V) -> one subword each, (B,) int64."""
    if temperature == 0:
        return logits.argmax(dim=1)
    chances = (logits / temperature).softmax(dim=1).cpu()
    if top_p < 1:
        ordered, order = chances.sort(dim=1, descending=True)
        beyond = ordered.cumsum(dim=1) - ordered >= top_p
        chances = torch.zeros_like(chances).scatter(1, order, ordered.masked_fill(beyond, 0.0))
    return torch.multinomial(chances, 1, generator=generator)[:, 0].to(logits.device)


def _tokenizer(vocabulary: Mapping[str, Any]) -> Any:
    from tokenizers import Tokenizer

    try:
        words = Tokenizer.from_str(json.dumps(vocabulary))
    except Exception as error:  # the library raises a bare Exception
        raise ConfigError(
            f"`vocabulary` is no tokenizer description: {error}. Make one with "
            "TextAutoencoder.train_vocabulary(sentences, size)."
        ) from error
    if [words.token_to_id(mark) for mark in _SPECIAL] != [PAD, BEGIN, END]:
        raise ConfigError(
            f"`vocabulary` must begin with the marks {', '.join(_SPECIAL)}. Make one with "
            "TextAutoencoder.train_vocabulary(sentences, size)."
        )
    return words
