"""The trials of a study as plain values, and what of them matters."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from model.tuning import search
from model.tuning.config import Parameter, TuneConfig

# Of a trial, in the journal: how long it ran, and why it failed.
SECONDS, REASON = "seconds", "reason"

State = Literal["complete", "stopped", "running", "failed"]
# In the order of the table. `running` is what a study that was broken off leaves.
_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped",
    TrialState.RUNNING: "running",
    TrialState.FAIL: "failed",
}

# Fewer whole trials say nothing of what matters.
_LEAST_TRIALS = 4


@dataclass(frozen=True, slots=True)
class Row:
    """One trial.

    Attributes:
        trial: its number, which names its folder.
        state: `complete`; `stopped` early, as hopeless; `running`; or `failed`.
        value: of the metric: the last one, if there is one; none of what failed.
        parameters: what it tried, by the name of the setting.
        epochs: that were behind it at the last value of the metric.
        seconds: that it ran, over all starts.
        reason: why it failed, empty if it did not.
    """

    trial: int
    state: State
    value: float | None
    parameters: dict[str, Any]
    epochs: int
    seconds: float
    reason: str


def row(trial: FrozenTrial, parameters: tuple[Parameter, ...]) -> Row:
    """A trial as a row."""
    known, state = trial.intermediate_values, _STATES[trial.state]
    last = known.get(max(known, default=-1)) if trial.value is None else trial.value
    return Row(
        trial=trial.number,
        state=state,
        value=None if state == "failed" else last,
        parameters=search.decoded(parameters, trial.params),
        epochs=max(known, default=-1) + 1,
        seconds=float(trial.user_attrs.get(SECONDS, 0.0)),
        reason=str(trial.user_attrs.get(REASON, "")),
    )


def rows(study: optuna.Study, config: TuneConfig) -> list[Row]:
    """The trials that have begun, the best first: those that are complete before those that were stopped."""
    begun = [row(trial, config.parameters) for trial in study.get_trials(deepcopy=False) if trial.state in _STATES]
    sign = 1 if config.metric.direction == "minimize" else -1
    order = list(_STATES.values())
    return sorted(
        begun,
        key=lambda of: (order.index(of.state), math.inf if of.value is None else sign * of.value, of.trial),
    )


def importance(study: optuna.Study) -> dict[str, float]:
    """What share each parameter has in a trial being one of the best quarter; the largest first.

    Trials that were stopped count as the worst ones: without them, what makes trials hopeless would not seem to matter.
    Empty where there is one parameter, or too few trials to say.
    """
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    complete = [of.value for of in ended if of.state == TrialState.COMPLETE and of.value is not None]
    if len(complete) < _LEAST_TRIALS or len(ended[0].params) < 2:
        return {}
    maximize = study.direction == optuna.study.StudyDirection.MAXIMIZE
    worst = min(complete) if maximize else max(complete)
    compared = optuna.create_study(direction=study.direction)
    for of in ended:
        value = of.value if of.state == TrialState.COMPLETE else worst
        compared.add_trial(optuna.trial.create_trial(params=of.params, distributions=of.distributions, value=value))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where all are alike, it says so, and all matter the same
        # Optuna's own best tenth would be two trials of a study of twenty.
        shares = get_param_importances(compared, evaluator=PedAnovaImportanceEvaluator(target_quantile=0.25))
    return dict(sorted(shares.items(), key=lambda each: -each[1]))


def words(parameters: Mapping[str, object]) -> str:
    """Parameters in one line."""
    return ", ".join(f"{name} {brief(value)}" for name, value in parameters.items())


def brief(value: object) -> str:
    """A value as a table shows it."""
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)
