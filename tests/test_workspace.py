import copy

import pytest
import torch
from core_domains import Mute, Parts, Vector, small_workspace, two_views

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig
from globalworkspace.errors import ConfigError, DomainError, PluginError
from globalworkspace.evaluation.translation import translation_error
from globalworkspace.standard_table import standardize_table


def test_any_subset_of_domains_gives_a_state():
    ws = small_workspace((2, 3, 4)).eval()
    inputs = {"left": torch.ones(5, 2), "right": torch.ones(5, 3), "third": torch.ones(5, 4)}
    for names in (("left",), ("third", "left"), ("left", "right", "third")):
        assert ws.encode({name: inputs[name] for name in names}).code.shape == (5, 5)


def test_translation_is_decoding_the_encoded_state():
    ws = small_workspace().eval()
    given = {"left": torch.randn(3, 4)}
    expected = ws.decode(ws.encode(given), "right", latents=True)
    assert torch.equal(ws.translate(given, "right", latents=True), expected)
    assert ws.translate(given, "right") == expected.tolist()
    assert torch.equal(ws.decode(ws.encode(given).code, "right", latents=True), expected)


def test_broadcast_reaches_every_domain_that_can_decode():
    ws = GlobalWorkspace({"a": Vector(2), "b": Mute(3)}, dim=4).eval()
    state = ws.encode({"a": torch.ones(2, 2)})
    assert set(ws.broadcast(state)) == {"a"}
    assert {n: tuple(v.shape) for n, v in ws.broadcast(state, latents=True).items()} == {
        "a": (2, 2),
        "b": (2, 3),
    }


def test_a_row_that_lacks_a_domain_is_encoded_from_the_others():
    ws = small_workspace().eval()
    left, right = torch.randn(4, 4), torch.randn(4, 6)
    right[2:] = float("nan")
    present = {"right": torch.tensor([True, True, False, False])}
    state = ws.encode({"left": left, "right": right}, latents=True, present=present)
    alone = ws.encode({"left": left}, latents=True)
    both = ws.encode({"left": left[:2], "right": right[:2]}, latents=True)
    torch.testing.assert_close(state.code[2:], alone.code[2:])
    torch.testing.assert_close(state.code[:2], both.code)


def test_awkward_and_repeated_kinds_of_names_are_fair():
    names = ["type", "keys", "values", "forward", "training", "left-camera"]
    ws = GlobalWorkspace({name: Vector(2) for name in names}, dim=4).eval()
    assert list(ws.domains) == names
    assert len(ws.translate({"type": torch.ones(1, 2)}, "keys")) == 1


@pytest.mark.parametrize(
    ("domains", "error", "message"),
    [
        ([("a", Vector(2)), ("a", Vector(2))], DomainError, '"a" is named twice'),
        ({"a b": Vector(2)}, DomainError, "'a b' is no domain name"),
        ({"a": object()}, DomainError, '"a" is a object; a DomainModule is needed'),
        ({}, DomainError, "at least one domain"),
    ],
)
def test_bad_domains_are_refused(domains, error, message):
    with pytest.raises(error, match=message):
        GlobalWorkspace(domains, dim=4)


def test_bad_settings_are_refused():
    with pytest.raises(ConfigError, match="dim=0"):
        small_workspace(dim=0)
    with pytest.raises(ConfigError, match="dropout=1"):
        small_workspace(dropout=1)
    with pytest.raises(PluginError, match='fusion kind "sum".*attention'):
        small_workspace(fusion="sum")


@pytest.mark.parametrize(
    ("inputs", "latents", "message"),
    [
        ({}, False, "at least one domain"),
        ({"middle": torch.ones(1, 4)}, False, '"middle"; it has left, right'),
        ({"left": torch.ones(2, 5)}, False, r'"left" returned latents of shape \(2, 5\)'),
        ({"left": torch.ones(2, 5)}, True, r'"left" are \(2, 5\); a tensor \(batch, 4\)'),
        ({"left": [1]}, True, '"left" are list'),
        ({"left": torch.full((2, 4), float("nan"))}, True, '"left" hold NaN'),
        ({"left": torch.ones(2, 4), "right": torch.ones(3, 6)}, True, "different batch sizes"),
    ],
)
def test_bad_inputs_name_the_domain(inputs, latents, message):
    with pytest.raises(DomainError, match=message):
        small_workspace().encode(inputs, latents=latents)


def test_a_domain_that_cannot_decode_says_so():
    ws = GlobalWorkspace({"a": Vector(2), "b": Mute(3)}, dim=4).eval()
    with pytest.raises(DomainError, match=r'"b" \(Mute\) has no decode\(\); ask for latents=True'):
        ws.translate({"a": torch.ones(1, 2)}, "b")


