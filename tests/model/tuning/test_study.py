import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import optuna
import pytest

from geo.errors import ConfigError
from model.common import process
from model.common.config import load_yaml, read_yaml
from model.tuning import results, search, study
from model.tuning.config import MetricConfig, TuneConfig
from model.tuning.results import TrialResult, trial_results
from model.tuning.study import read_metric
from tests.model.tuning.fake_training import loss
from tests.model.tuning.studies import X, load_study, run_study, sleep, write_study

EPOCHS = 3


def grid_of_behaviours(*behaviours: str) -> dict[str, Any]:
    """A grid over the behaviour of the fake training."""
    choices = {"kind": "categorical", "name": "behaviour", "choices": [*behaviours]}
    return {"method": "grid", "trials": None, "parameters": [choices]}


def read_results(config: TuneConfig) -> list[TrialResult]:
    """Read the results from the study's folder, by number."""
    trials = json.loads((config.study / results.JSON).read_text(encoding="utf-8"))["trials"]
    return sorted((TrialResult(**trial) for trial in trials), key=lambda trial: trial.trial)


def without_seconds(trials: list[TrialResult]) -> list[tuple[object, ...]]:
    return [(each.trial, each.state, each.value, each.parameters, each.epochs, each.reason) for each in trials]


def count_starts(config: TuneConfig) -> list[int]:
    """Return how often each trial was started."""
    folders = sorted((config.study / search.TRIALS).iterdir())
    return [len((folder / process.RUN / "starts.txt").read_text().splitlines()) for folder in folders]


def epochs_in_log(config: TuneConfig, trial: int) -> list[str]:
    file = search.trial_folder(config, trial) / process.RUN / "log.csv"
    return [line["epoch"] for line in csv.DictReader(file.read_text().splitlines())]


@pytest.mark.parametrize("method", ["random", "bayesian", "grid"])
def test_every_trial_is_a_training_with_the_base_and_its_values(tmp_path: Path, method: str) -> None:
    points = {"points": 4} if method == "grid" else {}
    config = load_study(
        tmp_path, method=method, parameters=[X | points], fixed={"epochs": EPOCHS, "inner.added": [1, 2]}
    )
    run_study(config)
    trials = read_results(config)
    assert [trial.trial for trial in trials] == [0, 1, 2, 3]
    for trial in trials:
        assert (trial.state, trial.epochs, trial.reason) == ("complete", EPOCHS, "")
        assert trial.value == loss(trial.parameters["x"], EPOCHS - 1)
        written = read_yaml(search.trial_folder(config, trial.trial) / process.CONFIG)
        run_folder = str(search.trial_folder(config, trial.trial) / process.RUN)
        inner = {"kept": 1, "added": [1, 2]}
        assert written == {
            "name": "base",
            "inner": inner,
            "epochs": EPOCHS,
            "x": trial.parameters["x"],
            "run": run_folder,
        }
    assert len({trial.parameters["x"] for trial in trials}) == 4
    assert count_starts(config) == [1] * 4


@pytest.mark.parametrize(
    "metric",
    [
        {"table": "log", "column": "loss", "direction": "minimize"},
        {"table": "val", "column": "accuracy", "direction": "maximize", "set": "some"},
    ],
)
def test_the_best_trial_is_the_best_by_the_metric(tmp_path: Path, metric: dict[str, Any]) -> None:
    config = load_study(tmp_path, metric=metric)
    done = run_study(config)
    first = trial_results(done, config)[0]
    assert abs(first.parameters["x"] - 0.3) == min(abs(trial.parameters["x"] - 0.3) for trial in read_results(config))


