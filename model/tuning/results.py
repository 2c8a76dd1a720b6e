"""What a study has found: a table for the terminal, the same as CSV and JSON, and a page."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict

import optuna

from model.common.atomic import write_atomically
from model.evaluation.tables import Rows, aligned
from model.tuning import page
from model.tuning.config import TuneConfig
from model.tuning.rows import Row, brief, importance, rows

# In the study's folder.
CSV, JSON, PAGE = "trials.csv", "trials.json", "study.html"


def write(study: optuna.Study, config: TuneConfig) -> None:
    """Writes the tables and the page into the study's folder."""
    found, shares = rows(study, config), importance(study)
    write_atomically(config.study / CSV, _csv(found, config))
    write_atomically(config.study / JSON, _json(found, shares, config))
    write_atomically(config.study / PAGE, page.render(cells(found, config), found, shares, config))


def text(found: Sequence[Row], config: TuneConfig) -> str:
    """The table, and why trials failed."""
    failures = [f"trial {of.trial} failed: {of.reason}" for of in found if of.state == "failed"]
    return "\n".join([aligned(cells(found, config)), *failures])


def cells(found: Sequence[Row], config: TuneConfig) -> Rows:
    """The table as words; the first line names the columns."""
    names = [parameter.name for parameter in config.parameters]
    lines = [
        [
            *(str(of.trial), brief(of.value)),
            *(brief(of.parameters.get(name)) for name in names),
            *(of.state, str(of.epochs), f"{of.seconds:.0f}"),
        ]
        for of in found
    ]
    return [["trial", config.metric.column, *names, "state", "epochs", "seconds"], *lines]


def _csv(found: Sequence[Row], config: TuneConfig) -> str:
    names = [parameter.name for parameter in config.parameters]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["trial", "state", "value", *names, "epochs", "seconds", "reason"])
    for of in found:
        tried = [of.parameters.get(name) for name in names]
        writer.writerow([of.trial, of.state, of.value, *tried, of.epochs, of.seconds, of.reason])
    return out.getvalue()


def _json(found: Sequence[Row], shares: dict[str, float], config: TuneConfig) -> str:
    content = {
        "metric": asdict(config.metric),
        "method": config.method,
        "trials": [asdict(of) for of in found],
        "importance": shares,
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
