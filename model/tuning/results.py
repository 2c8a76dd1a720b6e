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

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from model.common.atomic import write_atomically
from model.common.pages import render_template
from model.evaluation.tables import Rows, align
from model.tuning import charts, search
from model.tuning.config import Parameter, TuneConfig

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
        charts.Point(
            value=trial.value,
            trial=trial.trial,
            complete=trial.state == "complete",
            parameters=trial.parameters,
            tooltip=f"trial {trial.trial}, {trial.state}: {trial.value:.4g}; {format_values(trial.parameters)}",
        )
        for trial in trials
        if trial.state in ("complete", "stopped") and trial.value is not None
    ]
    shown = [("History", charts.history_chart(points, metric.direction == "maximize"))]
    if shares:
        shown.append(("What matters", charts.importance_chart(shares)))
    shown += [(f"{metric.column} over {each.name}", charts.parameter_chart(points, each)) for each in config.parameters]
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
