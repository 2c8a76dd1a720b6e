import fcntl
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from geo.errors import ConfigError
from model import evaluate, train
from model.ablation import results, runs
from model.ablation.__main__ import main
from model.common.config import load_yaml
from model.evaluation.measure import ALL_SETS, EvaluateConfig, EvaluationResult
from model.inference.calibration import Calibration
from tests.model.ablation.studies import TRAINING, command, load_study, run_study, write_study

ALL = [f"{step} {model}" for model in ("01-a/1", "01-a/2", "02-b/1") for step in ("train", "val", "test")]


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Make Ctrl-C interrupt, also where the tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_every_step_is_done_once_and_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = load_study(tmp_path)
    assert run_study(config) == ALL
    assert run_study(config) == []
    assert capsys.readouterr().out.count("done before") == len(ALL)
    for model in ("01-a/1", "01-a/2", "02-b/1"):
        # Test is measured with the threshold that was chosen on val.
        assert json.loads((config.run / model / "figures-test.json").read_text())["min_score"] == 0.7
        assert (config.run / model / "rendered").samefile(config.run / "rendered")


def test_some_experiments_can_be_run_alone(tmp_path: Path) -> None:
    config = load_study(tmp_path)
    assert run_study(config, config.experiments[1]) == ALL[6:]
    assert run_study(config) == ALL[:6]


@pytest.mark.parametrize("call", ALL[:4])
def test_a_failed_step_stops_the_study_with_the_end_of_its_log(tmp_path: Path, call: str) -> None:
    config = load_study(tmp_path)
    (config.data / "broken").write_text(call)
    with pytest.raises(runs.StepError) as caught:
        runs.run(config, config.experiments, command)
    first, *log = str(caught.value).splitlines()
    step, model = call.split()
    name = {"train": "training", "val": "threshold on val", "test": "figures on test"}[step]
    assert first.startswith(f"01-a, seed {model[-1]}: {name} failed: exit status 1: {call}: the data is gone; ")
    assert str(config.run / model / f"{step}.log") in first
    assert log == ["first words", f"{call}: the data is gone"]
    (config.data / "broken").unlink()
    assert run_study(config) == ALL[ALL.index(call) :]


@pytest.mark.parametrize("call", ALL[:3])
def test_a_step_without_output_has_failed(tmp_path: Path, call: str) -> None:
    config = load_study(tmp_path)
    (config.data / "lost").write_text(call)
    with pytest.raises(runs.StepError, match="it ended without its output"):
        runs.run(config, config.experiments, command)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("call", ALL[:3])
