import pytest
import torch
from core_domains import Mute, Vector, Weighted

from globalworkspace import DomainModule, LatentSpec
from globalworkspace.domain import Decodes, HasAssets, Renders, Trainable, encode_checked, freeze
from globalworkspace.errors import DomainError


def returning(value):
    class Fixed(Vector):
        def encode(self, raw):
            return value

    return Fixed(3)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            torch.zeros(2, 64),
            r'"caption" returned latents of shape \(2, 64\).*3 dimensions.*Return',
        ),
        (torch.zeros(3), r"shape \(3,\)"),
        ([[0.0] * 3] * 2, "latents of list"),
        (torch.zeros(2, 3, dtype=torch.int64), "dtype torch.int64"),
        (torch.zeros(1, 3), "1 latents for 2 cells"),
        (torch.tensor([[0.0, 0, 0], [0, float("nan"), 0]]), "NaN or infinity for row 17"),
        (torch.tensor([[0.0, 0, 0], [0, float("inf"), 0]]), "NaN or infinity for row 17"),
    ],
)
def test_a_broken_contract_names_domain_row_and_remedy(value, message):
    with pytest.raises(DomainError, match=message):
        encode_checked("caption", returning(value), [1, 2], [4, 17])


def test_encoding_keeps_no_gradients():
    latents = encode_checked("left", Weighted(3), torch.ones(2, 3))
    assert not latents.requires_grad


def test_freezing_stops_training():
    module = freeze(Weighted(3).train())
    assert not module.training
    assert not any(p.requires_grad for p in module.parameters())


def test_capabilities_are_beside_the_contract():
    assert isinstance(Vector(2), Decodes)
    assert not isinstance(Mute(2), Decodes)
    for capability in (Trainable, Renders, HasAssets):
        assert not isinstance(Vector(2), capability)


def test_the_contract_is_three_members():
    assert DomainModule.__abstractmethods__ == {"encode", "config"}
    with pytest.raises(TypeError, match="abstract"):
        DomainModule()


def test_config_builds_the_same_module():
    assert Vector.from_config(Vector(7).config()).latent == LatentSpec.continuous(7)


def test_the_fingerprint_follows_weights_config_and_class():
    first = Weighted(3, seed=1)
    same = Weighted(3, seed=1)
    same.load_state_dict(first.state_dict())
    assert first.fingerprint() == same.fingerprint()
    with torch.no_grad():
        same.linear.weight[0, 0] += 1e-6
    assert first.fingerprint() != same.fingerprint()
    assert Vector(3).fingerprint() != Vector(4).fingerprint()
    assert Vector(3).fingerprint() != Mute(3).fingerprint()
