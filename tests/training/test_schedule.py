import pytest
import torch

from globalworkspace import TrainerConfig
from globalworkspace.training.schedule import learning_rate


def rates(**settings):
    config = TrainerConfig(steps=200, learning_rate=0.1, **settings)
    return [learning_rate(config, step) for step in range(200)]


@pytest.mark.parametrize("schedule", ["cosine", "onecycle", "constant"])
def test_the_rate_rises_to_its_peak_and_stays_positive(schedule):
    found = rates(schedule=schedule, warmup=0.1)
    assert max(found) == pytest.approx(0.1)
    assert found[:20] == sorted(found[:20])
    assert min(found) > 0


def test_cosine_falls_to_one_percent_and_constant_stays():
    assert rates(schedule="cosine")[-1] == pytest.approx(0.001, rel=0.02)
    assert rates(schedule="constant")[-1] == 0.1


def test_without_warm_up_the_first_step_has_the_peak():
    assert rates(schedule="cosine", warmup=0.0)[0] == pytest.approx(0.1)


def test_onecycle_has_the_shape_of_torchs():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, total_steps=200, pct_start=0.3, cycle_momentum=False
    )
    ours = rates(schedule="onecycle", warmup=0.3)
    theirs = []
    for _ in range(200):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(theirs) < 200:
            scheduler.step()
    # torch's peak lies one step earlier: it counts from the step before the first
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) < 0.003
