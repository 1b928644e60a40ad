"""Encoder weights out of CTranslate2's `model.bin`, the form in which packages ship Whisper.

The file is a list of named tensors: a header (version, spec, revision, count), then per tensor its
name, rank, sizes, type and bytes, all little-endian. Only the encoder is kept, in the names that
transformers gives it.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from globalworkspace.errors import DomainError

MODEL_FILE = "model.bin"
_TYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}
_FLOATS = (0, 4)

_LAYER_NAMES = {
    "self_attention/layer_norm/gamma": "self_attn_layer_norm.weight",
    "self_attention/layer_norm/beta": "self_attn_layer_norm.bias",
    "self_attention/linear_1/weight": "self_attn.out_proj.weight",
    "self_attention/linear_1/bias": "self_attn.out_proj.bias",
    "ffn/layer_norm/gamma": "final_layer_norm.weight",
    "ffn/layer_norm/beta": "final_layer_norm.bias",
    "ffn/linear_0/weight": "fc1.weight",
    "ffn/linear_0/bias": "fc1.bias",
    "ffn/linear_1/weight": "fc2.weight",
    "ffn/linear_1/bias": "fc2.bias",
}
_OUTER_NAMES = {
    "conv1/weight": "conv1.weight",
    "conv1/bias": "conv1.bias",
    "conv2/weight": "conv2.weight",
    "conv2/bias": "conv2.bias",
    "position_encodings/encodings": "embed_positions.weight",
    "layer_norm/gamma": "layer_norm.weight",
    "layer_norm/beta": "layer_norm.bias",
}


def read_whisper_encoder(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The encoder in a CTranslate2 file.

    Args:
        file: A `model.bin` of Whisper in float32 or float16.

    Returns:
        (settings of a transformers `WhisperConfig`, state dict of its encoder in float32).

    Raises:
        DomainError: If the file is damaged, quantised or holds another model.
    """
    try:
        tensors = _read_tensors(file)
    except (struct.error, ValueError, UnicodeDecodeError) as error:
        raise DomainError(
            f'"{file}" cannot be read as weights of CTranslate2: {error}. Install or convert it '
            "again."
        ) from error
    state: dict[str, Tensor] = {}
    for name, value in tensors.items():
        inside = name.removeprefix("encoder/")
        if inside in _OUTER_NAMES:
            state[_OUTER_NAMES[inside]] = value
        elif found := re.match(r"layer_(\d+)/(.+)", inside):
            layer, part = f"layers.{found[1]}.", found[2]
            if part in _LAYER_NAMES:
                state[layer + _LAYER_NAMES[part]] = value
            elif part.startswith("self_attention/linear_0/"):
                state |= _split_attention(layer, part.rpartition("/")[2], value)
    if "conv1.weight" not in state or "encoder/num_heads" not in tensors:
        raise DomainError(f'"{file}" holds no Whisper encoder; found {sorted(tensors)[:3]}, ….')
    width, bands = state["conv1.weight"].shape[:2]
    config = {
        "d_model": int(width),
        "num_mel_bins": int(bands),
        "encoder_layers": 1 + max(int(k.split(".")[1]) for k in state if k.startswith("layers.")),
        "encoder_attention_heads": int(tensors["encoder/num_heads"]),
        "encoder_ffn_dim": int(state["layers.0.fc1.bias"].shape[0]),
        "max_source_positions": int(state["embed_positions.weight"].shape[0]),
    }
    return config, state


def _split_attention(layer: str, kind: str, value: Tensor) -> dict[str, Tensor]:
    """Query, key and value, which CTranslate2 stacks; Whisper's key has no bias."""
    names = ("q_proj", "k_proj", "v_proj")
    return {
        f"{layer}self_attn.{name}.{kind}": piece.clone()
        for name, piece in zip(names, value.chunk(3), strict=True)
        if (name, kind) != ("k_proj", "bias")
    }


def _read_tensors(file: Path) -> dict[str, Tensor]:
    """Name -> tensor of the encoder."""
    tensors: dict[str, Tensor] = {}
    with file.open("rb") as stream:

        def number(form: str) -> int:
            data = stream.read(struct.calcsize("<" + form))
            return int(struct.unpack("<" + form, data)[0])

        def text() -> str:
            return stream.read(number("H"))[:-1].decode()  # the last byte is 0

        number("I")  # version of the file format
        if text() != "WhisperSpec":
            raise ValueError("it is no Whisper model")
        number("I")  # revision of the model
        for _ in range(number("I")):
            name, rank = text(), number("B")
            shape = [number("I") for _ in range(rank)]
            kind, size = number("B"), number("I")
            data = stream.read(size)
            if not name.startswith("encoder/"):
                continue
            if len(data) != size:
                raise ValueError("it ends too early")
            if kind not in _TYPES or (rank > 0 and kind not in _FLOATS):
                raise ValueError(f"{name} is quantised; float16 or float32 is needed")
            values = np.frombuffer(data, _TYPES[kind]).reshape(shape)
            tensors[name] = torch.from_numpy(values.astype(np.float32))
    return tensors
