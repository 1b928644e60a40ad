"""Direct translators, without a shared space."""

import pytest
import torch
from core_domains import Parts, Vector, small_table, small_workspace

from globalworkspace import GlobalWorkspace, Trainer, TrainerConfig
from globalworkspace.errors import ConfigError
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.translation import Translation

DIMS = (4, 6, 3)


def inputs(rows=5):
    generator = torch.Generator().manual_seed(0)
    names = ("left", "right", "third")
    return {n: torch.randn(rows, d, generator=generator) for n, d in zip(names, DIMS, strict=True)}


def test_a_state_gives_back_what_it_was_made_from():
    workspace = small_workspace(DIMS, topology="direct")
    for name, latents in inputs().items():
        found = workspace.translate({name: latents}, name, latents=True)
        torch.testing.assert_close(found, latents)


def test_several_sources_each_have_their_say():
    workspace = small_workspace(DIMS, topology="direct")
    given = inputs()
    single = [
        workspace.translate({name: given[name]}, "third", latents=True)
        for name in ("left", "right")
    ]
    both = workspace.translate({n: given[n] for n in ("left", "right")}, "third", latents=True)
    torch.testing.assert_close(both, (single[0] + single[1]) / 2)
    here = torch.tensor([True, False, True, False, True])
    some = workspace.encode(
        {n: given[n] for n in ("left", "right")}, latents=True, present={"right": here}
    )
    found = workspace.decode(some, "third", latents=True)
    torch.testing.assert_close(found[here], both[here])
    torch.testing.assert_close(found[~here], single[0][~here])


def test_each_direction_has_weights_of_its_own():
    workspace = small_workspace(DIMS, topology="direct")
    assert not list(workspace.encoder("left").parameters())
    assert sorted(workspace.decoder("left").sources) == ["domain_right", "domain_third"]
    before = workspace.translate({"right": inputs()["right"]}, "third", latents=True)
    with torch.no_grad():
        for parameter in workspace.decoder("left").parameters():
            parameter.add_(1.0)
    after = workspace.translate({"right": inputs()["right"]}, "third", latents=True)
    torch.testing.assert_close(before, after)


def test_it_trains_and_is_saved(tmp_path):
    workspace = small_workspace((4, 6), topology="direct")
    config = TrainerConfig(steps=150, progress=False, device="cpu", validate_every=150)
    training, validation = small_table(rows=400, matched=300).hold_out(0.3)
    result = Trainer(config, [Translation(1.0), Cycle(0.1)]).fit(workspace, training, validation)
    assert result.best_error < 0.3
    workspace.save_pretrained(tmp_path / "saved")
    again = GlobalWorkspace.from_pretrained(
        tmp_path / "saved", domains={"left": Vector(4), "right": Vector(6)}
    )
    given = {"left": torch.randn(3, 4)}
    assert again.translate(given, "right") == workspace.translate(given, "right")


def test_categories_are_given_back_as_they_are():
    domain = Parts([{"name": "kind", "size": 3, "kind": "categorical"}])
    workspace = GlobalWorkspace({"a": domain, "b": Vector(2)}, topology="direct")
    latents = torch.eye(3)
    found = workspace.translate({"a": latents}, "a", latents=True)
    torch.testing.assert_close(found, latents, rtol=0, atol=1e-3)


def test_no_further_domain_joins():
    workspace = small_workspace((4, 6), topology="direct")
    with pytest.raises(ConfigError, match='"third" cannot join'):
        workspace.add_domain("third", Vector(3))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"topology": "star"}, 'topology="star" is unknown'),
        ({"topology": "direct", "linear_path": True}, "leave networks and linear_path out"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        small_workspace((4, 6), **options)
