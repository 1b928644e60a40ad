"""What is exported agrees with the workspace, for any number of rows."""

import copy
import itertools
import sys

import onnxruntime
import pytest
import torch
from core_domains import Parts, Vector, random_latents, small_workspace
from torch import nn

from globalworkspace import GlobalWorkspace
from globalworkspace.errors import ConfigError, DomainError, StorageError
from globalworkspace.export import export_translation, translation_module
from globalworkspace.fusion import Mean, State

KINDS = [
    {"name": "values", "size": 4},
    {"name": "class", "size": 3, "kind": "categorical"},
    {"name": "angles", "size": 2, "kind": "circular"},
    {"name": "words", "size": 3, "kind": "sequence", "length": 5},
]
ALL = "all kinds"
BATCHES = (1, 5, 64)
"""Two rows are what is traced."""


def make(networks=None, parts=KINDS, rows=64, **options):
    """A workspace with statistics and dead dimensions, and latents of its domains."""
    domains = {"every": Parts(parts), "left-hand": Vector(4)}
    settings = {"dim": 8, "hidden_dim": 16, "dropout": 0.3, "networks": networks} | options
    ws = GlobalWorkspace(domains, **settings)
    ws.requires_grad_(False)  # torch computes attention otherwise where weights may be trained
    generator = torch.Generator().manual_seed(0)
    latents = {
        name: 3 * random_latents(module.latent, rows, generator).float() + 1
        if name == "left-hand"
        else random_latents(module.latent, rows, generator).float()
        for name, module in domains.items()
    }
    latents["left-hand"][:, 1] = 7.0
    if parts[0].get("kind") is None and parts[0]["size"] > 1:
        latents["every"][:, 2] = -2.0
    with pytest.warns(UserWarning, match="are dead"):
        ws.fit_standardizers(latents)
    return ws, latents


def expected(ws, given, to):
    if to is None:
        return ws.encode(given, latents=True).code
    return ws.translate(given, to, latents=True)


def largest_differences(ws, latents, sources, to, folder):
    """Of onnxruntime and of a loaded torch.export program from the workspace."""
    export_translation(ws, sources, to, folder / "path.onnx")
    export_translation(ws, sources, to, folder / "path.pt2", format="torch")
    session = onnxruntime.InferenceSession(folder / "path.onnx")
    program = torch.export.load(folder / "path.pt2").module()
    onnx, torch_ = 0.0, 0.0
    for rows in BATCHES:
        given = {name: latents[name][:rows] for name in sources}
        truth = expected(ws, given, to)
        (found,) = session.run(None, {name: cells.numpy() for name, cells in given.items()})
        onnx = max(onnx, (torch.from_numpy(found) - truth).abs().max().item())
        torch_ = max(torch_, (program(*given.values()) - truth).abs().max().item())
    return onnx, torch_


SEVERAL = ["left-hand", "every"]
CASES = [
    (["left-hand"], "every", {}),
    (SEVERAL, "every", {"fusion": "attention"}),
    (SEVERAL, None, {"fusion": "mean"}),
]
SLOW_CASES = [
    (["every"], "left-hand", {}),
    (SEVERAL, "left-hand", {"networks": {"left-hand": "plain-mlp"}, "activation": "none"}),
    (SEVERAL, "every", {"topology": "direct"}),
]


@pytest.mark.parametrize(
    ("sources", "to", "options"),
    [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW_CASES)],
    ids=lambda x: str(x).replace(" ", ""),
)
def test_onnxruntime_and_torch_export_agree_with_the_workspace(sources, to, options, tmp_path):
    ws, latents = make(**options)
    onnx, torch_ = largest_differences(ws, latents, sources, to, tmp_path)
    assert onnx < 1e-4
    assert torch_ <= 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("part", KINDS, ids=lambda part: part["name"])
@pytest.mark.parametrize("fusion", ["random-softmax", "mean", "attention"])
@pytest.mark.parametrize("network", ["mlp", "plain-mlp", "attention"])
def test_every_kind_of_part_fusion_and_network_agrees(part, fusion, network, tmp_path):
    if network == "attention" and part.get("kind") != "sequence":
        pytest.skip("attention pools sequences")
    ws, latents = make({"every": network}, [part], fusion=fusion)
    for sources in [SEVERAL] if fusion != "mean" else [SEVERAL, ["every"]]:
        onnx, torch_ = largest_differences(ws, latents, sources, "every", tmp_path)
        assert onnx < 1e-4
        assert torch_ <= 1e-6


