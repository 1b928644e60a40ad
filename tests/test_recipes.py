"""Recipes by name: what each is made of, and in a config."""

import pytest
from core_domains import small_table, small_workspace

from globalworkspace import Trainer, TrainerConfig
from globalworkspace.components import build_recipe
from globalworkspace.errors import WorkspaceError
from globalworkspace.recipes import default_objectives, recipe, usual_decay
from globalworkspace.registry import discover

RECIPES = {name: recipe(name) for name in discover([]).kinds("recipe")}
FAMILIES = {
    "supervised": {"translation", "contrastive"},
    "translation-only": {"translation"},
    "contrastive-only": {"contrastive"},
    "paper": {"translation", "contrastive", "demi_cycle", "cycle"},
    "no-cycles": {"translation", "contrastive", "demi_cycle"},
    "no-demi-cycles": {"translation", "contrastive", "cycle"},
    "no-workspace": {"translation", "cycle"},
    "default": {"translation", "contrastive", "back_translation", "cycle"},
}


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_is_what_its_name_says(name):
    chosen = recipe(name)
    assert {o.name for o in chosen.objectives(pairs=500, steps=1000)} == FAMILIES[name]
    assert chosen.objectives(500, 1000)[0] is not chosen.objectives(500, 1000)[0]
    assert (chosen.workspace.get("topology") == "direct") == (name == "no-workspace")


def test_each_has_an_equal_budget_of_choices_and_all_can_be_built():
    assert len({len(made.choices) for made in RECIPES.values()}) == 1
    for made in RECIPES.values():
        for choice in made.choices:
            strengths = {k: v for k, v in choice.items() if k != "decay"}
            assert made.objectives(500, 1000, **strengths)
            assert choice["decay"] > 0


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_recipe_trains(name):
    chosen = recipe(name)
    workspace = small_workspace(**chosen.workspace)
    config = TrainerConfig(steps=3, device="cpu", progress=False, log_every=1, **chosen.training)
    result = Trainer(config, chosen.objectives(60, 3)).fit(workspace, small_table())
    assert set(result.history[-1]["families"]) == FAMILIES[name]


def test_the_default_fades_into_supervised_as_pairs_grow():
    chosen = recipe("default")
    weights = [chosen.objectives(n, 100)[2].weight.at(99) for n in (50, 5_000, 10_000, 19_999)]
    assert weights[0] == weights[1] == 2.0
    assert weights[2] == pytest.approx(1.0) and 0 < weights[3] < 0.01
    assert chosen.for_pairs(20_000) is recipe("supervised") and chosen.for_pairs(500) is chosen
    assert len(chosen.objectives(20_000, 100)) == 2
    assert recipe("paper").for_pairs(20_000) is recipe("paper")


def test_a_training_that_names_no_objectives_takes_the_default():
    families = default_objectives(pairs=500, steps=1000)
    assert {o.name for o in families} == FAMILIES["default"]
    trainer = Trainer(TrainerConfig(steps=30, device="cpu", progress=False, log_every=30))
    named = Trainer(trainer.config, default_objectives(pairs=60, steps=30))
    first, second = small_workspace(), small_workspace()
    results = [t.fit(w, small_table()) for t, w in ((trainer, first), (named, second))]
    assert set(results[0].history[-1]["families"]) == FAMILIES["default"]
    assert results[0].history == results[1].history
    assert build_recipe({}) is recipe("default")
    own = build_recipe({"objectives": [{"kind": "translation"}]})
    assert [o.name for o in own.objectives(60, 30)] == ["translation"]


def test_the_synthetic_pairs_come_after_a_supervised_beginning_and_the_cycles_last():
    (*_, back, cycle) = recipe("default").objectives(500, 1000)
    assert [back.weight.at(step) for step in (0, 99, 150, 200, 999)] == [0, 0, 1, 2, 2]
    assert [cycle.weight.at(step) for step in (0, 500, 650, 800)] == pytest.approx(
        [0, 0, 0.15, 0.3]
    )
    assert (back.detach, back.teacher, cycle.detach, cycle.teacher) == (
        True,
        "there",
        False,
        "back",
    )


def test_fewer_pairs_are_decayed_more():
    decays = [usual_decay(n) for n in (50, 500, 1000, 5000, 50_000)]
    assert decays == sorted(decays, reverse=True)
    assert decays[2] == pytest.approx(0.3) and decays[-1] == 0.03 and decays[0] == 1.0


def test_a_config_names_a_recipe_and_its_strengths():
    plain = build_recipe({"recipe": "paper"})
    strong = build_recipe({"recipe": {"name": "paper", "cycles": 0.5}})
    weights = [[o.weight.at(0) for o in made.objectives(500, 10)] for made in (plain, strong)]
    assert weights[0] != weights[1] and weights[1][2:] == [0.5, 0.5]
    own = build_recipe({"objectives": [{"kind": "translation"}]})
    assert [o.name for o in own.objectives(500, 10)] == ["translation"]


def test_strengths_stand_behind_the_name():
    chosen = recipe("default(synthetic=1, cycles=0)")
    assert chosen.name == "default(synthetic=1, cycles=0)"
    (_, _, back) = chosen.objectives(500, 100)
    assert back.weight.at(99) == 1.0
    assert len({len(c) for c in chosen.choices}) == 1  # none tunes what is fixed
    assert (
        len(
            chosen.objectives(
                500, 100, **{k: v for k, v in chosen.choices[3].items() if k != "decay"}
            )
        )
        == 3
    )
    assert recipe("default( )").objectives(500, 100)[2].weight.at(99) == 2.0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("default(syntetic=1)", 'Did you mean "synthetic"'),
        ("default(synthetic)", '"synthetic" is no strength'),
        ("supervised(cycles=1)", 'has no setting "cycles"'),
        ("defalt(cycles=1)", 'Did you mean "default"'),
    ],
)
def test_strengths_that_are_none_are_refused(name, said):
    with pytest.raises(WorkspaceError, match=said):
        recipe(name)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"recipe": "papr"}, 'recipe kind "papr".*Did you mean "paper"'),
        ({"recipe": "paper", "objectives": [{"kind": "cycle"}]}, "take one of the two out"),
        ({"recipe": {"name": "paper", "cycle": 1}}, 'Did you mean "cycles"'),
        ({"recipe": {"cycles": 1}}, "needs the setting name"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(config, said):
    with pytest.raises(WorkspaceError, match=said):
        build_recipe(config)
