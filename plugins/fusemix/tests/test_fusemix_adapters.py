"""The fusion adapters, and the recipe made of all parts, in a config too."""

import csv
import json
import tomllib

import pytest
import torch
from globalworkspace_fusemix.adapters import Block, FuseMixAdapters
from torch import nn
from torch.nn import functional as F

from globalworkspace import GlobalWorkspace
from globalworkspace.errors import ConfigError
from globalworkspace.experiment import run_experiment
from globalworkspace.given_latents import GivenLatents
from globalworkspace.latents import LatentSpec
from globalworkspace.recipes import recipe


def test_a_block_is_the_formula():
    torch.manual_seed(0)
    block = Block(3, expansion=4).eval()
    x = torch.randn(5, 3)
    centred = x - x.mean(dim=1, keepdim=True)
    normal = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
    hidden = F.gelu(normal @ block.wide.weight.T + block.wide.bias)
    assert hidden.shape == (5, 12)
    expected = x + hidden @ block.narrow.weight.T + block.narrow.bias
    assert torch.allclose(block(x), expected, atol=1e-6)


def test_an_adapter_has_its_blocks_a_norm_and_one_linear_map():
    encoder = FuseMixAdapters.encoder(LatentSpec.continuous(6), 4, num_layers=3, hidden_dim=99)
    assert [type(part) for part in encoder] == [Block] * 3 + [nn.LayerNorm, nn.Linear]
    assert encoder(torch.randn(2, 6)).shape == (2, 4)
    decoder = FuseMixAdapters.decoder(LatentSpec.continuous(6), 4, num_layers=1)
    assert decoder(torch.randn(2, 4)).shape == (2, 6)
    gradient = torch.autograd.grad(encoder(torch.randn(2, 6)).sum(), list(encoder.parameters()))
    assert all(bool(piece.isfinite().all()) for piece in gradient)


def test_the_length_of_a_latent_hardly_reaches_the_workspace():
    """Why a mixed latent, which is shorter, does no harm: the norms take its length away."""
    torch.manual_seed(0)
    encoder = FuseMixAdapters.encoder(LatentSpec.continuous(6), 4).eval()
    x = 5 * torch.randn(8, 6)
    assert torch.allclose(encoder(x), encoder(0.8 * x), atol=0.15)
    plain = nn.Linear(6, 4)
    assert not torch.allclose(plain(x), plain(0.8 * x), atol=0.15)


def test_dropout_acts_in_training_alone():
    encoder = FuseMixAdapters.encoder(LatentSpec.continuous(6), 4, dropout=0.6)
    x = torch.randn(3, 6)
    assert not torch.equal(encoder(x), encoder(x))
    encoder.eval()
    assert torch.equal(encoder(x), encoder(x))


@pytest.mark.parametrize(
    ("dim", "settings", "said"),
    [
        (1, {}, "has a single column"),
        (3, {"linear_path": True}, "has no linear path"),
        (3, {"num_layers": 0}, "num_layers=0"),
    ],
)
def test_adapters_that_cannot_be_are_refused(dim, settings, said):
    with pytest.raises(ConfigError, match=said):
        FuseMixAdapters.encoder(LatentSpec.continuous(dim), 4, **settings)
    with pytest.raises(ConfigError, match=said):
        FuseMixAdapters.decoder(LatentSpec.continuous(4), dim, **settings)


def test_a_workspace_of_adapters_is_saved_and_read(tmp_path):
    domains = {name: GivenLatents(LatentSpec.continuous(5)) for name in ("x", "y")}
    kinds = dict.fromkeys(domains, {"kind": "fusemix-adapter", "expansion": 2})
    workspace = GlobalWorkspace(domains, dim=3, networks=kinds).eval()
    workspace.save_pretrained(tmp_path / "saved")
    again = GlobalWorkspace.from_pretrained(tmp_path / "saved", domains=domains).eval()
    rows = torch.randn(4, 5)
    codes = [w.encode({"x": rows}, latents=True).code for w in (workspace, again)]
    assert torch.equal(*codes)


def test_the_recipe_is_contrastive_on_mixed_pairs_alone():
    chosen = recipe("fusemix")
    made = chosen.objectives(500, 100)
    assert [(o.name, o.view) for o in made] == [("contrastive", "mixed")]
    assert chosen.augmentations == {"mixed": {"kind": "fusemix"}}
    wider = recipe("fusemix(translation=1,mixed_translation=0.5)").objectives(500, 100)
    assert [(o.name, o.view) for o in wider[1:]] == [
        ("translation", None),
        ("translation", "mixed"),
    ]


def test_a_config_names_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw = torch.Generator().manual_seed(0)
    known = torch.randn(60, 2, generator=draw)
    rows = torch.cat([known, known @ torch.randn(2, 2, generator=draw)], dim=1)
    with open("rows.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c", "d"])
        writer.writerows(rows.tolist())
    config = tomllib.loads(
        """
        recipe = "fusemix"
        [data]
        kind = "table"
        path = "rows.csv"
        [domains.left]
        kind = "attributes"
        column = ["a", "b"]
        [domains.right]
        kind = "attributes"
        column = ["c", "d"]
        [workspace]
        dim = 4
        networks = {left = "fusemix-adapter", right = "fusemix-adapter"}
        [training]
        steps = 20
        device = "cpu"
        """
    )
    made = run_experiment(config, tmp_path / "run", progress=False)
    last = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert set(last["families"]) == {"contrastive"}
    assert made.workspace.fusion.activation == "none"
