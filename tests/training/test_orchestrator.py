"""The merged, concatenated walk equals a naive loop over routes and row groups."""

from collections import Counter
from itertools import combinations, permutations

import pytest
import torch
from core_domains import Parts, make_batch, random_parts, small_workspace
from torch.nn import functional as F

from globalworkspace import GlobalWorkspace, Objective, Route
from globalworkspace.errors import ConfigError
from globalworkspace.objectives.base import RowObjective
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.fused import Fused
from globalworkspace.objectives.translation import Translation
from globalworkspace.randomness import derived_generator
from globalworkspace.route import Walk
from globalworkspace.routes import RoutePlan
from globalworkspace.training.orchestrator import LossOrchestrator

NAMES = ("type", "keys", "values", "forward", "a-b")
FUSIONS = ("random-softmax", "single", "mean", "attention")


class Naive:
    """The formulae, one route and one row group at a time."""

    def __init__(self, workspace, batch, seed, step, training=True):
        self.workspace, self.batch, self.seed, self.step = workspace, batch, seed, step
        self.training = training
        self.start, taken = {}, Counter()
        for index, segment in enumerate(batch.segments):
            for name in segment.group:
                self.start[index, name] = taken[name]
                taken[name] += segment.size

    def rows(self, index, name):
        start = self.start[index, name]
        return self.batch.latents[name][start : start + self.batch.segments[index].size]

    def code(self, index, sources):
        """Before the activation."""
        ws = self.workspace
        codes = {name: ws.encoder(name)(self.rows(index, name)) for name in sources}
        if len(codes) == 1:
            return next(iter(codes.values()))
        stacked = torch.stack(list(codes.values()))
        present = torch.ones(stacked.shape[:2], dtype=torch.bool)
        chance = None
        if self.training:
            chance = derived_generator(self.seed, self.step, "selection", index, *sources)
        weights = ws.fusion.select(stacked, present, chance)
        return sum(weights[i][:, None] * stacked[i] for i in range(len(codes)))

    def predict(self, index, sources, target, via=(), detach=False):
        ws = self.workspace
        state = torch.tanh(self.code(index, sources))
        for name in via:
            given = ws.spec(name).activate(ws.decoder(name)(state))
            state = torch.tanh(ws.encoder(name)(given.detach() if detach else given))
        return ws.decoder(target)(state)

    def error(self, index, sources, target, via=(), detach=False):
        prediction = self.predict(index, sources, target, via, detach)
        terms, count, at = 0.0, 0, 0
        for part in self.workspace.spec(target).parts:
            guess = prediction[:, at : at + part.dim]
            truth = self.rows(index, target)[:, at : at + part.dim]
            at += part.dim
            if part.kind == "continuous":
                terms, count = terms + ((guess - truth) ** 2).sum(1), count + part.size
            elif part.kind == "categorical":
                ce = F.cross_entropy(guess, truth.argmax(1), reduction="none")
                terms, count = terms + ce, count + 1
            else:
                for angle in range(part.size):
                    pair = slice(2 * angle, 2 * angle + 2)
                    cosine = F.cosine_similarity(guess[:, pair], truth[:, pair], dim=1, eps=1e-6)
                    terms, count = terms + 1 - cosine, count + 1
        return terms / count


def mean_over(keyed):
    """Key -> list of (rows,) values: mean over keys of the mean over pooled rows."""
    return torch.stack([torch.cat(values).mean() for values in keyed.values()]).mean()


