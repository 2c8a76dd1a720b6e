import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.errors import ConfigError
from model.tuning import search
from model.tuning.config import (
    CategoricalParameter,
    FloatParameter,
    IntParameter,
    MetricConfig,
    Parameter,
    Scale,
    TuneConfig,
)
from tests.model.tuning.studies import X, load_study

SCALES: st.SearchStrategy[Scale] = st.sampled_from(["linear", "log"])
FLOATS = st.floats(1e-6, 1e3)
METRIC = MetricConfig("log", "loss", "minimize")


@st.composite
def floats(draw: st.DrawFn) -> FloatParameter:
    low, factor, scale = draw(FLOATS), draw(st.floats(1.01, 1e4)), draw(SCALES)
    step = draw(st.none() | st.integers(1, 20)) if scale == "linear" else None
    high = low * factor
    return FloatParameter("float", "f", low, high, scale, (high - low) / step if step else None)


@st.composite
def ints(draw: st.DrawFn) -> IntParameter:
    low, steps, scale = draw(st.integers(1, 50)), draw(st.integers(1, 30)), draw(SCALES)
    step = draw(st.none() | st.integers(1, 7)) if scale == "linear" else None
    return IntParameter("int", "i", low, low + steps * (step or 1), scale, step)


CHOICES = st.lists(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(0, 9)),
    min_size=2,
    max_size=5,
    unique_by=repr,
)
CHOSEN = st.builds(CategoricalParameter, st.just("categorical"), st.just("c"), CHOICES.map(tuple))


def is_allowed(value: Any, parameter: Parameter) -> bool:
    """Whether a parameter may have this value."""
    if isinstance(parameter, CategoricalParameter):
        return any(type(value) is type(choice) and value == choice for choice in parameter.choices)
    if (
        type(value) is not (int if isinstance(parameter, IntParameter) else float)
        or not parameter.low <= value <= parameter.high
    ):
        return False
    steps = (value - parameter.low) / parameter.step if parameter.step else 0.0
    return abs(steps - round(steps)) < 1e-6


def make_config(parameters: tuple[Parameter, ...], folder: Path, method: Any = "random", **changes: Any) -> TuneConfig:
    folder.mkdir(exist_ok=True)
    return TuneConfig(
        folder / "base.yaml", folder, parameters, METRIC, method, trials=changes.pop("trials", 9), **changes
    )


def run_trials(config: TuneConfig, count: int, study: optuna.Study | None = None) -> list[search.Values]:
    """Complete the next trials one by one, each with a metric that depends on its values, and return these values."""
    study = study or search.open_study(config, {})
    tried: list[search.Values] = []
    while len(tried) < count and (trial := search.ask(study, config)):
        tried.append(search.suggest_values(trial, config.parameters))
        study.tell(trial, float(sum(len(str(value)) for value in tried[-1].values())))
    return tried


@settings(max_examples=15)
@given(st.tuples(floats(), ints(), CHOSEN), st.sampled_from(["random", "bayesian"]), st.integers(0, 2**40))
def test_values_are_within_ranges_steps_and_choices(parameters: tuple[Parameter, ...], method: Any, seed: int) -> None:
    tried = run_trials(make_config(parameters, Path(), method, seed=seed), 20, optuna.create_study())
    assert len(tried) == 9
    for values in tried:
        assert [*values] == [parameter.name for parameter in parameters]
        assert all(is_allowed(values[each.name], each) for each in parameters)


@pytest.mark.parametrize(("scale", "centre"), [("linear", 0.50005), ("log", 0.01)])
@pytest.mark.parametrize("kind", ["float", "int"])
def test_half_of_the_trials_are_below_the_middle_of_the_scale(
    tmp_path: Path, scale: Scale, centre: float, kind: str
) -> None:
    parameter: Parameter = FloatParameter("float", "x", 0.0001, 1.0, scale)
    if kind == "int":
        parameter, centre = IntParameter("int", "x", 10, 100_000, scale), centre * 100_000
    drawn = [
        values["x"]
        for values in run_trials(make_config((parameter,), tmp_path, trials=100), 100, optuna.create_study())
    ]
    assert 35 <= sum(value < centre for value in drawn) <= 65
    assert len(set(drawn)) > 90


