"""The config of a study, as the files of `configs/tune/` hold it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from model.common.config import ByKind

Scale = Literal["linear", "log"]


@dataclass(frozen=True, slots=True)
class FloatParameter:
    """A real number.

    Attributes:
        kind: `float`.
        name: key of the training's config, dotted: `learning_rate`, `crops.near_airplane`.
        low, high: the range, both ends included.
        scale: on which values are drawn evenly, `linear` or `log`.
        step: distance of the values on a linear scale; None: any value in the range.
        points: number of values in a grid, evenly on the scale from `low` to `high`; instead of `step`.
    """

    kind: Literal["float"]
    name: str
    low: float
    high: float
    scale: Scale = "linear"
    step: float | None = None
    points: int | None = None

    def __post_init__(self) -> None:
        _check_range(self)


@dataclass(frozen=True, slots=True)
class IntParameter:
    """A whole number; see `FloatParameter`. Without `step` and `points`, any in the range."""

    kind: Literal["int"]
    name: str
    low: int
    high: int
    scale: Scale = "linear"
    step: int | None = None
    points: int | None = None

    def __post_init__(self) -> None:
        _check_range(self)


@dataclass(frozen=True, slots=True)
class CategoricalParameter:
    """One of several values without an order.

    Attributes:
        kind: `categorical`.
        name: key of the training's config, dotted.
        choices: two or more values of any kind that a config can hold, lists and mappings too.
    """

    kind: Literal["categorical"]
    name: str
    choices: tuple[object, ...]

    def __post_init__(self) -> None:
        if len(self.choices) < 2:
            raise ValueError(f"choices of {self.name}: expected two or more, got {len(self.choices)}")
        if len({repr(choice) for choice in self.choices}) < len(self.choices):
            raise ValueError(f"choices of {self.name}: expected every one once, got {list(self.choices)}")


Parameter = Annotated[FloatParameter | IntParameter | CategoricalParameter, ByKind()]


@dataclass(frozen=True, slots=True)
class MetricConfig:
    """The objective of the search: a column of a table that the training writes; its last value counts.

    Attributes:
        table: `log` (log.csv) or `val` (val.csv) in the run's folder.
        column: column of that table.
        direction: `minimize` or `maximize`.
        set: the data set whose rows count, in a table with rows for several.
    """

    table: Literal["log", "val"]
    column: str
    direction: Literal["minimize", "maximize"]
    set: str | None = None

    FORMER_VALUES: ClassVar[Mapping[str, Mapping[str, str]]] = {"table": {"dev": "val"}}

    @property
    def label(self) -> str:
        """The metric in words."""
        return f"{self.column} of {self.set}" if self.set else self.column


@dataclass(frozen=True, slots=True)
class EarlyStoppingConfig:
    """When a trial is pruned: its best value so far is worse than a percentile of the others' at the same epoch.

    Attributes:
        percentile: percentile of the complete trials that is kept; 50 keeps the better half, 25 the best quarter.
        after_trials: number of complete trials before the first one is pruned.
        after_epochs: number of epochs of a trial before it is pruned.
    """

    percentile: float = 50.0
    after_trials: int = 4
    after_epochs: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.percentile < 100:
            raise ValueError(f"percentile: expected a number between 0 and 100, got {self.percentile}")
        for name in ("after_trials", "after_epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number from 1 on, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class TuneConfig:
    """A study: a search over the settings of a training.

    Attributes:
        base: the config that every trial starts from, a file of `configs/train/`.
        study: folder of the study; each trial has a folder in it with its config, run and output.
        parameters: the settings that are searched.
        metric: the objective.
        method: `grid` (every combination), `random`, or `bayesian` (tree-structured Parzen estimators).
        trials: number of trials; optional for a grid, which is sampled at random if it has more points.
        fixed: other settings in which all trials differ from the base, by dotted name.
        parallel: number of trials at a time.
        early_stopping: when a trial is pruned; None: never.
        seed: seed of the search; the trainings have their own.
    """

    base: Path
    study: Path
    parameters: tuple[Parameter, ...]
    metric: MetricConfig
    method: Literal["grid", "random", "bayesian"]
    trials: int | None = None
    fixed: dict[str, Any] = field(default_factory=dict)
    parallel: int = 1
    early_stopping: EarlyStoppingConfig | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        _check_names(self)
        for name in ("trials", "parallel"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected a whole number from 1 on, got {value}")
        if self.seed < 0:
            raise ValueError(f"seed: expected a whole number from 0 on, got {self.seed}")
        if self.method == "grid":
            _check_grid(self.parameters)
        else:
            _check_sampled(self)


def _check_names(config: TuneConfig) -> None:
    names = [parameter.name for parameter in config.parameters]
    if not names:
        raise ValueError("parameters: expected one or more, got none")
    repeated = sorted({name for name in names if names.count(name) > 1} | (config.fixed.keys() & set(names)), key=str)
    if repeated:
        raise ValueError(f"parameters, fixed: expected every name once, got {repeated[0]} twice")
    if "run" in {*names, *config.fixed}:
        raise ValueError("parameters, fixed: expected no run, since every trial has a run of its own: leave it out")
    if not all(part.isidentifier() for name in config.fixed for part in name.split(".")):
        raise ValueError("fixed: expected the names of settings, such as epochs or callbacks.every")


def _check_grid(parameters: tuple[Parameter, ...]) -> None:
    for parameter in parameters:
        if isinstance(parameter, FloatParameter) and parameter.step is None and parameter.points is None:
            raise ValueError(f"{parameter.name}: expected a step, or points, for a grid: it has no end otherwise")


def _check_sampled(config: TuneConfig) -> None:
    if config.trials is None:
        raise ValueError(f"trials: expected a whole number, since {config.method} has no end, got none")
    for parameter in config.parameters:
        if not isinstance(parameter, CategoricalParameter) and parameter.points is not None:
            raise ValueError(f"{parameter.name}: expected points in a grid alone, got them for {config.method}")


def _check_range(parameter: FloatParameter | IntParameter) -> None:
    """Refuse an invalid range, step or number of points."""
    if not (parameter.low < parameter.high and math.isfinite(parameter.low) and math.isfinite(parameter.high)):
        raise ValueError(f"{parameter.name}: expected low below high, got {parameter.low} and {parameter.high}")
    if parameter.scale == "log" and parameter.low <= 0:
        raise ValueError(f"{parameter.name}: expected low above 0 on a log scale, got {parameter.low}")
    if parameter.step is not None and parameter.points is not None:
        raise ValueError(f"{parameter.name}: expected step or points, got both")
    if parameter.points is not None and parameter.points < 2:
        raise ValueError(f"{parameter.name}: expected two points or more, got {parameter.points}")
    if parameter.step is not None:
        _check_step(parameter, parameter.step)


def _check_step(parameter: FloatParameter | IntParameter, step: float) -> None:
    if parameter.scale == "log":
        raise ValueError(
            f"{parameter.name}: expected no step on a log scale, got {step}: name points, or a linear scale"
        )
    if not step > 0 or abs(math.remainder(parameter.high - parameter.low, step)) > 1e-6 * step:
        raise ValueError(
            f"{parameter.name}: expected a step that divides {parameter.low} to {parameter.high}, got {step}"
        )
