"""The settings of a study, as the files of `configs/tune/` hold them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from model.common.config import ByKind

Scale = Literal["linear", "log"]


@dataclass(frozen=True, slots=True)
class FloatParameter:
    """A number to be searched for.

    Attributes:
        kind: `float`.
        name: of the setting in the training's config, dotted: `learning_rate`, `crops.airplane_share`.
        low, high: the range, both included.
        scale: `log` where a doubling counts as much at the lower end as at the upper one.
        step: from a value to the next one, on the linear scale; none: every number of the range.
        points: how many values a grid takes, evenly on the scale from `low` to `high`; where there is no `step`.
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
    """A whole number to be searched for; see `FloatParameter`. Without `step` and `points`, every one of the range."""

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
    """One of several values, in no order.

    Attributes:
        kind: `categorical`.
        name: of the setting in the training's config.
        choices: what it may be: anything that a config can hold, lists and mappings too.
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
    """What makes one trial better than another: the last line of a table that the training leaves.

    Attributes:
        table: `log` (log.csv) or `val` (val.csv) in the run's folder.
        column: of that table.
        direction: which values are better.
        set: the set whose lines count, in a table that has lines for several.
    """

    table: Literal["log", "val"]
    column: str
    direction: Literal["minimize", "maximize"]
    set: str | None = None

    FORMER_VALUES: ClassVar[Mapping[str, Mapping[str, str]]] = {"table": {"dev": "val"}}


@dataclass(frozen=True, slots=True)
class EarlyStoppingConfig:
    """When a trial is given up: its best value so far is worse than a percentile of the others' at that epoch.

    Attributes:
        percentile: of the trials that are whole; 50 leaves the better half, 25 the best quarter.
        after_trials: as many are whole before the first one is given up.
        after_epochs: as many has a trial behind it before it is given up.
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
    """A study: which trainings are tried, and what they are measured by.

    Attributes:
        base: the config that every trial begins with, a file of `configs/train/`.
        study: the study's folder; a folder of it for each trial holds its config, its run and what it said.
        parameters: what is searched for.
        metric: what is searched by.
        method: `grid` (every combination), `random`, or `bayesian` (tree-structured Parzen estimators: where the good
            trials were).
        trials: how many; a grid may leave it out, and has a random part of its points where there are more.
        fixed: other settings in which every trial differs from the base, by dotted name.
        parallel: trials at a time.
        early_stopping: when a trial is given up; none ever is if None.
        seed: of the search; the trainings have their own.
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
            _check_endless(self)


def _check_names(config: TuneConfig) -> None:
    names = [parameter.name for parameter in config.parameters]
    if not names:
        raise ValueError("parameters: expected one or more, got none")
    several = sorted({name for name in names if names.count(name) > 1} | (config.fixed.keys() & set(names)), key=str)
    if several:
        raise ValueError(f"parameters, fixed: expected every name once, got {several[0]} twice")
    if "run" in {*names, *config.fixed}:
        raise ValueError("parameters, fixed: expected no run, since every trial has a run of its own: leave it out")
    if not all(part.isidentifier() for name in config.fixed for part in name.split(".")):
        raise ValueError("fixed: expected the names of settings, such as epochs or watch.every")


def _check_grid(parameters: tuple[Parameter, ...]) -> None:
    for parameter in parameters:
        if isinstance(parameter, FloatParameter) and parameter.step is None and parameter.points is None:
            raise ValueError(f"{parameter.name}: expected a step, or points, for a grid: it has no end otherwise")


def _check_endless(config: TuneConfig) -> None:
    if config.trials is None:
        raise ValueError(f"trials: expected a whole number, since {config.method} has no end, got none")
    for parameter in config.parameters:
        if not isinstance(parameter, CategoricalParameter) and parameter.points is not None:
            raise ValueError(f"{parameter.name}: expected points in a grid alone, got them for {config.method}")


def _check_range(of: FloatParameter | IntParameter) -> None:
    """Refuses a range that cannot be meant."""
    if not (of.low < of.high and math.isfinite(of.low) and math.isfinite(of.high)):
        raise ValueError(f"{of.name}: expected low below high, got {of.low} and {of.high}")
    if of.scale == "log" and of.low <= 0:
        raise ValueError(f"{of.name}: expected low above 0 on a log scale, got {of.low}")
    if of.step is not None and of.points is not None:
        raise ValueError(f"{of.name}: expected step or points, got both")
    if of.points is not None and of.points < 2:
        raise ValueError(f"{of.name}: expected two points or more, got {of.points}")
    if of.step is not None:
        _check_step(of, of.step)


def _check_step(of: FloatParameter | IntParameter, step: float) -> None:
    if of.scale == "log":
        raise ValueError(f"{of.name}: expected no step on a log scale, got {step}: name points, or a linear scale")
    if not step > 0 or abs(math.remainder(of.high - of.low, step)) > 1e-6 * step:
        raise ValueError(f"{of.name}: expected a step of which some fill {of.low} to {of.high}, got {step}")
