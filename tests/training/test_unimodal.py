import json
import math
import random

import pytest
import torch
from script_domains import Fittable, Numbers

from globalworkspace import Rendering, Table, load_domain
from globalworkspace.errors import ConfigError, DataError, DomainError
from globalworkspace.training import unimodal
from globalworkspace.training.unimodal import FitDomainConfig, fit_domain

pytestmark = pytest.mark.usefixtures("script_kinds")


def column(rows=60):
    generator = random.Random(0)
    cells = [{"x": generator.gauss(0, 1), "y": generator.gauss(0, 1)} for _ in range(rows)]
    return Table.from_columns({"place": cells})["place"]


def config(**options):
    defaults = {"steps": 12, "batch_size": 16, "validate_every": 4, "checkpoint_every": 4}
    return FitDomainConfig(**defaults | {"device": "cpu", "progress": False} | options)


def weights(folder):
    return load_domain(folder / "domain").state_dict()


def test_a_fitted_domain_is_better_frozen_and_saved(tmp_path):
    module = Fittable()
    figures = fit_domain(module, column(), tmp_path, config(steps=200, learning_rate=0.02))
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert figures["validation_loss"] < 0.3 * log[0]["validation_loss"]
    assert figures["validation_loss"] == min(entry["validation_loss"] for entry in log)
    assert not module.training and not any(p.requires_grad for p in module.parameters())
    for name, value in weights(tmp_path).items():
        assert torch.equal(value, module.state_dict()[name])


def test_the_sheet_shows_held_out_items_beside_their_reconstructions(tmp_path):
    fit_domain(Fittable(), column(), tmp_path, config(sheet_items=3))
    page = (tmp_path / "reconstructions.html").read_text()
    assert page.count("<tr>") == 1 + 3 and "reconstruction" in page
    assert not list(tmp_path.glob("*.writing"))


def test_sounds_and_pictures_become_files_beside_the_sheet(tmp_path):
    class Sounding(Fittable):
        def render(self, raw):
            return [
                Rendering(media_type="audio/wav", data=str(c).encode(), alt="a sound") for c in raw
            ]

    fit_domain(Sounding(), column(), tmp_path, config(sheet_items=2))
    names = sorted(file.name for file in (tmp_path / "reconstructions").iterdir())
    kinds = ("item", "reconstruction")
    assert names == [f"{n:02d}-{what}.wav" for n in (1, 2) for what in kinds]
    assert (tmp_path / "reconstructions.html").read_text().count("<audio controls") == 4


def test_cells_are_prepared_once_and_training_takes_what_came_of_them(tmp_path):
    class Preparing(Fittable):
        prepared = 0

        def prepare(self, raw, *, progress=False):
            self.prepared += 1
            return torch.tensor([list(cell.values()) for cell in raw])

        def unimodal_loss(self, raw, progress, generator):
            assert isinstance(raw, torch.Tensor)
            cells = [{"x": x, "y": y} for x, y in raw.tolist()]
            return super().unimodal_loss(cells, progress, generator)

    module, plain = Preparing(), Fittable()
    fit_domain(module, column(), tmp_path / "prepared", config())
    assert module.prepared == 1
    fit_domain(plain, column(), tmp_path / "plain", config())
    for name, value in plain.state_dict().items():
        assert torch.equal(value, module.state_dict()[name])


def test_parameters_that_a_module_leaves_out_stay_frozen(tmp_path):
    class Half(Fittable):
        def trainable_parameters(self):
            return list(self.outside.parameters())

    module, before = Half(), Half()
    fit_domain(module, column(), tmp_path, config())
    assert torch.equal(module.inside.weight, before.inside.weight)
    assert not torch.equal(module.outside.weight, before.outside.weight)


def test_no_sheet_is_written_where_none_is_wanted(tmp_path):
    fit_domain(Fittable(), column(), tmp_path, config(sheet_items=0))
    assert not (tmp_path / "reconstructions.html").exists()


