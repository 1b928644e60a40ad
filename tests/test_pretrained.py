import json
import shutil
import sys
import types

import attrs
import pytest
import torch
from core_domains import Vector, Weighted, discover_with, plugin
from torch import nn

from globalworkspace import GlobalWorkspace, load_domain, save_domain
from globalworkspace.errors import CheckpointError, DomainError, PluginError
from globalworkspace.folders import write_folder
from globalworkspace.fusion import Mean
from globalworkspace.networks import MLPNetworks
from globalworkspace.saved_config import built_unless_endless


@pytest.fixture
def registered(monkeypatch):
    """A plugin `toy` that brings the kind `weighted`, as long as its name is in the list."""
    module = types.ModuleType("core_toy")
    module.Weighted = Weighted
    monkeypatch.setitem(sys.modules, "core_toy", module)
    point = plugin("toy", {"register_domains": [("weighted", "core_toy:Weighted")]})
    present = [point]
    for module in ("pretrained", "saved_kinds"):
        patched = f"globalworkspace.{module}.get_registry"
        monkeypatch.setattr(patched, lambda: discover_with(present))
    return present


def trained():
    ws = GlobalWorkspace(
        {"photo": Weighted(4), "type": Vector(6)},
        dim=5,
        hidden_dim=8,
        fusion="attention",
        fusion_options={"head_dim": 3},
        activation="none",
        dropout=0.1,
    ).eval()
    latents = torch.randn(60, 4)
    latents[:, 1] = 3.0
    with pytest.warns(UserWarning, match="dead"):
        ws.fit_standardizers({"photo": latents})
    with torch.no_grad():
        for parameter in ws.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return ws


def test_a_workspace_comes_back_as_it_was(tmp_path, registered):
    ws = trained()
    ws.save_pretrained(tmp_path / "ws")
    back = GlobalWorkspace.from_pretrained(tmp_path / "ws", domains={"type": Vector(6)})
    assert back.config() == ws.config()
    assert back.standardized == {"photo"}
    assert back.spec("photo").dim == 3
    assert back.state_dict().keys() == ws.state_dict().keys()
    for name, value in ws.state_dict().items():
        assert torch.equal(back.state_dict()[name], value)
    given = {"photo": torch.randn(3, 4)}
    assert torch.equal(back.encode(given).code, ws.encode(given).code)
    assert back.translate(given, "type") == ws.translate(given, "type")
    assert isinstance(back.domains["photo"], Weighted)
    assert not back.training
    assert not any(p.requires_grad for p in back.domains["photo"].parameters())


def test_the_config_names_kinds_and_versions_and_no_import_path(tmp_path, registered):
    trained().save_pretrained(tmp_path / "ws")
    entry = json.loads((tmp_path / "ws/domains/photo/config.json").read_text())
    assert entry["kind"] == "toy:weighted"
    assert (entry["distribution"], entry["version"]) == ("globalworkspace-toy", "1.2")
    texts = [p.read_text() for p in (tmp_path / "ws").rglob("*.json")]
    assert not any("core_toy" in text or "core_domains" in text for text in texts)
    card = (tmp_path / "ws/README.md").read_text()
    assert "| photo | `weighted` (globalworkspace-toy 1.2) |" in card and "| type |" in card


def test_nothing_is_pickled(tmp_path, registered, monkeypatch):
    monkeypatch.setattr(torch, "load", None)
    monkeypatch.setattr(torch, "save", None)
    trained().save_pretrained(tmp_path / "ws")
    files = [p for p in (tmp_path / "ws").rglob("*") if p.is_file()]
    assert {p.suffix for p in files} == {".json", ".safetensors", ".md"}
    GlobalWorkspace.from_pretrained(tmp_path / "ws", domains={"type": Vector(6)})


def test_a_missing_plugin_costs_raw_data_and_not_the_workspace(tmp_path, registered):
    ws = trained()
    ws.save_pretrained(tmp_path / "ws")
    registered.clear()
    with pytest.warns(UserWarning, match='"photo" works on latents only.*globalworkspace-toy 1.2'):
        back = GlobalWorkspace.from_pretrained(tmp_path / "ws", domains={"type": Vector(6)})
    latents = {"photo": torch.randn(3, 4)}
    expected = ws.translate(latents, "type", latents=True)
    assert torch.equal(back.translate(latents, "type", latents=True), expected)
    with pytest.raises(DomainError, match='"photo" cannot read raw data: .*pip install'):
        back.encode(latents)
    with pytest.raises(DomainError, match='"photo" cannot write raw data'):
        back.translate({"type": torch.randn(2, 6)}, "photo")


def test_a_kind_may_come_from_another_plugin_later(tmp_path, registered):
    save_domain(Weighted(4), tmp_path / "d")
    (old,) = registered
    registered[:] = [attrs.evolve(old, name="renamed")]
    assert isinstance(load_domain(tmp_path / "d"), Weighted)


