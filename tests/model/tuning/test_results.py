import csv
import json
import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from model.tuning import results, search
from model.tuning.config import CategoricalParameter, FloatParameter, MetricConfig, Parameter, TuneConfig
from model.tuning.rows import importance, rows

HOSTILE = "<script>alert(1)</script>&amp;"
RATE = FloatParameter("float", "net.rate", 1e-4, 1.0, "log")
WORD = CategoricalParameter("categorical", "word", ([1, 2], HOSTILE))
# The state of each trial, and its values by epoch.
TOLD: list[tuple[TrialState, list[float]]] = [
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


def made(folder: Path, direction: Any, parameters: tuple[Parameter, ...] = (RATE, WORD)) -> TuneConfig:
    metric = MetricConfig("val", "ap50", direction, "together")
    folder.mkdir(exist_ok=True)
    return TuneConfig(Path("base.yaml"), folder, parameters, metric, "random", trials=99)


def told(config: TuneConfig) -> optuna.Study:
    study = search.open_study(config, {})
    for state, values in TOLD:
        trial = search.ask(study, config)
        assert trial is not None
        search.values(trial, config.parameters)
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
def test_the_best_come_first_and_then_what_was_stopped_runs_or_failed(
    tmp_path: Path, direction: str, order: list[int]
) -> None:
    config = made(tmp_path, direction)
    found = rows(told(config), config)
    assert [of.trial for of in found] == order
    words = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "stopped",
        TrialState.RUNNING: "running",
        TrialState.FAIL: "failed",
    }
    for of in found:
        state, values = TOLD[of.trial]
        assert of.state == words[state]
        assert of.value == (values[-1] if values and state != TrialState.FAIL else None)
        assert (of.epochs, of.seconds) == (len(values), 10.0 * of.trial)
        assert bool(of.reason) == (state == TrialState.FAIL)


def test_all_tables_say_the_same(tmp_path: Path) -> None:
    config = made(tmp_path, "maximize")
    study = told(config)
    results.write(study, config)
    found = rows(study, config)
    content = json.loads((tmp_path / results.JSON).read_text(encoding="utf-8"))
    lines = list(csv.DictReader((tmp_path / results.CSV).open(encoding="utf-8", newline="")))
    shown = results.text(found, config).splitlines()
    assert content["metric"] == {"table": "val", "column": "ap50", "direction": "maximize", "set": "together"}
    assert shown[0].split() == ["trial", "ap50", "net.rate", "word", "state", "epochs", "seconds"]
    assert shown[-1] == f"trial 1 failed: it, {HOSTILE}"
    assert len(content["trials"]) == len(lines) == len(shown) - 2 == len(TOLD)
    for of, as_json, line, text in zip(found, content["trials"], lines, shown[1:], strict=False):
        assert (as_json["trial"], as_json["value"], as_json["parameters"]) == (of.trial, of.value, of.parameters)
        assert (line["trial"], line["state"], line["reason"]) == (str(of.trial), of.state, of.reason)
        assert line["value"] == ("" if of.value is None else str(of.value))
        assert float(line["net.rate"]) == of.parameters["net.rate"]
        assert text.split()[0] == str(of.trial)
        assert text.split()[1] == ("-" if of.value is None else f"{of.value:g}")


class Page(HTMLParser):
    """Counts elements, and fails where one is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        assert not [value for name, value in attrs if name in ("href", "src")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_fetches_nothing_and_shows_history_what_matters_and_every_parameter(tmp_path: Path) -> None:
    config = made(tmp_path, "maximize")
    results.write(told(config), config)
    text = (tmp_path / results.PAGE).read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.counts
    assert "link" not in page.counts
    assert "url(" not in text
    assert HOSTILE not in text
    assert page.counts["svg"] == 4
    assert page.counts["tr"] == 1 + len(TOLD)
    for title in ("History", "What matters", "ap50 over net.rate", "ap50 over word"):
        assert f"<figcaption>{title}</figcaption>" in text
    assert "Trial 1 failed" in text


def test_a_study_of_nothing_but_failures_has_a_page_too(tmp_path: Path) -> None:
    config = made(tmp_path, "minimize")
    study = search.open_study(config, {})
    results.write(study, config)
    study.tell(search.ask(study, config) or 0, state=TrialState.FAIL)  # before its values were drawn
    results.write(study, config)
    assert (
        "What matters"
        not in (tmp_path / results.PAGE).read_text(encoding="utf-8").split("<main>")[1].split("</div>")[0]
    )
    assert results.text(rows(study, config), config).splitlines()[1].split() == ["0", "-", "-", "-", "failed", "0", "0"]


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_what_matters_is_what_the_value_hangs_on(tmp_path: Path, direction: Any, stopped: bool) -> None:
    """Where the trials that it makes hopeless are stopped, too."""
    other = FloatParameter("float", "other", 0.0, 1.0)
    config = made(tmp_path, direction, (RATE, other))
    study = optuna.create_study(direction=direction)
    while (trial := search.ask(study, config)) and trial.number < 60:
        away = abs(math.log10(search.values(trial, config.parameters)["net.rate"]) + 2)
        trial.report(away if direction == "minimize" else -away, 0)
        hopeless = stopped and away > 0.7
        study.tell(
            trial,
            None if hopeless else 0.01 * away if direction == "minimize" else -0.01 * away,
            TrialState.PRUNED if hopeless else TrialState.COMPLETE,
        )
    shares = importance(study)
    assert [*shares] == ["net.rate", "other"]
    assert shares["net.rate"] > 0.8
    assert sum(shares.values()) == pytest.approx(1)


def test_nothing_is_said_of_what_matters_where_nothing_can_be(tmp_path: Path) -> None:
    config = made(tmp_path, "maximize")
    study = told(config)
    assert importance(study)
    few = optuna.create_study()
    few.add_trials([trial for trial in study.trials if trial.number < 4])
    assert importance(few) == {}
    alone = made(tmp_path / "alone", "maximize", (RATE,))
    assert importance(told(alone)) == {}