def test_first_weights_follow_the_seed_and_leave_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, same, other = small_workspace(), small_workspace(), small_workspace(seed=1)
    assert torch.equal(before, torch.get_rng_state())
    key = "encoders.domain_left.input.weight"
    assert torch.equal(first.state_dict()[key], same.state_dict()[key])
    assert not torch.equal(first.state_dict()[key], other.state_dict()[key])


def test_domain_modules_stay_frozen_and_outside_the_parameters():
    from core_domains import Weighted

    module = Weighted(3)
    ws = GlobalWorkspace({"a": module, "b": Vector(2)}, dim=4)
    assert not any(p.requires_grad for p in module.parameters())
    assert {id(p) for p in module.parameters()}.isdisjoint(id(p) for p in ws.parameters())
    ws.train()
    assert not module.training
    ws.double()
    assert module.linear.weight.dtype == torch.float32  # a frozen specialist runs as it was made


def test_dead_dimensions_shrink_the_networks_and_come_back_on_the_way_out():
    ws = small_workspace().double().eval()
    latents = torch.randn(50, 4)
    latents[:, 2] = 7.0
    with pytest.warns(UserWarning, match='"left": 1 of 4'):
        ws.fit_standardizers({"left": latents})
    assert ws.spec("left").dim == 3
    assert ws.encoder("left").input.in_features == 3
    assert ws.encoder("left").input.weight.dtype == torch.float64
    back = ws.translate({"left": latents}, "left", latents=True)
    torch.testing.assert_close(back[:, 2], torch.full((50,), 7.0, dtype=torch.float64))


def test_statistics_are_taken_once():
    ws = small_workspace()
    ws.fit_standardizers({"left": torch.randn(50, 4)})
    mean = ws.standardizer("left").mean.clone()
    ws.fit_standardizers({"left": 100 + torch.randn(50, 4)})
    assert torch.equal(ws.standardizer("left").mean, mean)
    assert ws.standardized == {"left"}


def test_predictions_are_activated_before_they_leave():
    parts = [{"name": "class", "size": 3, "kind": "categorical"}]
    ws = GlobalWorkspace({"a": Vector(2), "kind": Parts(parts)}, dim=4).eval()
    classes = ws.translate({"a": torch.randn(6, 2)}, "kind")
    torch.testing.assert_close(classes.sum(1), torch.ones(6))


def quick(steps=150, **settings):
    defaults = {"batch_size": 64, "unmatched_batch_size": 64, "validate_every": 1000}
    return Trainer(TrainerConfig(steps=steps, progress=False, device="cpu", **defaults, **settings))


def test_a_third_domain_joins_a_trained_workspace_and_reaches_the_one_it_never_met():
    columns = two_views(1200, (4, 6, 5))
    whole = Table.from_columns(columns)
    train, test = whole.select(torch.arange(1000)), whole.select(torch.arange(1000, 1200))
    ws = small_workspace(dim=8, hidden_dim=32, dropout=0.1)
    quick(250).fit(ws, train.only(["left", "right"]).match(500))
    before = copy.deepcopy(ws.state_dict())

    ws.add_domain("third", Vector(5))
    few = train.match({("left", "third"): 200}, seed=1)
    assert ("right", "third") not in few.groups()
    quick(250).fit(ws, few)

    after = ws.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    errors = translation_error(ws, standardize_table(ws, test))
    assert errors["third -> right"] < 0.7
    assert errors["right -> third"] < 0.7


def test_old_networks_may_go_on_training():
    ws = small_workspace()
    ws.add_domain("third", Vector(2), freeze_others=False)
    assert all(p.requires_grad for p in ws.parameters())
    ws.set_trainable(["third"])
    trained = {n.split(".")[1] for n, p in ws.named_parameters() if p.requires_grad}
    assert trained == {"domain_third"}
    ws.set_trainable(ws.domains)
    assert all(p.requires_grad for p in ws.parameters())
    with pytest.raises(DomainError, match='"middle"'):
        ws.set_trainable(["middle"])


def test_a_domain_joins_in_the_dtype_of_the_workspace():
    ws = small_workspace().double()
    ws.add_domain("third", Vector(2))
    assert ws.encoder("third").input.weight.dtype == torch.float64


def test_an_unknown_setting_of_the_fusion_is_named():
    with pytest.raises(ConfigError, match='fusion "mean" has no setting "temperture"'):
        small_workspace(fusion="mean", fusion_options={"temperture": 1.0})
