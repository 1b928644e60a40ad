from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from globalworkspace_audio import plugin
from globalworkspace_audio.log_mel import LogMel
from globalworkspace_audio.spectrogram_vae import SpectrogramVAE
from globalworkspace_audio.vae import spectrogram_vae_loss

from globalworkspace.cli import main
from globalworkspace.domain import Decodes, Renders, Trainable, encode_checked
from globalworkspace.errors import ConfigError, DomainError
from globalworkspace.pretrained import load_domain, save_domain
from globalworkspace.registry import PluginRecord, Registry

RATE = 8000


def _sounds(count: int = 7, seconds: float = 0.25, channels: int = 2) -> torch.Tensor:
    """Tones of different pitch, loudness and side."""
    generator = torch.Generator().manual_seed(1)
    pitch = 200 + 1500 * torch.rand(count, 1, 1, generator=generator)
    gains = 0.05 + 0.5 * torch.rand(count, channels, 1, generator=generator)
    return gains * torch.sin(2 * torch.pi * pitch * torch.arange(int(seconds * RATE)) / RATE)


@pytest.fixture
def vae() -> SpectrogramVAE:
    torch.manual_seed(0)
    return SpectrogramVAE(
        sample_rate=RATE,
        seconds=0.25,
        mels=16,
        channels=2,
        latent_dim=5,
        window=256,
        widths=(4, 8),
        hidden_dim=16,
        batch_size=3,
        griffin_lim_steps=4,
    )


def _front() -> LogMel:
    return LogMel(sample_rate=RATE, mels=32, window=512, hop=128, frames=16)


def test_spectrograms_agree_with_librosa() -> None:
    sounds = _sounds(3)
    front = _front()
    ours = front(sounds)
    padded = np.pad(sounds.numpy(), [(0, 0), (0, 0), (0, 16 * 128 - sounds.shape[2])])
    power = librosa.feature.melspectrogram(
        y=padded, sr=RATE, n_fft=512, hop_length=128, n_mels=32, norm=None, pad_mode="constant"
    )[..., :16]
    decibels = 10 * np.log10(np.maximum(power / 128**2, 1e-12))
    expected = torch.from_numpy(np.clip(1 + decibels / 80, 0, 1)).float()
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)


def test_a_full_sine_is_1_and_silence_is_0() -> None:
    time = torch.arange(2048) / RATE
    loud = _front()(torch.sin(2 * torch.pi * 1000 * time)[None, None])
    assert loud[:, :, :, 4:12].max() == pytest.approx(1.0, abs=0.03)
    assert _front()(torch.zeros(1, 1, 2048)).max() == 0


def test_griffin_lim_finds_a_sound_with_nearly_the_same_spectrogram() -> None:
    front, sounds = _front(), _sounds(4)
    wanted = front(sounds)
    again = front(front.invert(wanted, sounds.shape[2]))
    heard = wanted > 0.6  # within 32 dB of full amplitude
    error = (again - wanted)[heard].square().mean().sqrt()
    assert float(error) < 0.05  # 4 dB
    assert torch.equal(front.invert(wanted, 2000), front.invert(wanted, 2000))
    assert front.invert(torch.zeros(1, 1, 32, 16), 2000).abs().max() < 1e-3


def test_what_was_silent_beside_a_loud_tone_stays_silent() -> None:
    front, sounds = _front(), _sounds(4)
    wanted = front(sounds)
    again = front(front.invert(wanted, sounds.shape[2]))
    noise = again[wanted == 0].mean()
    assert float(noise) < 0.05  # under -76 dB; least squares leaves some -60

    power = 10 ** ((1 - wanted[0].numpy()) * -8) * (wanted[0].numpy() > 0)
    magnitude = librosa.feature.inverse.mel_to_stft(power, sr=RATE, n_fft=512, norm=None)
    samples = librosa.griffinlim(magnitude * 128, hop_length=128, n_fft=512, random_state=0)
    least_squares = front(torch.from_numpy(samples.astype(np.float32))[None, :, :2000])
    silent = wanted[:1] == 0
    assert least_squares[silent].mean() > 2 * again[:1][silent].mean()


def test_bands_without_a_frequency_are_refused() -> None:
    with pytest.raises(ConfigError, match="mels=128 with window=128.*Use fewer mels"):
        SpectrogramVAE(sample_rate=RATE, mels=128, window=128)


