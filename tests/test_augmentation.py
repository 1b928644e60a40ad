import pytest
import torch
from core_domains import Parts, make_batch, random_latents, small_table, small_workspace

from globalworkspace import Augmentation, GlobalWorkspace, LatentSpec, Part, Trainer, TrainerConfig
from globalworkspace.augmentation import Noise
from globalworkspace.errors import ConfigError, DomainError
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.translation import Translation
from globalworkspace.training.orchestrator import LossOrchestrator

PAIRS = [(("left", "right"), 8)]


class Mixed(Augmentation):
    """Every domain of a row is mixed with the same other row."""

    targets = "view"

    def apply(self, latents, specs, generator):
        size = len(next(iter(latents.values())))
        share = float(torch.rand((), generator=generator))
        other = torch.randperm(size, generator=generator)
        return {name: share * x + (1 - share) * x[other] for name, x in latents.items()}


class Doubled(Augmentation):
    def apply(self, latents, specs, generator):
        return {name: 2 * values for name, values in latents.items()}


class DoubledToo(Doubled):
    targets = "view"


def loss(workspace, objectives, augmentations=None, step=0):
    batch = make_batch(workspace, PAIRS, torch.Generator().manual_seed(0))
    orchestrator = LossOrchestrator(workspace, objectives, augmentations=augmentations)
    return batch, orchestrator(batch, step)


def test_a_view_acts_on_the_family_that_asks_for_it_alone():
    workspace = small_workspace()
    _, plain = loss(workspace, [Translation(), Contrastive()])
    views = {"double": Doubled()}
    _, both = loss(workspace, [Translation().seen_through("double"), Contrastive()], views)
    assert torch.equal(both.families["contrastive"], plain.families["contrastive"])
    assert not torch.equal(both.families["translation"], plain.families["translation"])


@pytest.mark.parametrize(("view", "factor"), [(Doubled(), 1), (DoubledToo(), 2)])
def test_targets_are_clean_or_of_the_view_as_the_augmentation_says(view, factor):
    workspace = small_workspace()
    batch, report = loss(workspace, [Translation().seen_through("double")], {"double": view})
    expected = []
    for source, target in (("left", "right"), ("right", "left")):
        code = workspace.fusion.fuse({source: workspace.encoder(source)(2 * batch.latents[source])})
        prediction = workspace.decoder(target)(code.code)
        truth = factor * batch.latents[target]
        expected.append(workspace.spec(target).loss(prediction, truth).mean())
    torch.testing.assert_close(report.families["translation"], torch.stack(expected).mean())


def test_two_views_and_none_walk_side_by_side():
    workspace = small_workspace()
    views = {"mixed": Mixed(), "noisy": Noise(0.5)}
    families = [
        Contrastive(),
        Contrastive().seen_through("mixed"),
        Contrastive().seen_through("noisy"),
    ]
    _, report = loss(workspace, families, views)
    assert len({float(value.detach()) for value in report.families.values()}) == 3
    _, again = loss(workspace, families, views)
    _, later = loss(workspace, families, views, step=1)
    assert torch.equal(report.total, again.total)
    assert torch.equal(report.families["contrastive"], later.families["contrastive"])
    assert not torch.equal(report.families["contrastive_#2"], later.families["contrastive_#2"])


def test_a_view_that_is_no_augmentation_is_refused_by_name():
    with pytest.raises(ConfigError, match='translation: the view "mixd".*it has mixed'):
        loss(small_workspace(), [Translation().seen_through("mixd")], {"mixed": Mixed()})


def test_a_view_of_the_wrong_shape_names_augmentation_and_domain():
    class Shorter(Augmentation):
        def apply(self, latents, specs, generator):
            return {name: values[:, :2] for name, values in latents.items()}

    with pytest.raises(DomainError, match=r'"short" gave \(8, 2\) for the domain "left"'):
        loss(small_workspace(), [Translation().seen_through("short")], {"short": Shorter()})


def test_noise_leaves_classes_angles_masks_and_padding_alone():
    spec = LatentSpec(
        (
            Part(name="where", size=2),
            Part(name="class", size=3, kind="categorical"),
            Part(name="angle", size=1, kind="circular"),
            Part(name="tokens", size=2, length=3, kind="sequence"),
        )
    )
    latents = random_latents(spec, 200, torch.Generator().manual_seed(0))
    noisy = Noise(0.3).apply({"a": latents}, {"a": spec}, torch.Generator().manual_seed(1))["a"]
    before, after = spec.split(latents), spec.split(noisy)
    assert torch.equal(before["class"], after["class"])
    assert torch.equal(before["angle"], after["angle"])
    assert float((after["where"] - before["where"]).std()) == pytest.approx(0.3, rel=0.1)
    blocks, moved = before["tokens"].unflatten(1, (3, 3)), after["tokens"].unflatten(1, (3, 3))
    assert torch.equal(blocks[:, :, 2], moved[:, :, 2])
    padding = blocks[:, :, 2] == 0
    assert not moved[:, :, :2][padding].any()
    assert not torch.equal(blocks[:, :, :2][~padding], moved[:, :, :2][~padding])


def test_noise_needs_a_scale():
    with pytest.raises(ConfigError, match="scale=0 must be above 0"):
        Noise(0)


def test_training_through_a_view_learns_and_resumes_as_if_uninterrupted(tmp_path):
    def train(steps, folder, resume=False):
        workspace = small_workspace(seed=3)
        config = TrainerConfig(
            steps=steps, checkpoint_every=10, warmup=0.0, progress=False, device="cpu"
        )
        families = [Translation(), Contrastive(0.1).seen_through("mixed")]
        trainer = Trainer(config, families, augmentations={"mixed": Mixed()})
        trainer.fit(workspace, small_table(), latents=True, run_dir=folder, resume=resume)
        return workspace

    whole = train(20, tmp_path / "whole")
    stopped = tmp_path / "stopped"
    train(20, stopped)
    (stopped / "checkpoints" / "step-000000020" / "state.json").unlink()
    again = train(20, stopped, resume=True)
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_views_reach_a_domain_of_parts():
    parts = [{"name": "class", "size": 3, "kind": "categorical"}, {"name": "w", "size": 2}]
    workspace = GlobalWorkspace({"left": Parts(parts), "right": Parts(parts)}, dim=4)
    _, report = loss(workspace, [Translation().seen_through("noisy")], {"noisy": Noise(0.1)})
    assert report.total.isfinite()
