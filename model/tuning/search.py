"""What to try next: a study of Optuna, kept as a journal in the study's folder.

The values of a trial depend on the seed, its number and the results of the other trials, and not on when a study was
interrupted.
"""

import itertools
import json
import random
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from geo.errors import ConfigError
from model.tuning.config import (
    CategoricalParameter,
    EarlyStoppingConfig,
    FloatParameter,
    IntParameter,
    Parameter,
    TuneConfig,
)

JOURNAL = "journal.log"
# The folder of all trials, in the study's folder.
TRIALS = "trials"
# User attribute of a study: the settings with which it began.
_SETTINGS = "settings"
# What may change when a study is resumed.
_MAY_CHANGE = ("study", "base", "fixed", "trials", "parallel")

# Values of settings by dotted name.
Values = dict[str, Any]


def open_study(config: TuneConfig, content: Mapping[str, Any]) -> optuna.Study:
    """Create the study, or open an existing one.

    Args:
        config: the study.
        content: the training's config without the parameters, the same for all trials.

    Raises:
        ConfigError: the folder holds a study with other settings, or trials without their journal.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = config.study / JOURNAL
    if not journal.exists() and (config.study / TRIALS).exists():
        raise ConfigError(f"study: expected {journal} beside {TRIALS}, found none: name another folder, or remove this")
    _repair(journal)
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(JournalFileBackend(str(journal))),
        study_name="study",
        direction=config.metric.direction,
        pruner=_pruner(config.early_stopping),
        load_if_exists=True,
    )
    _check_settings(study, config, content)
    if config.method == "grid":
        for point in grid_points(config)[len(study.trials) :]:
            study.enqueue_trial({each.name: _encode(each, point[each.name]) for each in config.parameters})
    return study


def trial_folder(config: TuneConfig, trial: int) -> Path:
    """Return the folder of a trial."""
    return config.study / TRIALS / f"{trial:04d}"


def _repair(journal: Path) -> None:
    """Drop an incomplete last line, and the lock of a process that was killed."""
    if journal.exists():
        lines = journal.read_bytes().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            journal.write_bytes(b"".join(lines[:-1]))
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)


def _check_settings(study: optuna.Study, config: TuneConfig, content: Mapping[str, Any]) -> None:
    own = {name: value for name, value in asdict(config).items() if name not in _MAY_CHANGE}
    settings = json.loads(json.dumps(own | {"training": content}, default=str))
    before = study.user_attrs.get(_SETTINGS, settings)
    changed = sorted(name for name in settings.keys() | before.keys() if settings.get(name) != before.get(name))
    if changed:
        raise ConfigError(
            f"study: expected the settings with which {config.study} began, got other {', '.join(changed)}: name "
            "another folder, or remove this one"
        )
    study.set_user_attr(_SETTINGS, settings)


def interrupted_trials(study: optuna.Study) -> list[optuna.Trial]:
    """Return the trials that were interrupted, oldest first."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [optuna.Trial(study, trial._trial_id) for trial in running]


def ask(study: optuna.Study, config: TuneConfig) -> optuna.Trial | None:
    """Begin the next trial; None if there are as many as planned."""
    begun = [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]
    if len(begun) >= trial_count(config):
        return None
    study.sampler = _sampler(config, len(begun))
    return study.ask()


def trial_count(config: TuneConfig) -> int:
    """Return the planned number of trials."""
    if config.method != "grid":
        return config.trials or 0
    return min(size := len(grid_points(config)), config.trials or size)


def suggest_values(trial: optuna.Trial, parameters: tuple[Parameter, ...]) -> Values:
    """Draw the values of a trial by the name of the setting; an interrupted trial gets the same ones again."""
    return {each.name: _decode(each, _suggest(trial, each)) for each in parameters}


def decode_values(parameters: tuple[Parameter, ...], params: Mapping[str, Any]) -> Values:
    """Decode the values of a trial from Optuna's `params`; those that were not drawn are left out."""
    return {each.name: _decode(each, params[each.name]) for each in parameters if each.name in params}


