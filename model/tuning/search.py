"""What to try next: a study of Optuna, kept as a journal in the study's folder.

Nothing here hangs on when a study was broken off: the draws of a trial are a function of the seed, its number and what
is known of the other trials.
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
# Of a study, the settings that made it what it is.
_SETTINGS = "settings"
# What may change when a study goes on.
_FREE = ("study", "base", "fixed", "trials", "parallel")

# A setting's value by its dotted name.
Values = dict[str, Any]


def open_study(config: TuneConfig, content: Mapping[str, Any]) -> optuna.Study:
    """Begins the study, or opens it as it was left.

    Args:
        config: the study.
        content: what all trials have in common, as a training's config holds it.

    Raises:
        ConfigError: the folder holds a study with other settings, or trials of a study that is gone.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = config.study / JOURNAL
    if not journal.exists() and (config.study / TRIALS).exists():
        raise ConfigError(f"study: expected {journal} beside {TRIALS}, found none: name another folder, or remove this")
    _mend(journal)
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(JournalFileBackend(str(journal))),
        study_name="study",
        direction=config.metric.direction,
        pruner=_pruner(config.early_stopping),
        load_if_exists=True,
    )
    _check_settings(study, config, content)
    if config.method == "grid":
        for point in grid(config)[len(study.trials) :]:
            study.enqueue_trial({each.name: _kept(each, point[each.name]) for each in config.parameters})
    return study


def folder(config: TuneConfig, trial: int) -> Path:
    """Where a trial is kept."""
    return config.study / TRIALS / f"{trial:04d}"


def _mend(journal: Path) -> None:
    """Drops a line that was never ended, and the lock of a process that is gone."""
    if journal.exists():
        lines = journal.read_bytes().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            journal.write_bytes(b"".join(lines[:-1]))
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)


def _check_settings(study: optuna.Study, config: TuneConfig, content: Mapping[str, Any]) -> None:
    own = {name: value for name, value in asdict(config).items() if name not in _FREE}
    settings = json.loads(json.dumps(own | {"training": content}, default=str))
    kept = study.user_attrs.get(_SETTINGS, settings)
    other = sorted(name for name in settings.keys() | kept.keys() if settings.get(name) != kept.get(name))
    if other:
        raise ConfigError(
            f"study: expected the settings with which {config.study} began, got other {', '.join(other)}: name another "
            "folder, or remove this one"
        )
    study.set_user_attr(_SETTINGS, settings)


def unfinished(study: optuna.Study) -> list[optuna.Trial]:
    """The trials that were broken off, oldest first."""
    broken = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [optuna.Trial(study, trial._trial_id) for trial in broken]


def ask(study: optuna.Study, config: TuneConfig) -> optuna.Trial | None:
    """The next trial; None if there are as many as there should be."""
    begun = [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]
    if len(begun) >= trials(config):
        return None
    study.sampler = _sampler(config, len(begun))
    return study.ask()


def trials(config: TuneConfig) -> int:
    """How many trials the study is to have."""
    if config.method != "grid":
        return config.trials or 0
    return min(size := len(grid(config)), config.trials or size)


def values(trial: optuna.Trial, parameters: tuple[Parameter, ...]) -> Values:
    """What the trial is to try, by the name of the setting; the same again for a trial that was broken off."""
    return {each.name: _value(each, _suggested(trial, each)) for each in parameters}


def grid(config: TuneConfig) -> list[Values]:
    """The points of a grid, in the order in which they are tried: mixed, so that a part tells of the whole."""
    names = [parameter.name for parameter in config.parameters]
    points = [dict(zip(names, each, strict=True)) for each in itertools.product(*map(_points, config.parameters))]
    random.Random(config.seed).shuffle(points)  # noqa: S311  # no secret
    return points


def ends(parameters: tuple[Parameter, ...]) -> list[Values]:
    """The lower ends of all ranges, and the upper ones; of choices the first and the last."""
    pairs = {
        each.name: (each.choices[0], each.choices[-1])
        if isinstance(each, CategoricalParameter)
        else (each.low, each.high)
        for each in parameters
    }
    return [{name: pair[end] for name, pair in pairs.items()} for end in (0, 1)]


def decoded(parameters: tuple[Parameter, ...], kept: Mapping[str, Any]) -> Values:
    """The values of a trial, of what Optuna keeps of it."""
    return {each.name: _value(each, kept[each.name]) for each in parameters if each.name in kept}


def _points(of: Parameter) -> list[Any]:
    if isinstance(of, CategoricalParameter):
        return list(of.choices)
    if of.points is None:
        return [_at(of, k) for k in range(_steps(of) + 1)]
    spaced = (np.geomspace if of.scale == "log" else np.linspace)(of.low, of.high, of.points)
    if isinstance(of, IntParameter):
        return sorted({round(float(value)) for value in spaced})
    return [float(value) for value in spaced]


def _steps(of: FloatParameter | IntParameter) -> int:
    return round((of.high - of.low) / (of.step or 1))


def _at(of: FloatParameter | IntParameter, steps: int) -> float:
    """The value so many steps above the lowest one, without the noise that floats add."""
    value = of.low + steps * (of.step or 1)
    return value if isinstance(of, IntParameter) else min(max(float(f"{value:.12g}"), of.low), of.high)


def _suggested(trial: optuna.Trial, of: Parameter) -> Any:
    """What is drawn for a parameter, in the form in which Optuna keeps it (see `_kept`)."""
    if isinstance(of, CategoricalParameter):
        return trial.suggest_categorical(of.name, [_word(choice) for choice in of.choices])
    if isinstance(of, IntParameter):
        return trial.suggest_int(of.name, of.low, of.high, step=of.step or 1, log=of.scale == "log")
    if of.step is not None:
        return trial.suggest_int(of.name, 0, _steps(of))
    return trial.suggest_float(of.name, of.low, of.high, log=of.scale == "log")


def _kept(of: Parameter, value: Any) -> Any:
    """A value as Optuna keeps it: choices as words, since it knows no lists; a float with steps as their number."""
    if isinstance(of, CategoricalParameter):
        return _word(value)
    return round((value - of.low) / of.step) if isinstance(of, FloatParameter) and of.step else value


def _value(of: Parameter, kept: Any) -> Any:
    """The same back."""
    if isinstance(of, CategoricalParameter):
        return json.loads(kept)
    return _at(of, kept) if isinstance(of, FloatParameter) and of.step else kept


def _word(choice: object) -> str:
    return json.dumps(choice, default=str)


def _sampler(config: TuneConfig, number: int) -> optuna.samplers.BaseSampler:
    seed = int(np.random.SeedSequence([config.seed, number]).generate_state(1)[0])
    if config.method == "bayesian":
        # Optuna's own ten random trials would be half of a study of twenty.
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(10, max(trials(config) // 4, 1)))
    return optuna.samplers.RandomSampler(seed=seed)


def _pruner(config: EarlyStoppingConfig | None) -> optuna.pruners.BasePruner:
    if config is None:
        return optuna.pruners.NopPruner()
    return optuna.pruners.PercentilePruner(
        config.percentile, n_startup_trials=config.after_trials, n_warmup_steps=config.after_epochs - 1
    )
