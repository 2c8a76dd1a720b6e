"""Run a study: start the trainings, follow their metric, prune those that fall behind, and record the results.

A trial's number and values are in the study's journal before it starts, and every value of its metric as it comes. So
whatever ends the study, the same command resumes it: finished trials stay, and an interrupted one is started again in
its own folder, where its training resumes by itself.
"""

import copy
import csv
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
from model.tuning import results, search
from model.tuning.config import MetricConfig, TuneConfig

# From a training's config file to the command that runs it.
Command = Callable[[Path], list[str]]

# Seconds between two polls of the running trials.
_POLL_S = 2.0


def training_command(config: Path) -> list[str]:
    """Return the command of a trial."""
    return [sys.executable, "-u", "-m", "model.train", "--config", str(config)]


def sleep() -> None:
    """Wait from one poll of the running trials to the next."""
    time.sleep(_POLL_S)


def run(config: TuneConfig, command: Command = training_command, wait: Callable[[], None] = sleep) -> optuna.Study:
    """Run or resume a study; the tables and the page in its folder are kept up to date.

    Args:
        config: the study.
        command: makes the command of a training. With `--check` appended, it only checks the config.
        wait: called between two polls of the running trials.

    Returns:
        The study with all of its trials.

    Raises:
        ConfigError: settings that no training takes, or other settings than those with which the study began.
    """
    content = _with_values(read_yaml(config.base), config.fixed)
    with process.lock_folder(config.study) as lock:
        if not (config.study / search.JOURNAL).exists():
            _check(config, content, command)
        study = search.open_study(config, content)
        try:
            _run_trials(study, config, lambda trial: _start(trial, config, content, command, lock), wait)
        finally:
            results.write(study, config)
    return study


def _with_values(content: dict[str, Any], values: search.Values) -> dict[str, Any]:
    """Return a copy of a training's config with some values set."""
    content = copy.deepcopy(content)
    for name, value in values.items():
        set_key(content, name, value)
    return content


