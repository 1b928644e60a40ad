"""The grid of trainings: which rows each sees, what is kept, what is refused."""

import json

import attrs
import pytest
import torch
from core_domains import Vector, small_table, two_views

from globalworkspace import Table, recipes
from globalworkspace.errors import DataError, WorkspaceError
from globalworkspace.label_efficiency import Grid, label_efficiency
from globalworkspace.label_efficiency.baselines import BASELINES, baseline
from globalworkspace.label_efficiency.grid import RESULTS
from globalworkspace.label_efficiency.trainings import job_key, shown_table, split_rows
from globalworkspace.latents import LatentSpec
from globalworkspace.objectives.cycle import Cycle

DOMAINS = {"left": Vector(4), "right": Vector(6)}
GRID = Grid(
    pairs=(20, 40),
    recipes=("supervised", "default"),
    baselines=("ridge",),
    seeds=2,
    steps=20,
    tuned=False,
    workspace={"dim": 4, "hidden_dim": 16},
)


def tables():
    columns = two_views(400)
    return (
        Table.from_columns({n: x[:300] for n, x in columns.items()}),
        Table.from_columns({n: x[300:] for n, x in columns.items()}),
    )


def test_rows_are_nested_and_the_unmatched_ones_the_same():
    few, alone = split_rows(300, ["left", "right"], 20, 100, seed=3)
    more, again = split_rows(300, ["left", "right"], 60, 100, seed=3)
    assert set(few.tolist()) < set(more.tolist())
    for name in alone:
        assert torch.equal(alone[name], again[name])
    everything = [*more.tolist(), *alone["left"].tolist(), *alone["right"].tolist()]
    assert len(everything) == len(set(everything)) == 60 + 200
    other, _ = split_rows(300, ["left", "right"], 20, 100, seed=4)
    assert set(other.tolist()) != set(few.tolist())


def test_the_counterpart_of_an_unmatched_row_is_absent():
    training, _ = tables()
    latents = {n: training[n].cells for n in training}
    table = shown_table(latents, 20, 100, seed=3)
    groups = table.groups()
    assert {g: len(r) for g, r in groups.items()} == {
        ("left", "right"): 20,
        ("left",): 100,
        ("right",): 100,
    }
    for name in ("left", "right"):
        used = set(table.origin[table[name].present].tolist())
        lonely = set(table.origin[groups[("right" if name == "left" else "left",)]].tolist())
        assert not used & lonely


@pytest.mark.slow
def test_an_interrupted_grid_goes_on(tmp_path):
    training, test = tables()
    lines = label_efficiency(DOMAINS, training, test, GRID, tmp_path, workers=2, progress=False)
    assert [(x.get("recipe") or x["baseline"], x["pairs"], x["seed"]) for x in lines] == [
        *[("ridge", n, seed) for seed in (0, 1) for n in (20, 40)],
        *[(r, n, s) for s in (0, 1) for n in (20, 40) for r in ("supervised", "default")],
    ]
    for line in lines:
        assert set(line["errors"]) == {"left -> right", "right -> left"}
    file = tmp_path / RESULTS
    kept = file.read_text().splitlines()
    file.write_text("\n".join(kept[:5]) + '\n{"key": "cut o')
    again = label_efficiency(DOMAINS, training, test, GRID, tmp_path, workers=1, progress=False)
    timeless = [{k: v for k, v in line.items() if k != "seconds"} for line in lines]
    assert [{k: v for k, v in line.items() if k != "seconds"} for line in again] == timeless
    read = [json.loads(x) for x in file.read_text().splitlines() if not x.endswith("cut o")]
    assert len(read) == len(lines)  # what was there is not done again


