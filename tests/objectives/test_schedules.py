import pytest

from globalworkspace.errors import ConfigError
from globalworkspace.objectives.demi_cycle import DemiCycle
from globalworkspace.objectives.schedules import Schedule, schedule_of


@pytest.mark.parametrize("weight", [1, 1.0, Schedule(1, 1), {"start": 1, "end": 1}])
def test_a_weight_is_a_whole_number_a_float_a_schedule_or_its_settings(weight):
    assert DemiCycle(weight).weight.at(5) == 1.0


def test_a_schedule_is_linear_between_its_ends():
    schedule = Schedule(0.0, 2.0, steps=10, begin=5)
    assert [schedule.at(s) for s in (0, 5, 10, 15, 99)] == [0.0, 0.0, 1.0, 2.0, 2.0]
    assert Schedule(1.0, 3.0, begin=4).at(3) == 1.0
    assert Schedule(1.0, 3.0, begin=4).at(4) == 3.0


@pytest.mark.parametrize(
    "weight", [-1, float("nan"), float("inf"), True, "1", None, {"start": 1}, {"from": 1, "end": 2}]
)
def test_what_is_no_weight_is_refused(weight):
    with pytest.raises(ConfigError):
        schedule_of(weight)


def test_a_schedule_reads_short():
    assert str(Schedule(1, 1)) == "1"
    assert str(Schedule(0, 0.5, steps=10)) == "0..0.5 over 10"
