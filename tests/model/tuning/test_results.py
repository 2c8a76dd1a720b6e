import csv
import itertools
import json
import math
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from optuna.trial import TrialState

from model.common.charts import FIRST, SECOND
from model.tuning import results, search
from model.tuning.config import CategoricalParameter, FloatParameter, IntParameter, MetricConfig, Parameter, TuneConfig
from model.tuning.results import CSV, JSON, PAGE, Point, format_results, importance, trial_results, write

HOSTILE = "<script>alert(1)</script>&amp;"
RATE = FloatParameter("float", "net.rate", 1e-4, 1.0, "log")
WORD = CategoricalParameter("categorical", "word", ([1, 2], HOSTILE))
# The final state of each trial, and its values by epoch.
TRIALS: list[tuple[TrialState, list[float]]] = [
    (TrialState.COMPLETE, [0.1, 0.5]),
    (TrialState.FAIL, [0.1]),
    (TrialState.COMPLETE, [0.9, 0.7]),
    (TrialState.PRUNED, [0.8]),
    (TrialState.COMPLETE, [0.3, 0.6]),
    (TrialState.PRUNED, [0.2]),
    (TrialState.RUNNING, [0.4]),
    (TrialState.COMPLETE, [0.3, 0.1]),
    (TrialState.RUNNING, []),
]
LEARNING_RATE = FloatParameter("float", "rate", 1e-5, 0.03, "log")
DROPOUT = FloatParameter("float", "dropout", 0.0, 0.5)
LAYERS = IntParameter("int", "layers", 10, 22)
CHOICE = CategoricalParameter("categorical", "word", ("<a>", [1, 2], None, {"a": 1}))
PARAMETERS: list[Parameter] = [LEARNING_RATE, DROPOUT, LAYERS, CHOICE]


def make_config(folder: Path, direction: Any, parameters: tuple[Parameter, ...] = (RATE, WORD)) -> TuneConfig:
    metric = MetricConfig("val", "ap50", direction, "together")
    folder.mkdir(exist_ok=True)
    return TuneConfig(Path("base.yaml"), folder, parameters, metric, "random", trials=99)


def make_study(config: TuneConfig) -> optuna.Study:
    study = search.open_study(config, {})
    for state, values in TRIALS:
        trial = search.ask(study, config)
        assert trial is not None
        search.suggest_values(trial, config.parameters)
        for epoch, value in enumerate(values):
            trial.report(value, epoch)
        trial.set_user_attr("seconds", 10.0 * trial.number)
        if state == TrialState.FAIL:
            trial.set_user_attr("reason", f"it, {HOSTILE}")
        if state != TrialState.RUNNING:
            study.tell(trial, values[-1] if state == TrialState.COMPLETE else None, state)
    return study


@pytest.mark.parametrize(
    ("direction", "order"), [("maximize", [2, 4, 0, 7, 3, 5, 6, 8, 1]), ("minimize", [7, 0, 4, 2, 5, 3, 6, 8, 1])]
)
def test_the_best_come_first_and_then_stopped_running_and_failed_trials(
    tmp_path: Path, direction: str, order: list[int]
) -> None:
    config = make_config(tmp_path, direction)
    trials = trial_results(make_study(config), config)
    assert [trial.trial for trial in trials] == order
    args = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "stopped",
        TrialState.RUNNING: "running",
        TrialState.FAIL: "failed",
    }
    for trial in trials:
        state, values = TRIALS[trial.trial]
        assert trial.state == args[state]
        assert trial.value == (values[-1] if values and state != TrialState.FAIL else None)
        assert (trial.epochs, trial.seconds) == (len(values), 10.0 * trial.trial)
        assert bool(trial.reason) == (state == TrialState.FAIL)


def test_all_tables_have_the_same_content(tmp_path: Path) -> None:
    config = make_config(tmp_path, "maximize")
    study = make_study(config)
    write(study, config)
    trials = trial_results(study, config)
    content = json.loads((tmp_path / JSON).read_text(encoding="utf-8"))
    lines = list(csv.DictReader((tmp_path / CSV).open(encoding="utf-8", newline="")))
    shown = format_results(trials, config).splitlines()
    assert content["metric"] == {"table": "val", "column": "ap50", "direction": "maximize", "set": "together"}
    assert shown[0].split() == ["trial", "ap50", "net.rate", "word", "state", "epochs", "seconds"]
    assert shown[-1] == f"trial 1 failed: it, {HOSTILE}"
    assert len(content["trials"]) == len(lines) == len(shown) - 2 == len(TRIALS)
    for trial, as_json, line, text in zip(trials, content["trials"], lines, shown[1:], strict=False):
        assert (as_json["trial"], as_json["value"], as_json["parameters"]) == (
            trial.trial,
            trial.value,
            trial.parameters,
        )
        assert (line["trial"], line["state"], line["reason"]) == (str(trial.trial), trial.state, trial.reason)
        assert line["value"] == ("" if trial.value is None else str(trial.value))
        assert float(line["net.rate"]) == trial.parameters["net.rate"]
        assert text.split()[0] == str(trial.trial)
        assert text.split()[1] == ("-" if trial.value is None else f"{trial.value:g}")