def test_a_failed_trial_has_a_reason_and_the_others_continue(tmp_path: Path) -> None:
    config = load_study(tmp_path, **grid_of_behaviours("crash", "die", "silent", "nan", "normal"))
    done = run_study(config)
    reasons = {trial.parameters["behaviour"]: trial.reason for trial in read_results(config)}
    assert reasons == {
        "crash": "exit status 1: RuntimeError: the data is gone",
        "die": "signal SIGKILL: no output",
        "silent": "expected a number for loss at the end, got nan",
        "nan": "expected a number for loss at the end, got nan",
        "normal": "",
    }
    assert [trial.state for trial in trial_results(done, config)] == ["complete"] + ["failed"] * 4
    assert all(trial.value is None for trial in read_results(config) if trial.state == "failed")
    run_study(config)
    assert count_starts(config) == [1] * 5  # a failed trial is over


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ({"table": "log", "column": "ap50"}, "metric.column: expected one of log.csv (epoch, loss), got ap50"),
        (
            {"table": "val", "column": "accuracy", "set": "none"},
            "expected a number for accuracy of none at the end, got nan",
        ),
    ],
)
def test_a_trial_without_the_metric_fails(tmp_path: Path, metric: dict[str, str], reason: str) -> None:
    config = load_study(tmp_path, metric=metric | {"direction": "maximize"}, trials=1)
    run_study(config)
    (trial,) = read_results(config)
    assert (trial.state, trial.reason) == ("failed", reason)


def test_a_running_trial_without_the_metric_fails_at_once(tmp_path: Path) -> None:
    metric = {"table": "val", "column": "ap50", "direction": "maximize", "set": "some"}
    config = load_study(tmp_path, metric=metric, trials=1, fixed={"hang_above": 0.0})
    run_study(config)
    assert "got ap50" in read_results(config)[0].reason


@pytest.mark.parametrize(
    "metric",
    [
        {"table": "log", "column": "loss", "direction": "minimize"},
        {"table": "val", "column": "accuracy", "direction": "maximize", "set": "some"},
    ],
)
def test_bad_trials_are_pruned_and_the_others_are_not(tmp_path: Path, metric: dict[str, Any]) -> None:
    """The bad ones here hang; the others are equally good."""
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
    seed = next(
        seed for seed in range(99) if search.grid_points(load_study(tmp_path, seed=seed, **changes))[0]["x"] == 0.3
    )
    config = load_study(tmp_path, seed=seed, **changes)
    done = run_study(config)
    states = {(trial.parameters["x"], trial.state, trial.epochs) for trial in read_results(config)}
    assert states == {(0.3, "complete", EPOCHS), (0.9, "stopped", 2)}
    assert [trial.state for trial in trial_results(done, config)] == ["complete"] * 3 + ["stopped"] * 3
    for trial in read_results(config):
        (pid,) = (search.trial_folder(config, trial.trial) / process.RUN / "starts.txt").read_text().split()
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_trials_run_in_parallel_up_to_the_limit(tmp_path: Path) -> None:
    """Even and odd trials wait for each other."""
    meet = tmp_path / "meet"
    os.mkfifo(meet)
    config = load_study(tmp_path, parallel=2, fixed={"meet": str(meet)}, trials=4)
    done = run_study(config)
    assert [trial.state for trial in read_results(config)] == ["complete"] * 4
    for trial in done.trials:
        assert sum(was_running_at_start(each, trial) for each in done.trials) <= 2


def was_running_at_start(trial: optuna.trial.FrozenTrial, other: optuna.trial.FrozenTrial) -> bool:
    """Whether a trial was running when another started."""
    start, begun, end = trial.datetime_start, other.datetime_start, trial.datetime_complete
    assert start is not None
    assert begun is not None
    assert end is not None
    return start <= begun < end


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[TrialResult]]:
    """Results of a study without interruption, by its method."""
    known: dict[str, list[TrialResult]] = {}

    def results_of(method: str) -> list[TrialResult]:
        if method not in known:
            config = load_study(tmp_path_factory.mktemp(method), method=method, fixed={"epochs": EPOCHS})
            run_study(config)
            known[method] = read_results(config)
        return known[method]

    return results_of


