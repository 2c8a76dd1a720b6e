"""A study from its first trial, or from where it was broken off: starts trainings, follows them, keeps what they say.

A trial's number and its values are in the study's journal before it starts, and every figure of it as it comes. So
whatever ends the study, the same command goes on: finished trials stay, and one that was broken off is started again
in its own folder, where its training goes on by itself.
"""

import copy
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from geo.errors import ConfigError
from model.common import process
from model.common.config import read_yaml, set_key
from model.tuning import metric, results, search
from model.tuning.config import MetricConfig, TuneConfig
from model.tuning.rows import REASON, SECONDS, brief, row, words

# From a config's file to the command that trains by it.
Command = Callable[[Path], list[str]]

# Seconds between two looks at the trials.
_PERIOD_S = 2.0


def training(config: Path) -> list[str]:
    """The command that a trial is."""
    return [sys.executable, "-u", "-m", "model.train", "--config", str(config)]


def pause() -> None:
    """Waits from one look at the trials to the next."""
    time.sleep(_PERIOD_S)


def run(config: TuneConfig, command: Command = training, wait: Callable[[], None] = pause) -> optuna.Study:
    """Tries what there is to try, or goes on with it; tables and a page in the study's folder follow.

    Args:
        config: the study.
        command: what trains. With `--check` behind it, it only says whether the config is right.
        wait: called between two looks at the trials.

    Returns:
        The study, with as many trials as there should be.

    Raises:
        ConfigError: settings that no training takes, or others than those with which the study began.
    """
    content = _content(config)
    with process.lock_folder(config.study) as lock:
        if not (config.study / search.JOURNAL).exists():
            _check(config, content, command)
        study = search.open_study(config, content)
        try:
            _try_all(study, config, lambda trial: _start(trial, config, content, command, lock), wait)
        finally:
            results.write(study, config)
    return study


def _content(config: TuneConfig) -> dict[str, Any]:
    """What all trials have in common, as a training's config holds it."""
    content = read_yaml(config.base)
    for name, value in config.fixed.items():
        set_key(content, name, value)
    return content


def _with(content: dict[str, Any], values: search.Values) -> dict[str, Any]:
    """The same with the values of a trial."""
    content = copy.deepcopy(content)
    for name, value in values.items():
        set_key(content, name, value)
    return content


def _check(config: TuneConfig, content: dict[str, Any], command: Command) -> None:
    """Asks the training whether it would take both ends of all ranges, before a trial is spent on finding out."""
    for values in search.ends(config.parameters):
        with tempfile.TemporaryDirectory() as folder:
            file = process.write_config(Path(folder), _with(content, values))
            done = subprocess.run(  # noqa: S603  # the same as a trial
                [*command(file), "--check"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
        if done.returncode:
            said = (done.stderr.strip() or "nothing").splitlines()[-1].replace(str(file), str(config.base))
            raise ConfigError(f"expected a base, fixed settings and parameters that a training takes; it says: {said}")


@dataclass(slots=True)
class _Running:
    """A trial whose training runs: in how many seconds of earlier starts, and since when by the clock."""

    trial: optuna.Trial
    folder: Path
    process: subprocess.Popen[bytes]
    seconds_before: float
    started: float

    def note_seconds(self) -> None:
        """Keeps how long the trial has run."""
        self.trial.set_user_attr(SECONDS, round(self.seconds_before + time.monotonic() - self.started, 1))


def _start(trial: optuna.Trial, config: TuneConfig, content: dict[str, Any], command: Command, lock: int) -> _Running:
    folder = search.folder(config, trial.number)
    values = search.values(trial, config.parameters)
    print(f"trial {trial.number} {'goes on' if folder.exists() else 'starts'}: {words(values)}", flush=True)
    file = process.write_config(folder, _with(content, values))
    before = float(trial.user_attrs.get(SECONDS, 0.0))
    started = process.start(command(file), folder / process.OUTPUT, lock)
    return _Running(trial, folder, started, before, time.monotonic())


def _try_all(
    study: optuna.Study,
    config: TuneConfig,
    start: Callable[[optuna.Trial], _Running],
    wait: Callable[[], None],
) -> None:
    """Keeps as many trials running as there may be, until there are no more."""
    broken = search.unfinished(study)
    running: list[_Running] = []
    try:
        while True:
            while len(running) < config.parallel and (trial := _next(broken, study, config)):
                running.append(start(trial))
            if not running:
                return
            wait()
            ended = [each for each in running if not _goes_on(each, study, config)]
            running = [each for each in running if each not in ended]
            if ended:
                results.write(study, config)
    finally:
        process.stop(*(each.process for each in running))
        for each in running:
            each.note_seconds()


def _next(broken: list[optuna.Trial], study: optuna.Study, config: TuneConfig) -> optuna.Trial | None:
    return broken.pop(0) if broken else search.ask(study, config)


def _goes_on(each: _Running, study: optuna.Study, config: TuneConfig) -> bool:
    """Takes up what a trial says; if that is its end, ends its process too, and writes it into the journal."""
    state, value, reason = _verdict(each, config.metric)
    if state == TrialState.RUNNING:
        return True
    process.stop(each.process)
    each.note_seconds()
    each.trial.set_user_attr(REASON, reason)
    study.tell(each.trial, value, state)
    found = row(study.get_trials(deepcopy=False)[each.trial.number], config.parameters)
    print(f"trial {found.trial} {found.state}: {reason or brief(found.value)}, {found.seconds:.0f} s", flush=True)
    return False


def _verdict(each: _Running, config: MetricConfig) -> tuple[TrialState, float | None, str]:
    """How a trial stands: its state, its value if it is complete, and why it failed if it has."""
    status = each.process.poll()  # before the table is read: who has ended has written all of it
    if status:
        return TrialState.FAIL, None, process.failure_reason(status, each.folder / process.OUTPUT)
    try:
        values = metric.read(each.folder / process.RUN, config)
    except ConfigError as error:
        return TrialState.FAIL, None, str(error)
    hopeless = _report(each.trial, values)
    if status is None:
        return (TrialState.PRUNED if hopeless else TrialState.RUNNING), None, ""
    last = list(values.values())[-1] if values else math.nan
    if not math.isfinite(last):
        return TrialState.FAIL, None, f"expected a number of {metric.name(config)} in the end, got {last}"
    return TrialState.COMPLETE, last, ""


def _report(trial: optuna.Trial, values: dict[int, float]) -> bool:
    """Hands on the figures that are new; returns whether the trial is hopeless with one of them."""
    known = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
    hopeless = False
    for epoch, value in values.items():
        if epoch not in known and math.isfinite(value):
            trial.report(value, epoch)
            hopeless = hopeless or trial.should_prune()
    return hopeless