def naive_families(naive, names, settings):
    """All families from the formulae; absent ones are left out."""
    excluded = settings["exclude"]
    found = {}

    def add(family, key, value):
        found.setdefault(family, {}).setdefault(key, []).append(value)

    pairs = {}
    for index, segment in enumerate(naive.batch.segments):
        group = segment.group
        if len(group) == 1:
            (a,) = group
            add("demi_cycle", a, naive.error(index, group, a))
            for b in names:
                if b != a and f"{a} -> {b}" != excluded:
                    for family, detach in (("cycle", False), ("back_translation", True)):
                        add(family, (a, b), naive.error(index, group, a, via=(b,), detach=detach))
            continue
        for target in group:
            others = [s for s in group if s != target and f"{s} -> {target}" != excluded]
            for source in others:
                add("translation", (source, target), naive.error(index, (source,), target))
            if len(others) >= 2:
                add("translation", (*others, target), naive.error(index, tuple(others), target))
            add("fused", (group, target), naive.error(index, group, target))
        for a, b in combinations(group, 2):
            if excluded not in (f"{a} -> {b}", f"{b} -> {a}"):
                codes = tuple(torch.tanh(naive.code(index, (name,))) for name in (a, b))
                pairs.setdefault((a, b), []).append(codes)
    families = {family: mean_over(keyed) for family, keyed in found.items()}
    values = []
    for pieces in pairs.values():
        x, y = (torch.cat(side) for side in zip(*pieces, strict=True))
        if len(x) < 2:
            continue
        logits = settings["scale"] * (x / x.norm(dim=1)[:, None]) @ (y / y.norm(dim=1)[:, None]).T
        forward = -logits.log_softmax(1).diagonal().mean()
        values.append((forward - logits.log_softmax(0).diagonal().mean()) / 2)
    if values:
        families["contrastive"] = torch.stack(values).mean()
    return families


def setting(seed):
    """A random workspace, batch and set of objectives."""
    generator = torch.Generator().manual_seed(seed)
    number = 2 + seed % 4
    names = NAMES[:number]
    fusion = FUSIONS[seed % len(FUSIONS)]
    workspace = GlobalWorkspace(
        {name: Parts(random_parts(generator)) for name in names},
        dim=5,
        hidden_dim=7,
        fusion=fusion,
        seed=seed,
    ).double()
    with torch.no_grad():
        for parameter in workspace.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.2 * noise)
    possible = [g for size in range(1, number + 1) for g in combinations(names, size)]
    chosen = torch.randperm(len(possible), generator=generator)[: 3 + seed % 4].tolist()
    groups = [(possible[i], int(torch.randint(1, 6, (), generator=generator))) for i in chosen]
    groups.append((names, 3))
    batch = make_batch(workspace, groups, generator)
    directions = [f"{a} -> {b}" for a, b in permutations(names, 2)]
    exclude = directions[seed % len(directions)] if seed % 2 else ""
    excluded = [exclude] if exclude else []
    weights = {
        "translation": 1,
        "contrastive": 0.1,
        "demi_cycle": 2,
        "cycle": 0.7,
        "back_translation": 0.3,
        "fused": 0.5,
    }
    objectives = [
        Translation(1, exclude=excluded),
        Contrastive(0.1, exclude=excluded, scale=3.0, learn_scale=True),
        DemiCycle(2),
        Cycle(0.7, exclude=excluded),
        Cycle(0.3, exclude=excluded, detach=True),
        Fused(0.5),
    ]
    return workspace, batch, objectives, weights, {"exclude": exclude}