def test_a_class_from_a_script_is_passed_by_hand(tmp_path, registered):
    ws = trained()
    ws.save_pretrained(tmp_path / "ws")
    with pytest.warns(UserWarning, match='"type" works on latents only.*Vector.*domains='):
        GlobalWorkspace.from_pretrained(tmp_path / "ws")
    with pytest.raises(DomainError, match="has 5 latent dimensions, the saved one 6"):
        GlobalWorkspace.from_pretrained(tmp_path / "ws", domains={"type": Vector(5)})
    with pytest.raises(DomainError, match='no domain "kind"; it has photo, type'):
        GlobalWorkspace.from_pretrained(tmp_path / "ws", domains={"kind": Vector(6)})


def test_a_module_passed_by_hand_gets_the_saved_weights(tmp_path, registered):
    ws = trained()
    ws.save_pretrained(tmp_path / "ws")
    module = Weighted(4, seed=9)
    given = {"photo": module, "type": Vector(6)}
    GlobalWorkspace.from_pretrained(tmp_path / "ws", domains=given)
    assert torch.equal(module.linear.weight, ws.domains["photo"].linear.weight)


class FirstOne(Mean):
    """A fusion of a stranger's."""


@pytest.fixture
def stranger(monkeypatch):
    """Registrations of a plugin `toy`; what is taken out of the list is uninstalled."""
    module = types.ModuleType("core_toy")
    module.Nets, module.First = MLPNetworks, FirstOne
    monkeypatch.setitem(sys.modules, "core_toy", module)
    hooks = {
        "register_networks": [("nets", "core_toy:Nets"), ("mlp", "core_toy:Nets")],
        "register_fusions": [("first", "core_toy:First")],
    }
    registry = discover_with([plugin("toy", hooks)])
    for module in ("pretrained", "saved_kinds", "workspace"):
        monkeypatch.setattr(f"globalworkspace.{module}.get_registry", lambda: registry)

    def uninstall(category, owner="toy"):
        registry.plugins = [p for p in registry.plugins if p.name != owner]
        registry.registrations = [
            r for r in registry.registrations if (r.category, r.owner) != (category, owner)
        ]

    return types.SimpleNamespace(registry=registry, uninstall=uninstall)


def with_networks_of(kind, **options):
    networks = {"photo": kind}
    return GlobalWorkspace(
        {"photo": Vector(4), "type": Vector(6)}, dim=5, networks=networks, **options
    )


GIVEN = {"photo": Vector(4), "type": Vector(6)}


@pytest.mark.parametrize("kind", ["nets", "toy:mlp"])
def test_a_missing_network_costs_its_domain_and_names_what_to_install(tmp_path, stranger, kind):
    ws = with_networks_of(kind)
    ws.fit_standardizers({"photo": torch.randn(9, 4), "type": torch.randn(9, 6)})
    ws.save_pretrained(tmp_path / "ws")
    back = GlobalWorkspace.from_pretrained(tmp_path / "ws", domains=GIVEN)
    assert back.config() == ws.config() and list(back.domains) == ["photo", "type"]
    stranger.uninstall("network")
    message = (
        r'Domain "photo" is left out: No installed plugin brings a network kind "toy:.*'
        r"saved with globalworkspace-toy 1.2: pip install globalworkspace-toy$"
    )
    with pytest.warns(UserWarning, match=message):
        back = GlobalWorkspace.from_pretrained(tmp_path / "ws", domains=GIVEN)
    assert list(back.domains) == ["type"]
    given = {"type": torch.randn(3, 6)}
    assert torch.equal(back.encode(given).code, ws.encode(given).code)


def test_a_network_that_cannot_be_imported_costs_its_domain(tmp_path, stranger, monkeypatch):
    with_networks_of("nets").save_pretrained(tmp_path / "ws")
    monkeypatch.delattr("core_toy.Nets")
    with pytest.warns(UserWarning, match='"photo" is left out: .*--force-reinstall globalworksp'):
        back = GlobalWorkspace.from_pretrained(tmp_path / "ws", domains=GIVEN)
    assert list(back.domains) == ["type"]


def test_a_workspace_of_which_no_domain_is_left_is_refused(tmp_path, stranger):
    ws = GlobalWorkspace({"photo": Vector(4)}, dim=5, networks={"photo": "nets"})
    ws.save_pretrained(tmp_path / "ws")
    stranger.uninstall("network")
    with pytest.raises(PluginError, match="No domain is left: .*pip install globalworkspace-toy"):
        GlobalWorkspace.from_pretrained(tmp_path / "ws")


def test_a_missing_fusion_names_what_to_install(tmp_path, stranger):
    with_networks_of("mlp", fusion="first").save_pretrained(tmp_path / "ws")
    back = GlobalWorkspace.from_pretrained(tmp_path / "ws", domains=GIVEN)
    assert isinstance(back.fusion, FirstOne)
    stranger.uninstall("fusion")
    message = r'ws": No installed plugin brings a fusion kind "toy:first".* pip install globalwo'
    with pytest.raises(PluginError, match=message):
        GlobalWorkspace.from_pretrained(tmp_path / "ws", domains=GIVEN)