@pytest.mark.parametrize(
    ("method", "pause"), [("random", [0, 0]), ("random", [1, 1]), ("bayesian", [2, 2]), ("bayesian", [3, EPOCHS])]
)
@pytest.mark.parametrize("how", ["interrupted", "killed"])
def test_an_interrupted_study_resumes_and_ends_as_without_interruption(
    tmp_path: Path, uninterrupted: Callable[[str], list[TrialResult]], method: str, pause: list[int], how: str
) -> None:
    gate = tmp_path / "gate"
    fixed = {"epochs": EPOCHS, "pause": pause, "gate": str(gate) if how == "killed" else None}
    file = write_study(tmp_path, method=method, fixed=fixed)
    config = load_yaml(TuneConfig, file)
    if how == "killed":
        kill_at(gate, file)
    else:
        with pytest.raises(KeyboardInterrupt):
            run_study(config, interrupt_at(config, *pause))
        assert [trial.state for trial in read_results(config)] == ["complete"] * pause[0] + ["running"]
    run_study(config)
    assert without_seconds(read_results(config)) == without_seconds(uninterrupted(method))
    assert count_starts(config) == [1 + (trial == pause[0]) for trial in range(4)]
    for trial in range(4):
        assert epochs_in_log(config, trial) == ["0", "1", "2"]
    run_study(config)
    assert sum(count_starts(config)) == 5  # nothing is left to do


def kill_at(gate: Path, file: Path) -> None:
    """Run a study in its own process, and kill it when a trial opens the gate."""
    os.mkfifo(gate)
    with subprocess.Popen([sys.executable, "-m", "tests.model.tuning.studies", str(file)]) as running:
        gate.open().close()
        running.kill()
    gate.unlink()


def interrupt_at(config: TuneConfig, trial: int, epochs: int) -> Callable[[], None]:
    """Interrupt the study when a trial has done so many epochs."""
    folder = search.trial_folder(config, trial) / process.RUN

    def wait() -> None:
        started, log = (folder / "starts.txt").exists(), folder / "log.csv"
        if started and (len(epochs_in_log(config, trial)) if log.exists() else 0) == epochs:
            raise KeyboardInterrupt
        sleep()

    return wait


def test_several_interrupted_trials_resume(tmp_path: Path, uninterrupted: Callable[[str], list[TrialResult]]) -> None:
    gate = tmp_path / "gate"
    fixed = {"epochs": EPOCHS, "pause": [1, 1], "gate": str(gate)}
    file = write_study(tmp_path, parallel=3, fixed=fixed)
    kill_at(gate, file)
    config = load_yaml(TuneConfig, file)
    run_study(config)
    # Timing decides how far the other trials are at the kill, and so what a trial without values tries afterwards.
    assert [result[:2] for result in without_seconds(read_results(config))] == [
        result[:2] for result in without_seconds(uninterrupted("random"))
    ]
    assert count_starts(config)[1] == 2
    assert all(epochs_in_log(config, trial) == ["0", "1", "2"] for trial in range(4))


def test_a_study_can_be_extended(tmp_path: Path, uninterrupted: Callable[[str], list[TrialResult]]) -> None:
    for trials in (1, 3, 4, 2):
        config = load_study(tmp_path, trials=trials, fixed={"epochs": EPOCHS})
        run_study(config)
        assert without_seconds(read_results(config)) == without_seconds(
            uninterrupted("random")[: max(trials, len(read_results(config)))]
        )
    assert count_starts(config) == [1] * 4


def test_seconds_add_up_over_all_starts(tmp_path: Path) -> None:
    config = load_study(tmp_path, trials=1, fixed={"pause": [0, 1]})
    with pytest.raises(KeyboardInterrupt):
        run_study(config, interrupt_at(config, 0, 1))
    (interrupted,) = search.interrupted_trials(
        search.open_study(config, {"name": "base", "inner": {"kept": 1}} | config.fixed)
    )
    interrupted.set_user_attr("seconds", 1000.0)
    run_study(config)
    assert read_results(config)[0].seconds > 1000