FUSIONS = [("random-softmax", {}), ("mean", {}), ("single", {}), ("attention", {"num_steps": 2})]


@pytest.mark.parametrize("network", [None, "mlp", "plain-mlp"])
@pytest.mark.parametrize(("fusion", "options"), FUSIONS, ids=lambda x: str(x))
def test_the_module_is_the_translation_bit_for_bit(network, fusion, options):
    ws, latents = make(
        {"every": network} if network else None, fusion=fusion, fusion_options=options
    )
    for number, to in itertools.product((1, 2), (*ws.domains, None)):
        for sources in itertools.permutations(ws.domains, number):
            module = translation_module(ws, sources, to)
            for rows in BATCHES:
                given = {name: latents[name][:rows] for name in sources}
                assert torch.equal(module(*given.values()), expected(ws, given, to))


def test_direct_translators_are_followed_bit_for_bit(tmp_path):
    ws, latents = make(topology="direct")
    for sources, to in itertools.product(
        (["every"], ["left-hand"], ["left-hand", "every"]), (*ws.domains, None)
    ):
        given = {name: latents[name] for name in sources}
        module = translation_module(ws, sources, to)
        assert torch.equal(module(*given.values()), expected(ws, given, to))
    export_translation(ws, SEVERAL, "every", tmp_path / "path.pt2", format="torch")
    given = {name: latents[name] for name in SEVERAL}
    found = torch.export.load(tmp_path / "path.pt2").module()(*given.values())
    torch.testing.assert_close(found, expected(ws, given, "every"), rtol=0, atol=1e-6)


def test_one_source_may_be_named_without_a_list():
    ws, latents = make()
    one, listed = (translation_module(ws, s, "every") for s in ("left-hand", ["left-hand"]))
    assert torch.equal(one(latents["left-hand"]), listed(latents["left-hand"]))


def test_the_module_is_a_frozen_copy():
    ws, latents = make()
    ws.requires_grad_(True).train()
    module = translation_module(ws, "left-hand", "every")
    assert ws.training and ws.encoder("left-hand").training
    assert not any(part.training for part in module.modules())
    assert not any(p.requires_grad for p in module.parameters())
    before = expected(copy.deepcopy(ws).eval(), {"left-hand": latents["left-hand"]}, "every")
    assert torch.equal(module(latents["left-hand"]), before)
    with torch.no_grad():
        for value in [*ws.parameters(), *ws.buffers()]:
            if value.is_floating_point():
                value.add_(1.0)
    assert torch.equal(module(latents["left-hand"]), before)


def test_the_module_keeps_the_dtype_of_the_workspace_and_the_file_is_float32(tmp_path):
    ws, latents = make()
    ws.double()
    module = translation_module(ws, "left-hand", "every")
    truth = expected(ws, {"left-hand": latents["left-hand"]}, "every")
    assert truth.dtype == torch.float64
    assert torch.equal(module(latents["left-hand"]), truth)
    export_translation(ws, "left-hand", "every", tmp_path / "path.pt2", format="torch")
    found = torch.export.load(tmp_path / "path.pt2").module()(latents["left-hand"])
    torch.testing.assert_close(found, truth.float())  # onnxruntime lacks much in float64
    assert ws.dtype == torch.float64


@pytest.mark.parametrize("shape", [(3, 1), (3, 5), (4,)])
def test_latents_of_another_width_are_refused(shape):
    module = translation_module(small_workspace(), "left", "right")
    with pytest.raises(DomainError, match=r'"left" are \(.*\); a tensor \(batch, 4\)'):
        module(torch.zeros(shape))


class Doubled(Mean):
    """A plugin's fusion with states of its own making."""

    def finish(self, before):
        return State(2 * before, before)


def test_a_fusion_that_makes_states_in_its_own_way_is_asked():
    ws, latents = make()
    ws.fusion = Doubled(8)
    for sources in (["every"], ["every", "left-hand"]):
        given = {name: latents[name] for name in sources}
        module = translation_module(ws, sources, "left-hand")
        assert torch.equal(module(*given.values()), expected(ws, given, "left-hand"))


# ---- the file


