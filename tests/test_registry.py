import sys
import types

import attrs
import pytest
from core_domains import Distribution, FakePoint, broken, plugin

from globalworkspace import DomainModule
from globalworkspace.errors import PluginError
from globalworkspace.hookspecs import hookimpl
from globalworkspace.registry import CATEGORIES, discover

DOMAINS = "register_domains"


def test_the_core_registers_through_its_own_hooks():
    registry = discover([])
    assert {"contrastive", "translation", "demi_cycle", "cycle", "fused"} <= set(
        registry.kinds("objective")
    )
    assert {"single", "mean", "random-softmax", "attention"} <= set(registry.kinds("fusion"))
    assert [p.name for p in registry.plugins] == ["core"]


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_kind_of_the_core_can_be_imported(category):
    registry = discover([])
    for kind in registry.kinds(category):
        assert registry.load(category, kind) is not None


def test_targets_are_imported_on_first_use():
    point = plugin("late", {DOMAINS: [("late", "core_late_target:Late")]})
    registry = discover([point])
    assert registry.find("domain", "late").owner == "late"
    module = types.ModuleType("core_late_target")
    module.Late = type("Late", (DomainModule,), {})
    sys.modules["core_late_target"] = module
    try:
        assert registry.load("domain", "late") is module.Late
    finally:
        del sys.modules["core_late_target"]


def test_a_target_that_cannot_be_imported_names_plugin_distribution_and_remedy():
    registry = discover([plugin("vision", {DOMAINS: [("net", "no_such_module:Net")]})])
    message = (
        r'"net" of plugin "vision" \(globalworkspace-vision 1.2\).*no_such_module.*pip install'
    )
    with pytest.raises(PluginError, match=message):
        registry.load("domain", "net")


EXPECTED = {
    "domain": "no subclass of globalworkspace.domain.DomainModule",
    "dataset": "no function",
    "objective": "no subclass of globalworkspace.objectives.base.Objective",
    "fusion": "no subclass of globalworkspace.fusion.Fusion",
    "initializer": "no function",
    "network": r"without encoder\(\); a class with encoder\(\) and decoder\(\) is expected",
    "augmentation": "no subclass of globalworkspace.augmentation.Augmentation",
    "recipe": "no object of globalworkspace.recipes.Recipe",
    "callback": "no subclass of globalworkspace.training.callbacks.Callback",
    "evaluation": "no function",
    "report-section": "no function",
    "command": r"without add_arguments\(\); a class with add_arguments\(\) and run\(\) is exp",
}


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_target_of_another_sort_names_plugin_distribution_kind_and_what_was_expected(category):
    registry = discover([plugin("odd", {CATEGORIES[category]: [("pi", "math:pi")]})])
    message = (
        rf'The {category} kind "pi" of plugin "odd" \(globalworkspace-odd 1.2\) cannot be used: '
        rf"math:pi is 3.14\d+, {EXPECTED[category]}.* pip install --upgrade globalworkspace-odd"
    )
    with pytest.raises(PluginError, match=message):
        registry.load(category, "pi")


@pytest.mark.parametrize("error", [ImportError("no backend"), ValueError("bad"), SyntaxError("x")])
def test_a_broken_plugin_is_a_record_and_stops_nobody(error):
    good = plugin("good", {DOMAINS: [("fine", "m:Fine")]})
    registry = discover([broken("bad", error), good])
    record = next(p for p in registry.plugins if p.name == "bad")
    assert type(error).__name__ in record.error
    assert "Traceback" in record.details
    assert "fine" in registry.kinds("domain")


def test_a_missing_kind_names_broken_plugins_that_may_bring_it():
    registry = discover([broken("vision", ImportError("torchvision::nms"))])
    with pytest.raises(PluginError, match=r'"vision" \(globalworkspace-vision 1.2\).*nms'):
        registry.find("domain", "image-vae")


