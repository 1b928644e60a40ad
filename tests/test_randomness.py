import torch

from globalworkspace.randomness import derived_generator, derived_seed


def test_equal_keys_give_equal_numbers_and_others_do_not():
    first = torch.rand(3, generator=derived_generator(1, "rows", 2))
    assert torch.equal(first, torch.rand(3, generator=derived_generator(1, "rows", 2)))
    seeds = {derived_seed(*keys) for keys in [(1, 2), (12,), (1, "2 "), (2, 1), ("1\0", 2)]}
    assert len(seeds) == 5


def test_seeds_are_the_same_on_every_machine():
    assert derived_seed(0, "rows") == 4418531384136649049