class Page(HTMLParser):
    """Count elements, and fail where one is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.unclosed: list[str] = []
        self.feed(text)
        assert self.unclosed == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        assert all((value or "").startswith("data:") for name, value in attrs if name in ("href", "src"))
        if tag not in ("meta", "link"):
            self.unclosed.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed.pop() == tag


def test_the_page_is_self_contained_and_shows_history_importance_and_every_parameter(tmp_path: Path) -> None:
    config = make_config(tmp_path, "maximize")
    write(make_study(config), config)
    text = (tmp_path / PAGE).read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.counts
    assert page.counts["link"] == 1  # the icon
    assert "url(" not in text
    assert HOSTILE not in text
    assert page.counts["svg"] == 4
    assert page.counts["tr"] == 1 + len(TRIALS)
    for title in ("History", "What matters", "ap50 over net.rate", "ap50 over word"):
        assert f"<figcaption>{title}</figcaption>" in text
    assert "Trial 1 failed" in text


def test_a_study_of_failures_alone_has_a_page(tmp_path: Path) -> None:
    config = make_config(tmp_path, "minimize")
    study = search.open_study(config, {})
    write(study, config)
    study.tell(search.ask(study, config) or 0, state=TrialState.FAIL)  # before its values were drawn
    write(study, config)
    assert "What matters" not in (tmp_path / PAGE).read_text(encoding="utf-8").split("<main>")[1].split("</div>")[0]
    assert format_results(trial_results(study, config), config).splitlines()[1].split() == [
        "0",
        "-",
        "-",
        "-",
        "failed",
        "0",
        "0",
    ]


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_parameter_that_decides_is_the_most_important(tmp_path: Path, direction: Any, pruned: bool) -> None:
    """Also where its bad values are pruned."""
    other = FloatParameter("float", "other", 0.0, 1.0)
    config = make_config(tmp_path, direction, (RATE, other))
    study = optuna.create_study(direction=direction)
    while (trial := search.ask(study, config)) and trial.number < 60:
        distance = abs(math.log10(search.suggest_values(trial, config.parameters)["net.rate"]) + 2)
        trial.report(distance if direction == "minimize" else -distance, 0)
        bad = pruned and distance > 0.7
        study.tell(
            trial,
            None if bad else 0.01 * distance if direction == "minimize" else -0.01 * distance,
            TrialState.PRUNED if bad else TrialState.COMPLETE,
        )
    fractions = importance(study)
    assert [*fractions] == ["net.rate", "other"]
    assert fractions["net.rate"] > 0.8
    assert sum(fractions.values()) == pytest.approx(1)


def test_importance_is_empty_where_it_cannot_be_estimated(tmp_path: Path) -> None:
    config = make_config(tmp_path, "maximize")
    study = make_study(config)
    assert importance(study)
    few = optuna.create_study()
    few.add_trials([trial for trial in study.trials if trial.number < 4])
    assert importance(few) == {}
    alone = make_config(tmp_path / "alone", "maximize", (RATE,))
    assert importance(make_study(alone)) == {}


def point(trial: int, value: float, complete: bool = True) -> Point:
    fraction = (trial % 7) / 6
    values = {
        "rate": 1e-5 * 3000**fraction,
        "dropout": 0.5 * fraction,
        "layers": 10 + round(12 * fraction),
        "word": CHOICE.choices[trial % 4],
    }
    return Point(value, trial, complete, values, f"trial {trial}")


# The best first, to be minimized; two pruned ones last.
POINTS = [point(5, 0.21), point(2, 0.25), point(0, 0.4), point(3, 0.3, False), point(1, 900.0, False)]

FEW: list[list[Point]] = [
    [],
    [point(0, 3.0, False)],
    [point(0, 0.0)],
    [point(0, 1e25), point(3, -1e25)],
]


def plot(draw: Callable[..., None], *args: Any) -> Axes:
    figure = Figure()
    axes = figure.add_subplot()
    draw(axes, *args)
    figure.draw_without_rendering()
    return axes


def dots(axes: Axes) -> dict[str, tuple[float, float]]:
    """Return the position of each trial's dot as shares of the axes, by its tooltip."""
    points = {}
    for line in axes.lines:
        if line.get_marker() == "o":
            ((x, y),) = axes.transAxes.inverted().transform(axes.transData.transform(line.get_xydata()))
            points[str(line.get_gid()).removeprefix("tooltip: ")] = (float(x), float(y))
    return points


