"""Real files, damaged in the middle of a folder: file and row are named, or passed over."""

import struct
import time
import zlib

import pytest
import torch
from core_domains import Vector

from globalworkspace import Table, encode_table
from globalworkspace.errors import DomainError

NUMBER = 12


def cut(content):
    return content[: len(content) // 2]


def empty(content):
    return b""


def beginning(content):
    return content[:3]


def of_another_kind(content):
    return b"<html>404 Not Found</html>"


def zeroed(content):
    """As after a power cut: the size is right, the blocks never came."""
    return bytes(len(content))


def too_large(content):
    """A PNG of some bytes that declares 100,000 x 100,000 pixels."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


PICTURES = [cut, empty, beginning, of_another_kind, zeroed, too_large]
SOUNDS = [cut, empty, beginning, of_another_kind, zeroed]


def encoded(module, files, **options):
    """Latents of a table of `files` and numbers; never longer than half a minute."""
    table = Table.from_columns({"seen": files, "number": torch.arange(2.0 * NUMBER).view(-1, 2)})
    began = time.monotonic()
    try:
        return encode_table(
            {"seen": module, "number": Vector(2)}, table, batch_size=4, progress=False, **options
        )
    finally:
        assert time.monotonic() - began < 30


def check(module, files, bad):
    """Stopping names the first bad file and its row, skipping all the rows; the rest is as ever."""
    with pytest.raises(DomainError) as stopped:
        encoded(module, files)
    said = str(stopped.value)
    assert '"seen"' in said and f"row {bad[0]}" in said and files[bad[0]].name in said, said
    told = ", ".join(map(str, bad))
    with pytest.warns(UserWarning, match=rf'"seen": {len(bad)} of {NUMBER} cells .* row {told}\.'):
        latents = encoded(module, files, unreadable="skip")
    column = latents["seen"]
    assert (~column.present).nonzero().flatten().tolist() == bad
    good = [file for row, file in enumerate(files) if row not in bad]
    assert torch.allclose(column.cells[column.first[column.present]], module.encode(good))


@pytest.fixture(scope="module")
def picture_vae():
    module = pytest.importorskip("globalworkspace_vision.image_vae").ImageVAE(
        picture_size=16, latent_dim=4, widths=(4, 8), hidden_dim=8
    )
    return module.eval().requires_grad_(False)


@pytest.mark.parametrize("damage", PICTURES)
@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "gif"])
def test_pictures(ending, damage, tmp_path, picture_vae):
    image = pytest.importorskip("PIL.Image")
    files = [tmp_path / f"{row:03d}.{ending}" for row in range(NUMBER)]
    for row, file in enumerate(files):
        pixels = torch.randint(0, 255, (24, 24, 3), generator=torch.Generator().manual_seed(row))
        image.fromarray(pixels.to(torch.uint8).numpy()).save(file)
    for row in (5, 6, 9):
        files[row].write_bytes(damage(files[row].read_bytes()))
    check(picture_vae, files, [5, 6, 9])


@pytest.fixture(scope="module")
def sound_vae():
    module = pytest.importorskip("globalworkspace_audio.spectrogram_vae").SpectrogramVAE(
        latent_dim=4
    )
    return module.eval().requires_grad_(False)


@pytest.mark.parametrize("damage", SOUNDS)
@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
def test_sounds(ending, damage, tmp_path, sound_vae):
    soundfile = pytest.importorskip("soundfile")
    files = [tmp_path / f"{row:03d}.{ending}" for row in range(NUMBER)]
    for row, file in enumerate(files):
        wave = torch.sin(torch.arange(8000) * (0.02 + 0.01 * row)) / 2
        soundfile.write(file, wave.numpy(), 16_000)
    for row in (5, 6, 9):
        files[row].write_bytes(damage(files[row].read_bytes()))
    check(sound_vae, files, [5, 6, 9])
