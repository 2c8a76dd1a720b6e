"""The runs of an ablation study: training, threshold and evaluation of every experiment, each in its own process.

A step that is done is not done again, so the same command resumes an interrupted study.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from geo.errors import ConfigError, FinderError
from model.ablation import results
from model.ablation.config import (
    RENDERED,
    AblationConfig,
    ExperimentConfig,
    experiment_folder,
    training_configs,
    training_settings,
)
from model.ablation.results import MODEL, TEST_FIGURES, VAL_FIGURES, read_figures
from model.common import process
from model.common.atomic import write_atomically
from model.common.config import read_yaml
from model.evaluation.measure import ALL_SETS
from model.training import loop

# From a module and its options to a command; tests put another program in its place.
Command = Callable[[str, Sequence[str]], list[str]]

# Settings that may change between two starts of the same training.
_MAY_CHANGE = ("name", "data", "run", "seed")
# Lines of a log that are shown where a step fails.
_SHOWN_LINES = 12


class StepError(FinderError, RuntimeError):
    """A training or an evaluation that failed."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command of one experiment and seed.

    Attributes:
        name: a word or two for messages.
        command: the program and its arguments.
        log: file for its output.
        is_done: whether there is nothing left to do.
        outdated: files that are removed before it starts, since they follow from what it makes.
    """

    name: str
    command: list[str]
    log: Path
    is_done: Callable[[], bool]
    outdated: tuple[Path, ...] = ()


def python_module(name: str, options: Sequence[str]) -> list[str]:
    """Return the command that runs a Python module."""
    return [sys.executable, "-u", "-m", name, *options]


def run(config: AblationConfig, experiments: Sequence[ExperimentConfig], command: Command = python_module) -> None:
    """Do what is left to do, in the given order; the summary in the study's folder is kept up to date.

    Args:
        config: the study.
        experiments: those of the study to run.
        command: makes the command of a step.

    Raises:
        ConfigError: an experiment whose settings differ from those with which its training began.
        StepError: a step failed.
    """
    with process.lock_folder(config.run) as lock:
        results.write(config)
        for experiment in experiments:
            for seed in experiment.seeds:
                _prepare(config, experiment, seed)
                for step in steps(config, experiment, seed, command):
                    _do(step, f"{experiment.name}, seed {seed}: {step.name}", lock)
                results.write(config)


def steps(
    config: AblationConfig, experiment: ExperimentConfig, seed: int, command: Command = python_module
) -> list[Step]:
    """List the steps of one experiment and seed: training, threshold on val, figures on test."""
    folder = experiment_folder(config, experiment, seed)
    model, val, test = folder / MODEL, folder / VAL_FIGURES, folder / TEST_FIGURES
    epochs = training_configs(config)[experiment.name].epochs
    evaluate = ["--config", str(config.evaluation), "--data", str(config.data), "--model", str(model)]
    on_val = ["--split", "val", "--sets", *config.val_sets, "--record"]
    return [
        Step(
            "training",
            command("model.train", ["--config", str(folder / process.CONFIG)]),
            folder / "train.log",
            lambda: model.is_dir() and loop.epochs_completed(folder) >= epochs,
        ),
        Step(
            "threshold on val",
            command("model.evaluate", [*evaluate, *on_val, *_output_options(val)]),
            folder / "val.log",
            lambda: set((read_figures(val, model) or {}).get("sets", {})) == {*config.val_sets, ALL_SETS},
            outdated=(val, test),
        ),
        Step(
            "figures on test",
            command("model.evaluate", [*evaluate, *_output_options(test)]),
            folder / "test.log",
            lambda: read_figures(test, model) is not None,
        ),
    ]


def _output_options(file: Path) -> list[str]:
    return ["--output", str(file), "--page", str(file.with_suffix(".html"))]


def _prepare(config: AblationConfig, experiment: ExperimentConfig, seed: int) -> None:
    """Write the training's config, and link the rendered scenes that all evaluations share."""
    folder, shared = experiment_folder(config, experiment, seed), config.run / RENDERED
    folder.mkdir(parents=True, exist_ok=True)
    _write_settings(folder / process.CONFIG, training_settings(config, experiment, seed))
    shared.mkdir(exist_ok=True)
    if not (folder / RENDERED).exists():
        (folder / RENDERED).symlink_to(shared.resolve(), target_is_directory=True)


def _write_settings(file: Path, settings: dict[str, Any]) -> None:
    """Write the config of a training, unless the training began with other settings.

    Raises:
        ConfigError: the training began with other settings: its results would be those of another experiment.
    """
    before = read_yaml(file) if file.is_file() else settings
    keys = (settings.keys() | before.keys()) - {*_MAY_CHANGE}
    changed = sorted(key for key in keys if settings.get(key) != before.get(key))
    if changed:
        raise ConfigError(
            f"{file.parent}: expected the settings with which the training there began, got other "
            f"{', '.join(changed)}: put them back, or remove that folder to train anew"
        )
    write_atomically(file, yaml.safe_dump(settings, sort_keys=False))


def _do(step: Step, title: str, lock: int) -> None:
    """Run a step unless it is done.

    Raises:
        StepError: the step failed.
    """
    if step.is_done():
        print(f"{title}: done before", flush=True)
        return
    for file in step.outdated:
        file.unlink(missing_ok=True)
    print(f"{title}: {step.log}", flush=True)
    began = time.monotonic()
    started = process.start(step.command, step.log, lock)
    try:
        status = started.wait()
    finally:
        process.stop(started)
    if status or not step.is_done():
        reason = process.failure_reason(status, step.log) if status else "it ended without its output"
        lines = step.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_SHOWN_LINES:]
        raise StepError("\n".join([f"{title} failed: {reason}; the end of {step.log}:", *lines]))
    print(f"{title}: done, {time.monotonic() - began:.0f} s", flush=True)
