"""Saved folders that mean harm: sound by their digests, and not what they seem.

Each entry of `FIXTURES` spoils a copy of a saved workspace and says how reading it must end.
"""

import json
import os
import pickle
import struct
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from globalworkspace.files import digest_file, digest_json

CANARY = "canary"
"""What hostile code would make, in the folder above."""


class Payload:
    """Its pickle runs a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def sign(folder, **changed):
    """A manifest that fits what is in the folder, as anyone can write one."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.pop("digest")
    for name in list(manifest["files"]):
        if (folder / name).is_file():
            manifest["files"][name] = claim(folder / name)
    manifest |= changed
    manifest["digest"] = digest_json(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def claim(file):
    return {"bytes": file.stat().st_size, "sha256": digest_file(file)}


def add_claims(folder, claims):
    files = json.loads((folder / "manifest.json").read_text())["files"]
    sign(folder, files=files | claims)


def change(folder, file, edit):
    """Edit a JSON file of the folder and sign it."""
    content = json.loads((folder / file).read_text())
    edit(content)
    (folder / file).write_text(json.dumps(content))
    sign(folder)


def command(folder):
    return f"touch {folder.parent / CANARY}"


# ---- code


def weights_are_a_pickle(folder):
    torch.save(Payload(command(folder)), folder / "model.safetensors")
    sign(folder)


def domain_weights_are_a_pickle(folder):
    (folder / "domains/left/model.safetensors").write_bytes(pickle.dumps(Payload(command(folder))))
    sign(folder)


def config_is_a_pickle(folder):
    (folder / "config.json").write_bytes(pickle.dumps(Payload(command(folder))))
    sign(folder)


def pickles_lie_beside(folder):
    for name in ("model.pt", "pytorch_model.bin", "state.pkl", "conftest.py", "__init__.py"):
        (folder / name).write_bytes(pickle.dumps(Payload(command(folder))))
        add_claims(folder, {name: claim(folder / name)})


def domain_kind(kind):
    def spoil(folder):
        change(folder, "domains/left/config.json", lambda c: c.update(kind=kind))

    return spoil


def domain_class_is_an_import_path(folder):
    change(
        folder,
        "domains/left/config.json",
        lambda c: c.update({"kind": None, "class": "os:system", "target": "os:system"}),
    )


def fusion_is_an_import_path(folder):
    change(folder, "config.json", lambda c: c.update(fusion={"kind": "subprocess:Popen"}))


def network_is_an_import_path(folder):
    def edit(config):
        config["domains"]["left"]["network"] = {"kind": "evil_plugin:Network"}
        config["workspace"]["networks"] = {"left": {"kind": "evil_plugin:Network"}}

    change(folder, "config.json", edit)


def distribution_is_somebody_elses(folder):
    change(
        folder,
        "domains/left/config.json",
        lambda c: c.update(kind="evil:thing", distribution="evil_plugin", version="1"),
    )


# ---- paths


def manifest_names(name):
    def spoil(folder):
        (folder.parent / "outside.json").write_text("{}")
        add_claims(folder, {name: claim(folder.parent / "outside.json")})

    return spoil


def manifest_names_too_long(folder):
    add_claims(folder, {"x" * 300: claim(folder / "config.json")})


def a_file_is_a_link_outside(folder):
    outside = folder.parent / "outside.json"
    outside.write_bytes((folder / "config.json").read_bytes())
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(outside)
    sign(folder)


def a_folder_is_a_link_outside(folder):
    outside = folder.parent / "outside"
    (folder / "domains/left").rename(outside)
    (folder / "domains/left").symlink_to(outside)
    sign(folder)


def a_domain_is_named_like_a_path(folder):
    def edit(config):
        config["domains"]["../../outside"] = config["domains"].pop("left")

    change(folder, "config.json", edit)


# ---- size


def declared_bytes_are_huge(folder):
    files = json.loads((folder / "manifest.json").read_text())["files"]
    files["model.safetensors"]["bytes"] = 10**30
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.pop("digest")
    manifest["files"] = files
    manifest["digest"] = digest_json(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def manifest_is_nested_deeply(folder):
    (folder / "manifest.json").write_text("[" * 200_000 + "]" * 200_000)


def config_is_nested_deeply(folder):
    (folder / "config.json").write_text('{"a":' * 200_000 + "1" + "}" * 200_000)
    sign(folder)


def manifest_holds_an_endless_number(folder):
    (folder / "manifest.json").write_text('{"digest": ' + "9" * 100_000 + "}")


def config_is_no_object(folder):
    (folder / "config.json").write_text("[1, 2, 3]")
    sign(folder)


def config_names_no_domain(folder):
    change(folder, "config.json", lambda c: c.update(domains={}))


def seed_is_no_number(folder):
    change(folder, "config.json", lambda c: c["workspace"].update(seed="\ud800"))


def a_domain_has_no_kind(folder):
    change(folder, "domains/left/config.json", lambda c: c.pop("kind"))


def header_is_longer_than_the_file(folder):
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    sign(folder)


def tensor(dtype, shape, offsets):
    def spoil(folder):
        header = json.dumps(
            {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}
        ).encode()
        content = struct.pack("<Q", len(header)) + header + b"\0" * 16
        (folder / "model.safetensors").write_bytes(content)
        sign(folder)

    return spoil


def settings_ask_for_terabytes(folder):
    change(
        folder,
        "config.json",
        lambda c: c["workspace"].update(dim=10**6, hidden_dim=10**7),
    )


def a_domain_asks_for_terabytes(folder):
    change(folder, "domains/left/config.json", lambda c: c["config"].update(dim=10**7))


def settings_ask_for_endless_layers(folder):
    change(folder, "config.json", lambda c: c["workspace"].update(num_layers=10**20))


def a_domain_says_it_holds_no_weights(folder):
    change(folder, "domains/left/config.json", lambda c: c.update(stores_weights=False))


def a_latent_is_endless(folder):
    change(folder, "config.json", lambda c: c["domains"]["left"]["latent"][0].update(size=10**15))
    domain_kind("nobody:brings-it")(folder)  # so that the latent is all there is to go by


def a_latent_is_none(folder):
    change(folder, "config.json", lambda c: c["domains"]["left"]["latent"][0].update(kind="sys"))


def weights_are_of_another_shape(folder):
    save_file({"encoders.domain_left.input.weight": torch.ones(1)}, folder / "model.safetensors")
    sign(folder)


def statistics(change_them):
    """The weights with other statistics of a domain; `change_them` is given all tensors."""

    def spoil(folder):
        tensors = load_file(folder / "model.safetensors")
        change_them(tensors)
        save_file(tensors, folder / "model.safetensors")
        sign(folder)

    return spoil


def alive_is_another_byte(folder):
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    start = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:start])
    content[start + header["standardizers.domain_left.alive"]["data_offsets"][0]] = 96
    file.write_bytes(content)
    sign(folder)


