"""What comes with Simple Shapes keeps its contract: its domain module and its evaluation."""

from __future__ import annotations

import pytest
import torch
from globalworkspace_shapes.attributes import ShapeAttributes, sample_attributes
from globalworkspace_shapes.captions import write_captions
from globalworkspace_shapes.dataset import attribute_columns
from globalworkspace_shapes.render import render
from globalworkspace_shapes.words import caption_words
from torch import Tensor

from globalworkspace import (
    DomainModule,
    GalleryDecoding,
    GlobalWorkspace,
    LatentSpec,
    Table,
    encode_table,
    load_domain,
)
from globalworkspace.evaluation.base import Evaluation, HeldOut
from globalworkspace.pretrained import build_domain
from globalworkspace.testing import DomainConformance, EvaluationConformance


def _shapes(count: int) -> ShapeAttributes:
    return sample_attributes(count, torch.Generator().manual_seed(0))


class TestPictureVAE(DomainConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def module(cls) -> DomainModule:
        return load_domain("package:globalworkspace_shapes/weights/picture")

    @pytest.fixture(scope="class")
    @classmethod
    def batch(cls) -> Tensor:
        return torch.as_tensor(render(_shapes(4)))


@pytest.mark.slow
class TestCaptionWriter(DomainConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def module(cls) -> DomainModule:
        return load_domain("package:globalworkspace_shapes/weights/caption")

    @pytest.fixture(scope="class")
    @classmethod
    def batch(cls) -> list[str]:
        return write_captions(_shapes(4), 1)


class Letters(GalleryDecoding, DomainModule):
    """Sentences by their letters; answers with a sentence of its gallery."""

    latent = LatentSpec.continuous(26)

    def encode(self, raw: list[str]) -> Tensor:
        """Counts of letters (B, 26)."""
        counts = [[text.count(chr(ord("a") + i)) for i in range(26)] for text in raw]
        return torch.tensor(counts, dtype=torch.float32).reshape(-1, 26)

    def config(self) -> dict[str, object]:
        """Nothing to set."""
        return {}


class TestCaptionWords(EvaluationConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def workspace(cls) -> GlobalWorkspace:
        letters = Letters()
        letters.set_gallery(write_captions(_shapes(8), 1))
        attributes = build_domain("attributes", {"columns": attribute_columns()})
        return GlobalWorkspace({"caption": letters, "attributes": attributes}, dim=4, hidden_dim=8)

    @pytest.fixture(scope="class")
    @classmethod
    def held_out(cls, workspace: GlobalWorkspace) -> HeldOut:
        shapes = _shapes(12)
        raw = Table.from_columns(
            {"caption": write_captions(shapes, 1), "attributes": shapes.columns()}
        )
        latents = encode_table(workspace.domains, raw)
        return HeldOut(raw=raw, latents=latents)

    @pytest.fixture
    def evaluation(self) -> Evaluation:
        return caption_words
