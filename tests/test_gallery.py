import pytest
import torch
from core_domains import Vector

from globalworkspace import GalleryDecoding, GlobalWorkspace
from globalworkspace.errors import DomainError


class Library(GalleryDecoding, Vector):
    decode = GalleryDecoding.decode


def test_decoding_answers_with_the_nearest_item():
    module = Library(2)
    cells = [[0.0, 1.0], [1.0, 0.0], [-1.0, -1.0]]
    module.set_gallery(cells, batch_size=2)
    assert module.decode(torch.tensor([[0.1, 2.0], [3.0, 0.2]])) == [cells[0], cells[1]]
    assert module.nearest(torch.tensor([[0.1, 2.0]]), k=9).shape == (1, 3)


def test_nearness_is_judged_around_the_gallery_mean():
    module = Library(2)
    cells = [[100.0, 1.0], [100.0, -1.0]]  # the common direction must not drown the difference
    module.set_gallery(cells)
    assert module.decode(torch.tensor([[100.0, -0.5], [100.0, 0.5]])) == [cells[1], cells[0]]


def test_known_latents_are_not_encoded_again():
    module = Library(2)
    module.set_gallery(["north", "east"], torch.tensor([[0.0, 1], [1, 0]]))
    assert module.decode(torch.tensor([[0.0, 5.0]])) == ["north"]


def test_a_workspace_translates_to_an_item():
    module = Library(2)
    module.set_gallery([[0.0, 1.0], [1.0, 0.0]])
    ws = GlobalWorkspace({"a": Vector(3), "b": module}, dim=4).eval()
    assert ws.translate({"a": torch.ones(1, 3)}, "b")[0] in module.gallery


def test_a_gallery_is_needed_and_has_items():
    with pytest.raises(DomainError, match="set_gallery"):
        Library(2).decode(torch.zeros(1, 2))
    with pytest.raises(DomainError, match="empty"):
        Library(2).set_gallery([])
    with pytest.raises(DomainError, match="2 items and 1 latents"):
        Library(2).set_gallery(["a", "b"], torch.zeros(1, 2))
