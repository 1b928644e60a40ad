"""The best of several sentences, judged by their way back; a writer and coder made for the test."""

import pytest
import torch
from globalworkspace_text import best_of
from globalworkspace_text.autoencoder import TextAutoencoder
from globalworkspace_text.best_of import write_best
from torch import nn

from globalworkspace import DomainModule, GlobalWorkspace, LatentSpec
from globalworkspace.errors import ConfigError, DomainError

DIM = 3


class Point(DomainModule):
    latent = LatentSpec.continuous(DIM)

    def encode(self, raw):
        return torch.as_tensor(raw, dtype=torch.float32)

    def config(self):
        return {}


class Numbers(TextAutoencoder):
    """Writes a latent as digits: off by the temperature, the greedy one by 1."""

    def __init__(self):
        nn.Module.__init__(self)
        self.latent = LatentSpec.continuous(DIM)
        self.calls = []

    def config(self):
        return {}

    def train(self, mode=True):
        return nn.Module.train(self, mode)

    def _apply(self, fn, recurse=True):
        return nn.Module._apply(self, fn, recurse)

    def write(self, latents, *, temperature=0.0, top_p=1.0, generator=None):
        self.calls.append((temperature, top_p))
        if not temperature:
            generator = torch.Generator().manual_seed(99)
        off = (temperature or 1.0) * torch.randn(latents.shape, generator=generator)
        return [" ".join(f"{x:.4f}" for x in row) for row in (latents + off).tolist()]

    def encode(self, raw):
        return torch.tensor([[float(word) for word in text.split()] for text in raw])


@pytest.fixture
def workspace():
    """Both ways are the identity, so that the way back is what the sentence says."""
    made = GlobalWorkspace({"point": Point(), "words": Numbers()}, dim=DIM, activation="none")
    for name in ("point", "words"):
        made.encoders[f"domain_{name}"] = nn.Identity()
        made.decoders[f"domain_{name}"] = nn.Identity()
    anchor = nn.Parameter(torch.zeros(1))
    made.register_parameter("anchor", anchor)  # tells device and dtype
    return made


def points(rows=200):
    return torch.randn(rows, DIM, generator=torch.Generator().manual_seed(1))


def error(workspace, sentences):
    return float((workspace.domains["words"].encode(sentences) - points()).square().mean())


def test_more_samples_come_nearer_and_one_is_the_greedy_sentence(workspace):
    writer = workspace.domains["words"]
    found = {}
    for samples in (1, 4, 64):
        generator = torch.Generator().manual_seed(0)
        sentences = write_best(
            workspace,
            {"point": points()},
            "words",
            samples=samples,
            temperature=0.7,
            generator=generator,
        )
        found[samples] = error(workspace, sentences)
    assert found[1] == pytest.approx(1.0, abs=0.2)
    assert found[64] < 0.6 * found[4] < 0.6 * 0.7 * found[1]
    assert writer.calls[0] == (0.0, 1.0) and writer.calls[2][0] == 0.7


def test_the_draws_follow_the_generator(workspace):
    def written(seed):
        generator = torch.Generator().manual_seed(seed)
        return write_best(workspace, {"point": points()}, "words", generator=generator)

    assert written(3) == written(3)
    assert written(3) != written(4)


def test_a_direction_in_which_errors_are_usual_weighs_less():
    errors = torch.randn(400, 2) * torch.tensor([10.0, 0.1])
    weights = best_of._weights(errors)
    assert weights[1, 1] > 100 * weights[0, 0]
    assert torch.equal(best_of._weights(errors[:5]), torch.eye(2))


def test_latents_may_be_given(workspace):
    raw = write_best(workspace, {"point": points().tolist()}, "words", samples=1)
    assert raw == write_best(workspace, {"point": points()}, "words", samples=1, latents=True)


def test_bad_requests_are_named(workspace):
    with pytest.raises(ConfigError, match="samples=0"):
        write_best(workspace, {"point": points()}, "words", samples=0)
    with pytest.raises(DomainError, match='"point" does not write.*point, words'):
        write_best(workspace, {"words": ["1 2 3"]}, "point")