def test_an_add_on_that_no_longer_brings_a_kind_is_named_with_the_version_that_did(
    tmp_path, stranger
):
    with_networks_of("mlp", fusion="first").save_pretrained(tmp_path / "ws")
    records = list(stranger.registry.plugins)
    stranger.uninstall("fusion")
    stranger.registry.plugins = records
    with pytest.raises(PluginError, match=r'pip install "globalworkspace-toy==1.2"'):
        GlobalWorkspace.from_pretrained(tmp_path / "ws", domains=GIVEN)


def test_a_kind_that_another_plugin_has_come_to_bring_too_is_still_the_saved_one(
    tmp_path, stranger
):
    with_networks_of("nets").save_pretrained(tmp_path / "ws")
    (nets,) = [r for r in stranger.registry.registrations if r.kind == "nets"]
    stranger.registry.registrations.append(attrs.evolve(nets, owner="other", target="math:pi"))
    back = GlobalWorkspace.from_pretrained(tmp_path / "ws", domains=GIVEN)
    assert back.config()["networks"]["photo"]["kind"] == "toy:nets"


def test_a_config_of_before_owners_were_saved_still_loads(tmp_path, stranger):
    ws = with_networks_of("nets", fusion="first")
    ws.save_pretrained(tmp_path / "ws")

    def fill(scratch):
        shutil.copytree(tmp_path / "ws", scratch, dirs_exist_ok=True)
        (scratch / "manifest.json").unlink()
        config = json.loads((scratch / "config.json").read_text())
        del config["fusion"]
        for entry in config["domains"].values():
            del entry["network"]
        (scratch / "config.json").write_text(json.dumps(config))

    write_folder(tmp_path / "old", fill)
    back = GlobalWorkspace.from_pretrained(tmp_path / "old", domains=GIVEN)
    assert back.config() == ws.config()
    stranger.uninstall("network")
    with pytest.warns(UserWarning, match='"photo" is left out: No installed plugin brings'):
        GlobalWorkspace.from_pretrained(tmp_path / "old", domains=GIVEN)


def flip(file):
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "config.json", "manifest.json", "domains/photo/model.safetensors"],
)
@pytest.mark.parametrize("harm", ["flip", "truncate", "delete", "edit"])
def test_damage_is_refused_before_anything_is_built(tmp_path, registered, name, harm):
    trained().save_pretrained(tmp_path / "ws")
    file = tmp_path / "ws" / name
    if harm == "flip":
        flip(file)
    elif harm == "truncate":
        file.write_bytes(file.read_bytes()[: len(file.read_bytes()) // 2])
    elif harm == "delete":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes().replace(b'"', b"'", 1) + b" ")
    with pytest.raises(CheckpointError, match=name.split("/")[-1].split(".")[0]):
        GlobalWorkspace.from_pretrained(tmp_path / "ws", domains={"type": Vector(6)})


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no folder that save_pretrained"):
        GlobalWorkspace.from_pretrained(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"holds no manifest.json"):
        GlobalWorkspace.from_pretrained(tmp_path)


def test_saving_replaces_an_older_save_and_never_the_users_own_files(tmp_path, registered):
    ws = trained()
    ws.save_pretrained(tmp_path / "ws")
    ws.save_pretrained(tmp_path / "ws")
    assert [p.name for p in tmp_path.iterdir()] == ["ws"]
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("all my work")
    with pytest.raises(CheckpointError, match="holds files that globalworkspace did not write"):
        ws.save_pretrained(home)
    assert (home / "thesis.txt").read_text() == "all my work"


def test_a_domain_comes_back_by_kind_config_and_weights(tmp_path, registered):
    module = Weighted(4, seed=3)
    save_domain(module, tmp_path / "d")
    back = load_domain(tmp_path / "d")
    assert back.config() == module.config()
    assert back.fingerprint() == module.fingerprint()
    registered.clear()
    with pytest.raises(PluginError, match='"toy:weighted".*pip install globalworkspace-toy'):
        load_domain(tmp_path / "d")


def test_a_config_that_is_no_json_is_refused_and_leaves_nothing(tmp_path, registered):
    module = Weighted(4)
    module.config = lambda: {"dim": object()}
    with pytest.raises(DomainError, match="must be JSON-able"):
        save_domain(module, tmp_path / "d")
    assert list(tmp_path.iterdir()) == []


def test_what_is_built_without_stored_weights_has_an_end(tmp_path):
    def endless():
        return nn.ModuleList(nn.Identity() for _ in range(10**20))

    with pytest.raises(CheckpointError, match="asks for 0 numbers in 100,001 modules"):
        built_unless_endless(tmp_path / "model.safetensors", endless)
    assert len(built_unless_endless(tmp_path / "w", lambda: nn.ModuleList([nn.ReLU()]))) == 1
