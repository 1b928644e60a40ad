import torch

from globalworkspace.networks import MLP


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