def test_latents_are_posterior_means_and_decode_to_sounds(vae: SpectrogramVAE) -> None:
    assert isinstance(vae, Decodes) and isinstance(vae, Trainable) and isinstance(vae, Renders)
    sounds = _sounds()
    latents = encode_checked("sound", vae.eval(), sounds, range(7))
    torch.testing.assert_close(latents, vae.vae.encode(vae.spectrograms(sounds))[0].detach())
    decoded = vae.decode(latents[:2])
    assert decoded.shape == (2, 2, 2000) and decoded.dtype == torch.float32
    assert vae.encode([]).shape == (0, 5) and vae.decode(torch.zeros(0, 5)).shape == (0, 2, 2000)
    assert [shown.media_type for shown in vae.render(decoded)] == ["audio/wav"] * 2


def test_cells_in_a_list_and_in_a_tensor_give_the_same_latents(vae: SpectrogramVAE) -> None:
    sounds = _sounds()
    torch.testing.assert_close(vae.encode(list(sounds)), vae.encode(sounds))
    with pytest.raises(DomainError, match="Sound 6 of the batch"):
        vae.encode([*sounds[:6], None])


def test_mono_ignores_the_side_and_stereo_hears_it(vae: SpectrogramVAE) -> None:
    mono = SpectrogramVAE.from_config(vae.config() | {"channels": 1})
    sounds = _sounds(2)
    torch.testing.assert_close(mono.encode(sounds), mono.encode(sounds.flip(1)))
    assert (vae.encode(sounds) - vae.encode(sounds.flip(1))).abs().max() > 1e-3


def test_the_config_builds_the_same_module_and_it_is_saved(
    vae: SpectrogramVAE, tmp_path: Path
) -> None:
    again = SpectrogramVAE.from_config(json.loads(json.dumps(vae.config())))
    again.load_state_dict(vae.state_dict())
    assert again.config() == vae.config() and again.fingerprint() == vae.fingerprint()
    save_domain(vae, tmp_path / "sound")
    loaded = load_domain(tmp_path / "sound")
    assert isinstance(loaded, SpectrogramVAE)
    assert torch.equal(loaded.encode(_sounds()), vae.encode(_sounds()))


def test_the_loss_by_hand() -> None:
    target = torch.zeros(2, 2, 4, 4)
    guess = torch.zeros(2, 2, 4, 4)
    guess[0] = 0.1  # the same in both channels
    guess[1, 1] = 0.1  # in the right one only
    mean, logvar = torch.tensor([[0.0, 2.0]] * 2), torch.zeros(2, 2)
    terms = spectrogram_vae_loss(
        target, guess, mean, logvar, beta=0.5, pooled_weights={2: 4.0}, sides_weight=3.0
    )
    expected = {
        "bins": [10.0, 5.0],
        "pooled": [10.0, 5.0],
        "sides": [0.0, 30.0],
        "kl": [1.0, 1.0],
    }
    for name, values in expected.items():
        torch.testing.assert_close(terms[name], torch.tensor(values))
    mono = spectrogram_vae_loss(target[:, :1], guess[:, :1], mean, logvar, beta=0.5)
    assert mono["sides"].abs().max() == 0


def test_the_loss_is_one_value_a_sound_and_takes_what_prepare_made(vae: SpectrogramVAE) -> None:
    sounds = _sounds()
    prepared = vae.prepare(list(sounds))
    assert prepared.shape == (7, 2, 16, vae.front.frames)

    def terms(raw: torch.Tensor, progress: float) -> dict[str, torch.Tensor]:
        return vae.unimodal_loss(raw, progress, torch.Generator().manual_seed(2))

    assert all(value.shape == (7,) for value in terms(sounds, 0.5).values())
    assert terms(sounds, 0.0)["kl"].abs().max() == 0
    torch.testing.assert_close(terms(sounds, vae.beta_warmup / 2)["kl"] * 2, terms(sounds, 1)["kl"])
    torch.testing.assert_close(terms(prepared, 0.5)["bins"], terms(sounds, 0.5)["bins"])


def test_training_brings_the_loss_down(vae: SpectrogramVAE) -> None:
    optimizer = torch.optim.AdamW(vae.parameters(), lr=3e-3)
    generator, prepared = torch.Generator().manual_seed(0), vae.prepare(_sounds())
    losses = []
    for step in range(80):
        terms = vae.unimodal_loss(prepared, step / 80, generator)
        loss = torch.stack(list(terms.values())).sum(0).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