REMEDIES = {
    # what is wrong with the plugin "it" -> what to do
    "not importable": "pip install --force-reinstall globalworkspace-it",
    "another API": "pip install --upgrade globalworkspace-it globalworkspace",
    "a misspelt hook": "pip install --upgrade globalworkspace-it globalworkspace",
    "switched off": "add its name to GLOBALWORKSPACE_PLUGINS, or unset that",
    "a taken name": "pip uninstall globalworkspace-it",
}


@pytest.mark.parametrize("case", REMEDIES)
def test_a_missing_kind_names_the_remedy_of_each_plugin_that_is_out_of_use(case, monkeypatch):
    brings = {DOMAINS: [("other", "m:K")]}
    points = {
        "not importable": [broken("it", ImportError("torchvision::nms"))],
        "another API": [plugin("it", brings, api=2)],
        "a misspelt hook": [plugin("it", {"register_domain": [("k", "m:K")]})],
        "switched off": [plugin("it", brings)],
        "a taken name": [plugin("it", brings, dist="d", value="a"), plugin("it", brings)],
    }
    if case == "switched off":
        monkeypatch.setenv("GLOBALWORKSPACE_PLUGINS", "none-of-them")
    registry = discover(points[case])
    with pytest.raises(PluginError) as caught:
        registry.find("domain", "image-vae")
    assert registry.plugins[-1].error in str(caught.value)
    assert str(caught.value).endswith(f"{REMEDIES[case]}.")


def test_an_unknown_kind_gets_the_nearest_known_one():
    registry = discover([plugin("good", {DOMAINS: [("image-vae", "m:V")]})])
    with pytest.raises(PluginError, match='Did you mean "image-vae"'):
        registry.find("domain", "image-vea")
    with pytest.raises(PluginError, match="pip install globalworkspace-"):
        discover([]).find("domain", "image-vae")


@pytest.mark.parametrize("api", [None, 0, 2, "1"])
def test_another_api_version_is_refused_with_both_versions(api):
    registry = discover([plugin("old", {DOMAINS: [("k", "m:K")]}, api=api)])
    record = next(p for p in registry.plugins if p.name == "old")
    assert f"plugin API {api!r}, this is API 1" in record.error
    assert not registry.kinds("domain")


def test_what_a_plugin_prints_on_import_does_not_reach_the_output_of_a_command(capsys):
    point = plugin("loud", {DOMAINS: [("fine", "m:F")]})

    def load():
        print("hello from an import")
        return point.load()

    discover([attrs.evolve(point, load=load)])
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello from an import\n")


def test_a_misspelt_hook_is_reported():
    registry = discover([plugin("typo", {"register_domain": [("k", "m:K")]})])
    record = next(p for p in registry.plugins if p.name == "typo")
    assert "register_domain" in record.error


def test_a_hook_that_raises_costs_only_its_plugin():
    module = types.ModuleType("raiser")
    module.globalworkspace_api = 1

    @hookimpl
    def register_domains(register):
        register("half", "m:Half")
        raise RuntimeError("half way")

    module.register_domains = register_domains
    point = FakePoint("raiser", "raiser", Distribution("d"), lambda: module)
    registry = discover([point, plugin("good", {DOMAINS: [("fine", "m:F")]})])
    assert set(registry.kinds("domain")) == {"fine"}
    assert "half way" in next(p for p in registry.plugins if p.name == "raiser").error


@pytest.mark.parametrize(
    "entries",
    [
        [("Bad Kind", "m:K")],
        [("k", "no-colon")],
        [("k", "m:K"), ("k", "m:L")],
        [(3, "m:K")],
    ],
)
def test_bad_registrations_are_refused_as_a_whole(entries):
    registry = discover([plugin("bad", {DOMAINS: [("fine", "m:F"), *entries]})])
    assert registry.plugins[-1].error
    assert not registry.kinds("domain")


def test_an_equal_kind_in_two_categories_is_no_conflict():
    hooks = {DOMAINS: [("mean", "m:K")], "register_fusions": [("median", "m:L")]}
    registry = discover([plugin("p", hooks)])
    assert registry.find("domain", "mean").target == "m:K"
    assert registry.find("fusion", "mean").owner == "core"


