import copy

import pytest
import torch
from torch import nn

from globalworkspace.training.flat import FlatAdamW, named_parameters


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 2)).double()


def loss_of(net, step, size=6):
    generator = torch.Generator().manual_seed(step)
    return net(torch.randn(size, 3, generator=generator, dtype=torch.float64)).square().sum()


def flat(net, **options):
    options = {"weight_decay": 0.1, "keep_average": True} | options
    return FlatAdamW(named_parameters(net=net), **options)


def flat_steps(net, optimizer, steps, clip_norm=0.0):
    for step in steps:
        optimizer.zero_grad()
        loss_of(net, step).backward()
        optimizer.step(1e-2 * (step + 1), clip_norm)
        optimizer.update_average(0.9)


def same(first, second, **tolerance):
    tolerance = tolerance or {"rtol": 1e-12, "atol": 1e-12}
    for (name, a), b in zip(first.named_parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(a, b, msg=name, **tolerance)


@pytest.mark.parametrize("clip_norm", [0.0, 0.5, 1e6])
def test_it_does_what_adamw_over_the_single_tensors_does(clip_norm):
    ours, theirs = network(), network()
    average = copy.deepcopy(theirs)
    flat_steps(ours, optimizer := flat(ours), range(5), clip_norm)
    matrices = [p for p in theirs.parameters() if p.ndim >= 2]
    vectors = [p for p in theirs.parameters() if p.ndim < 2]
    adamw = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    )
    for step in range(5):
        for group in adamw.param_groups:
            group["lr"] = 1e-2 * (step + 1)
        adamw.zero_grad()
        loss_of(theirs, step).backward()
        if clip_norm:
            nn.utils.clip_grad_norm_(theirs.parameters(), clip_norm)
        adamw.step()
        for kept, live in zip(average.parameters(), theirs.parameters(), strict=True):
            kept.data.lerp_(live.data, 0.1)
    same(ours, theirs)
    live = copy.deepcopy(ours)
    with optimizer.averaged():
        same(ours, average)
    same(ours, live, rtol=0, atol=0)


def test_decay_of_vectors_would_be_seen():
    ours, other = network(), network()
    flat_steps(ours, flat(ours), range(5))
    adamw = torch.optim.AdamW(other.parameters(), weight_decay=0.1)
    for step in range(5):
        adamw.param_groups[0]["lr"] = 1e-2 * (step + 1)
        adamw.zero_grad()
        loss_of(other, step).backward()
        adamw.step()
    with pytest.raises(AssertionError):
        same(ours, other)


def test_one_call_for_all_weights_and_one_tensor_for_all_gradients():
    net = network()
    optimizer = flat(net)
    loss_of(net, 0).backward()
    (gradients,) = optimizer.gradients()
    assert gradients.numel() == sum(p.numel() for p in net.parameters())
    start = gradients.data_ptr()
    assert all(start <= p.grad.data_ptr() < start + gradients.nbytes for p in net.parameters())


def test_a_parameter_without_a_gradient_is_left_alone_and_may_join_later():
    net, late = network(), nn.Linear(3, 2).double()
    before = copy.deepcopy(late)
    optimizer = FlatAdamW(named_parameters(net=net, late=late), weight_decay=0.5, keep_average=True)
    flat_steps(net, optimizer, range(3))
    same(late, before, rtol=0, atol=0)
    expected = copy.deepcopy(late)
    adamw = torch.optim.AdamW(
        [{"params": [expected.weight], "weight_decay": 0.5}, {"params": [expected.bias]}],
        lr=0.01,
        weight_decay=0.0,
    )
    for step in range(3):
        optimizer.zero_grad()
        adamw.zero_grad()
        (loss_of(net, step) + loss_of(late, step)).backward()
        loss_of(expected, step).backward()
        optimizer.step(0.01)
        adamw.step()
    same(late, expected)


def test_it_goes_on_from_its_state_as_if_never_stopped():
    whole, cut = network(), network()
    flat_steps(whole, flat(whole), range(6), 0.5)
    flat_steps(cut, first := flat(cut), range(3), 0.5)
    tensors, names = first.state()
    again = network(seed=1)
    again.load_state_dict(cut.state_dict())
    second = flat(again)
    second.load({n: v.clone() for n, v in tensors.items()}, names)
    flat_steps(again, second, range(3, 6), 0.5)
    same(whole, again, rtol=0, atol=0)
    unaware = flat(network())
    assert unaware.state() == ({}, [])


def test_released_weights_share_nothing():
    net = network()
    optimizer = flat(net)
    flat_steps(net, optimizer, range(2))
    storages = {p.untyped_storage().data_ptr() for p in net.parameters()}
    assert len(storages) == 1
    before = copy.deepcopy(net)
    optimizer.release()
    storages = {p.untyped_storage().data_ptr() for p in net.parameters()}
    assert len(storages) == len(list(net.parameters()))
    same(net, before, rtol=0, atol=0)
    flat_steps(net, optimizer, range(1))  # and may be trained again


def test_shared_parameters_count_once():
    net = network()
    assert len(named_parameters(one=net, two=net)) == len(list(net.parameters()))
    net[0].requires_grad_(False)
    assert len(named_parameters(one=net)) == len(list(net.parameters())) - 2
