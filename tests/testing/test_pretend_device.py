"""The pretend device: what mixes, what moves, and what is let through."""

import pytest
import torch
from torch import nn

from globalworkspace.testing.pretend_device import DEVICE, DeviceMix, PretendDevice


@pytest.fixture
def layer():
    return nn.Linear(2, 2)


def test_results_of_a_placed_module_lie_there_and_hold_the_same_values(layer):
    values = torch.ones(3, 2)
    expected = layer(values)
    with PretendDevice() as device:
        device.place(layer)
        moved = values.to(layer.weight.device)
        found = torch.cat([layer(moved), torch.zeros(1, 2, device=moved.device)]).chunk(2)[0]
        assert found.device == DEVICE and values.device != DEVICE
        assert found.cpu().device != DEVICE
    assert torch.equal(found, expected[:2])


@pytest.mark.parametrize(
    "mix",
    [
        lambda there, here: there + here,
        lambda there, here: torch.cat([there, here]),
        lambda there, here: there.new_ones(2, 2) @ torch.ones(2),
        lambda there, here: here[there.long()],
        lambda there, here: there.numpy(),
        lambda there, here: torch.randn(2, device=there.device, generator=torch.Generator()),
        lambda there, here: torch.zeros_like(there).normal_(generator=torch.Generator()),
        lambda there, here: here.to("cuda"),
        lambda there, here: here.cuda(),
        lambda there, here: torch.zeros(2, device="cuda:0"),
        lambda there, here: nn.Linear(2, 2)(there.view(1, 2)),
    ],
)
def test_what_fails_on_an_accelerator_fails_here_with_the_line(mix):
    here = torch.tensor([0.0, 1.0])
    with PretendDevice() as device:
        there = device.move(here)
        with pytest.raises(DeviceMix, match="test_pretend_device.py, line"):
            mix(there, here)


def test_what_an_accelerator_allows_is_let_through():
    here = torch.tensor([0.0, 1.0])
    with PretendDevice() as device:
        there = device.move(here)
        assert (there + torch.tensor(2.0)).device == DEVICE  # a scalar goes anywhere
        assert there[torch.tensor([1, 0])].tolist() == [1.0, 0.0]
        assert (there.cpu() + here).tolist() == [0.0, 2.0]
        assert (here.to(there) + there).device == DEVICE
        there[0] = here[1]
        assert torch.zeros(2).copy_(there).device != DEVICE
        assert there.float().device == DEVICE and there.to(torch.float64).device == DEVICE
    assert here.device == torch.device("cpu")