def _check(config: TuneConfig, content: dict[str, Any], command: Command) -> None:
    """Let the training check both ends of all ranges before the first trial.

    Raises:
        ConfigError: the training rejects them.
    """
    for values in search.range_ends(config.parameters):
        with tempfile.TemporaryDirectory() as folder:
            file = process.write_config(Path(folder), _with_values(content, values))
            done = subprocess.run(  # noqa: S603  # the same as a trial
                [*command(file), "--check"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
        if done.returncode:
            error = (done.stderr.strip() or "no output").splitlines()[-1].replace(str(file), str(config.base))
            raise ConfigError(f"expected a base, fixed settings and parameters that a training takes, got: {error}")


@dataclass(slots=True)
class _RunningTrial:
    """A trial and its process, the seconds of its earlier starts, and when it started by the monotonic clock."""

    trial: optuna.Trial
    folder: Path
    process: subprocess.Popen[bytes]
    seconds_before: float
    started: float

    def record_seconds(self) -> None:
        self.trial.set_user_attr(results.SECONDS, round(self.seconds_before + time.monotonic() - self.started, 1))


def _start(
    trial: optuna.Trial, config: TuneConfig, content: dict[str, Any], command: Command, lock: int
) -> _RunningTrial:
    folder = search.trial_folder(config, trial.number)
    values = search.suggest_values(trial, config.parameters)
    verb = "resumes" if folder.exists() else "starts"
    print(f"trial {trial.number} {verb}: {results.format_values(values)}", flush=True)
    file = process.write_config(folder, _with_values(content, values))
    seconds_before = float(trial.user_attrs.get(results.SECONDS, 0.0))
    started = process.start(command(file), folder / process.OUTPUT, lock)
    return _RunningTrial(trial, folder, started, seconds_before, time.monotonic())


def _run_trials(
    study: optuna.Study,
    config: TuneConfig,
    start: Callable[[optuna.Trial], _RunningTrial],
    wait: Callable[[], None],
) -> None:
    """Keep `parallel` trials running, interrupted ones first, until all are done."""
    interrupted = search.interrupted_trials(study)
    running: list[_RunningTrial] = []
    try:
        while True:
            while len(running) < config.parallel:
                trial = interrupted.pop(0) if interrupted else search.ask(study, config)
                if trial is None:
                    break
                running.append(start(trial))
            if not running:
                return
            wait()
            ended = [each for each in running if _poll(each, study, config)]
            running = [each for each in running if each not in ended]
            if ended:
                results.write(study, config)
    finally:
        process.stop(*(each.process for each in running))
        for each in running:
            each.record_seconds()


def _poll(running: _RunningTrial, study: optuna.Study, config: TuneConfig) -> bool:
    """Report new values of a trial's metric; if the trial is over, stop its process, record it and return True."""
    state, value, reason = _assess(running, config.metric)
    if state == TrialState.RUNNING:
        return False
    process.stop(running.process)
    running.record_seconds()
    running.trial.set_user_attr(results.REASON, reason)
    study.tell(running.trial, value, state)
    result = results.trial_result(study.get_trials(deepcopy=False)[running.trial.number], config.parameters)
    outcome = reason or results.format_value(result.value)
    print(f"trial {result.trial} {result.state}: {outcome}, {result.seconds:.0f} s", flush=True)
    return True


def _assess(running: _RunningTrial, metric: MetricConfig) -> tuple[TrialState, float | None, str]:
    """Return a trial's state, its value if it is complete, and the reason if it failed."""
    status = running.process.poll()  # before the table is read: a process that has ended has written all of it
    if status:
        return TrialState.FAIL, None, process.failure_reason(status, running.folder / process.OUTPUT)
    try:
        values = read_metric(running.folder / process.RUN, metric)
    except ConfigError as error:
        return TrialState.FAIL, None, str(error)
    should_prune = _report(running.trial, values)
    if status is None:
        return (TrialState.PRUNED if should_prune else TrialState.RUNNING), None, ""
    last = list(values.values())[-1] if values else math.nan
    if not math.isfinite(last):
        return TrialState.FAIL, None, f"expected a number for {metric.label} at the end, got {last}"
    return TrialState.COMPLETE, last, ""


def _report(trial: optuna.Trial, values: dict[int, float]) -> bool:
    """Report the values that are new; returns whether the trial should be pruned after one of them."""
    known = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
    should_prune = False
    for epoch, value in values.items():
        if epoch not in known and math.isfinite(value):
            trial.report(value, epoch)
            should_prune = should_prune or trial.should_prune()
    return should_prune


def read_metric(run: Path, metric: MetricConfig) -> dict[int, float]:
    """Read the values of a trial's metric so far; an incomplete last line is ignored.

    Args:
        run: the run's folder, which need not exist yet.
        metric: table, column and set.

    Returns:
        The metric by epoch, in the order of the table.

    Raises:
        ConfigError: the table has no such column, or rows of several sets and none is named, or no number.
    """
    table = run / f"{metric.table}.csv"
    if not table.is_file():
        return {}
    complete = table.read_bytes().rpartition(b"\n")[0]
    rows = csv.DictReader(complete.decode().splitlines())
    names = list(rows.fieldnames or ())
    if names:
        _check_columns(table.name, names, metric)
    return {
        int(row["epoch"]): _to_float(row[metric.column], table, metric.column)
        for row in rows
        if metric.set is None or row["set"] == metric.set
    }


def _check_columns(table: str, names: list[str], metric: MetricConfig) -> None:
    if metric.column not in names:
        raise ConfigError(f"metric.column: expected one of {table} ({', '.join(names)}), got {metric.column}")
    if metric.set is None and "set" in names:
        raise ConfigError(f"metric.set: expected one of the sets of {table}, got none: name one, or together")
    if metric.set is not None and "set" not in names:
        raise ConfigError(f"metric.set: expected none, since {table} has no sets, got {metric.set}")


def _to_float(text: str, table: Path, column: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"metric.column: expected numbers in {column} of {table.name}, got {text!r}") from None
