from __future__ import annotations

from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper of two small layers that reads 2 s, as a user's own folder."""
    from transformers import WhisperConfig, WhisperModel

    folder = tmp_path_factory.mktemp("my-secret-place")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        config = WhisperConfig(
            d_model=16,
            encoder_layers=2,
            encoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_layers=1,
            decoder_attention_heads=2,
            decoder_ffn_dim=32,
            vocab_size=50,
            max_source_positions=100,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=1,
            begin_suppress_tokens=None,
        )
        WhisperModel(config).save_pretrained(folder)
    return folder
