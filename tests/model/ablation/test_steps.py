"""The options that steps have are those that the real commands take."""

from pathlib import Path

import pytest

from model import evaluate, train
from model.ablation.config import trainings
from model.ablation.steps import module, steps
from model.common.config import load_yaml
from model.evaluation.measure import EvaluateConfig
from model.evaluation.predictions import TOGETHER, Measured
from model.inference.calibration import Calibration
from tests.model.ablation.ladders import read


def options(folder: Path) -> list[list[str]]:
    """What follows the module in each step's command."""
    config = read(folder)
    rung = config.rungs[0]
    commands = [step.command for step in steps(config, rung, 2, trainings(config)["01-a"])]
    assert [words[3] for words in commands] == ["model.train", "model.evaluate", "model.evaluate"]
    assert commands[0][:4] == module("model.train", [])
    return [words[4:] for words in commands]


def test_training_takes_what_it_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main([*options(tmp_path)[0], "--check"]) == 0
    assert "the settings are right" in capsys.readouterr().out


def test_evaluation_takes_what_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[EvaluateConfig, bool]] = []

    def measure(config: EvaluateConfig, record: bool) -> Measured:
        asked.append((config, record))
        return Measured("some@0", 0.5, {TOGETHER: []}, Calibration(1.0, 1.0, 0.0, 0.0) if record else None)

    monkeypatch.setattr(evaluate, "measure_and_record", lambda config: measure(config, True))
    monkeypatch.setattr(evaluate, "measure", lambda config, trusted: measure(config, False))
    own = tmp_path / "run" / "01-a" / "2"
    for words in options(tmp_path)[1:]:
        assert evaluate.main(words) == 0
    (val, recorded), (test, not_recorded) = asked
    default = load_yaml(EvaluateConfig, Path("configs/evaluate/default.yaml"))
    assert (recorded, not_recorded) == (True, False)
    assert (val.split, val.sets) == ("val", ("one", "two"))
    assert (test.split, test.sets, test.rendered) == ("test", default.sets, default.rendered)
    assert {of.model for of, _ in asked} == {str(own / "model")}
    assert {of.data for of, _ in asked} == {tmp_path / "data"}
    assert {of.min_score for of, _ in asked} == {None}
    files = [file for of, _ in asked for file in (of.output, of.page)]
    assert all(file is not None and file.is_file() and file.parent == own for file in files)
    assert len(set(files)) == 4