def tick_labels(axes: Axes) -> list[str]:
    """Return the labels of the ticks on the x axis within the limits."""
    low, high = axes.get_xlim()
    shown = [label for label, x in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True) if low <= x <= high]
    return [label.get_text() for label in shown]


@pytest.mark.parametrize("points", [POINTS, *FEW])
@pytest.mark.parametrize("maximize", [True, False])
def test_dots_are_within_the_axes(points: list[Point], maximize: bool) -> None:
    plots = [plot(results.plot_history, points, maximize)]
    plots += [plot(results.plot_parameter, points, parameter) for parameter in PARAMETERS]
    for axes in plots:
        assert len(dots(axes)) == len(points)
        for x, y in dots(axes).values():
            assert 0 < x < 1
            assert 0 < y < 1


@pytest.mark.parametrize("points", [POINTS, *FEW])
def test_charts_are_svg_with_escaped_text(points: list[Point]) -> None:
    for markup in (
        results.history_chart(points, True),
        *(results.parameter_chart(points, parameter) for parameter in PARAMETERS),
        results.importance_chart({"a": 0.7, "<b>": 0.3}),
    ):
        assert markup.startswith("<svg")
        assert "nan" not in markup
        assert "<b>" not in markup
        assert "<a>" not in markup
        assert markup.count("<title>trial ") == (0 if "<title>a: 0.700</title>" in markup else len(points))


def test_better_trials_are_higher_or_lower_and_pruned_ones_have_another_colour() -> None:
    plots = [plot(results.plot_history, POINTS, False)]
    plots += [plot(results.plot_parameter, POINTS, parameter) for parameter in PARAMETERS]
    for axes in plots:
        at = dots(axes)
        assert sorted(at) == [f"trial {number}" for number in (0, 1, 2, 3, 5)]
        heights = [at[f"trial {number}"][1] for number in (5, 2, 3, 0, 1)]  # by value
        assert heights == sorted(heights)
        assert len(set(heights)) == 5
        for line in axes.lines:
            pruned = line.get_gid() in ("tooltip: trial 1", "tooltip: trial 3")
            assert same_color(line.get_color(), SECOND if pruned else FIRST)


@pytest.mark.parametrize("parameter", [LEARNING_RATE, DROPOUT, LAYERS])
def test_dots_are_spaced_by_the_scale_of_the_parameter(parameter: Parameter) -> None:
    at = dots(plot(results.plot_parameter, [point(number, 1.0 + number) for number in range(7)], parameter))
    positions = [at[f"trial {number}"][0] for number in range(7)]
    gaps = [after - before for before, after in itertools.pairwise(positions)]
    assert gaps == pytest.approx([gaps[0]] * 6, abs=1e-3)
    assert gaps[0] > 0


@pytest.mark.parametrize(("maximize", "best"), [(False, [0.4, 0.25, 0.21]), (True, [0.4, 0.4, 0.4])])
def test_the_line_of_the_history_is_the_best_so_far(maximize: bool, best: list[float]) -> None:
    (line,) = [line for line in plot(results.plot_history, POINTS, maximize).lines if line.get_marker() != "o"]
    assert np.asarray(line.get_xdata()).tolist() == [0, 2, 5]
    assert np.asarray(line.get_ydata()).tolist() == best


@pytest.mark.parametrize(
    ("parameter", "labels"),
    [
        (LEARNING_RATE, ["1e-05", "0.0001", "0.001", "0.01"]),
        (FloatParameter("float", "rate", 0.02, 0.08, "log"), ["0.02", "0.08"]),
        (FloatParameter("float", "rate", 1e-9, 1e9, "log"), ["1e-08", "1e-05", "0.01", "10", "1e+04", "1e+07"]),
        (DROPOUT, ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]),
        (IntParameter("int", "layers", 10, 20), ["10", "12", "14", "16", "18", "20"]),
        (LAYERS, ["10", "15", "20"]),
        (IntParameter("int", "layers", 1, 3), ["1", "2", "3"]),
        (CHOICE, ["<a>", "[1, 2]", "None", "{'a': 1}"]),
    ],
)
def test_ticks_are_round(parameter: Parameter, labels: list[str]) -> None:
    assert tick_labels(plot(results.plot_parameter, [], parameter)) == labels


def test_bars_of_importance_are_as_long_as_their_shares() -> None:
    axes = plot(results.plot_importance, {"first": 0.6, "second": 0.3, "third": 0.1})
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert [bar.get_width() for bar in bars] == [0.6, 0.3, 0.1]
    assert [bar.get_gid() for bar in bars] == [
        "tooltip: first: 0.600",
        "tooltip: second: 0.300",
        "tooltip: third: 0.100",
    ]
    rows = [bar.get_y() for bar in bars]
    assert rows == sorted(rows)
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first on top