@pytest.mark.parametrize("stop_at", [4, 6])
def test_a_resumed_fit_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path, monkeypatch, stop_at
):
    fit_domain(Fittable(), column(), tmp_path / "whole", config())
    step = unimodal._Fit._step

    def interrupted(run):
        if run.step == stop_at:
            raise KeyboardInterrupt
        return step(run)

    with monkeypatch.context() as patch:
        patch.setattr(unimodal._Fit, "_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit_domain(Fittable(), column(), tmp_path / "parts", config())
    fit_domain(Fittable(), column(), tmp_path / "parts", config(), resume=True)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_resuming_with_other_settings_is_refused_by_name(tmp_path):
    fit_domain(Fittable(), column(), tmp_path, config())
    with pytest.raises(ConfigError, match="another learning_rate"):
        fit_domain(Fittable(), column(), tmp_path, config(learning_rate=0.1), resume=True)


def test_resuming_another_module_is_refused_by_the_setting_that_changed(tmp_path):
    fit_domain(Fittable(), column(), tmp_path, config())
    message = "was made with another latent_dim of the module. Go on with the same settings"
    with pytest.raises(ConfigError, match=message):
        fit_domain(Fittable(latent_dim=4), column(), tmp_path, config(), resume=True)

    class Other(Fittable):
        pass

    with pytest.raises(ConfigError, match=r"a module of class Fittable \(now Other\)"):
        fit_domain(Other(), column(), tmp_path, config(), resume=True)


def test_resuming_on_other_cells_is_refused(tmp_path):
    fit_domain(Fittable(), column(), tmp_path, config())
    with pytest.raises(ConfigError, match="another seed, other cells. .* another folder"):
        fit_domain(Fittable(), column(59), tmp_path, config(seed=1), resume=True)


def test_a_change_is_found_before_the_cells_are_prepared(tmp_path):
    class Preparing(Fittable):
        prepared = 0

        def prepare(self, raw, *, progress=False):
            self.prepared += 1
            return raw

    fit_domain(Preparing(), column(), tmp_path, config())
    again = Preparing(dead=True)
    with pytest.raises(ConfigError, match="another dead"):
        fit_domain(again, column(), tmp_path, config(), resume=True)
    assert again.prepared == 0


def test_a_checkpoint_of_before_identities_were_kept_still_resumes(tmp_path, monkeypatch):
    write = unimodal.checkpoint.write_checkpoint

    def without(folder, step, tensors, state):
        del state["identity"]
        write(folder, step, tensors, state)

    with monkeypatch.context() as patch:
        patch.setattr(unimodal.checkpoint, "write_checkpoint", without)
        fit_domain(Fittable(), column(), tmp_path, config())
    assert fit_domain(Fittable(), column(), tmp_path, config(), resume=True)["steps"] == 12


def test_resuming_without_a_checkpoint_begins_anew(tmp_path):
    assert fit_domain(Fittable(), column(), tmp_path, config(), resume=True)["steps"] == 12


def test_dead_dimensions_are_reported(tmp_path):
    with pytest.warns(UserWarning, match="1 of 3 latent dimensions are dead"):
        figures = fit_domain(Fittable(dead=True), column(), tmp_path, config())
    assert figures["dead_dimensions"] == [2]


def test_training_stops_when_it_no_longer_gets_better(tmp_path):
    settings = config(steps=400, learning_rate=1e-12, weight_decay=0.0, patience=2, ema=0.0)
    figures = fit_domain(Fittable(), column(), tmp_path, settings)
    assert figures["steps"] < 400


def test_batches_can_be_made_on_the_fly(tmp_path):
    steps = []

    def source(step):
        steps.append(step)
        return [{"x": 0.1 * step, "y": 1.0}] * 4

    fit_domain(Fittable(), column(20), tmp_path, config(), source=source)
    assert steps == list(range(12))


def test_a_domain_without_a_training_loss_or_parameters_is_refused(tmp_path):
    with pytest.raises(DomainError, match="Numbers has no unimodal_loss"):
        fit_domain(Numbers(), column(), tmp_path, config())

    class Empty(Numbers):
        def unimodal_loss(self, raw, progress, generator):
            return {}

    with pytest.raises(DomainError, match="Empty has no parameters"):
        fit_domain(Empty(), column(), tmp_path, config())


def test_too_few_cells_and_a_loss_that_explodes_are_refused(tmp_path):
    with pytest.raises(DataError, match="1 cells are too few"):
        fit_domain(Fittable(), column(1), tmp_path, config())

    class Exploding(Fittable):
        def unimodal_loss(self, raw, progress, generator):
            return {"it": super().unimodal_loss(raw, progress, generator)["squares"] * math.inf}

    with pytest.raises(DataError, match="not finite at step 1: .*learning_rate"):
        fit_domain(Exploding(), column(), tmp_path, config())