def test_a_kind_claimed_twice_is_refused_with_both_owners_and_works_by_owner():
    points = [plugin(name, {DOMAINS: [("image", f"{name}:K")]}) for name in ("vision", "other")]
    registry = discover(points)
    with pytest.raises(PluginError) as caught:
        registry.find("domain", "image")
    for words in (
        '"vision:image" (globalworkspace-vision)',
        '"other:image" (globalworkspace-other)',
    ):
        assert words in str(caught.value)
    assert registry.find("domain", "other:image").target == "other:K"
    assert set(registry.kinds("domain")) == {"vision:image", "other:image"}


CORE_KINDS = [(r.category, r.kind) for r in discover([]).registrations]


def test_the_core_brings_a_kind_of_every_category_but_domains():
    assert {category for category, _ in CORE_KINDS} == set(CATEGORIES) - {"domain"}


@pytest.mark.parametrize("category, kind", CORE_KINDS)
def test_a_kind_of_the_core_stays_the_cores_whoever_else_claims_it(category, kind):
    claim = {CATEGORIES[category]: [(kind, "mine:K")]}
    registry = discover([plugin("mine", claim), plugin("yours", claim)])
    assert [p.error for p in registry.plugins] == [None, None, None]
    assert registry.find(category, kind).owner == "core"
    assert registry.load(category, kind) is discover([]).load(category, kind)
    assert registry.find(category, f"mine:{kind}").target == "mine:K"
    assert {f"mine:{kind}", f"yours:{kind}", kind} <= set(registry.kinds(category))
    clashes = {r.owner: registry.clash(r) for r in registry.registrations if r.kind == kind}
    assert clashes["core"] is None
    assert clashes["mine"] == clashes["yours"] == f'the {category} "{kind}" is the core\'s own'


def test_a_plugin_name_taken_by_another_distribution_is_a_record():
    first = plugin("vision", {DOMAINS: [("a", "m:A")]}, dist="one", value="aaa")
    second = plugin("vision", {DOMAINS: [("b", "m:B")]}, dist="two", value="bbb")
    registry = discover([second, first])
    assert set(registry.kinds("domain")) == {"a"}
    assert "taken by one 1.2" in registry.plugins[-1].error


def test_no_plugin_can_call_itself_core():
    registry = discover([plugin("core", {DOMAINS: [("a", "m:A")]})])
    assert "taken by globalworkspace" in registry.plugins[-1].error


def test_plugins_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("GLOBALWORKSPACE_PLUGINS", "good")
    points = [plugin(n, {DOMAINS: [(f"kind-{n}", "m:A")]}) for n in ("good", "loud")]
    registry = discover(points)
    assert set(registry.kinds("domain")) == {"kind-good"}
    with pytest.raises(PluginError, match='"loud".*switched off by GLOBALWORKSPACE_PLUGINS'):
        registry.find("domain", "kind-loud")


def test_strict_mode_raises_for_a_broken_plugin_and_names_it(monkeypatch):
    monkeypatch.setenv("GLOBALWORKSPACE_STRICT", "1")
    points = [broken("bad", ImportError("no backend")), plugin("good", {DOMAINS: []})]
    with pytest.raises(PluginError, match=r'STRICT is set.*"bad".*ImportError: no backend'):
        discover(points)
    monkeypatch.setenv("GLOBALWORKSPACE_STRICT", "0")
    assert [p.name for p in discover(points).plugins] == ["core", "bad", "good"]


def test_strict_mode_leaves_plugins_that_are_switched_off_alone(monkeypatch):
    monkeypatch.setenv("GLOBALWORKSPACE_STRICT", "1")
    monkeypatch.setenv("GLOBALWORKSPACE_PLUGINS", "good")
    points = [broken("bad", ImportError("no backend")), plugin("good", {DOMAINS: []})]
    assert [p.name for p in discover(points).plugins] == ["core", "bad", "good"]