def grid_points(config: TuneConfig) -> list[Values]:
    """List the points of a grid in random order, so that a part of them covers all of it."""
    names = [parameter.name for parameter in config.parameters]
    points = [dict(zip(names, each, strict=True)) for each in itertools.product(*map(_axis_points, config.parameters))]
    random.Random(config.seed).shuffle(points)  # noqa: S311  # no secret
    return points


def range_ends(parameters: tuple[Parameter, ...]) -> list[Values]:
    """Return the lower ends of all ranges, and the upper ones; of choices the first and the last."""
    pairs = {
        each.name: (each.choices[0], each.choices[-1])
        if isinstance(each, CategoricalParameter)
        else (each.low, each.high)
        for each in parameters
    }
    return [{name: pair[end] for name, pair in pairs.items()} for end in (0, 1)]


def _axis_points(parameter: Parameter) -> list[Any]:
    """List the values of one parameter in a grid."""
    if isinstance(parameter, CategoricalParameter):
        return list(parameter.choices)
    if parameter.points is None:
        return [_value_at(parameter, step) for step in range(_step_count(parameter) + 1)]
    spaced = (np.geomspace if parameter.scale == "log" else np.linspace)(
        parameter.low, parameter.high, parameter.points
    )
    if isinstance(parameter, IntParameter):
        return sorted({round(float(value)) for value in spaced})
    return [float(value) for value in spaced]


def _step_count(parameter: FloatParameter | IntParameter) -> int:
    return round((parameter.high - parameter.low) / (parameter.step or 1))


def _value_at(parameter: FloatParameter | IntParameter, steps: int) -> float:
    """Return the value so many steps above the lowest one, without floating-point noise."""
    value = parameter.low + steps * (parameter.step or 1)
    return (
        value
        if isinstance(parameter, IntParameter)
        else min(max(float(f"{value:.12g}"), parameter.low), parameter.high)
    )


def _suggest(trial: optuna.Trial, parameter: Parameter) -> Any:
    """Draw the value of a parameter in Optuna's form (see `_encode`)."""
    if isinstance(parameter, CategoricalParameter):
        return trial.suggest_categorical(parameter.name, [_to_json(choice) for choice in parameter.choices])
    log = parameter.scale == "log"
    if isinstance(parameter, IntParameter):
        return trial.suggest_int(parameter.name, parameter.low, parameter.high, step=parameter.step or 1, log=log)
    if parameter.step is not None:
        return trial.suggest_int(parameter.name, 0, _step_count(parameter))
    return trial.suggest_float(parameter.name, parameter.low, parameter.high, log=log)


def _encode(parameter: Parameter, value: Any) -> Any:
    """Encode a value for Optuna: a choice as JSON, since Optuna takes no lists; a float with a step as its index."""
    if isinstance(parameter, CategoricalParameter):
        return _to_json(value)
    if isinstance(parameter, FloatParameter) and parameter.step:
        return round((value - parameter.low) / parameter.step)
    return value


def _decode(parameter: Parameter, encoded: Any) -> Any:
    """Invert `_encode`."""
    if isinstance(parameter, CategoricalParameter):
        return json.loads(encoded)
    return _value_at(parameter, encoded) if isinstance(parameter, FloatParameter) and parameter.step else encoded


def _to_json(choice: object) -> str:
    return json.dumps(choice, default=str)


def _sampler(config: TuneConfig, trial: int) -> optuna.samplers.BaseSampler:
    """Return the sampler of one trial, seeded by its number."""
    seed = int(np.random.SeedSequence([config.seed, trial]).generate_state(1)[0])
    if config.method == "bayesian":
        # Optuna's default of ten random trials would be half of a study of twenty.
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(10, max(trial_count(config) // 4, 1)))
    return optuna.samplers.RandomSampler(seed=seed)


def _pruner(config: EarlyStoppingConfig | None) -> optuna.pruners.BasePruner:
    if config is None:
        return optuna.pruners.NopPruner()
    return optuna.pruners.PercentilePruner(
        config.percentile, n_startup_trials=config.after_trials, n_warmup_steps=config.after_epochs - 1
    )
