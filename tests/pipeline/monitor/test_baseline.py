"""What is usual: silence without evidence, few false alarms, and what is unusual is found."""

import dataclasses
import datetime

import numpy as np
import pytest
import shapely

from pipeline.monitor.baseline import Observation, judge, local_weekday
from tests.pipeline.monitor.world import SETTINGS, rows_of_planes, scene, tables_of

BASELINE = SETTINGS.baseline
START = datetime.datetime(2026, 1, 5, 10, tzinfo=datetime.UTC)  # a Monday


def observation(day: float, count: float) -> Observation:
    time = START + datetime.timedelta(days=day)
    return Observation(time, time.weekday(), count, 0.5)


def quiet(days: np.ndarray, random: np.random.Generator, level: float = 30.0) -> list[Observation]:
    """A year with a season of 6 airplanes, and 5 fewer at weekends."""
    made = []
    for day in days.tolist():
        base = observation(day, 0.0)
        expected = level + 6 * np.sin(2 * np.pi * day / 365) - 5 * (base.weekday >= 5)
        made.append(dataclasses.replace(base, count=float(random.normal(expected, 2.0))))
    return made


def test_below_eight_visits_nothing_is_said() -> None:
    history = [observation(day, 30.0) for day in range(7)]
    assert judge(observation(8, 90.0), history, BASELINE).unusual is None
    history.append(observation(7, 30.0))
    assert judge(observation(8, 90.0), history, BASELINE).unusual == "high"
    assert judge(observation(8, 31.0), history, BASELINE).unusual == "no"


def test_only_earlier_visits_within_the_history_are_evidence() -> None:
    later = [observation(day, 30.0) for day in range(1, 20)]
    assert judge(observation(0, 90.0), later, BASELINE).unusual is None
    long_ago = [observation(day - 800, 30.0) for day in range(20)]
    assert judge(observation(0, 90.0), long_ago, BASELINE).unusual is None


def test_effects_wait_for_eight_visits_each() -> None:
    # Every day: weekends have 10 fewer.
    def count(day: int) -> float:
        return 20.0 if (START + datetime.timedelta(days=day)).weekday() >= 5 else 30.0

    few = [observation(day, count(day)) for day in range(12)]
    assert judge(observation(12, 20.0), few, BASELINE).usual == pytest.approx(28, abs=2.5)
    many = [observation(day, count(day)) for day in range(63)]  # nine weeks
    saturday = judge(observation(68, 20.0), many, BASELINE)
    assert saturday.usual == pytest.approx(20, abs=1)
    assert saturday.unusual == "no"
    assert judge(observation(68, 30.0), many, BASELINE).unusual == "high"
    assert judge(observation(66, 30.0), many, BASELINE).unusual == "no"
    assert saturday.weekday_visits >= 8


def test_season_is_an_effect_of_its_own() -> None:
    # Two years, every second day: summers have 20 more.
    history = []
    for day in range(0, 720, 2):
        base = observation(day, 0.0)
        history.append(dataclasses.replace(base, count=50.0 if base.time.month in (6, 7, 8) else 30.0))
    july = 2 * 365 + 190
    assert judge(observation(july, 50.0), history, BASELINE).usual == pytest.approx(50, abs=0.5)
    assert judge(observation(july, 30.0), history, BASELINE).unusual == "low"


@pytest.mark.parametrize("step", [1, 3, 6])
def test_a_quiet_year_raises_hardly_an_alarm(step: int) -> None:
    random = np.random.default_rng(step)
    alarms = judged = 0
    for _ in range(1 if step == 1 else 4):
        visits = quiet(np.arange(0, 365, step) + random.integers(0, 2), random)
        for index, visit in enumerate(visits):
            verdict = judge(visit, visits[:index], BASELINE).unusual
            judged += verdict is not None
            alarms += verdict in ("high", "low")
    assert judged > 100
    assert alarms / judged < 0.01


@pytest.mark.parametrize(("factor", "expected"), [(2.0, "high"), (0.3, "low")])
def test_what_is_unusual_is_found(factor: float, expected: str) -> None:
    random = np.random.default_rng(4)
    visits = quiet(np.arange(0, 365, 6), random)
    for index in range(12, len(visits), 7):
        strange = dataclasses.replace(visits[index], count=visits[index].count * factor)
        assert judge(strange, visits[:index], BASELINE).unusual == expected


def test_past_anomalies_do_not_become_usual() -> None:
    random = np.random.default_rng(4)
    visits = quiet(np.arange(0, 300, 5), random)
    for index in (10, 20, 30):
        visits[index] = dataclasses.replace(visits[index], count=80.0)
    strange = dataclasses.replace(visits[40], count=60.0)
    assert judge(strange, visits[:40], BASELINE).unusual == "high"
    assert judge(visits[40], visits[:40], BASELINE).unusual == "no"


def test_the_local_day_decides() -> None:
    time = datetime.datetime(2026, 1, 4, 23, 30, tzinfo=datetime.UTC)  # a Sunday
    assert local_weekday(time, 0.0) == 6
    assert local_weekday(time, 140.0) == 0
    assert local_weekday(time.replace(hour=3), -118.0) == 5


def test_visits_that_saw_too_little_are_no_evidence() -> None:
    planes = rows_of_planes(15)
    west = shapely.box(-2000, -2000, -100, 2000)
    days = [scene(f"2026-01-{day:02d}", planes, seen=west if day == 5 else None) for day in range(1, 11)]
    visits = tables_of(days).visits
    assert visits[4].unusual is None
    assert [visit.unusual for visit in visits[8:]] == [None, "no"]
    assert visits[9].baseline_visits == 8
