import math

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.training.schedules import (
    CosineConfig,
    ExponentialConfig,
    RestartsConfig,
    ScheduleConfig,
    Warmup,
    make_schedule,
)

ALL: list[ScheduleConfig] = [
    CosineConfig(),
    ExponentialConfig(steps=50),
    RestartsConfig(steps=40, longer=1.5, lower=0.8),
]
HIGHEST, WARMUP, STEPS = 0.1, 20, 220


def rate(config: ScheduleConfig, step: int, warmup: int = WARMUP) -> float:
    return float(keras.ops.convert_to_numpy(make_schedule(config, HIGHEST, warmup, STEPS)(step)))


def close(value: float) -> object:
    return pytest.approx(value, rel=1e-4)  # Keras counts in float32


@pytest.mark.parametrize("config", ALL, ids=lambda config: config.kind)
@given(step=st.integers(0, WARMUP))
def test_warm_up_is_linear_from_a_hundredth_of_the_rate(config: ScheduleConfig, step: int) -> None:
    assert rate(config, step) == close(HIGHEST * (0.01 + 0.99 * step / WARMUP))


@pytest.mark.parametrize("config", ALL, ids=lambda config: config.kind)
def test_without_warm_up_the_rate_starts_at_its_maximum(config: ScheduleConfig) -> None:
    assert rate(config, 0, warmup=0) == close(HIGHEST)


@given(step=st.integers(WARMUP, STEPS))
def test_the_cosine_ends_with_the_training(step: int) -> None:
    fraction = (step - WARMUP) / (STEPS - WARMUP)
    assert rate(CosineConfig(), step) == close(HIGHEST * (0.01 + 0.99 * (1 + math.cos(math.pi * fraction)) / 2))


@given(step=st.integers(WARMUP, 500))
def test_the_exponential_schedule_approaches_a_hundredth(step: int) -> None:
    left = math.exp(-(step - WARMUP) / 50)
    assert rate(ExponentialConfig(steps=50), step) == close(HIGHEST * (0.01 + 0.99 * left))


# The cosines of `ALL` begin 0, 40 and 100 steps after the warm-up, each 0.8 times as high as the one before.
@pytest.mark.parametrize(
    ("step", "fraction", "lower"),
    [(0, 0, 1), (20, 0.5, 1), (39, 39 / 40, 1), (40, 0, 0.8), (70, 0.5, 0.8), (100, 0, 0.64), (145, 0.5, 0.64)],
)
def test_cosines_follow_each_other_longer_and_lower(step: int, fraction: float, lower: float) -> None:
    cosine = lower * (1 + math.cos(math.pi * fraction)) / 2
    assert rate(ALL[2], WARMUP + step) == close(HIGHEST * (0.01 + 0.99 * cosine))


def test_a_schedule_can_be_kept_with_its_optimizer() -> None:
    schedule = make_schedule(ALL[1], HIGHEST, WARMUP, STEPS)
    again = Warmup.from_config(schedule.get_config())
    assert [float(again(step)) for step in (3, 90)] == [float(schedule(step)) for step in (3, 90)]


@pytest.mark.parametrize(
    ("cls", "settings", "named"),
    [
        (ExponentialConfig, {"steps": 0}, "steps"),
        (RestartsConfig, {"steps": 0}, "steps"),
        (RestartsConfig, {"longer": 0.5}, "longer"),
        (RestartsConfig, {"longer": math.inf}, "longer"),
        (RestartsConfig, {"lower": 0.0}, "lower"),
        (RestartsConfig, {"lower": 1.1}, "lower"),
    ],
)
def test_invalid_schedules_are_rejected(cls: type, settings: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: expected"):
        cls(**settings)
