"""Routes that the averaged weights walk."""

import pytest
import torch
from core_domains import make_batch, small_table, small_workspace

from globalworkspace import Route, Trainer, TrainerConfig
from globalworkspace.errors import ConfigError
from globalworkspace.objectives.cycle import Cycle
from globalworkspace.objectives.translation import Translation
from globalworkspace.routes import RoutePlan
from globalworkspace.training.flat import FlatAdamW, named_parameters
from globalworkspace.training.teacher import Teacher

DIMS = (4, 6, 3)


def translated(networks, latents, source, target):
    state = networks.fusion.finish(networks.encoder(source)(latents))
    return networks.decoder(target)(state.code)


@pytest.mark.parametrize("hops", [(1,), (2,), (1, 2), ()])
def test_a_route_is_walked_by_whom_it_says(hops):
    workspace = small_workspace(DIMS).double()
    teacher = Teacher(small_workspace(DIMS, seed=7).double())
    generator = torch.Generator().manual_seed(0)
    batch = make_batch(workspace, [(("left",), 5), (("left", "right"), 4)], generator)
    route = Route(("left",), "left", via=("right",), teacher=hops)
    other = Route(("left",), "left", via=("right",), detach_after=1, teacher=(1,))
    plan = RoutePlan(batch.segments, [[route, other, Route(("left",), "right")], []])
    walked = plan.walk(workspace, batch, teacher=teacher)
    who = [teacher if hop in hops else workspace for hop in (1, 2)]
    there = translated(who[0], batch.latents["left"][:5], "left", "right")
    back = translated(who[1], workspace.spec("right").activate(there), "right", "left")
    found = {walk.route: values for walk, values in walked.predictions.items()}
    torch.testing.assert_close(found[route], back, rtol=1e-12, atol=1e-12)
    plain = translated(workspace, batch.latents["left"][:5], "left", "right")
    torch.testing.assert_close(found[Route(("left",), "right")], plain, rtol=1e-12, atol=1e-12)
    taught = translated(teacher, batch.latents["left"][:5], "left", "right")
    synthetic = translated(workspace, taught.detach(), "right", "left")
    torch.testing.assert_close(found[other], synthetic, rtol=1e-12, atol=1e-12)


def test_gradients_flow_through_the_teacher_and_not_to_it():
    workspace = small_workspace(DIMS).double()
    workspace.train()
    teacher = Teacher(workspace)
    batch = make_batch(workspace, [(("left",), 5)], torch.Generator().manual_seed(0))
    route = Route(("left",), "left", via=("right",), teacher=(2,))
    walked = RoutePlan(batch.segments, [[route]]).walk(workspace, batch, teacher=teacher)
    next(iter(walked.predictions.values())).square().sum().backward()
    moved = {n for n, p in workspace.named_parameters() if p.grad is not None}
    assert any("encoders.domain_left" in name for name in moved)
    assert any("decoders.domain_right" in name for name in moved)
    assert not any("encoders.domain_right" in name for name in moved)
    assert all(p.grad is None for p in teacher.parameters().values())


def test_fused_sources_are_encoded_by_the_teacher_too():
    workspace = small_workspace(DIMS, fusion="mean").double()
    teacher = Teacher(small_workspace(DIMS, fusion="mean", seed=7).double())
    batch = make_batch(workspace, [(("left", "right"), 4)], torch.Generator())
    route = Route(("left", "right"), "third", teacher=(1,))
    walked = RoutePlan(batch.segments, [[route]]).walk(workspace, batch, teacher=teacher)
    codes = {n: teacher.encoder(n)(batch.latents[n]) for n in ("left", "right")}
    expected = teacher.decoder("third")(teacher.fusion.fuse(codes).code)
    (found,) = walked.predictions.values()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_the_teacher_is_the_average():
    workspace = small_workspace(DIMS)
    teacher = Teacher(workspace)
    names = named_parameters(workspace=workspace)
    optimizer = FlatAdamW(names, weight_decay=0.1, keep_average=True)
    optimizer.follow({f"workspace.{n}": p for n, p in teacher.parameters().items()})
    average = {name: p.detach().clone() for name, p in names.items()}
    for step in range(3):
        optimizer.zero_grad()
        for domain in ("left", "right") if step else ("left",):  # the others join later, or never
            network = workspace.encoder(domain)
            network(torch.ones(2, DIMS[domain == "right"])).sum().backward()
        optimizer.step(0.1)
        optimizer.update_average(0.5)
        for name, parameter in names.items():
            average[name] = average[name].lerp(parameter.detach(), 0.5)
    for name, parameter in teacher.parameters().items():
        torch.testing.assert_close(parameter.detach(), average[f"workspace.{name}"])
    with torch.no_grad():
        next(iter(teacher.parameters().values())).zero_()  # a view of the average, not a copy
    with optimizer.averaged():
        first = next(iter(teacher.parameters()))
        assert not names[f"workspace.{first}"].any()


