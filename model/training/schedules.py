"""Schedules of the learning rate."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import keras
from keras import ops

from model.common.config import ByKind

# Where a warmup begins and a schedule ends, as a share of the highest rate.
_MIN_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class CosineConfig:
    """Half a cosine from the highest rate to a hundredth (arXiv:1608.03983, eq. 5), over the whole training."""

    kind: Literal["cosine"] = "cosine"


@dataclass(frozen=True, slots=True)
class ExponentialConfig:
    """Exponential decay from the highest rate towards a hundredth.

    Attributes:
        kind: kind of the schedule.
        steps: in which the difference falls to 1/e.
    """

    kind: Literal["exponential"] = "exponential"
    steps: int = 1000

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps: expected a whole number from 1 on, got {self.steps}")


@dataclass(frozen=True, slots=True)
class RestartsConfig:
    """Cosines with warm restarts (arXiv:1608.03983, section 3), each from its highest rate to a hundredth.

    Attributes:
        kind: kind of the schedule.
        steps: length of the first cosine.
        longer: factor by which each cosine is longer than the one before.
        lower: factor by which its highest rate is lower.
    """

    kind: Literal["cosine_restarts"] = "cosine_restarts"
    steps: int = 1000
    longer: float = 2.0
    lower: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps: expected a whole number from 1 on, got {self.steps}")
        if not 1 <= self.longer < float("inf"):
            raise ValueError(f"longer: expected a number from 1 on, got {self.longer}")
        if not 0 < self.lower <= 1:
            raise ValueError(f"lower: expected a number above 0 and up to 1, got {self.lower}")


ScheduleConfig = Annotated[CosineConfig | ExponentialConfig | RestartsConfig, ByKind()]


def make_schedule(
    config: ScheduleConfig, highest: float, warmup: int, steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return the learning rate by step, counted from 0.

    Args:
        config: the form of the schedule.
        highest: the highest rate.
        warmup: steps in which the rate first rises linearly to the highest, from a hundredth of it.
        steps: steps of the whole training.
    """
    warmup = min(warmup, steps)
    if isinstance(config, CosineConfig):
        return keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=highest * _MIN_SHARE,
            decay_steps=max(steps - warmup, 1),
            alpha=_MIN_SHARE,
            warmup_target=highest,
            warmup_steps=warmup,
        )
    if isinstance(config, ExponentialConfig):
        return Warmup(ExponentialDecay(highest, highest * _MIN_SHARE, config.steps), highest, warmup)
    restarts = keras.optimizers.schedules.CosineDecayRestarts(
        highest, config.steps, t_mul=config.longer, m_mul=config.lower, alpha=_MIN_SHARE
    )
    return Warmup(restarts, highest, warmup)


class ExponentialDecay(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # Keras publishes no types
    """A rate that decays from `first` towards `last`: the difference falls to 1/e in `steps` steps."""

    def __init__(self, first: float, last: float, steps: int) -> None:
        self.first, self.last, self.steps = first, last, steps

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step, counted from 0."""
        return self.last + (self.first - self.last) * ops.exp(-ops.cast(step, "float32") / self.steps)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"first": self.first, "last": self.last, "steps": self.steps}


class Warmup(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # Keras publishes no types
    """A linear warmup of `steps` steps from a hundredth of `highest` to `highest`, followed by a schedule."""

    def __init__(self, then: keras.optimizers.schedules.LearningRateSchedule, highest: float, steps: int) -> None:
        self.then, self.highest, self.steps = then, highest, steps

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step, counted from 0."""
        step = ops.cast(step, "float32")
        rising = self.highest * (_MIN_SHARE + (1 - _MIN_SHARE) * step / max(self.steps, 1))
        return ops.where(step < self.steps, rising, self.then(ops.maximum(step - self.steps, 0.0)))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"then": self.then, "highest": self.highest, "steps": self.steps}
