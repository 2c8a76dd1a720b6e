from pathlib import Path
from typing import Any

import pytest
import yaml

from geo.errors import ConfigError
from model.common.config import load_yaml
from model.tuning.config import CategoricalParameter, FloatParameter, IntParameter, TuneConfig
from tests.model.tuning.studies import X, load_study, write_study

RATE = {"kind": "float", "name": "rate", "low": 0.001, "high": 0.1, "scale": "log"}
LAYERS = {"kind": "int", "name": "net.layers", "low": 2, "high": 8, "step": 3}
SIZES = {"kind": "categorical", "name": "sizes", "choices": [[1, 2], {"a": 1}, None, True, 3, "word"]}


def test_every_kind_of_parameter_is_loaded(tmp_path: Path) -> None:
    rate, layers, sizes = load_study(tmp_path, parameters=[RATE, LAYERS, SIZES]).parameters
    assert rate == FloatParameter("float", "rate", 0.001, 0.1, "log")
    assert layers == IntParameter("int", "net.layers", 2, 8, "linear", 3)
    assert sizes == CategoricalParameter("categorical", "sizes", ([1, 2], {"a": 1}, None, True, 3, "word"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": []}, "parameters: expected one or more"),
        ({"parameters": [X, X]}, "expected every name once, got x twice"),
        ({"fixed": {"x": 3}}, "expected every name once, got x twice"),
        ({"fixed": {"run": "here"}}, "expected no run"),
        ({"fixed": {3: 3}}, "expected the names of settings"),
        ({"parameters": [X | {"name": "run"}]}, "expected no run"),
        ({"parameters": [X | {"kind": "number"}]}, r"parameters\[0\].kind: expected 'float' or 'int' or 'categorical'"),
        ({"parameters": [{"name": "x", "low": 0, "high": 1}]}, "kind"),
        ({"parameters": [X | {"low": 1.0}]}, "x: expected low below high, got 1.0 and 1.0"),
        ({"parameters": [X | {"high": float("inf")}]}, "expected low below high"),
        ({"parameters": [X | {"scale": "log"}]}, "x: expected low above 0 on a log scale, got 0.0"),
        ({"parameters": [X | {"scale": "square"}]}, "scale"),
        ({"parameters": [X | {"step": 0.3}]}, "x: expected a step that divides 0.0 to 1.0, got 0.3"),
        ({"parameters": [X | {"step": 0.0}]}, "expected a step"),
        ({"parameters": [X | {"step": -0.5}]}, "expected a step"),
        ({"parameters": [RATE | {"step": 0.01}]}, "rate: expected no step on a log scale"),
        ({"parameters": [LAYERS | {"step": 4}]}, "net.layers: expected a step that divides 2 to 8, got 4"),
        ({"parameters": [LAYERS | {"low": 2.5}]}, "expected a valid integer"),
        ({"parameters": [LAYERS | {"points": 2}]}, "expected step or points, got both"),
        ({"parameters": [X | {"points": 3}]}, "x: expected points in a grid alone, got them for random"),
        ({"parameters": [X | {"points": 1}], "method": "grid"}, "expected two points or more"),
        ({"parameters": [X], "method": "grid"}, "x: expected a step, or points, for a grid"),
        ({"parameters": [SIZES | {"choices": [1]}]}, "choices of sizes: expected two or more, got 1"),
        ({"parameters": [SIZES | {"choices": [[1], [2], [1]]}]}, "choices of sizes: expected every one once"),
        ({"trials": None}, "trials: expected a whole number, since random has no end"),
        ({"trials": 0}, "trials: expected a whole number from 1 on"),
        ({"parallel": 0}, "parallel: expected a whole number from 1 on"),
        ({"seed": -1}, "seed: expected a whole number from 0 on"),
        ({"method": "guess"}, "method: expected 'grid', 'random' or 'bayesian'"),
        ({"early_stopping": {"percentile": 100}}, "percentile: expected a number between 0 and 100"),
        ({"early_stopping": {"after_epochs": 0}}, "after_epochs: expected a whole number from 1 on"),
        ({"metric": {"table": "log", "column": "loss"}}, "metric.direction"),
    ],
)
def test_invalid_studies_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    file = write_study(tmp_path, **changes)
    with pytest.raises(ConfigError, match=message) as caught:
        load_yaml(TuneConfig, file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("step", [0.1, 0.05, 1.0, 1 / 3])
def test_a_step_that_divides_the_range_but_for_rounding_is_accepted(tmp_path: Path, step: float) -> None:
    (parameter,) = load_study(tmp_path, parameters=[X | {"step": step}]).parameters
    assert isinstance(parameter, FloatParameter)
    assert parameter.step == step


@pytest.mark.parametrize("file", sorted(Path("configs/tune").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_studies_of_the_project_are_valid(file: Path) -> None:
    config = load_yaml(TuneConfig, file)
    assert config.base.is_file()
    head = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    for word in (f"Command:  python -m model.tune --config {file}", "Cost:", "Expected:"):
        assert any(word in line for line in head)
    assert yaml.safe_load(file.read_text(encoding="utf-8"))["study"].startswith("runs/")