@pytest.mark.slow
def test_choices_are_tuned_on_a_seed_of_their_own(tmp_path):
    training, test = tables()
    grid = Grid(
        pairs=(20,),
        recipes=("supervised",),
        baselines=(),
        seeds=1,
        steps=10,
        workspace=GRID.workspace,
    )
    (line,) = label_efficiency(DOMAINS, training, test, grid, tmp_path, progress=False)
    tried = [json.loads(x) for x in (tmp_path / RESULTS).read_text().splitlines()]
    tuned = [x for x in tried if x["seed"] == 1000]
    assert [x["choice"] for x in sorted(tuned, key=lambda x: x["choice"])] == [0, 1, 2, 3]
    assert line["choice"] == min(tuned, key=lambda x: x["validation"])["choice"]


def test_a_key_stands_for_what_a_training_depends_on():
    shared = {
        name: 1 for name in ("data", "latents", "reserved", "held_out", "most_held_out", "patience")
    } | {"training": {}, "workspace": {}}
    job = {"recipe": "default", "pairs": 500, "seed": 0, "steps": 100, "choice": 0}
    keys = [
        job_key(shared, job),
        job_key(shared, job | {"choice": 1}),
        job_key(shared, job | {"recipe": "default(cycles=0.1)"}),
        job_key(shared | {"training": {"batch_size": 8}}, job),
        job_key(shared, {"baseline": "ridge", "pairs": 500, "seed": 0}),
    ]
    assert len(set(keys)) == 5
    assert job_key(shared, dict(job)) == keys[0]
    of_baseline = job_key(
        shared | {"training": {"batch_size": 8}}, {"baseline": "ridge", "pairs": 500, "seed": 0}
    )
    assert of_baseline == keys[4]


def test_a_changed_objective_is_another_key(monkeypatch):
    shared = dict.fromkeys(("data", "latents", "reserved", "patience"), 1)
    job = {"recipe": "paper", "pairs": 500, "seed": 0, "steps": 100, "choice": 0}
    before = job_key(shared, job)
    changed = attrs.evolve(
        recipes.PAPER, build=lambda pairs, steps, cycles: [Cycle(cycles, detach=True)]
    )
    monkeypatch.setattr(recipes, "PAPER", changed)
    assert job_key(shared, job) != before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pairs": ()}, "at least one number"),
        ({"pairs": (5,)}, "none below 10"),
        ({"recipes": ("suppervised",)}, 'Did you mean "supervised"'),
        ({"baselines": ("pls",)}, 'no baseline "pls"'),
        ({"training": {"steps": 5}}, "training sets steps, which the grid itself decides"),
        ({"patience": 0}, "patience=0 must be above 0"),
        ({"reserved": 100}, "reserved=100 rows are too few"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(settings, said):
    with pytest.raises(WorkspaceError, match=said):
        Grid(**settings)


def test_rows_that_lack_a_domain_are_refused(tmp_path):
    training, test = tables()
    with pytest.raises(DataError, match="Some training rows lack"):
        label_efficiency(DOMAINS, small_table(), test, GRID, tmp_path)
    with pytest.raises(DataError, match="too few are left"):
        label_efficiency(DOMAINS, training, test, Grid(pairs=(299,)), tmp_path)


@pytest.mark.parametrize("name", list(BASELINES))
def test_closed_forms_find_a_linear_relation(name):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(900, 4, generator=generator)
    y = x @ torch.randn(4, 3, generator=generator)
    y = (y - y.mean(dim=0)) / y.std(dim=0)
    pairs = {"x": x[:60], "y": y[:60]}
    everything = {"x": x[:600], "y": y[:600]}
    specs = {name: LatentSpec.continuous(values.shape[1]) for name, values in pairs.items()}
    found = baseline(name, pairs, everything, {"x": x[600:], "y": y[600:]}, specs, seed=0)
    # covariances of all rows and a cross-covariance of the pairs alone do not quite fit together
    most = {"kernel ridge": 0.05, "cca, all rows": 0.1}
    assert found["errors"]["x -> y"] < most.get(name, 0.02)
    assert found["recall"]["x -> y"] > 0.9