def test_gradients_reach_latents_through_the_spectrograms(vae: SpectrogramVAE) -> None:
    latents = torch.zeros(2, 5, requires_grad=True)
    vae.requires_grad_(False).decode_spectrograms(latents).sum().backward()
    assert latents.grad is not None and latents.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"mels": 18}, "mels=18 cannot be halved"),
        ({"sample_rate": 8000.5}, "sample_rate=8000.5"),
        ({"channels": 3}, "channels=3"),
        ({"seconds": 0}, "seconds=0"),
        ({"hop": 600}, "hop=600"),
        ({"beta": -1}, "beta=-1"),
        ({"floor_db": 3}, "floor_db=3"),
    ],
)
def test_a_wrong_setting_is_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SpectrogramVAE(**({"mels": 16, "widths": (4, 8)} | wrong))  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty short sounds of two rates with a metadata file."""
    home = tmp_path / "sounds"
    home.mkdir()
    lines = ["file_name,label"]
    for number, sound in enumerate(_sounds(30)):
        rate = RATE if number % 2 else 2 * RATE
        ending = ("wav", "flac", "ogg")[number % 3]
        soundfile.write(home / f"{number}.{ending}", sound.T.numpy(), rate)
        lines.append(f"{number}.{ending},{'even' if number % 2 else 'odd'}")
    (home / "metadata.csv").write_text("\n".join(lines) + "\n")
    return home


CONFIG = """
[data]
kind = "folder"
path = "{folder}"

[domain]
kind = "spectrogram-vae"
column = "file_name"
sample_rate = 8000
seconds = 0.25
mels = 16
channels = 2
latent_dim = 4
window = 256
widths = [4, 8]
hidden_dim = 16
griffin_lim_steps = 2

[training]
steps = 6
batch_size = 8
sheet_items = 2
"""


@pytest.mark.filterwarnings("ignore:Domain .* latent dimensions are dead")
def test_fit_domain_reads_a_folder_of_sounds(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "sound.toml").write_text(CONFIG.format(folder=folder))
    out = tmp_path / "run"
    assert main(["fit-domain", str(tmp_path / "sound.toml"), "--out", str(out), "--quiet"]) == 0
    fitted = load_domain(out / "domain")
    assert fitted.encode([folder / "0.wav"]).shape == (1, 4)
    assert "<audio controls" in (out / "reconstructions.html").read_text()


TRAIN = """
[data]
kind = "{kind}"
path = "{path}"

[domains.sound]
pretrained = "{pretrained}"
column = "file_name"

[domains.heard]
kind = "whisper"
model = "{whisper}"
column = "file_name"

[workspace]
dim = 8

[training]
steps = 4
batch_size = 8
"""


@pytest.mark.filterwarnings("ignore:Domain .* latent dimensions are dead")
@pytest.mark.parametrize("kind", ["folder", "table"])
def test_train_and_translate_read_files_of_a_folder_or_a_table(
    kind: str,
    folder: Path,
    tiny_whisper: Path,
    vae: SpectrogramVAE,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_domain(vae, tmp_path / "domain")
    path = folder
    if kind == "table":  # a table's paths are those of the working folder
        path = tmp_path / "table.csv"
        files = sorted(file for file in folder.iterdir() if file.suffix != ".csv")
        path.write_text("\n".join(["file_name", *map(str, files)]) + "\n")
    config = TRAIN.format(
        kind=kind, path=path, pretrained=tmp_path / "domain", whisper=tiny_whisper
    )
    (tmp_path / "both.toml").write_text(config)
    out = tmp_path / "run"
    assert main(["train", str(tmp_path / "both.toml"), "--out", str(out), "--quiet"]) == 0
    capsys.readouterr()
    request = f"heard={folder / '0.wav'}"
    assert main(["translate", str(out), "--from", request, "--to", "sound"]) == 0
    written = Path(capsys.readouterr().out.strip())
    assert written.suffix == ".wav"
    assert soundfile.info(written).samplerate == RATE


def test_a_broken_file_in_a_folder_is_named_with_its_row(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "3.wav").write_bytes(b"nonsense")
    (tmp_path / "sound.toml").write_text(CONFIG.format(folder=folder))
    code = main(["fit-domain", str(tmp_path / "sound.toml"), "--out", str(tmp_path / "run")])
    assert code == 2 and "3.wav" in capsys.readouterr().err


def test_the_plugin_announces_both_kinds_and_imports_nothing_heavy() -> None:
    registry = Registry()
    record = PluginRecord(
        name="audio", distribution="globalworkspace-audio", version="0", module=plugin.__name__
    )
    registry.add(plugin, record)
    assert registry.plugins[0].error is None
    assert registry.load("domain", "spectrogram-vae") is SpectrogramVAE
    assert registry.load("domain", "whisper").__name__ == "WhisperDomain"
    code = (
        "import sys, globalworkspace_audio.plugin;"
        "sys.exit(bool({'torch', 'librosa', 'transformers'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