def gradients(total, parameters):
    found = torch.autograd.grad(total, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_total_and_gradients_equal_the_naive_per_route_loop(seed, training):
    workspace, batch, objectives, weights, settings = setting(seed)
    workspace.train(training)
    orchestrator = LossOrchestrator(workspace, objectives, seed=3).double()
    report = orchestrator(batch, step=11)

    scale = objectives[1].log_scale.exp()
    naive = Naive(workspace, batch, 3, 11, training)
    families = naive_families(naive, tuple(workspace.domains), settings | {"scale": scale})
    total = sum(weights[name] * value for name, value in families.items())

    assert set(report.families) == set(families)
    for name, value in families.items():
        assert abs(float((report.families[name] - value).detach())) < 1e-12, name
    assert abs(float((report.total - total).detach())) < 1e-12
    parameters = [*workspace.parameters(), objectives[1].log_scale]
    for merged, looped in zip(
        gradients(report.total, parameters), gradients(total, parameters), strict=True
    ):
        torch.testing.assert_close(merged, looped, rtol=0, atol=1e-12)


def test_the_naive_loop_tells_wrong_reductions_apart():
    workspace, batch, objectives, weights, settings = setting(6)
    report = LossOrchestrator(workspace, objectives, seed=3).double()(batch, step=11)
    total = float(report.total.detach())
    values = {name: float(value.detach()) for name, value in report.families.items()}
    mean = sum(weights[n] * v for n, v in values.items()) / len(values)
    without_ints = sum(weights[n] * v for n, v in values.items() if isinstance(weights[n], float))
    unweighted = sum(values.values())
    for wrong in (mean, without_ints, unweighted):
        assert abs(total - wrong) > 1e-3


def test_two_groups_on_one_route_are_pooled_and_neither_overwrites_the_other():
    # a key that two groups share must not make one of them count double and the other vanish
    workspace = small_workspace((3, 2, 2)).double()
    generator = torch.Generator().manual_seed(0)
    groups = [(("left", "right"), 2), (("left", "right", "third"), 6)]
    batch = make_batch(workspace, groups, generator)
    objective = Translation(1.0, many_to_one=False)
    orchestrator = LossOrchestrator(workspace, [objective])
    report = orchestrator(batch)

    naive = Naive(workspace, batch, 0, 0)
    first, second = (naive.error(i, ("left",), "right") for i in (0, 1))
    pooled = torch.cat([first, second]).mean()
    got = report.terms["translation"]["left -> right"]
    assert torch.allclose(got, pooled, rtol=0, atol=1e-12)
    for wrong in (first.mean(), second.mean(), (first.mean() + second.mean()) / 2):
        assert abs(float((got - wrong).detach())) > 1e-4


def test_each_network_is_called_once_per_level():
    workspace = small_workspace((3, 2, 2), fusion="mean").double()
    calls = Counter()
    for name in workspace.domains:
        for kind in ("encoder", "decoder"):
            network = getattr(workspace, kind)(name)
            network.register_forward_hook(lambda *_, key=(kind, name): calls.update([key]))
    generator = torch.Generator().manual_seed(0)
    names = tuple(workspace.domains)
    groups = [(g, 3) for size in (1, 2, 3) for g in combinations(names, size)]
    batch = make_batch(workspace, groups, generator)
    objectives = [Translation(), Contrastive(), DemiCycle(), Cycle(), Fused()]
    LossOrchestrator(workspace, objectives)(batch)
    # level 1: decode everything from first states; level 2: encode translations, decode cycles
    assert calls == {(kind, name): 2 for kind in ("encoder", "decoder") for name in names}


def test_encoder_calls_do_not_grow_with_the_number_of_groups():
    workspace = small_workspace((3, 2, 2)).double()
    calls = Counter()
    for name in workspace.domains:
        workspace.encoder(name).register_forward_hook(lambda *_: calls.update(["encoder"]))
    generator = torch.Generator().manual_seed(0)
    names = tuple(workspace.domains)
    groups = [(g, 2) for size in (2, 3) for g in combinations(names, size)]
    batch = make_batch(workspace, groups, generator)
    LossOrchestrator(workspace, [Translation(), Contrastive(), Fused()])(batch)
    assert calls["encoder"] == len(names)


def test_a_family_with_nothing_to_do_is_absent_from_the_report():
    workspace = small_workspace()
    batch = make_batch(workspace, [(("left",), 4)], torch.Generator().manual_seed(0))
    report = LossOrchestrator(workspace, [Translation(), Contrastive(), DemiCycle()])(batch)
    assert set(report.families) == {"demi_cycle"}
    assert float((report.total - report.families["demi_cycle"]).detach()) == 0


def test_a_batch_without_anything_to_do_names_groups_and_objectives():
    workspace = small_workspace()
    batch = make_batch(workspace, [(("left",), 4)], torch.Generator().manual_seed(0))
    with pytest.raises(ConfigError, match=r"left.*objectives translation"):
        LossOrchestrator(workspace, [Translation()])(batch)


def test_no_objective_at_all_is_refused():
    with pytest.raises(ConfigError, match="no objective"):
        LossOrchestrator(small_workspace(), [])


def test_two_objectives_of_one_name_are_told_apart():
    workspace = small_workspace()
    batch = make_batch(workspace, [(("left",), 4)], torch.Generator().manual_seed(0))
    report = LossOrchestrator(workspace, [DemiCycle(1), DemiCycle(2)])(batch)
    assert set(report.families) == {"demi_cycle", "demi_cycle_#2"}
    family = report.families["demi_cycle"]
    assert torch.allclose(report.total, 3 * family)


def test_part_weights_that_name_nothing_are_refused():
    with pytest.raises(ConfigError, match='"middle"'):
        LossOrchestrator(small_workspace(), [DemiCycle()], part_weights={"middle": {"latent": 2}})
    with pytest.raises(ConfigError, match="latnt"):
        LossOrchestrator(small_workspace(), [DemiCycle()], part_weights={"left": {"latnt": 2}})


class Elsewhere(Objective):
    """Routes of other shapes than the core's families: two hops, ending in the workspace."""

    name = "elsewhere"
    wanted = (
        Route(("left",), "left", via=("right", "third"), detach_after=1),
        Route(("left",), "left", via=("right", "third"), detach_after=2),
        Route(("left",), "left", via=("right", "third")),
        Route(("left",), None, via=("right",)),
        Route(("left",), None),
    )

    def routes(self, segment):
        return self.wanted if segment.group == ("left",) else ()

    def loss(self, walked, context):
        found = {}
        for route in self.wanted:
            walk = Walk(route, 0)
            end = walked.states[walk].code if route.target is None else walked.predictions[walk]
            found[str(route)] = end.square().mean(dim=1)
        return found


def test_long_routes_gradient_stops_and_ends_in_the_workspace_are_walked_as_written():
    workspace = small_workspace((3, 2, 4)).double()
    batch = make_batch(workspace, [(("left",), 4)], torch.Generator().manual_seed(0))
    report = LossOrchestrator(workspace, [Elsewhere()])(batch)

    def hop(state, name, stop=False):
        given = workspace.decoder(name)(state)
        return torch.tanh(workspace.encoder(name)(given.detach() if stop else given))

    start = torch.tanh(workspace.encoder("left")(batch.latents["left"]))
    ends = [
        workspace.decoder("left")(hop(hop(start, "right", True), "third")),
        workspace.decoder("left")(hop(hop(start, "right"), "third", True)),
        workspace.decoder("left")(hop(hop(start, "right"), "third")),
        hop(start, "right"),
        start,
    ]
    total = torch.stack([end.square().mean() for end in ends]).mean()
    assert torch.allclose(report.total, total, rtol=0, atol=1e-12)
    parameters = list(workspace.parameters())
    for merged, looped in zip(
        gradients(report.total, parameters), gradients(total, parameters), strict=True
    ):
        torch.testing.assert_close(merged, looped, rtol=0, atol=1e-12)


def test_an_objective_of_a_plugin_needs_only_routes():
    class Back(RowObjective):
        name = "back"

        def routes(self, segment):
            if segment.group == ("right",):
                yield Route(("right",), "right", via=("left",))

    workspace = small_workspace()
    batch = make_batch(workspace, [(("right",), 4)], torch.Generator().manual_seed(0))
    assert set(LossOrchestrator(workspace, [Back()])(batch).families) == {"back"}


def test_a_plan_is_made_once_per_layout():
    workspace = small_workspace()
    orchestrator = LossOrchestrator(workspace, [DemiCycle()])
    batch = make_batch(workspace, [(("left",), 4)], torch.Generator().manual_seed(0))
    assert orchestrator.plan(batch.segments) is orchestrator.plan(batch.segments)
    assert isinstance(orchestrator.plan(batch.segments), RoutePlan)


def test_routes_are_not_made_anew_in_every_step(monkeypatch):
    workspace = small_workspace((3, 2, 2))
    orchestrator = LossOrchestrator(workspace, [Cycle(budget=1)])
    batch = make_batch(workspace, [(("left",), 4)], torch.Generator().manual_seed(0))
    first = orchestrator(batch).terms
    monkeypatch.setattr(Cycle, "routes", lambda *_: pytest.fail("asked again"))
    assert orchestrator(batch).terms == first


def test_an_objective_that_is_used_again_learns_the_new_domains():
    cycle, generator = Cycle(), torch.Generator().manual_seed(0)
    for dims in ((3, 2), (3, 2, 2)):
        workspace = small_workspace(dims)
        batch = make_batch(workspace, [(("left",), 4)], generator)
        report = LossOrchestrator(workspace, [cycle])(batch)
        assert len(report.terms["cycle"]) == len(dims) - 1
