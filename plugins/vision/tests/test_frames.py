from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from globalworkspace_vision.frames import FramesDomain, evenly
from globalworkspace_vision.pictures import to_png
from PIL import Image, ImageSequence
from torch import Tensor

from globalworkspace import DomainModule, GlobalWorkspace, LatentSpec, load_domain, save_domain
from globalworkspace.components import load_table
from globalworkspace.domain import Decodes
from globalworkspace.errors import ConfigError, DomainError, PluginError
from globalworkspace.latents import unpack_sequence
from globalworkspace.pretrained import build_domain
from globalworkspace.testing import DomainConformance

VAE = {"kind": "image-vae", "picture_size": 16, "latent_dim": 5, "widths": [4, 8]}
SMALL = {**VAE, "hidden_dim": 16}
TIMM = {"kind": "timm", "model": "test_efficientnet", "weights": "none", "seed": 1}


def build(**settings: Any) -> FramesDomain:
    torch.manual_seed(0)
    return FramesDomain(**({"frame": SMALL, "max_frames": 4} | settings)).eval()  # type: ignore[arg-type]


def clip(length: int, seed: int = 0, size: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (length, 3, size, size), generator=generator, dtype=torch.uint8)


class TestMeanOfFrames(DomainConformance):
    @pytest.fixture
    def module(self) -> FramesDomain:
        return build()

    @pytest.fixture
    def batch(self) -> list[Tensor]:
        return [clip(2, 1), clip(4, 2), clip(6, 3)]


class TestSequenceOfFrames(TestMeanOfFrames):
    @pytest.fixture
    def module(self) -> FramesDomain:
        return build(pooling="none", batch_size=1)


class TestSequenceOfTimmFrames(TestMeanOfFrames):
    @pytest.fixture
    def module(self) -> FramesDomain:
        return build(pooling="none", frame=TIMM, max_frames=3)


def test_the_mean_of_the_frames_latents_does_not_know_their_order() -> None:
    domain, forward = build(), clip(4)
    expected = domain.frame.encode(forward).mean(dim=0)
    found = domain.encode([forward, forward.flip(0)])
    torch.testing.assert_close(found, expected.expand(2, -1))


def test_the_sequence_holds_each_frame_in_order_and_zeros_behind_them() -> None:
    domain, short = build(pooling="none"), clip(2)
    values, mask = unpack_sequence(domain.encode([short, short.flip(0)]), 5)
    own = domain.frame.encode(short)
    torch.testing.assert_close(values[0, :2], own)
    torch.testing.assert_close(values[1, :2], own.flip(0))
    assert mask.tolist() == [[1, 1, 0, 0]] * 2 and not values[:, 2:].any()


def test_of_a_long_clip_evenly_spaced_frames_are_taken() -> None:
    assert evenly(10, 4) == [0, 3, 6, 9]
    assert evenly(2, 1) == [0] and evenly(4, 4) == [0, 1, 2, 3]
    long = clip(10)
    domain = build(pooling="none")
    torch.testing.assert_close(domain.encode([long]), domain.encode([long[[0, 3, 6, 9]]]))


def test_a_tensor_a_list_of_pictures_a_folder_and_an_animation_are_all_clips(
    tmp_path: Path,
) -> None:
    frames, domain = clip(3), build(pooling="none")
    for number, frame in enumerate(frames):
        (tmp_path / f"{number:03}.png").write_bytes(to_png(frame))
    (tmp_path / "notes.txt").write_text("no frame")
    pictures = [Image.open(tmp_path / f"{number:03}.png") for number in range(3)]
    animation = tmp_path / "clip.webp"
    pictures[0].save(animation, save_all=True, append_images=pictures[1:], lossless=True)
    animation = animation.rename(tmp_path.parent / f"{tmp_path.name}.webp")
    array = frames.permute(0, 2, 3, 1).numpy()
    found = domain.encode([frames, list(frames), pictures, array, tmp_path, animation])
    for picture in pictures:
        picture.close()
    torch.testing.assert_close(found, found[:1].expand_as(found))
    torch.testing.assert_close(domain.encode(frames[None]), found[:1])
    assert domain.encode([]).shape == (0, 24)


def test_clips_as_folders_are_read_by_the_data_set_folder(tmp_path: Path) -> None:
    frames = {"rise": clip(3, 1), "fall": clip(2, 2)}
    for name, pictures in frames.items():
        (tmp_path / name).mkdir()
        for number, picture in enumerate(pictures):
            (tmp_path / name / f"{number:03d}.png").write_bytes(to_png(picture))
    (tmp_path / "metadata.csv").write_text("file_name,way\nrise,up\nfall,down\n")
    settings = {"kind": "folder", "path": str(tmp_path)}
    table = load_table(settings, {"clip": "file_name", "way": "way"}, "[data]")
    found = build().encode(table["clip"].take(torch.arange(2)))
    assert torch.allclose(found, build().encode(list(frames.values())), atol=1e-5)


def test_frames_of_several_sizes_are_one_clip() -> None:
    mixed = [*clip(1, size=16), *clip(1, size=20)]
    assert build().encode([mixed]).isfinite().all()