def fit(run_dir=None, compile=False, **changed):
    workspace = small_workspace(DIMS)
    settings = {"steps": 8, "batch_size": 16, "unmatched_batch_size": 8, "checkpoint_every": 3}
    config = TrainerConfig(**(settings | changed), device="cpu", progress=False, compile=compile)
    cycles = [Cycle(1.0, detach=True, teacher="there"), Cycle(1.0, teacher="back")]
    trainer = Trainer(config, [Translation(), *cycles])
    table = small_table(dims=DIMS)
    result = trainer.fit(workspace, table, run_dir=run_dir, resume=run_dir is not None)
    return result, workspace.state_dict()


def test_an_interrupted_training_goes_on_with_the_same_teacher(tmp_path, monkeypatch):
    _, expected = fit()
    calls = []
    original = FlatAdamW.step

    def failing(self, *args):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return original(self, *args)

    monkeypatch.setattr(FlatAdamW, "step", failing)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path)
    _, found = fit(tmp_path)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0)


def test_networks_are_copied_only_where_a_route_is_taught(monkeypatch):
    made = []
    original = Teacher.__init__
    monkeypatch.setattr(
        Teacher, "__init__", lambda self, workspace: made.append(1) or original(self, workspace)
    )
    config = TrainerConfig(steps=1, device="cpu", progress=False)
    Trainer(config, [Translation(), Cycle(1.0)]).fit(small_workspace(), small_table())
    assert not made
    Trainer(config, [Cycle(1.0, teacher="back")]).fit(small_workspace(), small_table())
    assert len(made) == 1


def test_an_average_without_memory_is_the_network_itself():
    config = TrainerConfig(steps=4, ema=0, device="cpu", progress=False, keep="last")
    ends = []
    for teacher in ("there", None):
        workspace = small_workspace()
        families = [Translation(), Cycle(1.0, detach=True, teacher=teacher)]
        Trainer(config, families).fit(workspace, small_table())
        ends.append({n: p.detach().clone() for n, p in workspace.named_parameters()})
    for name, weights in ends[0].items():
        torch.testing.assert_close(weights, ends[1][name], rtol=1e-4, atol=1e-6, msg=name)


def test_a_route_that_needs_a_teacher_says_so():
    workspace = small_workspace()
    route = Route(("left",), "left", via=("right",), teacher=(2,))
    batch = make_batch(workspace, [(("left",), 5)], torch.Generator().manual_seed(0))
    with pytest.raises(ConfigError, match="is walked by a teacher, and there is none"):
        RoutePlan(batch.segments, [[route]]).walk(workspace, batch)


def test_a_captured_step_sees_the_teacher_move(monkeypatch, caplog):
    from globalworkspace.training import captured

    monkeypatch.setattr(captured, "COMPILE", lambda graph: graph)
    (_, plain), (_, fast) = fit(), fit(compile=True)
    assert "compile=True" not in caplog.text
    for name, value in plain.items():
        torch.testing.assert_close(fast[name], value, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"teacher": "both"}, 'teacher="both" is unknown'),
        ({"teacher": "back", "detach": True}, "no teacher can walk it"),
    ],
)
def test_a_cycle_with_a_teacher_that_makes_no_sense_is_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        Cycle(1.0, **settings)


@pytest.mark.parametrize("hops", [(0,), (3,), (-1, 1)])
def test_a_teacher_translates_what_there_is_on_the_path(hops):
    with pytest.raises(ConfigError, match="does not fit a route of 2 translations"):
        Route(("a",), "a", via=("b",), teacher=hops)


def test_a_taught_route_reads_as_such():
    assert str(Route(("a",), "a", via=("b",), teacher=(2,))) == "a -> b ~> a"
    assert str(Route(("a",), "a", via=("b",), detach_after=1, teacher=(1,))) == "a ~> b| -> a"
