"""Tasks learnt on frozen states."""

import pytest
import torch
from core_domains import small_workspace, two_views

from globalworkspace import Table, Trainer, TrainerConfig
from globalworkspace.errors import DataError
from globalworkspace.evaluation.downstream import learn, states, transfer


def test_a_task_that_is_in_the_inputs_is_learnt_and_another_is_not():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3000, 4, generator=generator)
    classes = (x[:, 0] * x[:, 1] > 0).long()
    head = learn(x[:2000], classes[:2000], steps=600)
    assert head.score(x[2000:], classes[2000:]) > 0.93
    chance = torch.randint(2, (3000,), generator=generator)
    assert learn(x[:2000], chance[:2000], steps=300).score(x[2000:], chance[2000:]) < 0.6
    values = torch.stack([x[:, 0] ** 2, 5 + x[:, 1]], dim=1)
    assert learn(x[:2000], values[:2000], steps=600).score(x[2000:], values[2000:]) > 0.95


def test_it_is_a_function_of_the_seed_and_leaves_the_generator_alone():
    x = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    labels = (x[:, 0] > 0).long()
    before = torch.get_rng_state()
    first, again, other = (learn(x, labels, steps=5, seed=s)(x) for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_what_is_learnt_on_one_domain_holds_in_another_once_they_are_joined():
    columns = two_views(1200)
    table = Table.from_columns(columns)
    training, test = table.select(range(1000)), table.select(range(1000, 1200))
    first = columns["left"] @ torch.randn(4, 1, generator=torch.Generator().manual_seed(1))
    labels = (first[:, 0] > first.median()).long()
    workspace = small_workspace(hidden_dim=32)
    split = {"learnt_on": "left", "steps": 300}
    before = transfer(workspace, training, labels[:1000], test, labels[1000:], **split)
    config = TrainerConfig(steps=250, progress=False, device="cpu")
    Trainer(config).fit(workspace, training, latents=True)
    after = transfer(workspace, training, labels[:1000], test, labels[1000:], **split)
    assert after["left"] > 0.9
    assert after["right"] > 0.85 > before["right"]
    assert states(workspace, test)["right"].shape == (200, 5)


@pytest.mark.parametrize("labels", [torch.zeros(3, dtype=torch.int64), torch.zeros(4)])
def test_labels_that_do_not_fit_are_refused(labels):
    with pytest.raises(DataError):
        learn(torch.zeros(4, 2), labels)