@settings(max_examples=15)
@given(st.tuples(floats(), ints(), CHOSEN), st.integers(2, 5))
def test_a_grid_is_every_combination_once(
    parameters: tuple[FloatParameter, IntParameter, Parameter], points: int
) -> None:
    first, second, third = parameters
    first = FloatParameter("float", "f", first.low, first.high, first.scale, points=points)
    second = IntParameter("int", "i", second.low, second.low + 6, second.scale, points=points)
    config = make_config((first, second, third), Path(), "grid", trials=None)
    grid = search.grid_points(config)
    assert search.trial_count(config) == len(grid)
    axes = [[*{str(values[name]): values[name] for values in grid}.values()] for name in ("f", "i", "c")]
    each = [tuple(map(str, values.values())) for values in grid]
    assert len(each) == len(set(each)) == math.prod(len(axis) for axis in axes)
    for parameter, axis in zip((first, second, third), axes, strict=True):
        assert all(is_allowed(value, parameter) for value in axis)
    spaced = np.sort(axes[0])
    assert (spaced[0], spaced[-1], len(spaced)) == (first.low, first.high, points)
    gaps = np.diff(np.log(spaced) if first.scale == "log" else spaced)
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-6)


def test_grid_points(tmp_path: Path) -> None:
    def axis(parameter: Parameter) -> list[Any]:
        config = make_config((parameter,), tmp_path, "grid", trials=None)
        return sorted(values[parameter.name] for values in search.grid_points(config))

    assert axis(FloatParameter("float", "x", 0.001, 0.1, "log", points=3)) == pytest.approx([0.001, 0.01, 0.1])
    assert axis(FloatParameter("float", "x", 0.0, 1.0, step=0.25)) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert axis(IntParameter("int", "x", 2, 8, step=3)) == [2, 5, 8]
    assert axis(IntParameter("int", "x", 2, 4)) == [2, 3, 4]
    assert axis(IntParameter("int", "x", 1, 100, "log", points=3)) == [1, 10, 100]
    assert axis(IntParameter("int", "x", 1, 3, points=9)) == [1, 2, 3]


def test_every_grid_point_is_tried_once_in_random_order(tmp_path: Path) -> None:
    parameters = (IntParameter("int", "i", 1, 4), CategoricalParameter("categorical", "c", ([1], None, "a")))
    complete = run_trials(make_config(parameters, tmp_path / "complete", "grid", trials=None), 99)
    assert sorted(map(str, complete)) == sorted(str({"i": i, "c": c}) for i in range(1, 5) for c in ([1], None, "a"))
    part = run_trials(make_config(parameters, tmp_path / "part", "grid", trials=5), 99)
    assert part == complete[:5]
    assert len({values["i"] for values in part}) > 1
    assert len({str(values["c"]) for values in part}) > 1
    assert run_trials(make_config(parameters, tmp_path / "part", "grid", trials=7), 99) == complete[5:7]


@pytest.mark.parametrize("method", ["random", "bayesian", "grid"])
def test_values_do_not_depend_on_when_a_study_was_interrupted(tmp_path: Path, method: Any) -> None:
    parameters = (
        FloatParameter("float", "f", 0.1, 1.0, points=4 if method == "grid" else None),
        IntParameter("int", "i", 1, 9),
    )
    complete = run_trials(make_config(parameters, tmp_path / "complete", method, trials=12), 12)
    config = make_config(parameters, tmp_path / "pieces", method, trials=12)
    assert run_trials(config, 3) + run_trials(config, 1) + run_trials(config, 6) + run_trials(config, 99) == complete
    assert len({str(values) for values in complete}) == 12
    other = run_trials(make_config(parameters, tmp_path / "other", method, trials=12, seed=2), 12)
    assert other != complete


