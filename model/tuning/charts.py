"""The charts of a study, as inline SVG (see `model.evaluation.plot`)."""

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from model.evaluation.plot import Ticks, plot
from model.tuning.config import CategoricalParameter, Parameter
from model.tuning.rows import Row, words

# Room beside the outermost values, as a share of the axis.
_MARGIN = 0.06
# On an axis, at most one more than this.
_TICKS = 5
# A bar's name has room for so many letters, and so have all choices of a parameter together.
_LETTERS = 50


@dataclass(frozen=True, slots=True)
class _Axis:
    """From values to places between 0 and 1, and what stands there."""

    place: Callable[[object], float]
    ticks: Ticks


def history(found: Sequence[Row], maximize: bool) -> str:
    """The value of every trial, in the order in which they began, and the best one so far."""
    chart, shown, up = plot("History"), _shown(found), _up(found)
    across = _numbers(0, max([1, *(of.trial for of in found)]), least=1)
    chart.ticks_up(up.ticks)
    chart.ticks_across(across.ticks)
    chart.across("trial; the line is the best so far")
    better: Callable[[float, float], float] = max if maximize else min
    best: list[tuple[float, float]] = []
    for trial, value in sorted((of.trial, value) for of, value in shown if of.state == "complete"):
        best.append((trial, better(value, best[-1][1]) if best else value))
    if best:
        chart.path([(across.place(trial), up.place(value)) for trial, value in best], "first")
    for of, value in shown:
        chart.dot((across.place(of.trial), up.place(value)), _kind(of), _title(of, value))
    return chart.markup()


def importance(shares: Mapping[str, float]) -> str:
    """The share of each parameter, as a bar with its name above."""
    chart = plot("What matters")
    chart.ticks_across()
    chart.across("share")
    for number, (name, share) in enumerate(shares.items()):
        top = 1 - number / len(shares)
        chart.bar(0, share, top - 0.45 / len(shares), "first", f"{name}: {share:.3f}", top - 0.9 / len(shares))
        chart.text((0, top - 0.45 / len(shares)), f"{name[:_LETTERS]}: {share:.2f}", "start", -3)
    return chart.markup()


def parameter(found: Sequence[Row], of: Parameter) -> str:
    """The value of every trial over what it tried."""
    chart, up, across = plot(of.name), _up(found), _across(of)
    chart.ticks_up(up.ticks)
    chart.ticks_across(across.ticks)
    chart.across(of.name)
    for each, value in _shown(found):
        chart.dot((across.place(each.parameters[of.name]), up.place(value)), _kind(each), _title(each, value))
    return chart.markup()


def _shown(found: Sequence[Row]) -> list[tuple[Row, float]]:
    """The trials that have something to show: those that are complete or stopped; the best at last, on top."""
    shown = [(of, of.value) for of in found if of.state in ("complete", "stopped") and of.value is not None]
    return shown[::-1]


def _kind(of: Row) -> str:
    return "first" if of.state == "complete" else "second"


def _title(of: Row, value: float) -> str:
    return f"trial {of.trial}, {of.state}: {value:.4g}; {words(of.parameters)}"


def _up(found: Sequence[Row]) -> _Axis:
    """The axis of the metric. It spans what is complete; what was stopped far off lies at its end."""
    values = [of.value for of in found if of.state == "complete" and of.value is not None] or [0.0]
    low, high = min(values), max(values)
    room = (high - low) * 0.02 or abs(high) * 0.02 or 1.0
    return _numbers(low - room, high + room)


def _across(of: Parameter) -> _Axis:
    if isinstance(of, CategoricalParameter):
        return _choices(of.choices)
    return _powers(of.low, of.high) if of.scale == "log" else _numbers(of.low, of.high, least=int(of.kind == "int"))


def _numbers(low: float, high: float, least: float = 0) -> _Axis:
    """An axis of numbers; what lies outside is at its end. `least` is the smallest step from tick to tick."""
    first = math.floor(math.log10((high - low) / _TICKS))
    steps = (factor * 10.0**power for power in itertools.count(first) for factor in (1, 2, 5))
    step = next(step for step in steps if step >= least and (high - low) / step <= _TICKS)
    at = [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return _axis(low, high, float, [(value, f"{value:.6g}") for value in at])


def _powers(low: float, high: float) -> _Axis:
    """An axis of numbers on a log scale."""
    powers = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    at = [10.0**power for power in powers[:: -(-len(powers) // _TICKS) or 1]]
    return _axis(low, high, math.log, [(value, f"{value:.3g}") for value in (at if len(at) > 1 else [low, high])])


def _axis(low: float, high: float, bend: Callable[[float], float], at: Sequence[tuple[float, str]]) -> _Axis:
    def place(value: object) -> float:
        share = (bend(float(str(value))) - bend(low)) / (bend(high) - bend(low))
        return _MARGIN + (1 - 2 * _MARGIN) * min(max(share, 0.0), 1.0)

    return _Axis(place, [(place(value), words) for value, words in at])


def _choices(choices: Sequence[object]) -> _Axis:
    keys = [json.dumps(choice, default=str) for choice in choices]
    letters = max(_LETTERS // len(keys), 3)

    def place(value: object) -> float:
        return (keys.index(json.dumps(value, default=str)) + 0.5) / len(keys)

    return _Axis(place, [(place(choice), str(choice)[:letters]) for choice in choices])
