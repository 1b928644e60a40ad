"""Noise on a domain, a domain that is missing."""

import pytest
from core_domains import small_workspace, two_views

from globalworkspace import Table, Trainer, TrainerConfig, standard_table
from globalworkspace.errors import DataError
from globalworkspace.evaluation.robustness import missing_domains, noise_curve
from globalworkspace.evaluation.translation import translation_error


@pytest.fixture(scope="module")
def trained():
    table = Table.from_columns(two_views(600, dims=(4, 6, 3)))
    workspace = small_workspace((4, 6, 3), hidden_dim=32, fusion="mean")
    config = TrainerConfig(steps=200, progress=False, device="cpu")
    Trainer(config).fit(workspace, table.select(range(500)), latents=True)
    return workspace, standard_table.standardize_table(workspace, table.select(range(500, 600)))


def test_noise_costs_the_more_the_stronger_it_is_and_another_domain_helps(trained):
    workspace, table = trained
    alone = noise_curve(workspace, table, noisy="left", sources=["left"], target="third")
    both = noise_curve(workspace, table, noisy="left", sources=["left", "right"], target="third")
    assert list(alone) == [0.0, 0.25, 0.5, 1.0, 2.0]
    assert list(alone.values()) == sorted(alone.values())
    assert alone[0.0] == pytest.approx(translation_error(workspace, table)["left -> third"])
    assert all(both[level] < alone[level] for level in (0.5, 1.0, 2.0))
    again = noise_curve(workspace, table, noisy="left", sources=["left"], target="third")
    assert again == alone


def test_every_set_of_sources_is_judged(trained):
    workspace, table = trained
    errors = missing_domains(workspace, table)
    assert len(errors) == 3 * 7
    assert errors["left -> right"] == pytest.approx(
        translation_error(workspace, table)["left -> right"]
    )
    assert errors["left + right -> right"] < errors["left -> right"]


def test_what_cannot_be_judged_is_said(trained):
    workspace, table = trained
    with pytest.raises(DataError, match="none of the sources"):
        noise_curve(workspace, table, noisy="third", sources=["left"], target="right")
    lonely = Table({n: c.keep(c.first < 0) for n, c in table.columns.items()}, table.origin)
    with pytest.raises(DataError, match="Fewer than two rows"):
        missing_domains(workspace, lonely)
