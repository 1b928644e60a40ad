"""Answering from a gallery: by workspace states, not by predicted latents."""

import pytest
import torch

from globalworkspace import (
    DomainModule,
    GalleryDecoding,
    GlobalWorkspace,
    LatentSpec,
    WorkspaceError,
)


class Pairs(DomainModule):
    latent = LatentSpec.continuous(2)

    def encode(self, raw):
        return torch.as_tensor(raw, dtype=torch.float32)

    def config(self):
        return {}


class Worded(GalleryDecoding, Pairs):
    """The first column is shared, the second is wording that only this domain knows."""


def workspace_that_shares_the_first_column() -> GlobalWorkspace:
    ws = GlobalWorkspace({"number": Pairs(), "word": Worded()}, dim=2, linear_path=True)
    for name in ws.domains:
        weight = torch.tensor([[0.5, 0.0], [0.0, 0.0]])
        ws.encoder(name).start_from_linear(weight, torch.tensor([0.0, 0.2]))
    return ws


def test_a_gallery_is_searched_by_states_so_that_private_wording_does_not_decide() -> None:
    ws = workspace_that_shares_the_first_column()
    ws.domains["word"].set_gallery([(1.0, 9.0), (-1.0, 0.0), (0.1, 0.0)])
    found = ws.translate({"number": [[1.0, 0.0], [-1.0, 9.0]]}, "word")
    assert found == [(1.0, 9.0), (-1.0, 0.0)]
    by_latent = ws.domains["word"].nearest(torch.tensor([[1.0, 0.0]]))[0, 0]
    assert int(by_latent) != 0


def test_nearest_gives_the_best_first_and_no_more_than_there_are() -> None:
    ws = workspace_that_shares_the_first_column()
    ws.domains["word"].set_gallery([(1.0, 0.0), (-1.0, 0.0), (0.6, 0.0)])
    state = ws.encode({"number": [[0.9, 0.0]]})
    assert ws.nearest(state, "word", k=5).tolist() == [[0, 2, 1]]


def test_a_domain_without_a_gallery_says_how_to_give_one() -> None:
    ws = workspace_that_shares_the_first_column()
    state = ws.encode({"number": [[0.9, 0.0]]})
    for name in ws.domains:
        with pytest.raises(WorkspaceError, match="set_gallery"):
            ws.nearest(state, name)
    with pytest.raises(WorkspaceError, match="set_gallery"):
        ws.decode(state, "word")
