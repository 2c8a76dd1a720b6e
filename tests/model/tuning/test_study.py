import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from geo.errors import ConfigError
from model.common import process
from model.common.config import load_yaml, read_yaml
from model.tuning import results, search, study
from model.tuning.config import TuneConfig
from model.tuning.rows import Row, rows
from tests.model.tuning.stand_in import loss
from tests.model.tuning.studies import X, pause, read, run, settings

EPOCHS = 3


def behaviours(*does: str) -> dict[str, Any]:
    """A grid over what the stand-in does."""
    choices = {"kind": "categorical", "name": "does", "choices": [*does]}
    return {"method": "grid", "trials": None, "parameters": [choices]}


def found(config: TuneConfig) -> list[Row]:
    """The trials as the study's folder tells of them, by number."""
    trials = json.loads((config.study / results.JSON).read_text(encoding="utf-8"))["trials"]
    return sorted((Row(**of) for of in trials), key=lambda of: of.trial)


def timeless(some: list[Row]) -> list[tuple[object, ...]]:
    return [(of.trial, of.state, of.value, of.parameters, of.epochs, of.reason) for of in some]


def starts(config: TuneConfig) -> list[int]:
    """How often each trial was started."""
    folders = sorted((config.study / search.TRIALS).iterdir())
    return [len((folder / process.RUN / "starts.txt").read_text().splitlines()) for folder in folders]


def epochs_in_log(config: TuneConfig, trial: int) -> list[str]:
    file = search.folder(config, trial) / process.RUN / "log.csv"
    return [line["epoch"] for line in csv.DictReader(file.read_text().splitlines())]


@pytest.mark.parametrize("method", ["random", "bayesian", "grid"])
def test_every_trial_is_a_training_of_its_own_by_the_base_and_its_values(tmp_path: Path, method: str) -> None:
    points = {"points": 4} if method == "grid" else {}
    config = read(tmp_path, method=method, parameters=[X | points], fixed={"epochs": EPOCHS, "inner.added": [1, 2]})
    run(config)
    some = found(config)
    assert [of.trial for of in some] == [0, 1, 2, 3]
    for of in some:
        assert (of.state, of.epochs, of.reason) == ("complete", EPOCHS, "")
        assert of.value == loss(of.parameters["x"], EPOCHS - 1)
        written = read_yaml(search.folder(config, of.trial) / process.CONFIG)
        run_folder = str(search.folder(config, of.trial) / process.RUN)
        inner = {"kept": 1, "added": [1, 2]}
        assert written == {"name": "base", "inner": inner, "epochs": EPOCHS, "x": of.parameters["x"], "run": run_folder}
    assert len({of.parameters["x"] for of in some}) == 4
    assert starts(config) == [1] * 4


@pytest.mark.parametrize(
    "metric",
    [
        {"table": "log", "column": "loss", "direction": "minimize"},
        {"table": "val", "column": "accuracy", "direction": "maximize", "set": "some"},
    ],
)
def test_the_best_is_the_best_by_the_metric(tmp_path: Path, metric: dict[str, Any]) -> None:
    config = read(tmp_path, metric=metric)
    done = run(config)
    first = rows(done, config)[0]
    assert abs(first.parameters["x"] - 0.3) == min(abs(of.parameters["x"] - 0.3) for of in found(config))


def test_a_trial_that_fails_says_why_and_the_others_go_on(tmp_path: Path) -> None:
    config = read(tmp_path, **behaviours("crash", "die", "nothing", "nan", "well"))
    done = run(config)
    reasons = {of.parameters["does"]: of.reason for of in found(config)}
    assert reasons == {
        "crash": "exit status 1: RuntimeError: the data is gone",
        "die": "signal SIGKILL: no output",
        "nothing": "expected a number of loss in the end, got nan",
        "nan": "expected a number of loss in the end, got nan",
        "well": "",
    }
    assert [of.state for of in rows(done, config)] == ["complete"] + ["failed"] * 4
    assert all(of.value is None for of in found(config) if of.state == "failed")
    run(config)
    assert starts(config) == [1] * 5  # a failed trial is over


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ({"table": "log", "column": "ap50"}, "metric.column: expected one of log.csv (epoch, loss), got ap50"),
        (
            {"table": "val", "column": "accuracy", "set": "none"},
            "expected a number of accuracy of none in the end, got nan",
        ),
    ],
)
def test_a_trial_without_the_metric_fails(tmp_path: Path, metric: dict[str, str], said: str) -> None:
    config = read(tmp_path, metric=metric | {"direction": "maximize"}, trials=1)
    run(config)
    (of,) = found(config)
    assert (of.state, of.reason) == ("failed", said)