def test_a_sequence_decodes_to_as_many_frames_as_are_there() -> None:
    domain = build(pooling="none")
    assert isinstance(domain, Decodes) and not isinstance(build(), Decodes)
    assert not isinstance(build(pooling="none", frame=TIMM), Decodes)  # it only knows a gallery
    clips = [clip(2, 1), clip(4, 2)]
    decoded = domain.decode(domain.encode(clips))
    assert [frames.shape for frames in decoded] == [(2, 3, 16, 16), (4, 3, 16, 16)]
    torch.testing.assert_close(decoded[1], domain.frame.decode(domain.frame.encode(clips[1])))  # type: ignore[operator]


def test_frames_that_faded_with_their_probability_come_back_whole() -> None:
    domain = build(pooling="none")
    latents = domain.encode([clip(4)]).unflatten(1, (4, 6))
    faded = latents * torch.tensor([0.9, 0.6, 0.1, 0.0])[:, None]
    (found,) = domain.decode(faded.flatten(1))
    torch.testing.assert_close(found, domain.decode(latents.flatten(1))[0][:2])
    (unlikely,) = domain.decode((latents * 0.01).flatten(1))
    assert len(unlikely) == 4  # no clip is empty: then the likeliest are taken


def test_a_clip_is_rendered_as_an_animation() -> None:
    (rendering,) = build(max_frames=3).render([clip(8)])
    with Image.open(io.BytesIO(rendering.data)) as image:
        assert len(list(ImageSequence.Iterator(image))) == 3 and image.size == (16, 16)
    assert rendering.ending == ".gif" and rendering.alt == "clip of 3 frames of 16 x 16 pixels"


@pytest.mark.parametrize("frame", [SMALL, TIMM])
def test_it_is_saved_with_the_module_inside(frame: dict[str, Any], tmp_path: Path) -> None:
    domain = build(frame=frame, pooling="none")
    save_domain(domain, tmp_path / "clip")
    again = load_domain(tmp_path / "clip")
    assert torch.equal(again.encode([clip(3)]), domain.encode([clip(3)]))
    assert again.fingerprint() == domain.fingerprint()
    assert json.loads(json.dumps(domain.config())) == again.config()


def test_a_saved_domain_can_see_the_frames(tmp_path: Path) -> None:
    torch.manual_seed(3)
    options = {key: value for key, value in SMALL.items() if key != "kind"}
    save_domain(build_domain("image-vae", options), tmp_path / "picture")
    domain = build(frame={"pretrained": str(tmp_path / "picture")})
    torch.testing.assert_close(
        domain.encode([clip(1)]), load_domain(tmp_path / "picture").encode(clip(1))
    )
    assert str(tmp_path) not in json.dumps(domain.config())


def test_weights_that_a_package_holds_are_not_stored_again(tmp_path: Path) -> None:
    domain = FramesDomain({"kind": "timm"}, max_frames=2)
    save_domain(domain, tmp_path / "clip")
    assert not list((tmp_path / "clip").rglob("*.safetensors"))
    assert load_domain(tmp_path / "clip").fingerprint() == domain.fingerprint()


def test_a_workspace_pools_the_sequence_and_its_translations_are_clips() -> None:
    class Speed(DomainModule):
        latent = LatentSpec.continuous(1)

        def encode(self, raw: Any) -> Tensor:
            return torch.as_tensor(raw)[:, None].float()

        def config(self) -> dict[str, Any]:
            return {}

    domains = {"clip": build(pooling="none"), "speed": Speed()}
    workspace = GlobalWorkspace(domains, dim=8, hidden_dim=16)
    assert type(workspace.encoder("clip")).__name__ == "AttentionEncoder"
    (found,) = workspace.translate({"speed": [0.5]}, to="clip")
    assert found.ndim == 4 and found.shape[1:] == (3, 16, 16)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([clip(2), []], "Clip 1 of the batch has no frame"),
        ([[clip(1)[0], None]], "Clip 0 of the batch: Frame 1 is of type NoneType"),
        ([clip(2)[0]], r"Clip 0 of the batch has shape \(3, 16, 16\)"),
        ([7], "Clip 0 of the batch is of type int"),
        (["/nowhere/at all"], 'Clip 0 of the batch: "/nowhere/at all" does not exist'),
        (clip(2), "For a single clip write"),
        ("a folder", "Put it in a list"),
    ],
)
def test_what_is_no_clip_is_refused_by_its_place(cells: Any, message: str) -> None:
    with pytest.raises(DomainError, match=message):
        build().encode(cells)


def test_a_folder_without_pictures_and_a_file_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="holds no picture. Write its frames there"):
        build().encode([tmp_path])
    (tmp_path / "film.gif").write_text("no film")
    with pytest.raises(DomainError, match="cannot be read as an animated picture"):
        build().encode([tmp_path / "film.gif"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": "max"}, 'pooling="max" is unknown'),
        ({"max_frames": 0}, "max_frames=0"),
        ({"frame": {}}, "Write the kind of its frames"),
        ({"frame": {**SMALL, "pretrained": "x"}}, "Write the kind of its frames"),
        ({"frame": {"pretrained": "x", "max_frames": 2}}, "Leave the rest out"),
        ({"frame": {"kind": "frames", "frame": SMALL}}, "clips for cells"),
        (
            {"frame": {"kind": "frames", "frame": SMALL, "pooling": "none"}},
            'a sequence part "frames"',
        ),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(**settings)


def test_an_unknown_kind_of_frame_is_named() -> None:
    with pytest.raises(PluginError, match="no-such-kind"):
        build(frame={"kind": "no-such-kind"})
