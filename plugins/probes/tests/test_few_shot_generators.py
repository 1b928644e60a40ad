"""The generators: what is said to be known of them is so."""

from __future__ import annotations

import pytest
import torch
from globalworkspace_probes.few_shot import with_signal, without_signal
from globalworkspace_probes.few_shot.episodes import draw_episodes
from globalworkspace_probes.few_shot.generators import (
    BITS,
    CONTENT,
    CUES,
    MASKED,
    NUISANCE,
    SPREAD,
    TYPES,
    Generated,
)
from globalworkspace_probes.few_shot.prototypes import episode_accuracy
from torch import Tensor

SEED = 3


def of_types(data: Generated) -> Tensor:
    """(N,): which of the four masks a row has."""
    return data.masks[:, ::MASKED].argmax(dim=1)


def least_squares(inputs: Tensor, targets: Tensor) -> float:
    """R² of a linear fit."""
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1).double()
    targets = targets.double() - targets.double().mean(dim=0)
    told = inputs @ torch.linalg.lstsq(inputs, targets).solution
    return float(1 - (told - targets).square().mean() / targets.square().mean())


def nearest_mean(embedded: Tensor, labels: Tensor) -> float:
    """5-way 5-shot accuracy of raw distances."""
    episodes = draw_episodes(
        labels,
        tuple(range(200)),
        200,
        ways=5,
        shots=5,
        queries=5,
        generator=torch.Generator().manual_seed(0),
    )
    return float(episode_accuracy(embedded[episodes.support], embedded[episodes.queries]).mean())


def test_both_generators_make_the_same_latents_of_one_seed() -> None:
    told, untold = with_signal(SEED), without_signal(SEED)
    assert torch.equal(told.latents, untold.latents)
    assert torch.equal(told.labels, untold.labels)
    assert not torch.equal(told.latents, with_signal(SEED + 1).latents)
    assert torch.equal(told.language, with_signal(SEED).language)
    assert told.latents.shape == (4000, CONTENT + CUES)


def test_the_dimensions_of_the_mask_define_the_class_and_the_others_vary_more() -> None:
    data = with_signal(SEED)
    content = data.latents[:, :CONTENT]
    by_class = content.view(200, 20, CONTENT)
    spread = by_class.std(dim=1)
    inside = data.masks.view(200, 20, CONTENT)[:, 0] > 0
    assert float(spread[inside].mean()) == pytest.approx(SPREAD, rel=0.05)
    assert float(spread[~inside].mean()) == pytest.approx(NUISANCE, rel=0.05)
    assert (inside.sum(dim=1) == MASKED).all()


def test_who_knows_the_mask_tells_classes_apart_and_who_does_not_hardly() -> None:
    data = with_signal(SEED)
    content = data.latents[:, :CONTENT]
    assert nearest_mean(content * data.masks, data.labels) > 0.9
    assert nearest_mean(data.latents, data.labels) < 0.45


def test_captions_tell_the_mask_with_signal_and_nothing_without() -> None:
    told, untold = with_signal(SEED), without_signal(SEED)
    assert least_squares(told.language, told.masks) > 0.8
    for truth in (untold.masks, untold.latents):
        assert abs(least_squares(untold.language, truth)) < 0.02
    for data in (told, untold):
        assert float(data.language.mean()) == pytest.approx(MASKED / CONTENT, abs=0.01)


def test_no_direction_of_the_cues_tells_the_type_but_the_signs_of_two_numbers_do() -> None:
    data = with_signal(SEED)
    cues = data.latents[:, CONTENT:]
    assert least_squares(cues, data.masks) < 0.01
    products = cues[:, :, None] * cues[:, None, :]
    assert least_squares(products.flatten(1), data.masks) > 0.3
    assert len(of_types(data).unique()) == TYPES == 2**BITS


def test_the_numbers_of_the_cues_say_nothing_of_the_class() -> None:
    data = with_signal(SEED)
    means = data.latents[:, CONTENT:].view(200, 20, CUES).mean(dim=1)
    expected = data.latents[:, CONTENT:].std(dim=0) / 20**0.5
    torch.testing.assert_close(means.std(dim=0), expected, rtol=0.15, atol=0.0)
