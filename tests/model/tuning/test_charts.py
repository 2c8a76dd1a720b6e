import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from model.common.charts import FIRST, SECOND
from model.tuning import charts
from model.tuning.charts import Point
from model.tuning.config import CategoricalParameter, FloatParameter, IntParameter, Parameter

RATE = FloatParameter("float", "rate", 1e-5, 0.03, "log")
DROPOUT = FloatParameter("float", "dropout", 0.0, 0.5)
LAYERS = IntParameter("int", "layers", 10, 22)
WORD = CategoricalParameter("categorical", "word", ("<a>", [1, 2], None, {"a": 1}))
PARAMETERS: list[Parameter] = [RATE, DROPOUT, LAYERS, WORD]


def point(trial: int, value: float, complete: bool = True) -> Point:
    fraction = (trial % 7) / 6
    values = {
        "rate": 1e-5 * 3000**fraction,
        "dropout": 0.5 * fraction,
        "layers": 10 + round(12 * fraction),
        "word": WORD.choices[trial % 4],
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
    plots = [plot(charts.plot_history, points, maximize)]
    plots += [plot(charts.plot_parameter, points, parameter) for parameter in PARAMETERS]
    for axes in plots:
        assert len(dots(axes)) == len(points)
        for x, y in dots(axes).values():
            assert 0 < x < 1
            assert 0 < y < 1


@pytest.mark.parametrize("points", [POINTS, *FEW])
def test_charts_are_svg_with_escaped_text(points: list[Point]) -> None:
    for markup in (
        charts.history_chart(points, True),
        *(charts.parameter_chart(points, parameter) for parameter in PARAMETERS),
        charts.importance_chart({"a": 0.7, "<b>": 0.3}),
    ):
        assert markup.startswith("<svg")
        assert "nan" not in markup
        assert "<b>" not in markup
        assert "<a>" not in markup
        assert markup.count("<title>trial ") == (0 if "<title>a: 0.700</title>" in markup else len(points))


def test_better_trials_are_higher_or_lower_and_pruned_ones_have_another_colour() -> None:
    plots = [plot(charts.plot_history, POINTS, False)]
    plots += [plot(charts.plot_parameter, POINTS, parameter) for parameter in PARAMETERS]
    for axes in plots:
        at = dots(axes)
        assert sorted(at) == [f"trial {number}" for number in (0, 1, 2, 3, 5)]
        heights = [at[f"trial {number}"][1] for number in (5, 2, 3, 0, 1)]  # by value
        assert heights == sorted(heights)
        assert len(set(heights)) == 5
        for line in axes.lines:
            pruned = line.get_gid() in ("tooltip: trial 1", "tooltip: trial 3")
            assert same_color(line.get_color(), SECOND if pruned else FIRST)


@pytest.mark.parametrize("parameter", [RATE, DROPOUT, LAYERS])
def test_dots_are_spaced_by_the_scale_of_the_parameter(parameter: Parameter) -> None:
    at = dots(plot(charts.plot_parameter, [point(number, 1.0 + number) for number in range(7)], parameter))
    positions = [at[f"trial {number}"][0] for number in range(7)]
    gaps = [after - before for before, after in itertools.pairwise(positions)]
    assert gaps == pytest.approx([gaps[0]] * 6, abs=1e-3)
    assert gaps[0] > 0


@pytest.mark.parametrize(("maximize", "best"), [(False, [0.4, 0.25, 0.21]), (True, [0.4, 0.4, 0.4])])
def test_the_line_of_the_history_is_the_best_so_far(maximize: bool, best: list[float]) -> None:
    (line,) = [line for line in plot(charts.plot_history, POINTS, maximize).lines if line.get_marker() != "o"]
    assert np.asarray(line.get_xdata()).tolist() == [0, 2, 5]
    assert np.asarray(line.get_ydata()).tolist() == best


@pytest.mark.parametrize(
    ("parameter", "labels"),
    [
        (RATE, ["1e-05", "0.0001", "0.001", "0.01"]),
        (FloatParameter("float", "rate", 0.02, 0.08, "log"), ["0.02", "0.08"]),
        (FloatParameter("float", "rate", 1e-9, 1e9, "log"), ["1e-08", "1e-05", "0.01", "10", "1e+04", "1e+07"]),
        (DROPOUT, ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]),
        (IntParameter("int", "layers", 10, 20), ["10", "12", "14", "16", "18", "20"]),
        (LAYERS, ["10", "15", "20"]),
        (IntParameter("int", "layers", 1, 3), ["1", "2", "3"]),
        (WORD, ["<a>", "[1, 2]", "None", "{'a': 1}"]),
    ],
)
def test_ticks_are_round(parameter: Parameter, labels: list[str]) -> None:
    assert tick_labels(plot(charts.plot_parameter, [], parameter)) == labels


def test_bars_of_importance_are_as_long_as_their_shares() -> None:
    axes = plot(charts.plot_importance, {"first": 0.6, "second": 0.3, "third": 0.1})
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
