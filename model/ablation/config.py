"""The config of an ablation study, as the files of `configs/ablation/` hold it."""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geo.errors import ConfigError
from model.common.config import from_mapping, set_key
from model.training.config import TrainConfig

# In the folder of the study, beside those of the experiments: scenes that `model.evaluate` renders once for all.
RENDERED = "rendered"
# Keys of a training that the study sets.
_STUDY_KEYS = ("name", "data", "run", "seed")


@dataclass(frozen=True, slots=True)
class ExperimentConfig:
    """One experiment: a training that differs from its baseline in one change.

    Attributes:
        name: name of the experiment and of its folder.
        summary: the change in a few words.
        seeds: one training for each.
        baseline: the earlier experiment that it starts from and is compared with; None: the study's base training.
        overrides: the settings that differ from the baseline's, by dotted name.
    """

    name: str
    summary: str
    seeds: tuple[int, ...]
    baseline: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if Path(self.name).name != self.name or self.name in ("", "..", RENDERED):
            raise ValueError(f"experiments.name: expected a name that a folder can have, got {self.name!r}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(
                f"experiments.seeds: expected one or more different numbers for {self.name}, got {self.seeds}"
            )


@dataclass(frozen=True, slots=True)
class AblationConfig:
    """An ablation study.

    Attributes:
        data: folder of the data sets.
        run: folder of the study; a training and its results are in RUN/NAME/SEED.
        val_sets: the sets on whose val split the threshold and the calibration of every model are chosen.
        training: the base training, as a file of `configs/train/` without name, data, run and seed.
        experiments: in the order in which they are trained.
        evaluation: config of `model.evaluate`, for both evaluations; it names the test sets.
    """

    data: Path
    run: Path
    val_sets: tuple[str, ...]
    training: dict[str, Any]
    experiments: tuple[ExperimentConfig, ...]
    evaluation: Path = Path("configs/evaluate/default.yaml")

    def __post_init__(self) -> None:
        for name in ("val_sets", "experiments"):
            if not getattr(self, name):
                raise ValueError(f"{name}: expected one or more, got none")
        names = [experiment.name for experiment in self.experiments]
        if len(set(names)) < len(names):
            raise ValueError(f"experiments: expected every name once, got {', '.join(names)}")
        for position, experiment in enumerate(self.experiments):
            if experiment.baseline is not None and experiment.baseline not in names[:position]:
                raise ValueError(
                    f"experiments.baseline: expected an experiment before {experiment.name}, got "
                    f"{experiment.baseline!r}"
                )
        settings = (self.training, *(experiment.overrides for experiment in self.experiments))
        keys = {str(key) for each in settings for key in each}
        if fixed := sorted(keys & {*_STUDY_KEYS}):
            raise ValueError(f"training, overrides: expected no {', '.join(fixed)}: the study sets them")


def experiment_folder(config: AblationConfig, experiment: ExperimentConfig, seed: int) -> Path:
    """Return the folder of a training, its logs and its results."""
    return config.run / experiment.name / str(seed)


def training_settings(config: AblationConfig, experiment: ExperimentConfig, seed: int) -> dict[str, Any]:
    """Build the settings of an experiment's training, as a file of `configs/train/` holds them.

    Raises:
        ConfigError: an override lies within a setting that is no mapping.
    """
    own = {
        "name": f"ablation-{experiment.name}",
        "data": str(config.data),
        "run": str(experiment_folder(config, experiment, seed)),
        "seed": seed,
    }
    return own | _settings(config, experiment)


def _settings(config: AblationConfig, experiment: ExperimentConfig) -> dict[str, Any]:
    """Apply the overrides of an experiment and of the baselines below it to the base training."""
    by_name = {each.name: each for each in config.experiments}
    below = config.training if experiment.baseline is None else _settings(config, by_name[experiment.baseline])
    settings = copy.deepcopy(below)
    for name, value in experiment.overrides.items():
        set_key(settings, str(name), value)
    return settings


def training_configs(config: AblationConfig) -> dict[str, TrainConfig]:
    """Parse the training of every experiment, by the experiment's name.

    Raises:
        ConfigError: settings that no training of a detector takes.
    """
    return {
        each.name: from_mapping(TrainConfig, training_settings(config, each, each.seeds[0]), f"experiment {each.name}")
        for each in config.experiments
    }


def select_experiments(config: AblationConfig, names: list[str]) -> tuple[ExperimentConfig, ...]:
    """Return the experiments of these names in the order of the study; all of them if no name is given.

    Raises:
        ConfigError: there is no such experiment.
    """
    known = [experiment.name for experiment in config.experiments]
    for name in names:
        if name not in known:
            raise ConfigError(f"--only: expected one of {', '.join(known)}, got {name}")
    return tuple(experiment for experiment in config.experiments if not names or experiment.name in names)
