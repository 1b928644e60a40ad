import torch
from globalworkspace_shapes.attributes import CLASSES, sample_attributes
from globalworkspace_shapes.captions import write_captions
from globalworkspace_shapes.scoring import (
    FACTORS,
    LatentProbe,
    facts_of_attributes,
    facts_of_captions,
    score,
)


def shapes(number: int, seed: int = 0):
    return sample_attributes(number, torch.Generator().manual_seed(seed))


def test_true_attributes_score_perfectly_with_classes_as_indices_or_names() -> None:
    columns = shapes(200).columns()
    named = columns | {"shape": [CLASSES[i] for i in columns["shape"]]}
    truth = facts_of_attributes(columns)
    for given in (columns, named):
        assert all(value == 1.0 for value in score(facts_of_attributes(given), truth).values())


def test_a_constant_guess_scores_zero_and_wrong_rows_score_below() -> None:
    columns = shapes(2000).columns()
    truth = facts_of_attributes(columns)
    constant = {
        k: (v.float().mean(dim=0, keepdim=True).expand_as(v) if k != "shape" else v)
        for k, v in truth.items()
    }
    shuffled = {k: v.roll(1, dims=0) for k, v in truth.items()}
    assert all(abs(score(constant, truth)[name]) < 1e-6 for name in FACTORS)
    assert all(score(shuffled, truth)[name] < -0.5 for name in FACTORS)
    assert score(shuffled, truth)["class"] < 0.5


def test_captions_tell_the_class_exactly_and_the_rest_nearly() -> None:
    attributes = shapes(1000)
    found = score(
        facts_of_captions(write_captions(attributes, 3)), facts_of_attributes(attributes.columns())
    )
    assert found["class"] == 1.0
    assert all(found[name] > 0.85 for name in FACTORS)


def test_a_sentence_that_cannot_be_read_tells_nothing() -> None:
    attributes = shapes(1000)
    found = score(facts_of_captions(["so be it"] * 1000), facts_of_attributes(attributes.columns()))
    assert found["class"] == 0.0
    assert all(abs(found[name]) < 0.05 for name in FACTORS)


def test_the_probe_reads_latents_that_hold_the_facts_and_not_others() -> None:
    attributes, unseen = shapes(4000, 1), shapes(1000, 2)

    def latents(batch) -> torch.Tensor:
        columns = batch.columns()
        angle = columns["rotation"]
        numbers = [columns[n] for n in ("x", "y", "size", "r", "g", "b")]
        one_hot = torch.nn.functional.one_hot(columns["shape"], 3).float()
        return torch.cat([torch.stack([*numbers, angle.cos(), angle.sin()], dim=1), one_hot], dim=1)

    truth = facts_of_attributes(unseen.columns())
    good = score(
        LatentProbe(latents(attributes), attributes, steps=400).read(latents(unseen)), truth
    )
    noise = torch.Generator().manual_seed(5)
    blind = LatentProbe(torch.randn(4000, 11, generator=noise), attributes, steps=400)
    bad = score(blind.read(torch.randn(1000, 11, generator=noise)), truth)
    assert good["class"] > 0.99 and all(good[name] > 0.98 for name in FACTORS)
    assert bad["class"] < 0.5 and all(bad[name] < 0.1 for name in FACTORS)
