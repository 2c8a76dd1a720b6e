import csv
import json
import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from model.tuning import search
from model.tuning.config import CategoricalParameter, FloatParameter, MetricConfig, Parameter, TuneConfig
from model.tuning.results import CSV, JSON, PAGE, format_results, importance, trial_results, write

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