def test_a_trial_with_a_wrong_metric_is_not_waited_for(tmp_path: Path) -> None:
    metric = {"table": "val", "column": "ap50", "direction": "maximize", "set": "some"}
    config = read(tmp_path, metric=metric, trials=1, fixed={"hang_above": 0.0})
    run(config)
    assert "got ap50" in found(config)[0].reason


@pytest.mark.parametrize(
    "metric",
    [
        {"table": "log", "column": "loss", "direction": "minimize"},
        {"table": "val", "column": "accuracy", "direction": "maximize", "set": "some"},
    ],
)
def test_hopeless_trials_are_ended_and_the_others_are_not(tmp_path: Path, metric: dict[str, Any]) -> None:
    """The hopeless ones here never end of themselves; the others are all as good as each other."""
    changes = {
        "method": "grid",
        "trials": None,
        "metric": metric,
        "parameters": [
            {"kind": "categorical", "name": "x", "choices": [0.3, 0.9]},
            {"kind": "int", "name": "size", "low": 1, "high": 3},
        ],
        "early_stopping": {"after_trials": 1, "after_epochs": 2},
        "fixed": {"hang_above": 0.5},
    }
    seed = next(seed for seed in range(99) if search.grid(read(tmp_path, seed=seed, **changes))[0]["x"] == 0.3)
    config = read(tmp_path, seed=seed, **changes)
    done = run(config)
    states = {(of.parameters["x"], of.state, of.epochs) for of in found(config)}
    assert states == {(0.3, "complete", EPOCHS), (0.9, "stopped", 2)}
    assert [of.state for of in rows(done, config)] == ["complete"] * 3 + ["stopped"] * 3
    for of in found(config):
        (pid,) = (search.folder(config, of.trial) / process.RUN / "starts.txt").read_text().split()
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_as_many_trials_run_at_a_time_as_may(tmp_path: Path) -> None:
    """Two by two they wait for each other."""
    meet = tmp_path / "meet"
    os.mkfifo(meet)
    config = read(tmp_path, parallel=2, fixed={"meet": str(meet)}, trials=4)
    done = run(config)
    assert [of.state for of in found(config)] == ["complete"] * 4
    for trial in done.trials:
        assert sum(runs_when(each, trial) for each in done.trials) <= 2


def runs_when(trial: optuna.trial.FrozenTrial, other: optuna.trial.FrozenTrial) -> bool:
    """Whether one runs when the other starts."""
    start, begun, end = trial.datetime_start, other.datetime_start, trial.datetime_complete
    assert start is not None
    assert begun is not None
    assert end is not None
    return start <= begun < end


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Row]]:
    """The trials of a study that nothing breaks off, by its method."""
    known: dict[str, list[Row]] = {}

    def of(method: str) -> list[Row]:
        if method not in known:
            config = read(tmp_path_factory.mktemp(method), method=method, fixed={"epochs": EPOCHS})
            run(config)
            known[method] = found(config)
        return known[method]

    return of


