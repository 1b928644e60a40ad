import pytest
import torch
from core_domains import Parts, Vector, random_latents

from globalworkspace import GlobalWorkspace, LatentSpec, Part, Table
from globalworkspace.errors import ConfigError, PluginError
from globalworkspace.initializers import cca
from globalworkspace.latents import pack_sequence, unpack_sequence
from globalworkspace.networks import MLP, AttentionNetworks, plain_mlp
from globalworkspace.training.trainer import Trainer, TrainerConfig

CLIP = LatentSpec(
    (
        Part(name="frames", kind="sequence", size=2, length=5),
        Part(name="class", kind="categorical", size=3),
    )
)


def test_shapes_and_depth():
    network = MLP(3, 5, hidden_dim=7, num_layers=3)
    assert network(torch.randn(4, 3)).shape == (4, 5)
    assert len(network.hidden) == 2


def test_a_network_with_a_linear_path_can_start_as_that_map():
    network = MLP(3, 5, linear_path=True)
    weight, bias = torch.randn(5, 3), torch.randn(5)
    network.start_from_linear(weight, bias)
    values = torch.randn(4, 3)
    torch.testing.assert_close(network(values), values @ weight.T + bias)


def test_dropout_acts_in_training_only():
    network = MLP(3, 5, dropout=0.5)
    values = torch.randn(4, 3)
    assert not torch.equal(network(values), network(values))
    network.eval()
    assert torch.equal(network(values), network(values))


def test_plain_layers_are_linear_and_relu_alone():
    network = plain_mlp(3, 5, hidden_dim=7, num_layers=2)
    assert [type(layer).__name__ for layer in network] == [
        "Linear",
        "ReLU",
        "Linear",
        "ReLU",
        "Linear",
    ]
    kinds = [type(x).__name__ for x in plain_mlp(3, 5, num_layers=1, dropout=0.3)]
    assert kinds == ["Linear", "ReLU", "Dropout", "Linear"]
    networks = dict.fromkeys(("left", "right"), "plain-mlp")
    workspace = GlobalWorkspace({n: Vector(3) for n in networks}, dim=4, networks=networks)
    assert workspace.translate({"left": torch.zeros(2, 3)}, "right", latents=True).shape == (2, 3)
    with pytest.raises(ConfigError, match='no linear path.*Use the network "mlp"'):
        GlobalWorkspace({"left": Vector(3)}, networks={"left": "plain-mlp"}, linear_path=True)


def test_a_domain_may_have_sizes_of_its_own():
    networks = {"left": {"kind": "mlp", "hidden_dim": 5, "num_layers": 3}}
    workspace = GlobalWorkspace({"left": Vector(3), "right": Vector(3)}, networks=networks)
    assert workspace.encoder("left").input.out_features == 5
    assert len(workspace.decoder("left").hidden) == 2
    assert workspace.encoder("right").input.out_features == 128


def test_pooling_ignores_padding_and_counts_positions():
    encoder = AttentionNetworks.encoder(CLIP, 6, hidden_dim=16)
    values = torch.randn(4, 5, 2)
    mask = torch.arange(5) < torch.tensor([1, 2, 3, 5])[:, None]
    classes = torch.eye(3)[[0, 1, 2, 0]]

    def codes(cells):
        return encoder(torch.cat([pack_sequence(cells, mask), classes], dim=1))

    base = codes(values)
    assert base.shape == (4, 6)
    changed = torch.where(mask[:, :, None], values, torch.full_like(values, 9.0))
    torch.testing.assert_close(codes(changed), base)
    swapped = values.clone()
    swapped[:, [0, 1]] = values[:, [1, 0]]
    assert not torch.allclose(codes(swapped)[3], base[3], atol=1e-4)  # the order is seen


def test_an_empty_sequence_has_finite_codes_and_gradients():
    encoder = AttentionNetworks.encoder(CLIP, 6, hidden_dim=16)
    latents = torch.zeros(2, CLIP.dim, requires_grad=True)
    encoder(latents).sum().backward()
    assert latents.grad.isfinite().all()


def test_a_sequence_decoder_predicts_every_part():
    decoder = AttentionNetworks.decoder(CLIP, 6, hidden_dim=16, num_heads=2)
    assert decoder(torch.randn(3, 6)).shape == (3, CLIP.dim)


def test_attention_over_a_latent_without_a_sequence_is_refused_with_the_remedy():
    with pytest.raises(ConfigError, match=r'"left": .*"attention" pools sequences.*Use .*"mlp"'):
        GlobalWorkspace({"left": Vector(3)}, dim=4, networks={"left": "attention"})


@pytest.mark.parametrize(
    ("networks", "error", "message"),
    [
        ({"left": "atention"}, PluginError, 'Did you mean "attention"'),
        ({"rigth": "mlp"}, ConfigError, 'domain "rigth"; the workspace has left'),
        ({"left": 3}, ConfigError, 'gives 3 for the domain "left"'),
        ({"left": {"kind": "mlp", "depth": 3}}, ConfigError, '"left".*depth'),
    ],
)
def test_bad_choices_of_networks_are_named(networks, error, message):
    with pytest.raises(error, match=message):
        GlobalWorkspace({"left": Vector(3)}, dim=4, networks=networks)


def test_the_linear_initializer_refuses_networks_without_a_linear_path():
    modules = {"left": Parts([attrs_of(part) for part in CLIP.parts]), "right": Vector(3)}
    workspace = GlobalWorkspace(modules, dim=4, linear_path=True)
    latents = random_latents(CLIP, 30, torch.Generator().manual_seed(0)).float()
    with pytest.raises(ConfigError, match="AttentionEncoder has none"):
        cca(workspace, Table.from_columns({"left": latents, "right": torch.randn(30, 3)}))


def attrs_of(part):
    return {"name": part.name, "kind": part.kind, "size": part.size, "length": part.length}


def test_a_sequence_domain_trains_translates_and_survives_saving(tmp_path):
    generator = torch.Generator().manual_seed(0)
    clips = random_latents(CLIP, 400, generator).float()
    frames, mask = unpack_sequence(clips[:, :15], 2)
    means = frames.sum(1) / mask.sum(1, keepdim=True)
    table = Table.from_columns({"clip": clips, "mean": means})
    modules = {"clip": Parts([attrs_of(part) for part in CLIP.parts]), "mean": Vector(2)}
    workspace = GlobalWorkspace(modules, dim=8, hidden_dim=32)
    Trainer(TrainerConfig(steps=400, progress=False, device="cpu")).fit(workspace, table)
    found = torch.as_tensor(workspace.translate({"clip": clips}, to="mean"))
    assert float((found - means).square().mean() / means.var()) < 0.2
    workspace.save_pretrained(tmp_path / "ws")
    again = GlobalWorkspace.from_pretrained(tmp_path / "ws", domains=modules)
    torch.testing.assert_close(
        again.encode({"clip": clips[:5]}).code, workspace.encode({"clip": clips[:5]}).code
    )
    assert type(again.encoder("clip")).__name__ == "AttentionEncoder"
    assert type(again.encoder("mean")) is MLP
