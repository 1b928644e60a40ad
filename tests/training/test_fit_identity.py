import torch
from script_domains import Fittable

from globalworkspace.training.fit_identity import fit_identity, what_changed

CELLS = [{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": 4.0}]


class Sized(Fittable):
    def __init__(self, **settings):
        super().__init__()
        self.settings = settings

    def config(self):
        return self.settings


def identity(cells=CELLS, items=(0, 1), **settings):
    return fit_identity(Sized(**settings), cells, torch.tensor(items))


def test_the_same_fit_has_not_changed():
    assert what_changed(identity(dim=8), identity(dim=8)) == []


def test_each_setting_that_changed_came_or_went_is_named():
    before, after = identity(dim=8, words=["a"], old=1), identity(dim=4, words=["a"], new=1)
    names = ("dim", "old", "new")
    assert what_changed(before, after) == [f"another {name} of the module" for name in names]


def test_other_cells_and_another_choice_of_the_same_ones_are_told_apart():
    assert what_changed(identity(), identity(cells=CELLS[::-1])) == ["other cells"]
    assert what_changed(identity(), identity(items=(0,))) == ["other cells"]


def test_cells_that_cannot_be_digested_are_taken_for_the_same():
    strange = identity(cells=[object(), object()])
    assert strange["cells"] is None
    assert what_changed(identity(), strange) == what_changed(strange, identity()) == []
