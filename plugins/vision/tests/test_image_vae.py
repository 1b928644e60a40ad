from __future__ import annotations

import json

import pytest
import torch
from globalworkspace_vision.image_vae import ImageVAE

from globalworkspace.domain import Decodes, Renders, Trainable, encode_checked
from globalworkspace.errors import ConfigError, DomainError


@pytest.fixture
def vae() -> ImageVAE:
    torch.manual_seed(0)
    return ImageVAE(picture_size=16, latent_dim=5, widths=(4, 8), hidden_dim=16, batch_size=3)


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(7, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_latents_are_posterior_means_and_decode_to_pictures(
    vae: ImageVAE, pictures: torch.Tensor
) -> None:
    assert isinstance(vae, Decodes) and isinstance(vae, Trainable) and isinstance(vae, Renders)
    latents = encode_checked("photo", vae, pictures, range(7))
    torch.testing.assert_close(latents, vae.vae.encode(pictures)[0].detach())
    decoded = vae.decode(latents)
    assert decoded.shape == (7, 3, 16, 16) and 0 <= decoded.min() and decoded.max() <= 1
    assert vae.encode([]).shape == (0, 5)
    assert len(vae.render(decoded)) == 7


def test_cells_in_a_list_and_in_a_tensor_give_the_same_latents(
    vae: ImageVAE, pictures: torch.Tensor
) -> None:
    torch.testing.assert_close(vae.encode(list(pictures)), vae.encode(pictures))
    with pytest.raises(DomainError, match="Picture 6 of the batch"):
        vae.encode([*pictures[:6], None])


def test_the_config_builds_the_same_module(vae: ImageVAE, pictures: torch.Tensor) -> None:
    config = json.loads(json.dumps(vae.config()))
    again = ImageVAE.from_config(config)
    again.load_state_dict(vae.state_dict())
    assert again.config() == vae.config() and again.fingerprint() == vae.fingerprint()
    assert torch.equal(again.encode(pictures), vae.encode(pictures))


def test_the_loss_is_one_value_a_picture_and_beta_rises(
    vae: ImageVAE, pictures: torch.Tensor
) -> None:
    def terms(progress: float) -> dict[str, torch.Tensor]:
        return vae.unimodal_loss(pictures, progress, torch.Generator().manual_seed(2))

    assert all(value.shape == (7,) for value in terms(0.5).values())
    assert terms(0.0)["kl"].abs().max() == 0
    torch.testing.assert_close(terms(vae.beta_warmup / 2)["kl"] * 2, terms(1.0)["kl"])
    torch.testing.assert_close(terms(0.0)["pixels"], terms(1.0)["pixels"])


def test_training_brings_the_loss_down(vae: ImageVAE, pictures: torch.Tensor) -> None:
    optimizer = torch.optim.AdamW(vae.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for step in range(60):
        loss = (
            torch.stack(list(vae.unimodal_loss(pictures, step / 60, generator).values()))
            .sum(0)
            .mean()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_gradients_reach_latents_through_the_decoder(vae: ImageVAE) -> None:
    latents = torch.zeros(2, 5, requires_grad=True)
    vae.requires_grad_(False).decode(latents).sum().backward()
    assert latents.grad is not None and latents.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "wrong", [{"picture_size": 18}, {"beta": -1}, {"beta_warmup": 2}, {"resize": "x"}]
)
def test_a_wrong_setting_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ImageVAE(**({"picture_size": 16, "widths": (4, 8)} | wrong))  # type: ignore[arg-type]