def test_inputs_and_output_have_the_domains_names_and_any_number_of_rows(tmp_path):
    ws = GlobalWorkspace({"state": Vector(2), "left-hand": Vector(3)}, dim=4)

    def interface(sources, to):
        export_translation(ws, sources, to, tmp_path / "path.onnx")
        session = onnxruntime.InferenceSession(tmp_path / "path.onnx")
        return [(v.name, v.shape) for v in (*session.get_inputs(), *session.get_outputs())]

    left, state = ("left-hand", ["batch", 3]), ("state", ["batch", 2])
    assert interface(["left-hand", "state"], None) == [
        left,
        state,
        ("state_out", ["batch", 4]),
    ]
    assert interface("left-hand", "left-hand") == [left, ("left-hand_out", ["batch", 3])]


@pytest.mark.parametrize(("format", "ending"), [("onnx", ".onnx"), ("torch", ".pt2")])
def test_one_file_is_written_that_tells_nothing_of_this_machine(format, ending, tmp_path):
    file = tmp_path / "new" / f"path{ending}"
    export_translation(small_workspace(), "left", "right", str(file), format=format)
    assert list(file.parent.iterdir()) == [file]
    content = file.read_bytes()
    assert b"export.py" not in content and b"networks.py" not in content
    assert str(sys.prefix).encode() not in content


@pytest.mark.parametrize(
    ("sources", "to", "message"),
    [
        ("lefft", "right", r'no domain "lefft"; it has left, right\. Did you mean "left"\?'),
        (["left", "middle"], None, 'no domain "middle"; it has left, right'),
        ("left", "wright", 'no domain "wright".*"right"'),
        ([], "right", "No source was given"),
        (["left", "left"], "right", "stands twice among the sources: left, left"),
    ],
)
def test_unknown_domains_are_refused(sources, to, message, tmp_path):
    ws = small_workspace()
    with pytest.raises(ConfigError, match=message):
        translation_module(ws, sources, to)
    with pytest.raises(ConfigError, match=message):
        export_translation(ws, sources, to, tmp_path / "path.onnx")


def test_unknown_formats_and_endings_that_do_not_fit_are_refused(tmp_path):
    ws = small_workspace()
    with pytest.raises(ConfigError, match='format="tflite" is unknown; write "onnx" or "torch"'):
        export_translation(ws, "left", "right", tmp_path / "path.onnx", format="tflite")
    with pytest.raises(ConfigError, match=r'path.onnx" does not end in ".pt2"'):
        export_translation(ws, "left", "right", tmp_path / "path.onnx", format="torch")
    with pytest.raises(ConfigError, match=r'path" does not end in ".onnx"'):
        export_translation(ws, "left", "right", tmp_path / "path")


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_without_a_package_the_message_says_what_to_install(package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"the package {package}\. Install it: pip install 'globalworkspace\[onnx\]'"
    with pytest.raises(ConfigError, match=message):
        export_translation(small_workspace(), "left", "right", tmp_path / "path.onnx")
    assert not list(tmp_path.iterdir())
    export_translation(small_workspace(), "left", "right", tmp_path / "path.pt2", format="torch")


class Undecided(nn.Module):
    """A network that no graph can follow."""

    def forward(self, values):
        return values[:, :5] if values.sum() > 0 else -values[:, :5]


def test_a_network_that_cannot_be_exported_is_named_and_the_old_file_stays(tmp_path):
    file = tmp_path / "path.pt2"
    file.write_bytes(b"old")
    ws = small_workspace((6, 6))
    ws.encoders["domain_left"] = Undecided()
    given = torch.randn(4, 6)
    module = translation_module(ws, "left", "right")
    assert torch.equal(module(given), expected(ws, {"left": given}, "right"))
    with pytest.raises(ConfigError, match="cannot follow the networks from left to right"):
        export_translation(ws, "left", "right", file, format="torch")
    assert file.read_bytes() == b"old"


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StorageError, match="cannot be written"):
        export_translation(
            small_workspace(), "left", "right", tmp_path / "taken" / "path.pt2", format="torch"
        )
    (tmp_path / "folder.pt2").mkdir()
    with pytest.raises(StorageError, match='folder.pt2" cannot be written'):
        export_translation(
            small_workspace(), "left", "right", tmp_path / "folder.pt2", format="torch"
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.pt2", "taken"]
