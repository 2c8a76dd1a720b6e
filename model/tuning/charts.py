"""The charts of a study, as inline SVG (see `model.common.charts`)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator

from model.common.charts import FIRST, SECOND, set_tooltip, svg_chart
from model.tuning.config import CategoricalParameter, Parameter

# Room beside the outermost values, as a share of the axis.
_MARGIN = 0.06
# The most intervals between ticks.
_INTERVALS = 6
# Letters that fit across a chart: the name of a bar, or all choices of a parameter.
_LETTERS = 50


@dataclass(frozen=True, slots=True)
class Point:
    """A trial that has ended with a value of the metric; it was pruned if it is not complete."""

    value: float
    trial: int
    complete: bool
    parameters: Mapping[str, Any]
    tooltip: str


def history_chart(points: Sequence[Point], maximize: bool) -> str:
    """Draw the value of every trial in the order in which they began, and the best one so far."""
    return svg_chart("History", plot_history, points, maximize)


def importance_chart(shares: Mapping[str, float]) -> str:
    """Draw the share of each parameter as a bar with its name above."""
    return svg_chart("What matters", plot_importance, shares)


def parameter_chart(points: Sequence[Point], parameter: Parameter) -> str:
    """Draw the value of every trial over its value of one parameter."""
    return svg_chart(parameter.name, plot_parameter, points, parameter)


def plot_history(axes: Axes, points: Sequence[Point], maximize: bool) -> None:
    """See `history_chart`; the best trial comes first in `points`."""
    _linear_scale(axes, 0, max([1, *(point.trial for point in points)]), integer=True)
    axes.set_xlabel("trial; the line is the best so far")
    complete = sorted((point.trial, point.value) for point in points if point.complete)
    best = (np.maximum if maximize else np.minimum).accumulate([value for _, value in complete] or [np.nan])
    axes.plot([trial for trial, _ in complete] or [np.nan], best, color=FIRST)
    _plot_points(axes, points, [point.trial for point in points])


def plot_importance(axes: Axes, shares: Mapping[str, float]) -> None:
    """See `importance_chart`."""
    axes.set(xlim=(0, 1), ylim=(len(shares), 0), xlabel="share", yticks=[])
    for row, (name, share) in enumerate(shares.items()):
        (bar,) = axes.barh(row + 0.45, share, 0.45, align="edge", color=FIRST)
        set_tooltip(bar, f"{name}: {share:.3f}")
        axes.text(0, row + 0.4, f"{name[:_LETTERS]}: {share:.2f}")


def plot_parameter(axes: Axes, points: Sequence[Point], parameter: Parameter) -> None:
    """See `parameter_chart`; the best trial comes first in `points`."""
    axes.set_xlabel(parameter.name)
    positions = [point.parameters[parameter.name] for point in points]
    if isinstance(parameter, CategoricalParameter):
        keys = [json.dumps(choice, default=str) for choice in parameter.choices]
        positions = [keys.index(json.dumps(value, default=str)) for value in positions]
        letters = max(_LETTERS // len(keys), 3)
        axes.set_xlim(-0.5, len(keys) - 0.5)
        axes.set_xticks(range(len(keys)), [str(choice)[:letters] for choice in parameter.choices])
    elif parameter.scale == "log":
        _log_scale(axes, parameter.low, parameter.high)
    else:
        _linear_scale(axes, parameter.low, parameter.high, integer=parameter.kind == "int")
    _plot_points(axes, points, positions)


def _plot_points(axes: Axes, points: Sequence[Point], positions: Sequence[float]) -> None:
    """Plot values over positions, the best on top, on a scale of the complete ones; others are clipped to its ends."""
    values = [point.value for point in points if point.complete] or [0.0]
    low, high = min(values), max(values)
    room = (high - low) * _MARGIN or abs(high) * 0.02 or 1.0
    axes.set_ylim(low - 2 * room, high + 2 * room)
    axes.yaxis.set_major_locator(MaxNLocator(_INTERVALS, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter("{x:.6g}")
    for point, position in list(zip(points, positions, strict=True))[::-1]:
        value = min(max(point.value, low - room), high + room)
        (dot,) = axes.plot([position], [value], "o", color=FIRST if point.complete else SECOND)
        set_tooltip(dot, point.tooltip)


def _linear_scale(axes: Axes, low: float, high: float, integer: bool) -> None:
    axes.set_xlim(low - (high - low) * _MARGIN, high + (high - low) * _MARGIN)
    axes.xaxis.set_major_locator(MaxNLocator(_INTERVALS, steps=[1, 2, 5, 10], integer=integer))
    axes.xaxis.set_major_formatter("{x:.6g}")


def _log_scale(axes: Axes, low: float, high: float) -> None:
    axes.set_xscale("log")
    factor = (high / low) ** _MARGIN
    axes.set_xlim(low / factor, high * factor)
    powers = LogLocator(numticks=_INTERVALS).tick_values(low, high)
    ticks = [float(tick) for tick in powers if low / 1.001 <= tick <= high * 1.001]
    ticks = ticks if len(ticks) > 1 else [low, high]
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.minorticks_off()
