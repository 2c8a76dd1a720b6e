"""The results of a study: a table for the terminal, the same as CSV and JSON, and a page with charts."""

import csv
import io
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from model.common.atomic import write_atomically
from model.common.charts import FIRST, SECOND, set_tooltip, svg_chart
from model.common.pages import render_template
from model.evaluation.set_metrics import Rows, align
from model.tuning import search
from model.tuning.config import CategoricalParameter, Parameter, TuneConfig

# Room beside the outermost values, as a share of the axis.
_MARGIN = 0.06
# The most intervals between ticks.
_INTERVALS = 6
# Letters that fit across a chart: the name of a bar, or all choices of a parameter.
_LETTERS = 50
# In the study's folder.
CSV, JSON, PAGE = "trials.csv", "trials.json", "study.html"
# User attributes of a trial: how long it ran, and why it failed.
SECONDS, REASON = "seconds", "reason"
State = Literal["complete", "stopped", "running", "failed"]
# In the order of the table. A study that was interrupted leaves `running` ones.
_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped",
    TrialState.RUNNING: "running",
    TrialState.FAIL: "failed",
}
# Complete trials that are needed to estimate the importance of parameters.
_MIN_TRIALS = 4


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


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One trial.

    Attributes:
        trial: its number, which names its folder.
        state: `complete`; `stopped` (pruned); `running`; or `failed`.
        value: the last value of the metric; None if there is none, or if the trial failed.
        parameters: the values of the parameters by name.
        epochs: number of epochs up to the last value of the metric.
        seconds: run time over all starts.
        reason: why it failed, empty if it did not.
    """

    trial: int
    state: State
    value: float | None
    parameters: dict[str, Any]
    epochs: int
    seconds: float
    reason: str


def trial_result(trial: FrozenTrial, parameters: tuple[Parameter, ...]) -> TrialResult:
    """Build the result of a trial."""
    values, state = trial.intermediate_values, _STATES[trial.state]
    last = values.get(max(values, default=-1)) if trial.value is None else trial.value
    return TrialResult(
        trial=trial.number,
        state=state,
        value=None if state == "failed" else last,
        parameters=search.decode_values(parameters, trial.params),
        epochs=max(values, default=-1) + 1,
        seconds=float(trial.user_attrs.get(SECONDS, 0.0)),
        reason=str(trial.user_attrs.get(REASON, "")),
    )


def trial_results(study: optuna.Study, config: TuneConfig) -> list[TrialResult]:
    """Return the results of all trials that have begun, the best first, complete ones before all others."""
    begun = [trial for trial in study.get_trials(deepcopy=False) if trial.state in _STATES]
    sign = 1 if config.metric.direction == "minimize" else -1
    order = list(_STATES.values())
    return sorted(
        (trial_result(trial, config.parameters) for trial in begun),
        key=lambda result: (
            order.index(result.state),
            math.inf if result.value is None else sign * result.value,
            result.trial,
        ),
    )


def importance(study: optuna.Study) -> dict[str, float]:
    """Estimate the share of each parameter in a trial being one of the best quarter (PED-ANOVA); the largest first.

    Pruned trials count as the worst ones: without them, a parameter that leads to pruning would seem unimportant.
    Empty if there is one parameter, or fewer than four complete trials.
    """
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    complete = [trial.value for trial in ended if trial.state == TrialState.COMPLETE and trial.value is not None]
    if len(complete) < _MIN_TRIALS or len(ended[0].params) < 2:
        return {}
    maximize = study.direction == optuna.study.StudyDirection.MAXIMIZE
    worst = min(complete) if maximize else max(complete)
    compared = optuna.create_study(direction=study.direction)
    for trial in ended:
        value = trial.value if trial.state == TrialState.COMPLETE else worst
        compared.add_trial(
            optuna.trial.create_trial(params=trial.params, distributions=trial.distributions, value=value)
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where all values are alike, and then gives equal shares
        # Optuna's default, the best tenth, would be two trials of a study of twenty.
        shares = get_param_importances(compared, evaluator=PedAnovaImportanceEvaluator(target_quantile=0.25))
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def write(study: optuna.Study, config: TuneConfig) -> None:
    """Write the tables and the page into the study's folder."""
    trials, shares = trial_results(study, config), importance(study)
    write_atomically(config.study / CSV, _to_csv(trials, config))
    write_atomically(config.study / JSON, _to_json(trials, shares, config))
    write_atomically(config.study / PAGE, _page(trials, shares, config))


def format_results(trials: Sequence[TrialResult], config: TuneConfig) -> str:
    """Format the table for a terminal, and the reasons of failures."""
    failures = [f"trial {trial.trial} failed: {trial.reason}" for trial in trials if trial.state == "failed"]
    return "\n".join([align(_rows(trials, config)), *failures])


def format_values(values: Mapping[str, object]) -> str:
    """Format the values of parameters in one line."""
    return ", ".join(f"{name} {format_value(value)}" for name, value in values.items())


def format_value(value: object) -> str:
    """Format a value for a table."""
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)


def _rows(trials: Sequence[TrialResult], config: TuneConfig) -> Rows:
    """Build the table; the first row is the header."""
    names = [parameter.name for parameter in config.parameters]
    lines = [
        [
            *(str(trial.trial), format_value(trial.value)),
            *(format_value(trial.parameters.get(name)) for name in names),
            *(trial.state, str(trial.epochs), f"{trial.seconds:.0f}"),
        ]
        for trial in trials
    ]
    return [["trial", config.metric.column, *names, "state", "epochs", "seconds"], *lines]


def _to_csv(trials: Sequence[TrialResult], config: TuneConfig) -> str:
    names = [parameter.name for parameter in config.parameters]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["trial", "state", "value", *names, "epochs", "seconds", "reason"])
    for trial in trials:
        values = [trial.parameters.get(name) for name in names]
        writer.writerow([trial.trial, trial.state, trial.value, *values, trial.epochs, trial.seconds, trial.reason])
    return out.getvalue()


def _to_json(trials: Sequence[TrialResult], shares: dict[str, float], config: TuneConfig) -> str:
    content = {
        "metric": asdict(config.metric),
        "method": config.method,
        "trials": [asdict(trial) for trial in trials],
        "importance": shares,
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _page(trials: Sequence[TrialResult], shares: Mapping[str, float], config: TuneConfig) -> str:
    """Render the page: charts, table, and failures."""
    metric = config.metric
    points = [
        Point(
            value=trial.value,
            trial=trial.trial,
            complete=trial.state == "complete",
            parameters=trial.parameters,
            tooltip=f"trial {trial.trial}, {trial.state}: {trial.value:.4g}; {format_values(trial.parameters)}",
        )
        for trial in trials
        if trial.state in ("complete", "stopped") and trial.value is not None
    ]
    shown = [("History", history_chart(points, metric.direction == "maximize"))]
    if shares:
        shown.append(("What matters", importance_chart(shares)))
    shown += [(f"{metric.column} over {each.name}", parameter_chart(points, each)) for each in config.parameters]
    return render_template(
        Path(__file__).with_name("study.html"),
        study=config.study.name,
        base=config.base,
        method=config.method,
        metric=metric.label,
        direction=metric.direction,
        rows=_rows(trials, config),
        charts=shown,
        failed=[trial for trial in trials if trial.state == "failed"],
    )