@pytest.mark.parametrize(
    ("method", "place"), [("random", [0, 0]), ("random", [1, 1]), ("bayesian", [2, 2]), ("bayesian", [3, EPOCHS])]
)
@pytest.mark.parametrize("how", ["interrupted", "killed"])
def test_a_study_that_was_broken_off_goes_on_and_ends_as_if_it_had_not(
    tmp_path: Path, whole: Callable[[str], list[Row]], method: str, place: list[int], how: str
) -> None:
    gate = tmp_path / "gate"
    fixed = {"epochs": EPOCHS, "pause": place, "gate": str(gate) if how == "killed" else None}
    file = settings(tmp_path, method=method, fixed=fixed)
    config = load_yaml(TuneConfig, file)
    if how == "killed":
        kill_at(gate, file)
    else:
        with pytest.raises(KeyboardInterrupt):
            run(config, stop_at(config, *place))
        assert [of.state for of in found(config)] == ["complete"] * place[0] + ["running"]
    run(config)
    assert timeless(found(config)) == timeless(whole(method))
    assert starts(config) == [1 + (trial == place[0]) for trial in range(4)]
    for trial in range(4):
        assert epochs_in_log(config, trial) == ["0", "1", "2"]
    run(config)
    assert sum(starts(config)) == 5  # there is nothing left to do


def kill_at(gate: Path, file: Path) -> None:
    """Runs a study in a process of its own, and kills it when a trial says that it is there."""
    os.mkfifo(gate)
    with subprocess.Popen([sys.executable, "-m", "tests.model.tuning.studies", str(file)]) as running:
        gate.open().close()
        running.kill()
    gate.unlink()


def stop_at(config: TuneConfig, trial: int, epochs: int) -> Callable[[], None]:
    """Ctrl-C when a trial has so many epochs behind it."""
    folder = search.folder(config, trial) / process.RUN

    def wait() -> None:
        started, log = (folder / "starts.txt").exists(), folder / "log.csv"
        if started and (len(epochs_in_log(config, trial)) if log.exists() else 0) == epochs:
            raise KeyboardInterrupt
        pause()

    return wait


def test_several_trials_that_were_broken_off_go_on(tmp_path: Path, whole: Callable[[str], list[Row]]) -> None:
    gate = tmp_path / "gate"
    fixed = {"epochs": EPOCHS, "pause": [1, 1], "gate": str(gate)}
    file = settings(tmp_path, parallel=3, fixed=fixed)
    kill_at(gate, file)
    config = load_yaml(TuneConfig, file)
    run(config)
    # How far the other trials are at the kill is a matter of time, and so is what a trial that had no values yet tries.
    assert [row[:2] for row in timeless(found(config))] == [row[:2] for row in timeless(whole("random"))]
    assert starts(config)[1] == 2
    assert all(epochs_in_log(config, trial) == ["0", "1", "2"] for trial in range(4))


def test_more_trials_are_a_study_that_goes_on(tmp_path: Path, whole: Callable[[str], list[Row]]) -> None:
    for trials in (1, 3, 4, 2):
        config = read(tmp_path, trials=trials, fixed={"epochs": EPOCHS})
        run(config)
        assert timeless(found(config)) == timeless(whole("random")[: max(trials, len(found(config)))])
    assert starts(config) == [1] * 4


def test_the_seconds_of_all_starts_count(tmp_path: Path) -> None:
    config = read(tmp_path, trials=1, fixed={"pause": [0, 1]})
    with pytest.raises(KeyboardInterrupt):
        run(config, stop_at(config, 0, 1))
    (broken,) = search.unfinished(search.open_study(config, {"name": "base", "inner": {"kept": 1}} | config.fixed))
    broken.set_user_attr("seconds", 1000.0)
    run(config)
    assert found(config)[0].seconds > 1000


@pytest.mark.parametrize("changes", [{"parameters": [X | {"name": "y"}]}, {"fixed": {"colour": "red"}}])
def test_settings_that_no_training_takes_are_refused_before_the_first_trial(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = read(tmp_path, **changes)
    with pytest.raises(ConfigError, match=f"it says: stand_in: {config.base}: wrong settings"):
        run(config)
    assert not (config.study / search.TRIALS).exists()
    mended = read(tmp_path)
    run(mended)
    assert [of.state for of in found(mended)] == ["complete"] * 4


def test_both_ends_of_a_range_are_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "asked.txt"
    program = f"import sys, yaml; print(yaml.safe_load(open(sys.argv[1]))['x'], file=open({str(file)!r}, 'a'))"
    config = read(tmp_path, trials=1)
    study.run(config, lambda path: [sys.executable, "-c", program, str(path)], pause)
    assert file.read_text().split()[:2] == ["0.0", "1.0"]