def test_an_interrupted_trial_gets_the_same_values_again(tmp_path: Path) -> None:
    parameters = (FloatParameter("float", "f", 0.0, 1.0), CategoricalParameter("categorical", "c", ([1], [2], [3])))
    config = make_config(parameters, tmp_path)
    trial = search.ask(search.open_study(config, {}), config)
    assert trial is not None
    tried = search.suggest_values(trial, parameters)
    again = search.open_study(config, {})
    (interrupted,) = search.interrupted_trials(again)
    assert (interrupted.number, search.suggest_values(interrupted, parameters)) == (0, tried)
    (asked_only,) = search.interrupted_trials(search.open_study(config, {}))
    assert asked_only.params == interrupted.params


def test_a_trial_interrupted_while_its_values_were_drawn_gets_the_others(tmp_path: Path) -> None:
    parameters = (FloatParameter("float", "f", 0.0, 1.0), IntParameter("int", "i", 1, 9))
    config = make_config(parameters, tmp_path)
    trial = search.ask(search.open_study(config, {}), config)
    assert trial is not None
    first = search.suggest_values(trial, parameters[:1])
    (interrupted,) = search.interrupted_trials(search.open_study(config, {}))
    values = search.suggest_values(interrupted, parameters)
    assert values["f"] == first["f"]
    assert is_allowed(values["i"], parameters[1])


def test_a_bayesian_search_concentrates_on_better_values(tmp_path: Path) -> None:
    x = FloatParameter("float", "x", 0.0, 1.0)
    distance = {}
    for method in ("random", "bayesian"):
        config = make_config((x,), tmp_path, method, trials=40)
        study = optuna.create_study()
        while trial := search.ask(study, config):
            study.tell(trial, (search.suggest_values(trial, (x,))["x"] - 0.7) ** 2)
        distance[method] = np.median([abs(trial.params["x"] - 0.7) for trial in study.trials[20:]])
    assert distance["bayesian"] < 0.5 * distance["random"]


def test_an_incomplete_line_and_a_stale_lock_in_the_journal_are_repaired(tmp_path: Path) -> None:
    config = make_config((IntParameter("int", "i", 1, 9),), tmp_path)
    before = run_trials(config, 2)
    journal = tmp_path / search.JOURNAL
    with journal.open("a") as file:
        file.write('{"op_code":4,"worker')
    (tmp_path / f"{search.JOURNAL}.lock").symlink_to(journal)
    assert len(run_trials(config, 1)) == 1
    study = search.open_study(config, {})
    assert [trial.params["i"] for trial in study.trials[:2]] == [values["i"] for values in before]
    assert [trial.state for trial in study.trials] == [optuna.trial.TrialState.COMPLETE] * 3


@pytest.mark.parametrize(
    ("changes", "content", "named"),
    [
        ({"seed": 9}, {}, "seed"),
        ({"method": "bayesian"}, {}, "method"),
        ({"parameters": [X | {"high": 2.0}]}, {}, "parameters"),
        ({"metric": {"table": "val", "column": "loss", "direction": "minimize"}}, {}, "metric"),
        ({"early_stopping": {}}, {}, "early_stopping"),
        ({}, {"epochs": 4}, "training"),
    ],
)
def test_a_study_resumes_only_with_its_own_settings(
    tmp_path: Path, changes: dict[str, Any], content: dict[str, Any], named: str
) -> None:
    search.open_study(make_study_config(tmp_path), {"epochs": 3})
    search.open_study(make_study_config(tmp_path, trials=9, parallel=2), {"epochs": 3})  # these may change
    with pytest.raises(ConfigError, match=f"got other {named}: name another"):
        search.open_study(make_study_config(tmp_path, **changes), {"epochs": 3} | content)


def make_study_config(folder: Path, **changes: Any) -> TuneConfig:
    (folder / "study").mkdir(exist_ok=True)
    return load_study(folder, **changes)


def test_trials_without_their_journal_are_refused(tmp_path: Path) -> None:
    (tmp_path / search.TRIALS).mkdir()
    with pytest.raises(ConfigError, match=r"expected .* beside trials, found none"):
        search.open_study(make_config((IntParameter("int", "i", 1, 9),), tmp_path), {})