MEAN, STD = (f"standardizers.domain_left.{key}" for key in ("mean", "std"))
SPREAD_OF_ANOTHER = "standardizers.domain_right.std"  # of a domain without statistics

REFUSED, ON_LATENTS, LOADED = "refused", "on latents only", "loaded"
FIXTURES = {
    "weights are a pickle": (weights_are_a_pickle, REFUSED),
    "a domain's weights are a pickle": (domain_weights_are_a_pickle, REFUSED),
    "the config is a pickle": (config_is_a_pickle, REFUSED),
    "pickles lie beside what is read": (pickles_lie_beside, LOADED),
    "a domain's kind is os:system": (domain_kind("os:system"), ON_LATENTS),
    "a domain's kind is builtins:eval": (domain_kind("builtins:eval"), ON_LATENTS),
    "a domain's kind is a path to a module": (domain_kind("evil_plugin"), ON_LATENTS),
    "a domain's kind is a file": (domain_kind("../../evil_plugin.py"), ON_LATENTS),
    "a domain's kind is a list": (domain_kind(["os", "system"]), REFUSED),
    "a domain's class is an import path": (domain_class_is_an_import_path, ON_LATENTS),
    "the fusion is an import path": (fusion_is_an_import_path, REFUSED),
    "a network is an import path": (network_is_an_import_path, "without the domain"),
    "a distribution that is not enabled": (distribution_is_somebody_elses, ON_LATENTS),
    "the manifest names ../outside.json": (manifest_names("../outside.json"), REFUSED),
    "the manifest names domains/../../outside": (
        manifest_names("domains/../../outside.json"),
        REFUSED,
    ),
    "the manifest names /etc/passwd": (manifest_names("/etc/passwd"), REFUSED),
    "the manifest names ..\\outside.json": (manifest_names("..\\outside.json"), REFUSED),
    "the manifest names a file of 300 characters": (manifest_names_too_long, REFUSED),
    "a file is a link outside": (a_file_is_a_link_outside, REFUSED),
    "a folder is a link outside": (a_folder_is_a_link_outside, REFUSED),
    "a domain is named like a path": (a_domain_is_named_like_a_path, REFUSED),
    "declared bytes are huge": (declared_bytes_are_huge, REFUSED),
    "the manifest is nested 200,000 deep": (manifest_is_nested_deeply, REFUSED),
    "the config is nested 200,000 deep": (config_is_nested_deeply, REFUSED),
    "the manifest holds a number of 100,000 digits": (manifest_holds_an_endless_number, REFUSED),
    "the config is no object": (config_is_no_object, REFUSED),
    "the config names no domain": (config_names_no_domain, REFUSED),
    "the seed is half a character": (seed_is_no_number, REFUSED),
    "a domain has no kind": (a_domain_has_no_kind, REFUSED),
    "a header is longer than its file": (header_is_longer_than_the_file, REFUSED),
    "a tensor ends behind its file": (tensor("F32", [4], [0, 1 << 40]), REFUSED),
    "a tensor's size overflows": (tensor("F32", [1 << 62, 4], [0, 16]), REFUSED),
    "a tensor of an unknown type": (tensor("PICKLE", [4], [0, 16]), REFUSED),
    "settings ask for terabytes": (settings_ask_for_terabytes, REFUSED),
    "a domain asks for terabytes": (a_domain_asks_for_terabytes, REFUSED),
    "settings ask for endless layers": (settings_ask_for_endless_layers, REFUSED),
    "a domain says it holds no weights": (a_domain_says_it_holds_no_weights, REFUSED),
    "a latent is endless": (a_latent_is_endless, REFUSED),
    "a latent is of no kind": (a_latent_is_none, REFUSED),
    "weights are of another shape": (weights_are_of_another_shape, REFUSED),
    "statistics are left out": (statistics(lambda held: held.pop(STD)), REFUSED),
    "statistics are of another shape": (
        statistics(lambda held: held.update({MEAN: torch.zeros(1)})),
        REFUSED,
    ),
    "a spread below nothing": (
        statistics(lambda held: held.update({SPREAD_OF_ANOTHER: -held[SPREAD_OF_ANOTHER]})),
        REFUSED,
    ),
    "neither true nor false": (alive_is_another_byte, REFUSED),
    "a spread of nothing": (
        statistics(lambda held: held.update({STD: torch.zeros_like(held[STD])})),
        REFUSED,
    ),
}


def evil_plugin(folder):
    """A module that is on the path, and that nothing enables."""
    file = Path(folder) / "evil_plugin.py"
    file.write_text(f"from pathlib import Path\nPath({str(folder / CANARY)!r}).touch()\n")
    return file