@pytest.mark.parametrize("changes", [{"parameters": [X | {"name": "y"}]}, {"fixed": {"colour": "red"}}])
def test_invalid_trainings_are_refused_before_the_first_trial(tmp_path: Path, changes: dict[str, Any]) -> None:
    config = load_study(tmp_path, **changes)
    with pytest.raises(ConfigError, match=f"got: fake_training: {config.base}: wrong settings"):
        run_study(config)
    assert not (config.study / search.TRIALS).exists()
    repaired = load_study(tmp_path)
    run_study(repaired)
    assert [trial.state for trial in read_results(repaired)] == ["complete"] * 4


def test_both_ends_of_a_range_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "asked.txt"
    program = f"import sys, yaml; print(yaml.safe_load(open(sys.argv[1]))['x'], file=open({str(file)!r}, 'a'))"
    config = load_study(tmp_path, trials=1)
    study.run(config, lambda path: [sys.executable, "-c", program, str(path)], sleep)
    assert file.read_text().split()[:2] == ["0.0", "1.0"]


VAL = "epoch,set,ap50,ap75\n1,one,0.2,\n1,together,0.4,0.3\n3,one,0.6,\n3,together,0.5,0.4\n"
LOG = "epoch,crops,loss\r\n0,10,3.5\r\n1,20,nan\r\n2,30,1e-3\r\n"


def make_metric(table: Literal["log", "val"], column: str, name: str | None = None) -> MetricConfig:
    return MetricConfig(table, column, "maximize", name)


def write_tables(folder: Path, log: str = LOG, val: str = VAL) -> Path:
    (folder / "log.csv").write_bytes(log.encode())
    (folder / "val.csv").write_bytes(val.encode())
    return folder


def test_a_metric_is_read_by_epoch_from_its_table_column_and_set(tmp_path: Path) -> None:
    run = write_tables(tmp_path)
    assert read_metric(run, make_metric("val", "ap50", "one")) == {1: 0.2, 3: 0.6}
    assert read_metric(run, make_metric("val", "ap50", "together")) == {1: 0.4, 3: 0.5}
    assert read_metric(run, make_metric("val", "ap50", "none")) == {}
    values = read_metric(run, make_metric("log", "loss"))
    assert [*values] == [0, 1, 2]
    assert (values[0], values[2]) == (3.5, 0.001)
    assert values[1] != values[1]


def test_a_growing_table_is_read_row_by_row(tmp_path: Path) -> None:
    complete = read_metric(write_tables(tmp_path), make_metric("log", "crops"))
    for end in range(len(LOG) + 1):
        rows = LOG[:end].count("\n")
        assert read_metric(write_tables(tmp_path, LOG[:end]), make_metric("log", "crops")) == dict(
            list(complete.items())[: rows - 1] if rows else []
        )


def test_a_run_without_tables_has_no_values(tmp_path: Path) -> None:
    assert read_metric(tmp_path / "not yet", make_metric("log", "loss")) == {}
    assert read_metric(write_tables(tmp_path, log=""), make_metric("log", "loss")) == {}


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (make_metric("log", "ap50"), r"metric.column: expected one of log.csv \(epoch, crops, loss\), got ap50"),
        (make_metric("val", "ap50"), "metric.set: expected one of the sets of val.csv, got none"),
        (make_metric("log", "loss", "one"), "metric.set: expected none, since log.csv has no sets, got one"),
        (make_metric("val", "ap75", "one"), "metric.column: expected numbers in ap75 of val.csv, got ''"),
    ],
)
def test_a_metric_that_is_not_in_the_table_is_refused(tmp_path: Path, metric: MetricConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_metric(write_tables(tmp_path), metric)


def test_a_metric_has_a_label() -> None:
    assert make_metric("log", "loss").label == "loss"
    assert make_metric("val", "ap50", "together").label == "ap50 of together"