def test_an_interrupted_study_stops_its_step_and_resumes(tmp_path: Path, call: str) -> None:
    config = load_study(tmp_path)
    (config.data / "gate").write_text(f"{call}\n{os.getpid()}")
    with pytest.raises(KeyboardInterrupt):
        runs.run(config, config.experiments, command)
    with (config.run / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the step has ended too
    (config.data / "gate").unlink()
    assert run_study(config) == ALL[ALL.index(call) :]


def test_figures_of_another_model_are_measured_again(tmp_path: Path) -> None:
    config = load_study(tmp_path)
    run_study(config)
    model = config.run / "01-a" / "2" / "model" / "config.yaml"
    model.write_text(model.read_text().replace("name: ablation-01-a", "name: other"))
    assert run_study(config) == ["val 01-a/2", "test 01-a/2"]


def test_a_new_threshold_is_measured_again(tmp_path: Path) -> None:
    config = load_study(tmp_path)
    run_study(config)
    (config.run / "02-b" / "1" / "figures-val.json").unlink()
    assert run_study(config) == ["val 02-b/1", "test 02-b/1"]
    others = [f"{step} {model}" for model in ("01-a/1", "01-a/2", "02-b/1") for step in ("val", "test")]
    assert run_study(load_study(tmp_path, val_sets=["three"])) == others


def test_a_training_is_not_resumed_with_other_settings(tmp_path: Path) -> None:
    config = load_study(tmp_path)
    run_study(config)
    changed = load_study(tmp_path, training=TRAINING | {"learning_rate": 0.5})
    with pytest.raises(ConfigError, match=r"01-a/1: .* got other learning_rate: "):
        runs.run(changed, changed.experiments, command)
    (tmp_path / "data").rename(tmp_path / "moved")
    assert run_study(load_study(tmp_path, data=str(tmp_path / "moved"))) == []


def test_the_summary_covers_every_experiment_at_any_time(tmp_path: Path) -> None:
    config = load_study(tmp_path)
    (config.data / "broken").write_text("test 01-a/2")
    with pytest.raises(runs.StepError):
        runs.run(config, config.experiments, command)
    first, second = json.loads((config.run / results.JSON).read_text())["experiments"]
    assert [result["seed"] for result in first["results"]] == [1]
    assert (second["name"], second["results"], second["gain"]["ap50"]["value"]) == ("02-b", [], None)
    (config.data / "broken").unlink()
    run_study(config)
    first, second = json.loads((config.run / results.JSON).read_text())["experiments"]
    assert first["mean"] == {"ap50": pytest.approx(0.115), "tile_iou": pytest.approx(0.0575)}
    assert first["spread"] == {"ap50": pytest.approx(0.01), "tile_iou": pytest.approx(0.005)}
    assert (second["baseline"], second["overrides"]) == ("01-a", {"detector.boxes": 4})
    gain = {"value": pytest.approx(0.095), "spread": pytest.approx(0.01), "within_spread": False}
    assert second["gain"]["ap50"] == gain
    assert second["results"][0] == {
        "seed": 1,
        "ap50": pytest.approx(0.21),
        "tile_iou": pytest.approx(0.105),
        "mistakes_per_tile": pytest.approx(4.79),
        "unseen_ap50": pytest.approx(0.21),
        "best_f1": None,
        "false_per_km2": pytest.approx(0.21),
        "train_seconds": 180.0,
    }
    assert "02-b" in (config.run / results.MARKDOWN).read_text()
    assert (config.run / results.CHART).read_bytes().startswith(b"\x89PNG")


def test_the_command_checks_the_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_study(tmp_path)
    assert main(["--config", str(file), "--check"]) == 0
    assert capsys.readouterr().out == f"{file}: the settings are right\n"
    assert not (tmp_path / "run").exists()
    for options, named in [
        (["--only", "c"], "01-a, 02-b, got c"),
        (["--rung=3"], "unknown key rung"),
        (["--val_sets=[]"], "val_sets"),
        (["--training.batch=0"], "experiment 01-a: batch"),
        (["--run", str(file)], "expected a writable path"),
    ]:
        assert main(["--config", str(file), *options]) == 2
        message = capsys.readouterr().err
        assert message.startswith("model.ablation: ")
        assert named in message
        assert message.count("\n") == 1


@pytest.mark.usefixtures("ctrl_c")
def test_the_command_reports_failures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_study(tmp_path)
    (tmp_path / "data" / "broken").write_text("val 02-b/1")
    monkeypatch.setattr(runs.run, "__defaults__", (command,))
    assert main(["--config", str(file)]) == 1
    assert "model.ablation: 02-b, seed 1: threshold on val failed" in capsys.readouterr().err
    (tmp_path / "data" / "gate").write_text(f"test 02-b/1\n{os.getpid()}")
    (tmp_path / "data" / "broken").unlink()
    assert main(["--config", str(file), "--only", "02-b"]) == 130
    assert "run the same command again to resume" in capsys.readouterr().err
    (tmp_path / "data" / "gate").unlink()
    assert main(["--config", str(file)]) == 0
    assert capsys.readouterr().out.endswith(f"tables: {tmp_path / 'run' / 'ablation.md'}\n")


def step_options(folder: Path, **changes: str) -> list[list[str]]:
    """Prepare the second run of the first experiment, and return the options of each step's real command."""
    config = load_study(folder, **changes)
    experiment = config.experiments[0]
    with pytest.raises(runs.StepError):
        runs.run(config, (experiment,), lambda *_: ["false"])
    runs._prepare(config, experiment, 2)
    commands = [step.command for step in runs.steps(config, experiment, 2)]
    assert [args[3] for args in commands] == ["model.train", "model.evaluate", "model.evaluate"]
    assert commands[0][:4] == runs.python_module("model.train", [])
    return [args[4:] for args in commands]


def test_the_real_training_accepts_its_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main([*step_options(tmp_path)[0], "--check"]) == 0
    assert "the settings are right" in capsys.readouterr().out


def test_the_real_evaluation_accepts_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[EvaluateConfig, bool]] = []

    def measure(config: EvaluateConfig, record: bool) -> EvaluationResult:
        calls.append((config, record))
        return EvaluationResult("some@0", 0.5, {ALL_SETS: []}, Calibration(1.0, 1.0, 0.0, 0.0) if record else None)

    monkeypatch.setattr("model.evaluation.measure.measure_and_record", lambda config: measure(config, True))
    monkeypatch.setattr("model.evaluation.measure.measure", lambda config, trusted: measure(config, False))
    folder = tmp_path / "run" / "01-a" / "2"
    for options in step_options(tmp_path)[1:]:
        assert evaluate.main(options) == 0
    (val, recorded), (test, not_recorded) = calls
    default = load_yaml(EvaluateConfig, Path("configs/evaluate/default.yaml"))
    assert (recorded, not_recorded) == (True, False)
    assert (val.split, val.sets) == ("val", ("one", "two"))
    assert (test.split, test.sets, test.rendered) == ("test", default.sets, default.rendered)
    assert {config.model for config, _ in calls} == {str(folder / "model")}
    assert {config.data for config, _ in calls} == {tmp_path / "data"}
    assert {config.min_score for config, _ in calls} == {None}
    files = [file for config, _ in calls for file in (config.output, config.page)]
    assert all(file is not None and file.is_file() and file.parent == folder for file in files)
    assert len(set(files)) == 4


def test_both_evaluations_have_the_config_of_the_study(tmp_path: Path) -> None:
    for options in step_options(tmp_path, evaluation="configs/evaluate/short.yaml")[1:]:
        assert options[:2] == ["--config", "configs/evaluate/short.yaml"]
