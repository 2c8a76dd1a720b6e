"""How the learning rate of a training goes from step to step."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import keras
from keras import ops

from model.common.config import ByKind

# Where a rate begins that is to be warmed up, and where it ends, as a share of the highest.
_COLD = 0.01


@dataclass(frozen=True, slots=True)
class CosineConfig:
    """From the highest rate to a hundredth in half a cosine (arXiv:1608.03983, eq. 5), which ends with the training."""

    kind: Literal["cosine"] = "cosine"


@dataclass(frozen=True, slots=True)
class ExponentialConfig:
    """From the highest rate towards a hundredth, exponentially.

    Attributes:
        kind: tells it from other schedules.
        steps: in which 1/e of the way is left.
    """

    kind: Literal["exponential"] = "exponential"
    steps: int = 1000

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps: expected a whole number from 1 on, got {self.steps}")


@dataclass(frozen=True, slots=True)
class RestartsConfig:
    """Cosines one after the other (arXiv:1608.03983, section 3), each from the highest rate to a hundredth.

    Attributes:
        kind: tells it from other schedules.
        steps: of the first cosine.
        longer: how many times as long each cosine is as the one before.
        lower: how many times as high it begins.
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


def schedule(
    config: ScheduleConfig, highest: float, warmup: int, steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """The rate by step, counted from 0.

    Args:
        config: its form.
        highest: rate.
        warmup: steps in which it first rises to the highest in a straight line, from a hundredth.
        steps: of the whole training.
    """
    warmup = min(warmup, steps)
    if isinstance(config, CosineConfig):
        return keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=highest * _COLD,
            decay_steps=max(steps - warmup, 1),
            alpha=_COLD,
            warmup_target=highest,
            warmup_steps=warmup,
        )
    if isinstance(config, ExponentialConfig):
        return WarmedUp(DecayTo(highest, highest * _COLD, config.steps), highest, warmup)
    restarts = keras.optimizers.schedules.CosineDecayRestarts(
        highest, config.steps, t_mul=config.longer, m_mul=config.lower, alpha=_COLD
    )
    return WarmedUp(restarts, highest, warmup)


class DecayTo(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # Keras publishes no types
    """A learning rate that falls from `first` towards `last`, exponentially: to 1/e of the way in `steps` steps."""

    def __init__(self, first: float, last: float, steps: int) -> None:
        self.first, self.last, self.steps = first, last, steps

    def __call__(self, step: Any) -> Any:
        """The rate of a step, counted from 0."""
        return self.last + (self.first - self.last) * ops.exp(-ops.cast(step, "float32") / self.steps)

    def get_config(self) -> dict[str, Any]:
        """Its arguments."""
        return {"first": self.first, "last": self.last, "steps": self.steps}


class WarmedUp(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # Keras publishes no types
    """A schedule that begins after `steps` steps; in these the rate rises to `highest` from a hundredth of it."""

    def __init__(self, then: keras.optimizers.schedules.LearningRateSchedule, highest: float, steps: int) -> None:
        self.then, self.highest, self.steps = then, highest, steps

    def __call__(self, step: Any) -> Any:
        """The rate of a step, counted from 0."""
        step = ops.cast(step, "float32")
        rising = self.highest * (_COLD + (1 - _COLD) * step / max(self.steps, 1))
        return ops.where(step < self.steps, rising, self.then(ops.maximum(step - self.steps, 0.0)))

    def get_config(self) -> dict[str, Any]:
        """Its arguments."""
        return {"then": self.then, "highest": self.highest, "steps": self.steps}
